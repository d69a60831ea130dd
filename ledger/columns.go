package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/overlap-psi/overlap/internal/sheet"
)

// HeaderError says which columns a file lacks, has twice, or has under a name that
// can't be read. Of the file it holds names of columns, as a message may show them,
// and no cell.
type HeaderError struct {
	Missing  []string
	Repeated []string
	Doubtful []string // none that is read, and they look as if they were about consent
	NoHeader bool     // the first row is somebody, not names of columns
}

func (e *HeaderError) Error() string {
	switch {
	case e.NoHeader:
		return "ledger: the first row holds values, not names: add a header row, " + strings.Join(names[:required], ",")
	case len(e.Missing) > 0:
		return "ledger: the file lacks columns: " + strings.Join(e.Missing, ", ")
	case len(e.Repeated) > 0:
		return "ledger: the file has columns twice: " + strings.Join(e.Repeated, ", ") + "; put into the file one column of each"
	}
	return fmt.Sprintf("ledger: columns that look as if they were about consent have names that aren't read: %s; "+
		"say --column NAME=%s or =%s for what one holds, or --column NAME=%s if it is about something else",
		ListColumns(e.Doubtful), strings.Join(names[tcString:label], ", ="), names[adsSwitch], ignore)
}

// ColumnError says why Options.Columns is no answer.
type ColumnError string

func (e *ColumnError) Error() string { return "ledger: --column: " + string(*e) }

// maxShown is how many columns a message lists.
const maxShown = 20

// ListColumns names columns of a file for a message, no more than it can show.
func ListColumns(columns []string) string {
	var shown []string
	for _, name := range columns[:min(len(columns), maxShown)] {
		shown = append(shown, fmt.Sprintf("%q", name))
	}
	if more := len(columns) - maxShown; more > 0 {
		shown = append(shown, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(shown, ", ")
}

// ignore is the role of a column that isn't read.
const ignore = "ignore"

// columns are where the fields of a file are.
type columns struct {
	at      [fields]int // the index of each field's column, or -1
	again   []again     // columns of fields that have one already
	ignored []string    // the columns that are no field, as a message may show them
}

// again is a column of a field that has one already.
type again struct {
	field field
	index int
}

// find finds each field's column.
func find(header []string, answers map[string]string) (columns, error) {
	said, err := answered(header, answers)
	if err != nil {
		return columns{}, err
	}
	var c columns
	for f := range c.at {
		c.at[f] = -1
	}
	var e HeaderError
	for i, name := range header {
		f := recognise(name)
		switch {
		case said[i] != "":
			// A line without a header would be lost if its cells were answered for.
			e.NoHeader = e.NoHeader || said[i] != ignore && sheet.LooksLikeValue(name)
			f = lookup(said[i])
		case f < 0 && sheet.LooksLikeConsent(name):
			e.Doubtful = append(e.Doubtful, sheet.Name(name))
		}
		switch {
		case f < 0:
			c.ignored = append(c.ignored, sheet.Name(name))
		case c.at[f] < 0:
			c.at[f] = i
		case f.mayRepeat():
			c.again = append(c.again, again{f, i})
		default:
			e.Repeated = append(e.Repeated, names[f])
		}
	}
	for f, i := range c.at[:required] {
		if i < 0 {
			e.Missing = append(e.Missing, names[f])
		}
	}
	if len(e.Missing) > 0 {
		e.Doubtful = nil // the first row may be somebody's
	}
	e.NoHeader = e.NoHeader || len(e.Missing) == int(required) && slices.ContainsFunc(header, sheet.LooksLikeValue)
	if e.NoHeader || len(e.Missing) > 0 || len(e.Repeated) > 0 || len(e.Doubtful) > 0 {
		return columns{}, &e
	}
	return c, nil
}

// answered returns the role that each column is given, "" for none.
func answered(header []string, answers map[string]string) ([]string, error) {
	for _, role := range answers {
		if role != ignore && lookup(role) < 0 {
			return nil, refuse("there is no such role; the roles are %s, %s", strings.Join(names[:], ", "), ignore)
		}
	}
	said := sheet.Answered(header, answers)
	if said == nil {
		return nil, refuse("the file has no such column; give a name of its header or a position from 1")
	}
	for i, role := range said {
		if f := recognise(header[i]); role != "" && f.decides() && lookup(role) != f {
			return nil, refuse("column %d says %s of a person, which is always read; correct the file if it is something else", i+1, names[f])
		}
	}
	return said, nil
}

func refuse(format string, a ...any) error {
	e := ColumnError(fmt.Sprintf(format, a...))
	return &e
}

// recognise returns the field that a header name means, or -1.
func recognise(name string) field {
	if signal := sheet.Signal(name); signal != "" {
		name = signal
	}
	return lookup(name)
}

// lookup returns the field of a name, or -1. Case, spaces, underscores and hyphens
// don't matter.
func lookup(name string) field {
	for f, n := range names {
		if sheet.Key(name) == sheet.Key(n) {
			return field(f)
		}
	}
	return -1
}

// decides reports whether a field may say that somebody must not be matched.
func (f field) decides() bool {
	return f == purpose || f == status || f == adsSwitch || tcString <= f && f <= optOut
}

// mayRepeat reports whether a field may have several columns, of which the
// strictest decides. Which gpp_sid speaks of which gpp_string could not be told.
func (f field) mayRepeat() bool {
	switch f {
	case adsSwitch, tcString, usPrivacy, gpc, optOut:
		return true
	}
	return false
}
