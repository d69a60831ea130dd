// Package sheet reads a delimited file as a stream of rows, in bounded memory:
// what spreadsheets, databases and customer systems write, and what people then
// do to it.
//
// Accepted: comma, semicolon, tab or bar between fields; quoted fields with
// newlines and doubled quotes; LF, CRLF or lone CR, and no newline at the end;
// a UTF-8 byte order mark; gzip or zstd, known by their first bytes and not by
// the file's name. The header is kept by position, repeated names included.
// What isn't such a file is refused with a reason (Error), never read as
// something it isn't.
//
// Cells pass as they are: whether a cell is valid UTF-8, or means anything, is
// for the caller to say, who also gives a row of another width its code.
package sheet

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"slices"
	"strings"
)

const (
	// MaxField is the longest field in bytes. No name, address or consent
	// string comes near; what does is a quote that is never closed.
	MaxField = 64 << 10

	// MaxRow is the most bytes one row may have, a byte for each delimiter
	// included.
	MaxRow = 1 << 20
)

// Options say what the file can't say itself.
type Options struct {
	// Delimiter separates fields. Zero means: the one of , ; tab and | that is
	// most frequent in the header, outside quotes. A quote or a line end is
	// refused.
	Delimiter byte
}

var errDelimiter = errors.New("sheet: a quote or a line end can't separate fields")

// File is an open file of which the header has been read.
type File struct {
	name   string // empty if it was not opened here
	source *source
	rows   *scanner
	header []string
	begins int  // the line of the header
	any    bool // a row was read
	close  func() error

	changed func() bool // since it was opened; nil if nobody can know
}

// Row is one row after the header. It prints as REDACTED.
type Row struct {
	// Line is the 1-based number of the line on which the row starts. Blank
	// lines and the lines inside quoted fields count.
	Line int

	// Cells are the fields in order. The slice is reused for the next row; the
	// strings may be kept.
	Cells []string

	// Ragged says that the row has more or fewer fields than the header, so
	// that no cell can be said to belong to a column.
	Ragged bool
}

// Format prints REDACTED whatever the verb.
func (Row) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps cells out of structured logs.
func (Row) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// standardInput is what errors call a file that has no name.
const standardInput = "standard input"

// Open opens the file at path, or standard input if path is "-", and reads its
// header. The error is an *Error if the file isn't a delimited file.
func Open(path string, o Options) (*File, error) {
	if path == "-" {
		f, err := New(os.Stdin, 0, o)
		if err != nil {
			return nil, named(standardInput, err)
		}
		f.name = standardInput
		return f, nil
	}
	in, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	var size int64
	st, err := in.Stat()
	regular := err == nil && st.Mode().IsRegular()
	if regular {
		size = st.Size()
	}
	f, err := New(in, size, o)
	if err != nil {
		in.Close()
		return nil, named(path, err)
	}
	f.name = path
	if regular {
		f.changed = func() bool {
			now, err := in.Stat()
			return err != nil || now.Size() != st.Size() || !now.ModTime().Equal(st.ModTime())
		}
	}
	unwind := f.close
	f.close = func() error {
		unwind()
		return in.Close()
	}
	return f, nil
}

// named puts the file's name into an error that says why it can't be read.
func named(name string, err error) error {
	if e, ok := err.(*Error); ok {
		e.Name = name
	}
	return err
}

// New reads the header of the file that r is at the start of. The size is for
// Progress alone; zero means unknown. Close doesn't close r.
func New(r io.Reader, size int64, o Options) (*File, error) {
	if strings.IndexByte("\"\r\n", o.Delimiter) >= 0 {
		return nil, errDelimiter
	}
	src, err := newSource(r, size)
	if err != nil {
		return nil, err
	}
	f := &File{source: src, rows: newScanner(src), close: src.Close}
	if f.header, f.begins, err = f.rows.begin(o.Delimiter); err != nil {
		src.Close()
		return nil, err
	}
	return f, nil
}

// Header returns the names of the columns as written, by position. A name may
// be empty, repeated or not UTF-8: see Key and Name.
func (f *File) Header() []string { return f.header }

// HeaderLine returns the 1-based number of the line on which the header starts.
func (f *File) HeaderLine() int { return f.begins }

// Progress returns how many bytes of the file have been read, before any
// decompression, and how many it has: 0 if unknown. It may be called from any
// goroutine.
func (f *File) Progress() (read, size int64) { return f.source.read.Load(), f.source.size }

// Close closes the file.
func (f *File) Close() error { return f.close() }

// All returns the rows that have not been read yet. It ends at the end of the
// file or after its first error.
func (f *File) All() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for {
			row, err := f.next()
			if err == io.EOF || !yield(row, err) || err != nil {
				return
			}
		}
	}
}

func (f *File) next() (Row, error) {
	cells, line, err := f.rows.row()
	switch {
	case err == io.EOF && f.changed != nil && f.changed():
		return Row{}, &Error{Name: f.name, Reason: Changed}
	case err == io.EOF && !f.any:
		return Row{}, &Error{Name: f.name, Reason: HeaderOnly}
	case err != nil:
		return Row{}, named(f.name, err)
	}
	f.any = true
	return Row{Line: line, Cells: cells, Ragged: len(cells) != len(f.header)}, nil
}

// begin reads the header: it is the first row, after a byte order mark and
// Excel's "sep=" line.
func (s *scanner) begin(delimiter byte) (header []string, line int, err error) {
	block, err := s.first()
	if err != nil {
		return nil, 0, err
	}
	if r := refuse(block); r != 0 {
		return nil, 0, &Error{Reason: r}
	}
	s.skip(byteOrderMark(block))
	if d, n := sepLine(s.ahead()); n > 0 {
		s.skip(n)
		s.line++
		delimiter = d
	}
	if delimiter == 0 {
		delimiter = sniff(s.ahead())
	}
	s.delimit(delimiter)
	header, line, err = s.row()
	if err == io.EOF {
		return nil, 0, &Error{Reason: Empty}
	}
	return slices.Clone(header), line, err
}
