package sheet

import (
	"bytes"
	"io"
	"strings"
)

// blockLen is how much is read at a time, and looked at to know what a file is.
const blockLen = 64 << 10

// scanner splits text into rows of fields (RFC 4180), with the usual tolerance:
//
//   - a line ends with LF, CRLF or CR;
//   - a field is quoted if a quote is its very first byte; any other quote is
//     a byte like others;
//   - what stands between a closing quote and the delimiter is kept, so that
//     one stray quote harms its own field and not the rest of the file.
type scanner struct {
	src      io.Reader
	buf      []byte
	pos, end int  // what isn't scanned yet is buf[pos:end]
	line     int  // the line pos is on, from 1
	delim    byte // between fields

	plain  [256]bool // what ends an unquoted run
	quoted [256]bool // what ends a quoted run

	text  []byte // the row's fields, one after the other
	ends  []int  // where each ends
	cells []string
}

func newScanner(src io.Reader) *scanner {
	s := &scanner{src: src, buf: make([]byte, blockLen), line: 1}
	for _, c := range "\r\n" {
		s.plain[c], s.quoted[c] = true, true
	}
	s.quoted['"'] = true
	return s
}

// delimit sets the delimiter.
func (s *scanner) delimit(d byte) {
	s.delim = d
	s.plain[d] = true
}

// first fills the buffer and returns what it holds.
func (s *scanner) first() ([]byte, error) {
	n, err := io.ReadFull(s.src, s.buf)
	s.end = n
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return s.ahead(), err
}

func (s *scanner) ahead() []byte { return s.buf[s.pos:s.end] }

func (s *scanner) skip(n int) { s.pos += n }

// peek returns the next byte without taking it.
func (s *scanner) peek() (byte, error) {
	if s.pos == s.end {
		if err := s.fill(); err != nil {
			return 0, err
		}
	}
	return s.buf[s.pos], nil
}

// fill replaces the buffer, all of which has been scanned. It returns io.EOF at
// the end of the file, and again if asked again.
func (s *scanner) fill() error {
	s.pos, s.end = 0, 0
	for range 100 { // io.Reader may return nothing, now and then
		n, err := s.src.Read(s.buf)
		if n > 0 {
			s.end = n
			return nil // the error comes again with the next Read
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// row returns the next row that isn't a blank line, and the line it starts on.
// The slice is valid until the next call. The error is io.EOF, an *Error or the
// source's; there is never a row beside it, so the torn last row of a file that
// can't be read further isn't taken for a row.
func (s *scanner) row() ([]string, int, error) {
	if err := s.skipBlank(); err != nil {
		return nil, 0, err
	}
	line := s.line
	s.text, s.ends = s.text[:0], s.ends[:0]
	for more := true; more; {
		err := s.field()
		if err != nil {
			return nil, 0, err
		}
		s.ends = append(s.ends, len(s.text))
		if len(s.text)+len(s.ends) > MaxRow {
			return nil, 0, &Error{Reason: RowTooLong, Line: line}
		}
		if more, err = s.separator(); err != nil {
			return nil, 0, err
		}
	}
	return s.cut(), line, nil
}

// skipBlank takes line ends up to the next byte that isn't one.
func (s *scanner) skipBlank() error {
	for {
		c, err := s.peek()
		if err != nil {
			return err
		}
		if c != '\r' && c != '\n' {
			return nil
		}
		if err := s.newline(); err != nil {
			return err
		}
	}
}

// newline takes one line end, of which the first byte is next.
func (s *scanner) newline() error {
	cr := s.buf[s.pos] == '\r'
	s.pos++
	s.line++
	if !cr {
		return nil
	}
	c, err := s.peek()
	if err == io.EOF {
		return nil
	}
	if err == nil && c == '\n' {
		s.pos++
	}
	return err
}

// separator takes what follows a field and says whether another field does.
func (s *scanner) separator() (more bool, err error) {
	c, err := s.peek()
	switch {
	case err == io.EOF:
		return false, nil
	case err != nil:
		return false, err
	case c == s.delim:
		s.pos++
		return true, nil
	}
	return false, s.newline()
}

// field appends the next field to the row's text.
func (s *scanner) field() error {
	start, line := len(s.text), s.line
	c, err := s.peek()
	if err == io.EOF {
		return nil
	}
	if err == nil && c == '"' {
		s.pos++
		err = s.unquote(start, line)
	}
	if err != nil {
		return err
	}
	return s.run(&s.plain, start, line)
}

// unquote appends a quoted field, of which the opening quote has been taken, up
// to its closing quote. Line ends inside become LF.
func (s *scanner) unquote(start, line int) error {
	for {
		if err := s.run(&s.quoted, start, line); err != nil {
			return err
		}
		c, err := s.peek()
		if err == io.EOF {
			return &Error{Reason: OpenQuote, Line: line}
		}
		if err != nil {
			return err
		}
		if c != '"' {
			if err := s.newline(); err != nil {
				return err
			}
			s.text = append(s.text, '\n')
			continue
		}
		s.pos++
		if c, err = s.peek(); err == io.EOF || err == nil && c != '"' {
			return nil
		}
		if err != nil {
			return err
		}
		s.pos++
		s.text = append(s.text, '"')
	}
}

// run appends bytes up to the next that stops it, or the end of the file. The
// field began at start in the text, on the given line.
func (s *scanner) run(stop *[256]bool, start, line int) error {
	for {
		i := s.pos
		for i < s.end && !stop[s.buf[i]] {
			i++
		}
		if len(s.text)-start+i-s.pos > MaxField {
			return &Error{Reason: FieldTooLong, Line: line}
		}
		s.text = append(s.text, s.buf[s.pos:i]...)
		s.pos = i
		if i < s.end {
			return nil
		}
		if err := s.fill(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// cut makes the row's strings: one allocation for all of them.
func (s *scanner) cut() []string {
	text, start := string(s.text), 0
	s.cells = s.cells[:0]
	for _, end := range s.ends {
		s.cells = append(s.cells, text[start:end])
		start = end
	}
	return s.cells
}

const delimiters = ",;\t|"

// sniff returns the most frequent delimiter of the first line, outside quotes,
// and a comma if there is none.
func sniff(block []byte) byte {
	block = bytes.TrimLeft(block, "\r\n")
	var count [len(delimiters)]int
	quoted := false
	for _, c := range block {
		if c == '"' {
			quoted = !quoted
		}
		if quoted {
			continue
		}
		if c == '\r' || c == '\n' {
			break
		}
		if i := strings.IndexByte(delimiters, c); i >= 0 {
			count[i]++
		}
	}
	best := 0
	for i, n := range count {
		if n > count[best] {
			best = i
		}
	}
	return delimiters[best]
}

// sepLine reads the line "sep=;" that Excel writes and obeys. It returns the
// delimiter and the length of the line, or zeros.
func sepLine(block []byte) (delim byte, n int) {
	line, _, found := bytes.Cut(block, []byte("\n"))
	text := bytes.TrimSuffix(line, []byte("\r"))
	text = bytes.Trim(text, `"`)
	if !found || len(text) != 5 || !bytes.EqualFold(text[:4], []byte("sep=")) ||
		strings.IndexByte(delimiters, text[4]) < 0 {
		return 0, 0
	}
	return text[4], len(line) + 1
}

// byteOrderMark returns how many bytes of UTF-8 byte order mark block has.
func byteOrderMark(block []byte) int {
	if bytes.HasPrefix(block, []byte("\ufeff")) {
		return len("\ufeff")
	}
	return 0
}
