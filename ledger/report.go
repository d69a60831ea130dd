package ledger

import (
	"errors"
	"maps"
	"slices"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
)

// Code says what became of one line. The list is closed: these, and
// identifier's codes of a value. A line that several codes fit has the first of
// them in the order of Codes, identifier's last.
type Code string

// The codes.
const (
	OK                    Code = "OK"
	RowWidth              Code = "ROW_WIDTH"       // another number of fields than the header
	AccountMissing        Code = "ACCOUNT_MISSING" // nobody to hold the record of
	NotUTF8               Code = "NOT_UTF8"        // or with a NUL: in the account's name, the source, notice, surface, reference or label
	TextTooLong           Code = "TEXT_TOO_LONG"   // an account's name over MaxAccountID bytes, a text over consent.MaxText, a label over consent.MaxLabel
	KindUnknown           Code = "KIND_UNKNOWN"    // also: a kind of which Options has no class
	PurposeUnknown        Code = "PURPOSE_UNKNOWN" // never taken for another
	StatusUnknown         Code = "STATUS_UNKNOWN"  // never taken for granted
	BasisUnknown          Code = "BASIS_UNKNOWN"   // never taken for consent
	JurisdictionMalformed Code = "JURISDICTION_MALFORMED"
	TimeMalformed         Code = "TIME_MALFORMED" // neither RFC 3339 nor a date, or before 1970
	TimeAhead             Code = "TIME_AHEAD"     // of the clock: nobody can have been asked then
	SwitchUnknown         Code = "SWITCH_UNKNOWN" // ads_switch is none of on, off and nothing
)

// Codes has every code of the package's own, in the order in which a line is
// looked at.
var Codes = [...]Code{
	OK, RowWidth, AccountMissing, NotUTF8, TextTooLong, KindUnknown, PurposeUnknown, StatusUnknown, BasisUnknown,
	JurisdictionMalformed, TimeMalformed, TimeAhead, SwitchUnknown,
}

// Error returns the code after the package's name.
func (c Code) Error() string { return "ledger: " + string(c) }

// Report is the account of a file. It holds counts, numbers of lines and names of
// columns, and no cell.
type Report struct {
	// Lines are the lines after the header, blank ones apart, and Codes what
	// became of them: the codes add up to the lines.
	Lines uint64          `json:"lines"`
	Codes map[Code]uint64 `json:"codes"`

	// FirstLines are the first lines on which each code but OK occurred, not more than
	// three: with them its lines are found in a large file.
	FirstLines map[Code][]int `json:"first_lines,omitempty"`

	// Purposes has the OK lines by purpose, Statuses by status and Kinds by the
	// kind of identifier; SwitchedOff are those of which the ads_switch is off.
	Purposes    map[string]uint64 `json:"purposes"`
	Statuses    map[string]uint64 `json:"statuses"`
	Kinds       map[string]uint64 `json:"kinds"`
	SwitchedOff uint64            `json:"switched_off"`

	// Contradicted are the OK lines of ads_matching that the file calls granted
	// and a consent signal doesn't, by what it says: DENIED, EXCLUDE, MALFORMED,
	// INVALID or UNKNOWN. Among the statuses they are denied.
	Contradicted map[string]uint64 `json:"contradicted,omitempty"`

	// Ignored are the columns that aren't read, as a message may show them.
	Ignored []string `json:"ignored,omitempty"`

	Bytes int64 `json:"bytes"` // read of the file, compressed if it is
}

// counts is what grows while a file is read. The total is counted beside the
// codes and not made from them, so that one can be checked against the other.
type counts struct {
	lines, switchedOff uint64
	codes              map[Code]uint64
	first              map[Code][]int
	purposes           map[consent.Purpose]uint64
	statuses           map[consent.Status]uint64
	kinds              map[identifier.Kind]uint64
	contradicted       map[signal.Result]uint64
}

func newCounts() counts {
	return counts{
		codes:    map[Code]uint64{},
		first:    map[Code][]int{},
		purposes: map[consent.Purpose]uint64{},
		statuses: map[consent.Status]uint64{},
		kinds:    map[identifier.Kind]uint64{},

		contradicted: map[signal.Result]uint64{},
	}
}

const maxFirst = 3

// note counts a line of a code.
func (c *counts) note(code Code, line int) {
	c.codes[code]++
	if at := c.first[code]; code != OK && len(at) < maxFirst {
		c.first[code] = append(at, line)
	}
}

// add counts a line that is OK, and what a signal says against it, if one does.
func (c *counts) add(l *Line, said signal.Result) {
	c.purposes[l.Purpose]++
	c.statuses[l.Status]++
	c.kinds[l.Class.Kind()]++
	if l.Switch == Off {
		c.switchedOff++
	}
	if said != 0 {
		c.contradicted[said]++
	}
}

// Report returns the account of the lines read so far. After All has ended
// without an error, that is the file.
func (f *File) Report() Report {
	r := Report{
		Lines:       f.counts.lines,
		Codes:       maps.Clone(f.counts.codes),
		FirstLines:  maps.Clone(f.counts.first),
		Purposes:    named(f.counts.purposes),
		Statuses:    named(f.counts.statuses),
		Kinds:       named(f.counts.kinds),
		SwitchedOff: f.counts.switchedOff,
		Ignored:     slices.Clone(f.columns.ignored),

		Contradicted: named(f.counts.contradicted),
	}
	r.Bytes, _ = f.Progress()
	return r
}

func named[K interface {
	comparable
	String() string
}](counts map[K]uint64) map[string]uint64 {
	m := make(map[string]uint64, len(counts))
	for k, n := range counts {
		m[k.String()] = n
	}
	return m
}

var errSums = errors.New("ledger: the codes don't add up")

// check reports whether every line has its code, every OK line its purpose, and
// every contradicted one is denied.
func (r *Report) check() error {
	if total(r.Codes) != r.Lines || total(r.Purposes) != r.Codes[OK] ||
		total(r.Statuses) != r.Codes[OK] || total(r.Kinds) != r.Codes[OK] ||
		total(r.Contradicted) > r.Statuses[consent.Denied.String()] {
		return errSums
	}
	return nil
}

func total[K comparable](counts map[K]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}
