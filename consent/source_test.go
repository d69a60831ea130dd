package consent

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/overlap-psi/overlap/"

// The compiler refuses fields in an Eligible or an Input to any other package,
// and the zero Eligible has no Input. What is left is calling input.New, which
// Go's rule for internal packages allows to the whole module, and going round the
// types with unsafe. No file may, but for this package's own, and tests, which
// may need inputs without having records.
func TestNoOtherWayToAnInput(t *testing.T) {
	files := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != ".." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || hasModule(path)) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		files++
		source, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, what := range doors(t, filepath.ToSlash(strings.TrimPrefix(path, ".."+string(filepath.Separator))), source) {
			t.Errorf("%s: %s", path, what)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 10 {
		t.Fatalf("only %d files were read", files)
	}
}

// hasModule reports whether a folder below the root is a module of its own.
func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

// doors returns what the file at path, relative to the module's root, does that
// only this package may.
func doors(t *testing.T, path string, source []byte) (found []string) {
	file, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatalf("%s does not parse", path)
	}
	if strings.HasPrefix(path, "consent/") || strings.HasSuffix(path, "_test.go") {
		return nil
	}
	names := importNames(file)
	inputName, consentName := names[module+"internal/input"], names[module+"consent"]
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr: // a call of input.New, or its value kept for later
			if isName(n, inputName, "New") {
				found = append(found, "input.New outside consent")
			}
		case *ast.CompositeLit: // the zero value beside an error is all right
			if isName(n.Type, consentName, "Eligible") && len(n.Elts) > 0 {
				found = append(found, "literal of consent.Eligible")
			}
		}
		return true
	})
	if inputName == "." || consentName == "." {
		found = append(found, "dot import, which hides a door")
	}
	if names["unsafe"] != "" && inputName+consentName != "" {
		found = append(found, "unsafe beside the types it could go round")
	}
	return found
}

// importNames returns under which name the file knows each import of ours, and
// unsafe.
func importNames(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, imp := range file.Imports {
		path, err := strconv.Unquote(imp.Path.Value)
		if err != nil || !strings.HasPrefix(path, module) && path != "unsafe" {
			continue
		}
		names[path] = path[strings.LastIndexByte(path, '/')+1:]
		if imp.Name != nil {
			names[path] = imp.Name.Name
		}
	}
	return names
}

func isName(n ast.Expr, pkg, name string) bool {
	selector, ok := n.(*ast.SelectorExpr)
	if !ok || pkg == "" || selector.Sel.Name != name {
		return false
	}
	ident, ok := selector.X.(*ast.Ident)
	return ok && ident.Name == pkg
}

// The test above passes if it looks at nothing; this one shows what it sees.
func TestDoorsAreSeen(t *testing.T) {
	const input, consent = `"` + module + `internal/input"`, `"` + module + `consent"`
	tests := []struct {
		path, source string
		want         int
	}{
		{"client/hold.go", "import " + input + "\nvar x = input.New(1, nil)", 1},
		{"client/hold.go", "import " + input + "\nvar f = input.New", 1},
		{"client/hold.go", "import in " + input + "\nvar x = in.New(1, nil)", 1},
		{"client/hold.go", "import . " + input + "\nvar x = New(1, nil)", 1},
		{"client/hold_test.go", "import " + input + "\nvar x = input.New(1, nil)", 0},
		{"psi/blind.go", "import " + input + "\nvar x = input.New(1, nil)", 1},
		{"psi/blind.go", "import " + input + "\nvar x input.Input", 0},
		{"consent/rule.go", "import " + input + "\nvar x = input.New(1, nil)", 0},
		{"consentual/rule.go", "import " + input + "\nvar x = input.New(1, nil)", 1},
		{"client/hold.go", "import " + consent + "\nvar e = consent.Eligible{X: 1}", 1},
		{"client/hold.go", "import " + consent + "\nvar e = &consent.Eligible{1}", 1},
		{"client/hold.go", "import c " + consent + "\nvar e = c.Eligible{X: 1}", 1},
		{"client/hold.go", "import . " + consent + "\nvar e = Eligible{X: 1}", 1},
		{"client/hold.go", "import " + consent + "\nvar e = consent.Eligible{}", 0},
		{"client/hold.go", "import (\n" + consent + "\n\"unsafe\"\n)\nvar p unsafe.Pointer", 1},
		{"client/hold.go", "import \"unsafe\"\nvar p unsafe.Pointer", 0},
		{"client/hold.go", "import " + consent + "\nvar e consent.Eligible", 0},
		{"main.go", "import \"errors\"\nvar x = errors.New(\"x\")", 0},
	}
	for _, test := range tests {
		if got := doors(t, test.path, []byte("package p\n"+test.source)); len(got) != test.want {
			t.Errorf("%s\n%s\nfound %q, want %d", test.path, test.source, got, test.want)
		}
	}
}
