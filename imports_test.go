// Package overlap has only tests of the whole: which package may use which, and that
// the tests named in SECURITY.md are there.
package overlap

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/overlap-psi/overlap/"

// A row says what a package, or a tree of packages, may import of ours.
type row struct {
	pkg     string
	tree    bool     // also the packages below pkg
	imports []string // of rows above its own, so there are no cycles
}

// rows are in the order of the imports: each package knows only those above it.
// That a person's consent is checked before anything is computed rests on this
// table: an Input is made by consent and read by psi, and by nobody else.
var rows = []row{
	{pkg: "internal/ristretto"},
	{pkg: "internal/sha256x16"},
	{pkg: "internal/sha512x8"},
	{pkg: "internal/edkey"},
	{pkg: "internal/input"},
	{pkg: "internal/merkle", imports: []string{"internal/sha256x16"}},
	{pkg: "internal/pending"},
	{pkg: "internal/postgrestest"}, // for tests
	{pkg: "internal/required"},     // for tests
	{pkg: "internal/guardpage"},    // for tests
	{pkg: "internal/sheet"},
	{pkg: "internal/frames"},
	{pkg: "internal/sentence"},
	{pkg: "identifier"},
	{pkg: "identity", imports: []string{"internal/edkey", "internal/pending"}},
	{pkg: "release"},
	{pkg: "audit", imports: []string{"internal/edkey"}},
	{pkg: "proto/ampsi/v1/body"}, // messages without gRPC
	{pkg: "proto/overlap", tree: true},
	{pkg: "proto", tree: true, imports: []string{"proto/ampsi/v1/body"}},
	{pkg: "psi", imports: []string{"internal/edkey", "internal/input", "internal/merkle", "internal/ristretto", "internal/sha512x8"}},
	{pkg: "consent", imports: []string{"identifier", "internal/input", "internal/merkle", "internal/sha256x16"}},
	{pkg: "consent/signal", imports: []string{"consent"}},
	{pkg: "policy", imports: []string{"consent", "identifier", "internal/edkey", "psi", "release"}},
	{pkg: "table", imports: []string{"internal/pending", "psi"}},
	{pkg: "audience", imports: []string{"consent", "consent/signal", "identifier", "internal/sheet"}},
	{pkg: "ledger", imports: []string{"consent", "consent/signal", "identifier", "internal/sheet"}},
	{pkg: "store", imports: []string{"consent", "identifier", "internal/pending"}},
	{pkg: "receipt", imports: []string{"identity", "proto/ampsi/v1/body", "psi"}},
	{pkg: "evidence", imports: []string{"consent", "identity", "internal/merkle", "internal/pending", "policy", "proto/overlap", "psi", "receipt"}},
	{pkg: "dossier", imports: []string{"audit", "consent", "evidence", "identity", "internal/sentence", "policy", "psi", "receipt"}},
	{pkg: "logbook", imports: []string{"audit", "identity", "store"}},
	{pkg: "inquiry", imports: []string{"audit", "consent", "dossier", "evidence", "identity", "internal/merkle", "internal/sentence", "logbook", "policy", "psi", "receipt", "store"}},
	{pkg: "session", imports: []string{"identity", "policy", "proto", "psi", "receipt", "release", "table"}},
	{pkg: "publication", imports: []string{"audit", "identity", "internal/pending", "policy", "proto/ampsi/v1/body", "psi", "receipt", "session", "table"}},
	{pkg: "epoch", imports: []string{"audit", "consent", "identity", "internal/pending", "logbook", "policy", "psi", "publication", "session", "store", "table"}},
	{pkg: "server", imports: []string{"audit", "consent", "dossier", "epoch", "evidence", "identity", "inquiry", "internal/frames", "internal/pending", "logbook", "policy", "proto", "psi", "publication", "receipt", "release", "session", "store", "table"}},
	{pkg: "client", imports: []string{"audience", "audit", "consent", "identifier", "identity", "internal/frames", "policy", "proto", "psi", "publication", "release", "session", "table"}},
	{pkg: "bench", tree: true, imports: []string{"internal/ristretto", "identifier", "consent", "psi", "table"}},
	{pkg: "cmd", tree: true, imports: []string{"internal/merkle", "internal/pending", "internal/sentence", "internal/sheet", "identifier", "identity", "release", "audit", "consent",
		"consent/signal", "policy", "audience", "ledger", "store", "receipt", "evidence", "dossier", "logbook", "inquiry", "session", "publication", "epoch", "server", "client"}},
}

