package sheet

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/klauspost/compress/zstd"
)

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

func inUTF16(order binary.ByteOrder, s string) []byte {
	var out []byte
	for _, u := range utf16.Encode([]rune(s)) {
		b := make([]byte, 2)
		order.PutUint16(b, u)
		out = append(out, b...)
	}
	return out
}

var refused = []struct {
	name   string
	file   []byte
	reason Reason
	line   int
}{
	{"nothing", nil, Empty, 0},
	{"byte order mark alone", []byte("\ufeff"), Empty, 0},
	{"blank lines", []byte("\n\r\n\n"), Empty, 0},
	{"empty in gzip", gzipped(nil), Empty, 0},
	{"header", []byte("email,phone\n"), HeaderOnly, 0},
	{"header without newline", []byte("email"), HeaderOnly, 0},
	{"header and blank lines", []byte("email\n\n\n"), HeaderOnly, 0},
	{"UTF-16 little-endian", inUTF16(binary.LittleEndian, "\ufeffemail\na@x.com\n"), UTF16, 0},
	{"UTF-16 big-endian", inUTF16(binary.BigEndian, "\ufeffemail\na@x.com\n"), UTF16, 0},
	{"UTF-16 little-endian, no mark", inUTF16(binary.LittleEndian, "email\na@x.com\nżółć"), UTF16, 0},
	{"UTF-16 big-endian, no mark", inUTF16(binary.BigEndian, "email\na@x.com\n"), UTF16, 0},
	{"UTF-16 in gzip", gzipped(inUTF16(binary.LittleEndian, "\ufeffemail\n1\n")), UTF16, 0},
	{"executable", append([]byte("\x7fELF\x02\x01\x01\x00\x00\x00\x00"), make([]byte, 100)...), Binary, 0},
	{"a NUL", []byte("email\na\x00b\n"), Binary, 0},
	{"zip", []byte("PK\x03\x04\x14\x00\x06\x00"), Workbook, 0},
	{"old Excel", []byte("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"), Workbook, 0},
	{"Parquet", []byte("PAR1\x15\x04\x15"), Parquet, 0},
	{"JSON lines", []byte("{\"email\":\"a@x.com\"}\n"), JSON, 0},
	{"JSON", []byte("\ufeff[\n  {\"email\":\"a@x.com\"}]"), JSON, 0},
	{"bzip2", []byte("BZh91AY&SY\x01\x02"), Compression, 0},
	{"xz", []byte("\xfd7zXZ\x00\x00"), Compression, 0},
	{"gzip in gzip", gzipped(gzipped([]byte("email\na\n"))), Compression, 0},
	{"zstd in gzip", gzipped(zstandard([]byte("email\na\n"))), Compression, 0},
	{"long field", []byte("a,b\n1,2\n3," + strings.Repeat("x", 1<<20)), FieldTooLong, 3},
	{"long quoted field", []byte("a,b\n1,2\n3,\"" + strings.Repeat("x\n", 1<<19)), FieldTooLong, 3},
	{"long name", []byte(strings.Repeat("x", 1<<20)), FieldTooLong, 1},
	{"long row", []byte("a,b\n1,2\n\n3" + strings.Repeat(",", 1<<20)), RowTooLong, 4},
	{"open quote", []byte("a,b\n1,2\n3,\"4\n5,6\n"), OpenQuote, 3},
	{"open quote in the header", []byte("\"a\nb"), OpenQuote, 1},
	{"gzip, three bytes", []byte("\x1f\x8b\x08"), Truncated, 0},
	{"gzip, damaged", []byte("\x1f\x8b\x01\x00\x00\x00\x00\x00\x00\x00\x00"), Damaged, 0},
	{"zstd, damaged", []byte("\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Damaged, 0},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{bytes.NewReader(c.file), iotest.OneByteReader(bytes.NewReader(c.file))} {
				_, _, err := read(r, Options{})
				var e *Error
				if !errors.As(err, &e) || e.Reason != c.reason || e.Line != c.line {
					t.Fatalf("%v, want reason %d at line %d", err, c.reason, c.line)
				}
				checkError(t, err)
			}
		})
	}
}

// Every reason has a sentence, and the table above tries it.
func TestReasons(t *testing.T) {
	tried := map[Reason]bool{Changed: true} // by TestChangedWhileRead
	for _, c := range refused {
		tried[c.reason] = true
	}
	for r := Empty; int(r) < len(sentences); r++ {
		if sentences[r] == "" || !tried[r] {
			t.Errorf("reason %d: sentence %q, tried %v", r, sentences[r], tried[r])
		}
	}
}

// Fields and rows at the limit pass.
func TestLimits(t *testing.T) {
	atLimit := strings.Repeat("x", MaxField)
	for _, file := range []string{"a\n" + atLimit, "a\n\"" + atLimit + "\"\n"} {
		if _, _, err := read(strings.NewReader(file), Options{}); err != nil {
			t.Error(err)
		}
	}
	row := strings.Repeat(strings.Repeat("x", MaxField-1)+",", MaxRow/MaxField)
	if _, _, err := read(strings.NewReader("a\n"+row[:len(row)-1]), Options{}); err != nil {
		t.Errorf("row of MaxRow bytes: %v", err)
	}
	if _, _, err := read(strings.NewReader("a\n"+row), Options{}); err == nil {
		t.Error("row over MaxRow accepted")
	}
	if _, _, err := read(strings.NewReader("a\n"+atLimit+"x"), Options{}); err == nil {
		t.Error("field over MaxField accepted")
	}
}

