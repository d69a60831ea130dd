package overlap

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// SECURITY.md names the test that holds each promise, as code: `TestIncident`, or
// the story `audit.txt` that TestScripts plays.
var named = regexp.MustCompile("`((?:Test|Fuzz)\\w*|\\w+\\.txt)`")

// TestSecurityNamesTests checks that each of those tests is there, so that none is
// renamed or deleted while the promise stays.
func TestSecurityNamesTests(t *testing.T) {
	text, err := os.ReadFile("SECURITY.md")
	if err != nil {
		t.Fatal(err)
	}
	have := tests(t, os.DirFS("."))
	names := promised(string(text))
	if len(names) < 50 {
		t.Errorf("only %d tests are named: is the text read rightly?", len(names))
	}
	for _, name := range names {
		if !have[name] {
			t.Errorf("SECURITY.md names %s, and there is no such test", name)
		}
	}
}

func promised(text string) (names []string) {
	for _, m := range named.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// tests returns the names of all tests, fuzz targets and stories of the module.
func tests(t *testing.T, root fs.FS) map[string]bool {
	t.Helper()
	have := map[string]bool{}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path.Dir(name) == "cmd/overlap/testdata":
			have[path.Base(name)] = true
		case d.IsDir():
			if name == "cmd/overlap/testdata" {
				return nil
			}
			return skipForeign(root, name)
		case strings.HasSuffix(name, "_test.go"):
			source, err := fs.ReadFile(root, name)
			if err != nil {
				return err
			}
			return addTests(have, name, source)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return have
}

// addTests adds the functions of a file that go test runs: a method or a function
// that is called Testing… is none.
func addTests(have map[string]bool, name string, source []byte) error {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Recv != nil || len(f.Type.Params.List) != 1 {
			continue
		}
		if runs.MatchString(f.Name.Name) {
			have[f.Name.Name] = true
		}
	}
	return nil
}

var runs = regexp.MustCompile(`^(Test|Fuzz)(\P{Ll}|$)`)

// TestAddTests checks that what go test would not run does not count.
func TestAddTests(t *testing.T) {
	have := map[string]bool{}
	const source = `package p
func TestA(t *testing.T) {}
func FuzzB(f *testing.F) {}
func Testing(t *testing.T) {}
func (x) TestC(t *testing.T) {}
func TestD() {}
func helps(t *testing.T) { TestE := 0; _ = TestE }
// func TestF(t *testing.T) {}
`
	if err := addTests(have, "p_test.go", []byte(source)); err != nil {
		t.Fatal(err)
	}
	if len(have) != 2 || !have["TestA"] || !have["FuzzB"] {
		t.Errorf("got %v", have)
	}
	if got := promised("a `TestA`, TestB, `TestA` and `x.txt`, `y.go`"); !slices.Equal(got, []string{"TestA", "x.txt"}) {
		t.Errorf("got %q", got)
	}
}