// pure packages compute: no network, file, clock or log. Of log/slog they may
// use what keeps secrets out of other people's logs.
var (
	pure         = []string{"psi", "consent", "consent/signal", "identifier"}
	pureBanned   = []string{"net", "os", "log", "syscall"}
	clockReaders = []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTicker", "NewTimer"}
	slogAllowed  = []string{"Value", "LogValuer", "StringValue"}
)

func (r row) covers(pkg string) bool {
	return pkg == r.pkg || r.tree && strings.HasPrefix(pkg, r.pkg+"/")
}

func rowOf(pkg string) (row, bool) {
	i := slices.IndexFunc(rows, func(r row) bool { return r.covers(pkg) })
	if i < 0 {
		return row{}, false
	}
	return rows[i], true
}

func TestImports(t *testing.T) {
	packages, problems := check(t, os.DirFS("."))
	for _, p := range problems {
		t.Error(p)
	}
	for _, pkg := range []string{"internal/input", "psi", "release"} {
		if !slices.Contains(packages, pkg) {
			t.Errorf("%s was not looked at", pkg)
		}
	}
}

// check reads every file of the module in root, whatever its build tags, and
// returns its packages and what is wrong with them.
func check(t *testing.T, root fs.FS) (packages, problems []string) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return skipForeign(root, name)
		case !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		pkg := path.Dir(name)
		packages = append(packages, pkg)
		for _, p := range checkFile(pkg, file) {
			problems = append(problems, name+" "+p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Compact(packages), problems
}

// skipForeign leaves out what the go command leaves out, and modules of their
// own.
func skipForeign(root fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	base := path.Base(dir)
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	if err == nil || base[0] == '.' || base[0] == '_' || base == "testdata" {
		return fs.SkipDir
	}
	return nil
}

func checkFile(pkg string, file *ast.File) (problems []string) {
	own, known := rowOf(pkg)
	if !known {
		return []string{"is in a package that the table doesn't have"}
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{"has an import that can't be read"}
		}
		if ours, ok := strings.CutPrefix(imported, module); ok && !own.allows(pkg, ours) {
			problems = append(problems, "must not import "+ours)
		}
		if under(imported, "math/rand") {
			problems = append(problems, "must not import "+imported+": crypto/rand only")
		}
		if slices.Contains(pure, own.pkg) {
			problems = append(problems, checkPure(file, spec, imported)...)
		}
	}
	return problems
}

// allows reports whether package pkg of row r may import ours.
func (r row) allows(pkg, ours string) bool {
	to, known := rowOf(ours)
	return known && (slices.Contains(r.imports, to.pkg) || to.pkg == r.pkg && ours != pkg)
}

func checkPure(file *ast.File, spec *ast.ImportSpec, imported string) (problems []string) {
	name := path.Base(imported)
	if spec.Name != nil {
		name = spec.Name.Name
	}
	switch {
	case imported == "log/slog":
		for _, used := range selected(file, name) {
			if !slices.Contains(slogAllowed, used) {
				problems = append(problems, "must not log: slog."+used)
			}
		}
	case imported == "time":
		for _, used := range selected(file, name) {
			if slices.Contains(clockReaders, used) {
				problems = append(problems, "must not read the clock: time."+used)
			}
		}
	case slices.ContainsFunc(pureBanned, func(banned string) bool { return under(imported, banned) }):
		problems = append(problems, "must not import "+imported)
	}
	if name == "." {
		problems = append(problems, "must not import "+imported+" without its name")
	}
	return problems
}

// under reports whether an import path is tree or below it.
func under(imported, tree string) bool {
	return imported == tree || strings.HasPrefix(imported, tree+"/")
}

// selected returns every X of pkg.X in the file.
func selected(file *ast.File, pkg string) (names []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok {
			if x, ok := s.X.(*ast.Ident); ok && x.Name == pkg {
				names = append(names, s.Sel.Name)
			}
		}
		return true
	})
	return names
}

// Each row imports from rows above its own only.
func TestRowsAreInOrder(t *testing.T) {
	above := map[string]bool{}
	for _, r := range rows {
		for _, i := range r.imports {
			if !above[i] {
				t.Errorf("%s may import %s, which is not above it", r.pkg, i)
			}
		}
		if above[r.pkg] {
			t.Errorf("%s has two rows", r.pkg)
		}
		above[r.pkg] = true
	}
}

