package sheet

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// read returns the header and every row as "line: cell|cell", with a trailing
// "!" if the row is ragged, up to the first error.
func read(r io.Reader, o Options) (header []string, rows []string, err error) {
	f, err := New(r, 0, o)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for row, err := range f.All() {
		if err != nil {
			return f.Header(), rows, err
		}
		s := fmt.Sprintf("%d: %s", row.Line, strings.Join(row.Cells, "|"))
		if row.Ragged {
			s += "!"
		}
		rows = append(rows, s)
	}
	return f.Header(), rows, nil
}

var files = []struct {
	name   string
	file   string
	header string
	rows   []string
}{
	{"plain", "email,name\na@x.com,Ana\nb@x.com,Bob\n", "email|name", []string{"2: a@x.com|Ana", "3: b@x.com|Bob"}},
	{"no newline at the end", "email\na@x.com\nb@x.com", "email", []string{"2: a@x.com", "3: b@x.com"}},
	{"empty last field", "email,name\na@x.com,", "email|name", []string{"2: a@x.com|"}},
	{"CRLF", "email,name\r\na@x.com,Ana\r\nb@x.com,Bob\r\n", "email|name", []string{"2: a@x.com|Ana", "3: b@x.com|Bob"}},
	{"CR", "email,name\ra@x.com,Ana\rb@x.com,Bob", "email|name", []string{"2: a@x.com|Ana", "3: b@x.com|Bob"}},
	{"CR at the end", "email\ra\r", "email", []string{"2: a"}},
	{"all three", "email\ra\nb\r\nc\n\rd", "email", []string{"2: a", "3: b", "4: c", "6: d"}},
	{"byte order mark", "\ufeffemail\na@x.com\n", "email", []string{"2: a@x.com"}},
	{"byte order mark before a quote", "\ufeff\"e,mail\",b\n1,2\n", "e,mail|b", []string{"2: 1|2"}},
	{"blank lines", "\n\r\nemail\n\na@x.com\n\n\r\nb@x.com\n\n", "email", []string{"5: a@x.com", "8: b@x.com"}},
	{"quotes", "a,b\n\"x, y\",\"say \"\"hi\"\"\"\n\"\",\"\"\"\"\n", "a|b", []string{`2: x, y|say "hi"`, `3: |"`}},
	{"quoted newlines", "a,b\n\"1\n2\r\n3\r4\",x\ny,z\n", "a|b", []string{"2: 1\n2\n3\n4|x", "6: y|z"}},
	{"quoted header", "\"a\nb\",\"c;d\"\n1,2\n", "a\nb|c;d", []string{"3: 1|2"}},
	{"stray quotes", "a,b\n5\" pipe,x\n\"ab\"c,d\n \"e\",f\n\"g\"h\"i\",j\n", "a|b",
		[]string{`2: 5" pipe|x`, "3: abc|d", `4:  "e"|f`, `5: gh"i"|j`}},
	{"width", "a,b\n1\n1,2,3\n1,2\n,\n", "a|b", []string{"2: 1!", "3: 1|2|3!", "4: 1|2", "5: |"}},
	{"a quoted empty line is a row", "a\n\"\"\n\nx\n", "a", []string{"2: ", "4: x"}},
	{"repeated names", "Email,First Name,Last Name,Country,Zip,Email,Zip,Phone,Phone\n1,2,3,4,5,6,7,8,9\n",
		"Email|First Name|Last Name|Country|Zip|Email|Zip|Phone|Phone", []string{"2: 1|2|3|4|5|6|7|8|9"}},
	{"semicolons", "email;\"name, first\";city\na@x.com;A, na;Nice\n", "email|name, first|city", []string{"2: a@x.com|A, na|Nice"}},
	{"tabs", "email\tname\na@x.com\tA,na\n", "email|name", []string{"2: a@x.com|A,na"}},
	{"bars", "email|name\na@x.com|A,na\n", "email|name", []string{"2: a@x.com|A,na"}},
	{"delimiters in a quoted name", "\"a;b;c\",d\n1,2\n", "a;b;c|d", []string{"2: 1|2"}},
	{"sep line", "sep=;\r\nemail;a,b,c\r\n1;2\r\n", "email|a,b,c", []string{"3: 1|2"}},
	{"sep line, quoted", "\ufeff\"sep=|\"\nemail,x|a,b\n1|2\n", "email,x|a,b", []string{"3: 1|2"}},
	{"empty names", ",b,\n1,2,3\n", "|b|", []string{"2: 1|2|3"}},
	{"not UTF-8", "pr\xe9nom\nZo\xeb\n", "pr\xe9nom", []string{"2: Zo\xeb"}},
	{"brackets", "[Email],[Name]\n1,2\n", "[Email]|[Name]", []string{"2: 1|2"}},
	{"late NUL", "a\n" + strings.Repeat("x\n", blockLen) + "y\x00z", "a", nil},
}

