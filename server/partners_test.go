package server

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

const (
	idA = "0a00000000000000000000000000000000000000000000000000000000000000"
	idB = "0b00000000000000000000000000000000000000000000000000000000000000"
)

// write puts files into a new directory, and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadPartners(t *testing.T) {
	other := string(policy.Default().Bytes()) + "# other bytes\n"
	elsewhere := filepath.Join(write(t, map[string]string{"absolute.toml": other}), "absolute.toml")
	dir := write(t, map[string]string{
		"beside.toml":       other,
		"sub/below.toml":    other,
		"sub/partners.json": fmt.Sprintf(`[{"name": "b", "id": %q, "policy": "../beside.toml"}]`, idB),
		"partners.json": fmt.Sprintf(`[
			{"name": "a", "id": %q},
			{"name": "b", "id": %q, "policy": "beside.toml"},
			{"policy": "sub/below.toml", "id": "0c%s", "name": "Ç & Söhne"},
			{"name": "d", "id": "0D%s", "policy": %q}
		]
		`, idA, idB, idA[2:], idA[2:], elsewhere),
	})
	partners, err := LoadPartners(filepath.Join(dir, "partners.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(partners) != 4 || partners[0].Policy != nil {
		t.Fatalf("%d partners; the first has no policy of its own", len(partners))
	}
	for i, name := range []string{"a", "b", "Ç & Söhne", "d"} {
		if partners[i].Name != name || partners[i].ID != (identity.ID{byte(0x0a + i)}) {
			t.Errorf("partner %d is %q, %v", i, partners[i].Name, partners[i].ID)
		}
		if p := partners[i].Policy; i > 0 && (p == nil || string(p.Bytes()) != other) {
			t.Errorf("partner %d has another policy", i)
		}
	}
	below, err := LoadPartners(filepath.Join(dir, "sub", "partners.json"))
	if err != nil || len(below) != 1 || string(below[0].Policy.Bytes()) != other {
		t.Errorf("a policy's path is relative to the file that names it: %v", err)
	}
	m, err := byID(partners)
	if err != nil || m[partners[0].ID].Policy.Hash() != policy.Default().Hash() {
		t.Errorf("without a policy the default holds: %v", err)
	}
}

func TestPartnersFilesThatAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"":       "is not a list of",
		"\nacme": "line 2: invalid character",
		"\n\n{}": "line 3: object is out of place",
		"[":      "line 1: the file ends too early",
		fmt.Sprintf(`[{"name": "a", "id": %q}`, idA):                                 "is not a list of",
		fmt.Sprintf(`[{"name": "a", "id": %q}] [{"name": "b", "id": %q}]`, idA, idB): "is not a list of",
		fmt.Sprintf(`[{"name": "a", "id": %q}]]`, idA):                               "is not a list of",
		fmt.Sprintf(`[{"name": "a", "id": %q, "polciy": "x.toml"}]`, idA):            `"policy": …}: line 1: unknown field "polciy"`,
		fmt.Sprintf(`[{"name": 1, "id": %q}]`, idA):                                  "is not a list of",
		`[{"name": "a", "id": "12"}]`:                                                "64 hexadecimal digits",
		fmt.Sprintf(`[{"name": "a", "id": "%s0"}]`, idA):                             "64 hexadecimal digits",
		fmt.Sprintf(`[{"name": "a", "id": "%sxx"}]`, idA[2:]):                        "64 hexadecimal digits",
		"[]":   "no partners",
		"null": "no partners",
		fmt.Sprintf(`[{"name": "a", "id": %q}, {"name": "b"}]`, idA):                  "partner 2 needs a name and an id",
		fmt.Sprintf(`[{"id": %q}]`, idA):                                              "partner 1 needs a name and an id",
		fmt.Sprintf(`[{"name": "a", "id": %q}, {"name": "b", "id": %[1]q}]`, idA):     "partner 2 has the id of another one",
		fmt.Sprintf(`[{"name": "a", "id": %q}, {"name": "a", "id": %q}]`, idA, idB):   `partner 2 has the name of another one`,
		fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "none.toml"}]`, idA):          "policy of partner 1",
		fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "bad.toml"}]`, idA):           "bad.toml: policy: line 1: unknown field",
		fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "partners.json"}]`, idA):      "policy of partner 1",
		fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "bad.toml"}, {}]`, idA):       "policy of partner 1",
		fmt.Sprintf(`[{"name": "a", "id": %q}, {"id": %q, "policy": "/"}]`, idA, idB): "policy of partner 2",
	} {
		dir := write(t, map[string]string{"partners.json": text, "bad.toml": "tua = 100\n"})
		_, err := LoadPartners(filepath.Join(dir, "partners.json"))
		if err == nil || !strings.HasPrefix(err.Error(), "server: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
	if _, err := LoadPartners(filepath.Join(t.TempDir(), "none.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}
