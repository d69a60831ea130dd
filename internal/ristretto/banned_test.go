package ristretto

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

const (
	varTime  = "its time depends on the scalar"
	unset    = "an unset point equals every point; points come from newVector or are set at once"
	oneMap   = "it is another way of hashing to the group than PROTOCOL.md §4"
	equality = "a point that was never set equals every point; compare encodings"
	lenient  = "it reduces or accepts what must be refused"
	random   = "randomness is the caller's"
	leaks    = "it would print a secret"
)

// banned are names of go-ristretto and what is wrong with them, here.
var banned = map[string]string{
	"PublicScalarMult":           varTime,
	"PublicScalarMultBase":       varTime,
	"PublicScalarMultTable":      varTime,
	"VarTimeScalarMult":          varTime,
	"SetBytesStrict":             varTime,
	"SetBigInt":                  varTime,
	"BigInt":                     varTime,
	"Derive":                     oneMap,
	"DeriveDalek":                oneMap,
	"DeriveShort":                oneMap,
	"SetElligator":               oneMap,
	"SetLizard":                  oneMap,
	"Lizard":                     oneMap,
	"Equals":                     equality,
	"EqualsI":                    equality,
	"RistrettoEqualsI":           equality,
	"UnmarshalBinary":            lenient,
	"UnmarshalText":              lenient,
	"Rand":                       random,
	"String":                     leaks,
	"MarshalText":                leaks,
	"Ristretto":                  "it allocates; RistrettoInto doesn't",
	"RistrettoElligator2Inverse": "nothing here is ever un-hashed",
}

// imports are all that the package may stand on.
var imports = map[string]bool{
	"crypto/subtle": true, "encoding/binary": true, "math/bits": true, "golang.org/x/sys/cpu": true,
	"errors": true, "fmt": true, "log/slog": true, "slices": true, "sync": true,
	"github.com/bwesterb/go-ristretto": true, "github.com/bwesterb/go-ristretto/edwards25519": true,
}

// violations returns what is banned in a source file.
func violations(file *ast.File) (found []string) {
	for _, i := range file.Imports {
		if path, _ := strconv.Unquote(i.Path.Value); !imports[path] {
			found = append(found, "import "+path)
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			if why := banned[n.Name]; why != "" {
				found = append(found, n.Name+": "+why)
			}
		case *ast.CompositeLit:
			if name := typeName(n.Type); strings.HasSuffix(name, "Point") {
				found = append(found, name+"{}: "+unset)
			}
		case *ast.CallExpr:
			if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "new" && strings.HasSuffix(typeName(n.Args[0]), "Point") {
				found = append(found, "new of a point: "+unset)
			}
		case *ast.GoStmt:
			found = append(found, "go: goroutines are the caller's")
		}
		return true
	})
	return found
}

func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

func TestBannedNames(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	read := 0
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		read++
		file, err := parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range violations(file) {
			t.Errorf("%s: %s", e.Name(), v)
		}
	}
	if read < 5 {
		t.Errorf("only %d files read", read)
	}
}

// TestBannedNamesAreFound checks that the search above would find them.
func TestBannedNamesAreFound(t *testing.T) {
	const source = `package x
import "math/rand"
func f() {
	_ = ristretto.Point{}
	_ = &edwards25519.ExtendedPoint{}
	_ = new(edwards25519.ExtendedPoint)
	p.PublicScalarMult(q, k)
	p.Derive(b)
	t.VarTimeScalarMult(p, b)
	go f()
}`
	file, err := parser.ParseFile(token.NewFileSet(), "", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if found := violations(file); len(found) != 8 {
		t.Errorf("found %d of 8: %q", len(found), found)
	}
}
