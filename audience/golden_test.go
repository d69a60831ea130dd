package audience

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// archive is a txtar file: options, one a line, and named sections.
type archive struct {
	comment  string
	sections map[string]string
}

func parseArchive(text string) archive {
	a := archive{sections: map[string]string{}}
	name := ""
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(n, " --") {
			name = strings.TrimSuffix(n, " --")
			a.sections[name] = ""
			continue
		}
		if name == "" {
			a.comment += line
		} else {
			a.sections[name] += line
		}
	}
	return a
}

// file returns the bytes under test: the section "file" as it stands, or the
// section "quoted", Go strings put together; then compressed and cut as the
// comment says.
func (a archive) file(t *testing.T) []byte {
	t.Helper()
	text := a.sections["file"]
	for line := range strings.Lines(a.sections["quoted"]) {
		s, err := strconv.Unquote(strings.TrimSpace(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		text += s
	}
	file := []byte(text)
	for line := range strings.Lines(a.comment) {
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "gzip":
			file = gzipped(file)
		case "zstd":
			file = zstandard(file)
		case "cut":
			n, err := strconv.Atoi(rest)
			if err != nil {
				t.Fatal(err)
			}
			file = file[:len(file)-n]
		}
	}
	return file
}

func (a archive) options(t *testing.T) Options {
	t.Helper()
	o := testOptions()
	o.Columns = map[string]string{}
	for line := range strings.Lines(a.comment) {
		switch word, rest, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "region":
			o.Region = rest
		case "list":
			o.ListConsent = Unset
		case "default":
			o.DefaultGranted = true
		case "vendor":
			if _, err := fmt.Sscan(rest, &o.Terms.Vendor); err != nil {
				t.Fatal(line, err)
			}
		case "at":
			var err error
			if o.At, err = time.Parse(time.DateOnly, rest); err != nil {
				t.Fatal(line, err)
			}
		case "maxage":
			var err error
			if o.MaxAge, err = time.ParseDuration(rest); err != nil {
				t.Fatal(line, err)
			}
		case "column":
			which, role, ok := strings.Cut(rest, "=")
			if !ok {
				t.Fatal(line)
			}
			o.Columns[which] = role
		}
	}
	for name, list := range a.sections {
		if name == "suppress" || name == "suppress2" {
			o.Suppressed = append(o.Suppressed, write(t, list))
		}
	}
	return o
}

func testOptions() Options {
	return Options{ListConsent: Granted, Rule: testRule()}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstandard(b []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(b, nil)
}

// outcome is what a list came to.
type outcome struct {
	rows   string // "line CODE", one a line
	kept   []consent.Eligible
	report Report
	err    error
}

// run reads a file to its end.
func run(t testing.TB, file []byte, o Options) (out outcome) {
	t.Helper()
	o.Row = func(line int, code identifier.Code) { out.rows += fmt.Sprintln(line, string(code)) }
	in, err := sheet.New(bytes.NewReader(file), int64(len(file)), sheet.Options{})
	if err != nil {
		return outcome{err: fmt.Errorf("audience: %w", err)} // as Open does
	}
	l, err := open(in, o)
	if err != nil {
		return outcome{err: err}
	}
	for e, err := range l.All() {
		if err != nil {
			out.err = err
			break
		}
		out.kept = append(out.kept, e)
	}
	out.report = l.Report()
	return out
}

// contract is the part of the report that other programs read.
func contract(t *testing.T, r Report) string {
	t.Helper()
	b, err := json.Marshal(struct {
		Rows            uint64 `json:"rows"`
		RowCodes        Tally  `json:"row_codes"`
		Identifiers     uint64 `json:"identifiers"`
		IdentifierCodes Tally  `json:"identifier_codes"`
		Kept            Kept   `json:"kept"`
	}{r.Rows, r.RowCodes, r.Identifiers, r.IdentifierCodes, r.Kept})
	if err != nil {
		t.Fatal(err)
	}
	full, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if head := string(b[:len(b)-1]) + ","; !strings.HasPrefix(string(full), head) {
		t.Errorf("the report is\n%s\nand doesn't begin with\n%s", full, head)
	}
	return string(b) + "\n"
}

func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(paths) < 30 {
		t.Fatalf("%d archives: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			a := parseArchive(string(text))
			o := a.options(t)
			got := run(t, a.file(t), o)

			errText := ""
			if got.err != nil {
				errText = got.err.Error() + "\n"
				for _, list := range o.Suppressed {
					errText = strings.ReplaceAll(errText, list, filepath.Base(list))
				}
			}
			if errText != a.sections["error"] {
				t.Errorf("error\n%swant\n%s", errText, a.sections["error"])
			}
			if got.rows != a.sections["rows"] {
				t.Errorf("rows\n%swant\n%s", got.rows, a.sections["rows"])
			}
			if want, ok := a.sections["report"]; ok && contract(t, got.report) != want {
				t.Errorf("report\n%swant\n%s", contract(t, got.report), want)
			}
			if want := a.sections["suppression"]; want != "" {
				b, err := json.Marshal(got.report.Suppression)
				if err != nil || string(b)+"\n" != want {
					t.Errorf("suppression %s, want %s", b, want)
				}
			}
			compareKept(t, got.kept, a.sections["kept"])
		})
	}
}

// compareKept compares what was kept with lines of "profile value".
func compareKept(t *testing.T, kept []consent.Eligible, want string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(want), "\n")
	if want == "" {
		lines = nil
	}
	if len(kept) != len(lines) {
		t.Errorf("kept %d identifiers, want %d", len(kept), len(lines))
		return
	}
	for i, line := range lines {
		profile, value, _ := strings.Cut(line, " ")
		if kept[i].Class().String() != profile || kept[i].Sum() != sha256.Sum256([]byte(value)) {
			t.Errorf("kept identifier %d isn't %q", i, line)
		}
		if kept[i].Account() != (consent.Handle{}) {
			t.Errorf("kept identifier %d has an account", i)
		}
	}
}