func TestFiles(t *testing.T) {
	for _, c := range files {
		t.Run(c.name, func(t *testing.T) {
			header, rows, err := read(strings.NewReader(c.file), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(header, "|"); got != c.header {
				t.Errorf("header %q, want %q", got, c.header)
			}
			if c.rows != nil && !reflect.DeepEqual(rows, c.rows) {
				t.Errorf("rows\n%q, want\n%q", rows, c.rows)
			}
		})
	}
}

// What is read doesn't depend on how it arrives.
func TestChunks(t *testing.T) {
	readers := map[string]func(io.Reader) io.Reader{
		"one byte":       iotest.OneByteReader,
		"half":           iotest.HalfReader,
		"error with end": iotest.DataErrReader,
		"tiny blocks":    func(r io.Reader) io.Reader { return &sizes{r: r} },
	}
	for name, wrap := range readers {
		for _, c := range files {
			h1, r1, err1 := read(strings.NewReader(c.file), Options{})
			h2, r2, err2 := read(wrap(strings.NewReader(c.file)), Options{})
			if !reflect.DeepEqual(h1, h2) || !reflect.DeepEqual(r1, r2) || err1 != err2 {
				t.Errorf("%s, %s: read differently", name, c.name)
			}
		}
	}
}

// sizes reads 0, 1, 2 … bytes at a time.
type sizes struct {
	r io.Reader
	n int
}

func (s *sizes) Read(p []byte) (int, error) {
	s.n = (s.n + 1) % 8
	return s.r.Read(p[:min(s.n, len(p))])
}

// A field may start anywhere in the buffer, and its quotes and line ends may
// stand on either side of the edge.
func TestBufferEdge(t *testing.T) {
	for pad := blockLen - 20; pad <= blockLen+1; pad++ {
		for _, field := range []string{"abc", `"a,""b"""`, "\"a\r\nb\"", `""`} {
			file := "h,i\n" + strings.Repeat("x,y\n", pad/4-1) + strings.Repeat("z", pad%4) + "," + field + "\r\nlast,row"
			f, err := New(strings.NewReader(file), 0, Options{})
			if err != nil {
				t.Fatal(err)
			}
			var got [][]string
			for row, err := range f.All() {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, append([]string(nil), row.Cells...))
			}
			want, err := csv.NewReader(strings.NewReader(file)).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want[1:]) {
				t.Fatalf("pad %d, field %q: differs from encoding/csv", pad, field)
			}
		}
	}
}

func TestDelimiter(t *testing.T) {
	// As many of one as of the other: the first of the list, or what is asked.
	const file = "email;first,last\n1;2,3\n"
	for d, want := range map[byte]string{0: "email;first|last", ';': "email|first,last", '#': "email;first,last"} {
		header, _, err := read(strings.NewReader(file), Options{Delimiter: d})
		if got := strings.Join(header, "|"); got != want || err != nil {
			t.Errorf("delimiter %q: header %q, want %q (%v)", d, got, want, err)
		}
	}
	for _, d := range []byte("\"\r\n") {
		if _, _, err := read(strings.NewReader(file), Options{Delimiter: d}); err == nil {
			t.Errorf("delimiter %q accepted", d)
		}
	}
}

func TestOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.txt")
	if err := os.WriteFile(path, []byte("email\na@x.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range f.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	if read, size := f.Progress(); n != 1 || read != 14 || size != 14 {
		t.Errorf("%d rows, %d of %d bytes", n, read, size)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(path+".none", Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Open(t.TempDir(), Options{}); err == nil {
		t.Error("a folder was opened")
	}
}

func TestStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(in *os.File) { os.Stdin = in }(os.Stdin)
	os.Stdin = r
	if _, err := w.WriteString("email\na@x.com\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	f, err := Open("-", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, size := f.Progress(); size != 0 {
		t.Errorf("size %d of a pipe", size)
	}
	for row, err := range f.All() {
		if err != nil || row.Cells[0] != "a@x.com" {
			t.Errorf("row %d: %v", row.Line, err)
		}
	}
}

// Stopping early leaves the next row for the next call.
func TestAllStops(t *testing.T) {
	f, err := New(strings.NewReader("h\n1\n2\n3\n"), 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for row := range f.All() {
		got = append(got, row.Cells[0])
		break
	}
	for row := range f.All() {
		got = append(got, row.Cells[0])
	}
	for range f.All() {
		t.Error("a row after the last")
	}
	if strings.Join(got, "") != "123" {
		t.Errorf("rows %q", got)
	}
}

func TestRowPrints(t *testing.T) {
	r := Row{Line: 2, Cells: []string{"canary"}}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%q", "%x"} {
		if got := fmt.Sprintf(verb, r); got != "REDACTED" {
			t.Errorf("%s: %s", verb, got)
		}
	}
	if got := r.LogValue().String(); got != "REDACTED" {
		t.Error(got)
	}
}

func TestAllocations(t *testing.T) {
	const rows = 1000
	file := "email,phone,country\n" + strings.Repeat("ana@example.com,+33612345678,FR\n", rows)
	n := testing.AllocsPerRun(5, func() {
		if _, err := countRows(strings.NewReader(file)); err != nil {
			t.Fatal(err)
		}
	})
	if n > rows+50 {
		t.Errorf("%v allocations for %d rows", n, rows)
	}
}

func countRows(r io.Reader) (n int, err error) {
	f, err := New(r, 0, Options{})
	if err != nil {
		return 0, err
	}
	for _, err := range f.All() {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Whatever encoding/csv writes is read back the same, with any line end.
func FuzzWritten(f *testing.F) {
	f.Add([]byte("a,b\x00c\"d\x01e\nf\x00\x00g"), byte(0))
	f.Add([]byte("\x01\x00x"), byte(1))
	f.Fuzz(func(t *testing.T, cells []byte, kind byte) {
		delim := []byte(delimiters)[kind%4]
		var want [][]string
		for row := range strings.SplitSeq(string(cells), "\x01") {
			row = strings.ReplaceAll(row, "\r", "")
			if row != "" { // one empty cell is written as a blank line
				want = append(want, strings.Split(row, "\x00"))
			}
		}
		var file bytes.Buffer
		file.WriteString("h\n")
		w := csv.NewWriter(&file)
		w.Comma, w.UseCRLF = rune(delim), kind&8 != 0
		if err := w.WriteAll(want); err != nil {
			t.Fatal(err)
		}
		in := file.Bytes()
		if kind&16 != 0 && kind&8 == 0 {
			in = bytes.ReplaceAll(in, []byte("\n"), []byte("\r"))
		}
		if kind&32 != 0 {
			in = bytes.TrimRight(in, "\r\n")
		}
		file2, err := New(bytes.NewReader(in), 0, Options{Delimiter: delim})
		if err != nil {
			t.Fatal(err)
		}
		i := 0
		for row, err := range file2.All() {
			if len(want) == 0 {
				continue // a header only
			}
			if err != nil {
				t.Fatalf("row %d: %v", i, err)
			}
			if !reflect.DeepEqual(row.Cells, want[i]) {
				t.Fatalf("row %d: %q, want %q", i, row.Cells, want[i])
			}
			i++
		}
		if len(want) > 0 && i != len(want) {
			t.Fatalf("%d rows, want %d", i, len(want))
		}
	})
}

var errorText = regexp.MustCompile(`^sheet: (line \d+: )?[a-zA-Z0-9 ,:'-]+$`)

// Arbitrary bytes: no panic, lines in order, fields in bounds, and an error
// that is one of ours.
func FuzzArbitrary(f *testing.F) {
	for _, c := range files {
		f.Add([]byte(c.file))
	}
	for _, c := range refused {
		f.Add(c.file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		in, err := New(bytes.NewReader(file), 0, Options{})
		if err != nil {
			checkError(t, err)
			return
		}
		line := 0
		for row, err := range in.All() {
			if err != nil {
				checkError(t, err)
				return
			}
			if row.Line <= line {
				t.Fatalf("line %d after %d", row.Line, line)
			}
			line = row.Line
			if row.Ragged != (len(row.Cells) != len(in.Header())) {
				t.Fatal("wrong width")
			}
			for _, c := range row.Cells {
				if len(c) > MaxField {
					t.Fatalf("field of %d bytes", len(c))
				}
			}
		}
	})
}

func checkError(t *testing.T, err error) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T", err)
	}
	if !errorText.MatchString(err.Error()) {
		t.Fatalf("text %q", err)
	}
}

func BenchmarkRows(b *testing.B) {
	var file bytes.Buffer
	file.WriteString("email,name\n")
	for i := range 100_000 {
		fmt.Fprintf(&file, "person%d@example.com,Person Number %d\n", i, i)
	}
	b.SetBytes(int64(file.Len()))
	b.ReportAllocs()
	for b.Loop() {
		if n, err := countRows(bytes.NewReader(file.Bytes())); n != 100_000 || err != nil {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100_000, "ns/row")
}

// A file that grows, shrinks or is written anew while it is read is not what it was
// when its first row was read, and says so at its end.
func TestChangedWhileRead(t *testing.T) {
	begin := []byte("email\n" + strings.Repeat("a@example.com\n", 100_000))
	for name, change := range map[string]func(path string) error{
		"grows":   func(path string) error { return os.WriteFile(path, append(begin, "b@example.com\n"...), 0o600) },
		"shrinks": func(path string) error { return os.Truncate(path, int64(len(begin)/2)) },
		"touched": func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(-time.Hour)) },
	} {
		path := filepath.Join(t.TempDir(), "list.csv")
		if err := os.WriteFile(path, begin, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		first := true
		for _, err = range f.All() {
			if first {
				first = false
				if err := change(path); err != nil {
					t.Fatal(err)
				}
			}
		}
		var reason *Error
		if !errors.As(err, &reason) || reason.Reason != Changed || reason.Name != path {
			t.Errorf("%s: %v", name, err)
		}
		f.Close()
	}
}

func TestLooksLikeConsent(t *testing.T) {
	for name := range strings.SplitSeq("unsubscribed_at|marketing_consent|Consent?|consent_status|opt.in|Email Opt Out|HasOptedOutOfEmail|do_not_sell|"+
		"accepts_marketing|Accepts SMS Marketing|acepta_publicidad|Suppressed|GDPR|ccpa_flag|permission|Einwilligung|Widerspruch|Werbeerlaubnis|désabonné|de\u0301sabonne\u0301|"+
		"Autorisation|opposition|Baja|autorización|permiso|gpc|DNT|tc_sting|tcstrng|gp_string|ads_swich|consnet|opt_ot|privacy", "|") {
		if !LooksLikeConsent(name) {
			t.Errorf("%q is not taken for one about consent", name)
		}
	}
	for name := range strings.SplitSeq("|name|Telefon|email|option|options|label|notes|status|segment|string|content|user_data|"+
		"loyalty tier|shoe size|last_order|subscription_id|object_id|bajada|dns_name|2026|id", "|") {
		if LooksLikeConsent(name) {
			t.Errorf("%q is taken for one about consent", name)
		}
	}
}