// The lines that carry a promise are pinned here, so that widening the table
// takes more than one edit.
func TestWhoMayImport(t *testing.T) {
	for pkg, want := range map[string][]string{
		"internal/input":     {"psi", "consent"},
		"internal/ristretto": {"psi", "bench"},
		"internal/sha256x16": {"internal/merkle", "consent"},
		"internal/sha512x8":  {"psi"},
		"server":             {"cmd"},
		"client":             {"cmd"},
		"consent":            {"consent/signal", "policy", "audience", "ledger", "store", "evidence", "dossier", "inquiry", "epoch", "server", "client", "bench", "cmd"},
		"proto":              {"session", "server", "client"},
		"table":              {"session", "publication", "epoch", "server", "client", "bench"},
	} {
		var got []string
		for _, r := range rows {
			if slices.Contains(r.imports, pkg) {
				got = append(got, r.pkg)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s may be imported by %q, want %q", pkg, got, want)
		}
	}
}

// The check finds what it is there to find.
func TestCheckFinds(t *testing.T) {
	// Build tags make no difference.
	const source = "//go:build never\n\npackage p\n"
	for _, c := range []struct{ name, source, want string }{
		{"psi/a.go", `import _ "` + module + `internal/input"`, ""},
		{"psi/a.go", `import _ "` + module + `consent"`, "psi/a.go must not import consent"},
		{"table/a.go", `import _ "` + module + `internal/input"`, "table/a.go must not import internal/input"},
		{"table/a.go", `import k "` + module + `internal/ristretto"; var _ k.Scalar`, "table/a.go must not import internal/ristretto"},
		{"client/a.go", `import _ "` + module + `server"`, "client/a.go must not import server"},
		{"server/a.go", `import _ "` + module + `client"`, "server/a.go must not import client"},
		{"session/a.go", `import _ "` + module + `proto/ampsi/v1"`, ""},
		{"cmd/overlap/a.go", `import _ "` + module + `server"`, ""},
		{"cmd/overlap/a.go", `import _ "` + module + `psi"`, "cmd/overlap/a.go must not import psi"},
		{"cmd/overlap/a.go", `import _ "` + module + `cmd/overlap/page"`, ""},
		{"release/a.go", `import _ "` + module + `unheard"`, "release/a.go must not import unheard"},
		{"psi/deeper/a.go", "", "psi/deeper/a.go is in a package that the table doesn't have"},
		{"helper/a.go", "", "helper/a.go is in a package that the table doesn't have"},
		{"a.go", "", "a.go is in a package that the table doesn't have"},
		{"release/a.go", `import _ "math/rand"`, "release/a.go must not import math/rand: crypto/rand only"},
		{"store/a.go", `import r "math/rand/v2"; var _ = r.Int()`, "store/a.go must not import math/rand/v2: crypto/rand only"},
		{"release/a_test.go", `import _ "math/rand/v2"`, ""},
		{"psi/a.go", `import _ "net/http"`, "psi/a.go must not import net/http"},
		{"consent/a.go", `import _ "os"`, "consent/a.go must not import os"},
		{"identifier/a.go", `import _ "log"`, "identifier/a.go must not import log"},
		{"session/a.go", `import _ "net"`, ""},
		{"consent/a.go", `import "time"; var _ = time.Unix(0, 0)`, ""},
		{"consent/a.go", `import "time"; var _ = time.Now()`, "consent/a.go must not read the clock: time.Now"},
		{"consent/a.go", `import clock "time"; var _ = clock.Now`, "consent/a.go must not read the clock: time.Now"},
		{"consent/a.go", `import . "time"; var _ = Now()`, "consent/a.go must not import time without its name"},
		{"psi/a.go", `import "log/slog"; var _ = slog.StringValue("")`, ""},
		{"psi/a.go", `import "log/slog"; func _() { slog.Error("") }`, "psi/a.go must not log: slog.Error"},
		{"bench/a.go", `import _ "` + module + `internal/ristretto"`, ""},
		{"testdata/a.go", `import _ "math/rand"`, ""},
		{"psi/_asm/a.go", `import _ "math/rand"`, ""},
		{"scale/a.go", `import _ "math/rand"`, ""}, // a module of its own, below
	} {
		tree := fstest.MapFS{c.name: {Data: []byte(source + c.source)}, "scale/go.mod": {}}
		_, problems := check(t, tree)
		if got := strings.Join(problems, "; "); got != c.want {
			t.Errorf("%s with %s: got %q, want %q", c.name, c.source, got, c.want)
		}
	}
}