// endless yields unit for ever.
type endless struct {
	unit string
	off  int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.unit[e.off]
		e.off = (e.off + 1) % len(e.unit)
	}
	return len(p), nil
}

// A field, a row or a quoted field of a gigabyte ends in an error after a few
// blocks, and takes the memory of a few blocks.
func TestMemory(t *testing.T) {
	const gigabyte = 1 << 30
	for name, unit := range map[string]string{"field": "x", "row": "x,", "quoted": "\"\"", "quoted lines": "x\n"} {
		start := "h\n1\n"
		if strings.HasPrefix(name, "quoted") {
			start += `"`
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		src := io.MultiReader(strings.NewReader(start), io.LimitReader(&endless{unit: unit}, gigabyte))
		f, err := New(src, 0, Options{})
		if err == nil {
			for _, err = range f.All() {
			}
		}
		runtime.ReadMemStats(&after)
		var e *Error
		if !errors.As(err, &e) || e.Line != 3 {
			t.Errorf("%s: %v", name, err)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64*MaxRow {
			t.Errorf("%s: %d bytes allocated", name, used)
		}
		if n, _ := f.Progress(); n > 4*MaxRow {
			t.Errorf("%s: %d bytes read", name, n)
		}
	}
}

func TestCompressed(t *testing.T) {
	var plain bytes.Buffer
	plain.WriteString("email,name\n")
	for i := range 20_000 {
		fmt.Fprintf(&plain, "person%d@example.com,%x\n", i, i*i)
	}
	_, want, err := read(bytes.NewReader(plain.Bytes()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	half := plain.Len() / 2
	for name, file := range map[string][]byte{
		"gzip":              gzipped(plain.Bytes()),
		"zstd":              zstandard(plain.Bytes()),
		"gzip, two members": append(gzipped(plain.Bytes()[:half]), gzipped(plain.Bytes()[half:])...),
		"zstd, two frames":  append(zstandard(plain.Bytes()[:half]), zstandard(plain.Bytes()[half:])...),
	} {
		f, err := New(bytes.NewReader(file), int64(len(file)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rows := 0
		for row, err := range f.All() {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := fmt.Sprintf("%d: %s", row.Line, strings.Join(row.Cells, "|")); got != want[rows] {
				t.Fatalf("%s: row %d differs", name, rows)
			}
			rows++
		}
		if n, size := f.Progress(); rows != len(want) || n != int64(len(file)) || size != n {
			t.Errorf("%s: %d rows, %d of %d bytes", name, rows, n, size)
		}
		f.Close()
	}
}

// A compressed file that is cut anywhere is refused, and the rows before the
// cut are whole: no row is the first half of another.
func TestTruncated(t *testing.T) {
	var plain bytes.Buffer
	plain.WriteString("email\n")
	for i := range 30_000 {
		fmt.Fprintf(&plain, "person%d@example.com\n", i*i)
	}
	_, want, _ := read(bytes.NewReader(plain.Bytes()), Options{})
	for name, file := range map[string][]byte{"gzip": gzipped(plain.Bytes()), "zstd": zstandard(plain.Bytes())} {
		for cut := 4; cut < len(file); cut += 1 + len(file)/50 {
			_, rows, err := read(bytes.NewReader(file[:cut]), Options{})
			var e *Error
			if !errors.As(err, &e) || e.Reason != Truncated {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
			for i, row := range rows {
				if row != want[i] {
					t.Fatalf("%s cut at %d: a torn row", name, cut)
				}
			}
		}
	}
}

// The source's own error comes through, and no row is made of what came before.
func TestSourceError(t *testing.T) {
	broken := errors.New("broken")
	for _, file := range []string{"", "h", "h\n1\n2", "h\n\"1", "h\n\"1\"", "h\r", "h\n1\r", "h\n\"1\r", "h\n\n"} {
		_, rows, err := read(io.MultiReader(strings.NewReader(file), iotest.ErrReader(broken)), Options{})
		if !errors.Is(err, broken) {
			t.Errorf("%q: %v", file, err)
		}
		if len(rows) > 0 && rows[len(rows)-1] == "3: 2" {
			t.Errorf("%q: a torn row", file)
		}
	}
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"E-Mail": "email", "e_mail": "email", " EMAIL ": "email", "\ufeffEmail\u200b": "email", "email1_SHA-256": "email1sha256",
		"Email_SHA 256": "emailsha256", "": "", "_- \t": "", "pr\xe9nom": "prnom", "Prénom": "prénom", "a\x00b": "ab",
	} {
		if got := Key(name); got != want {
			t.Errorf("Key(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestName(t *testing.T) {
	for name, want := range map[string]string{
		" First Name ":                              "First Name",
		"a\x1b[31m\"b\"\n":                          "a?[31m?b?",
		"\xff\xfeé":                                 "??é",
		"AdPersonalizationConsentStatus":            "AdPersonalizationConsentStatus",
		"Please tell us where you have heard of us": "Please tell us where you have h…",
		"ana@example.com":                           Hidden,
		"+33 6 12 34 56 78":                         Hidden,
		"0c7e6a405862e402eb76a70f8a26fc732d07c32931e9fae9ab1582911d2e8a3b": Hidden,
		"DH5qQFhi5ALrdqcPiib8cy0Hwykx6frpqxWCkR0uijs=":                     Hidden,
	} {
		if got := Name(name); got != want {
			t.Errorf("Name(%q) = %q, want %q", name, got, want)
		}
	}
}
