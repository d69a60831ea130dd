package audience

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// suppressed are the people who must not be matched. It has the hash of each
// identifier and not its class: the same normalised text is the same person
// under every profile.
type suppressed struct {
	sums   seen
	counts Suppression
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
	if err = s.readRows(file, o); errors.Is(err, errSuppression) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return err
}

func (s *suppressed) readRows(file *sheet.File, o *Options) error {
	columns, named, err := suppressedColumns(file.Header())
	if err != nil {
		return err
	}
	if !named {
		s.readRow(file.Header(), columns, o)
	}
	for row, err := range file.All() {
		var reason *sheet.Error
		switch {
		case errors.As(err, &reason) && reason.Reason == sheet.HeaderOnly: // nobody, or one person without a header
			return nil
		case err != nil:
			return err
		case row.Ragged: // any cell may be somebody
			s.readRow(row.Cells, nil, o)
		default:
			s.readRow(row.Cells, columns, o)
		}
	}
	return nil
}

// suppressedColumns returns the columns that hold identifiers, and whether the
// header names them. One column needs no name: its first row may be somebody.
func suppressedColumns(header []string) (columns []int, named bool, err error) {
	for i, name := range header {
		switch r, _ := recognise(name); {
		case r.isIdentifier(), r == hashed, r == contact:
			columns = append(columns, i)
		}
	}
	switch {
	case len(columns) > 0:
		return columns, true, nil
	case len(header) == 1:
		return []int{0}, !sheet.LooksLikeValue(header[0]), nil
	}
	return nil, false, errSuppression
}

// readRow adds the identifiers of the given columns, all if there are none.
func (s *suppressed) readRow(cells []string, columns []int, o *Options) {
	s.counts.Rows++
	some := false
	for i, cell := range cells {
		if columns == nil || slices.Contains(columns, i) {
			some = s.readCell(cell, o) || some
		}
	}
	if !some {
		s.counts.Unreadable++
	}
}

// readCell adds what a cell holds, whatever its column was called: a hash as it
// is, an address or a number under each profile that the customers' file may
// have it in. A profile of hashed values stands for a hash made elsewhere.
func (s *suppressed) readCell(cell string, o *Options) (some bool) {
	if id, err := o.EmailClass.ParseSum(cell); err == nil {
		s.add(id.Sum())
		return true
	}
	classes := [...]identifier.Class{o.PhoneClass, o.HashedPhoneClass}
	if strings.Contains(cell, "@") {
		classes = [...]identifier.Class{o.EmailClass, o.HashedEmailClass}
	}
	for _, c := range classes {
		id, err := c.Normalize(cell, identifier.Options{Region: o.Region, Vanity: o.Vanity, Lenient: o.Lenient})
		if err == nil {
			s.add(id.Sum())
			some = true
		}
	}
	return some
}
