package audience

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// suppressed are the people who must not be matched. It has the hash of each
// identifier and not its class: the same normalised text is the same person
// under every profile.
type suppressed struct {
	sums   seen
	counts Suppression
	unread SuppressionError // of the list that is being read
}

// anyClass is the one class of the sums; zero would be a free slot.
const anyClass identifier.Class = 0xff

func (s *suppressed) has(sum *[32]byte) bool { return s.sums.has(anyClass, sum) }

func (s *suppressed) add(sum [32]byte) {
	if s.sums.add(anyClass, &sum) {
		s.counts.Identifiers++
	}
}

var errSuppression = errors.New("which column holds e-mail addresses or phone numbers? " +
	"Give a file of one column, or name one email, phone, email_sha256 or phone_sha256 in its header")

// SuppressionError says that a suppression list has rows of which an identifier
// can't be read: whoever they mean would be matched. It holds no cell.
type SuppressionError struct {
	Path      string
	Rows      uint64 // how many
	Lines     []int  // of the first of them
	NoCountry bool   // a phone number without a country, and Options.Region is empty
}

// maxLines is how many lines a message lists.
const maxLines = 5

func (e *SuppressionError) add(line int) {
	e.Rows++
	if len(e.Lines) < maxLines {
		e.Lines = append(e.Lines, line)
	}
}

func (e *SuppressionError) Error() string {
	rows, advice := "1 row can't be read, on line ", ": "
	if e.Rows > 1 {
		rows = fmt.Sprintf("%d rows can't be read, the first on lines ", e.Rows)
	}
	if e.NoCountry {
		advice += "say --region if phone numbers are written without a country, or "
	}
	lines := strings.Trim(strings.ReplaceAll(fmt.Sprint(e.Lines), " ", ", "), "[]")
	return e.Path + ": " + rows + lines + advice + "correct the list; nobody on it may be missed"
}

// read reads the files of Options.Suppressed.
func (s *suppressed) read(o *Options) error {
	for _, path := range o.Suppressed {
		if err := s.readFile(path, o); err != nil {
			return fmt.Errorf("audience: suppression list: %w", err)
		}
	}
	return nil
}

func (s *suppressed) readFile(path string, o *Options) error {
	file, err := sheet.Open(path, sheet.Options{})
	if err != nil {
		return err
	}
	defer file.Close()
	s.unread = SuppressionError{Path: path}
	if err = s.readRows(file, o); errors.Is(err, errSuppression) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if err == nil && s.unread.Rows > 0 {
		unread := s.unread
		err = &unread
	}
	return err
}

func (s *suppressed) readRows(file *sheet.File, o *Options) error {
	columns, others, named, err := suppressedColumns(file.Header())
	if err != nil {
		return err
	}
	if !named {
		s.readRow(sheet.Row{Line: file.HeaderLine(), Cells: file.Header()}, columns, o)
	}
	for row, err := range file.All() {
		var reason *sheet.Error
		switch {
		case errors.As(err, &reason) && reason.Reason == sheet.HeaderOnly: // nobody, or one person without a header
			return nil
		case err != nil:
			return err
		case row.Ragged: // any cell may be somebody
			s.readRow(row, nil, o)
		default:
			s.readRow(row, columns, o)
			s.readOthers(row, others, o)
		}
	}
	return nil
}

// suppressedColumns returns the columns that hold identifiers, those whose names say
// nothing, and whether the header names them. One column needs no name: its first
// row may be somebody.
func suppressedColumns(header []string) (columns, others []int, named bool, err error) {
	for i, name := range header {
		switch r, known := recognise(name); {
		case r.isIdentifier(), r == hashed, r == contact:
			columns = append(columns, i)
		case !known:
			others = append(others, i)
		}
	}
	switch {
	case len(columns) > 0:
		return columns, others, true, nil
	case len(header) == 1:
		return []int{0}, nil, !sheet.LooksLikeValue(header[0]), nil
	}
	return nil, nil, false, errSuppression
}

// readOthers adds what looks like somebody in columns whose names say nothing:
// whoever is on a list by any column of it is meant. What can't be read there is
// something else.
func (s *suppressed) readOthers(row sheet.Row, others []int, o *Options) {
	for _, i := range others {
		if i < len(row.Cells) && sheet.LooksLikeValue(row.Cells[i]) {
			s.readCell(row.Cells[i], o)
		}
	}
}

// readRow adds the identifiers of the given columns, all if there are none. Beside
// one that can be read, another that can't is somebody still.
func (s *suppressed) readRow(row sheet.Row, columns []int, o *Options) {
	s.counts.Rows++
	all := true
	for i, cell := range row.Cells {
		if columns == nil || slices.Contains(columns, i) {
			all = s.readCell(cell, o) && all
		}
	}
	if !all {
		s.unread.add(row.Line)
	}
}

// readCell adds what a cell holds, whatever its column was called: a hash as it
// is, an address or a number under each profile that the customers' file may
// have it in. A profile of hashed values stands for a hash made elsewhere. It
// returns false if the cell may hold somebody all the same.
func (s *suppressed) readCell(cell string, o *Options) bool {
	id, err := o.EmailClass.ParseSum(cell)
	switch {
	case err == nil:
		s.add(id.Sum())
		return true
	case err == identifier.HashOfJunk, o.isNobody(cell):
		return true
	}
	classes := [...]identifier.Class{o.PhoneClass, o.HashedPhoneClass}
	if strings.Contains(cell, "@") {
		classes = [...]identifier.Class{o.EmailClass, o.HashedEmailClass}
	}
	some := false
	for _, c := range classes {
		id, err := c.Normalize(cell, identifier.Options{Region: o.Region, Vanity: o.Vanity, Lenient: o.Lenient})
		switch err {
		case nil:
			s.add(id.Sum())
			some = true
		case identifier.PhoneNoCountry:
			s.unread.NoCountry = true
		}
	}
	return some
}

// isNobody reports whether a cell of a suppression list stands for nobody: it has
// no letter and no digit, or is a word for that.
func (o *Options) isNobody(cell string) bool {
	written := func(r rune) bool { return r == utf8.RuneError || unicode.IsLetter(r) || unicode.IsNumber(r) }
	_, err := o.EmailClass.Normalize(cell, identifier.Options{})
	return err == identifier.EmailPlaceholder || !strings.ContainsFunc(cell, written)
}
