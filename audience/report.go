package audience

import (
	"errors"
	"maps"
	"slices"

	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
)

// Tally counts codes. A code that didn't occur isn't in it.
type Tally map[identifier.Code]uint64

// Total returns the sum of a tally.
func (t Tally) Total() (n uint64) {
	for _, c := range t {
		n += c
	}
	return n
}

// Lines has the first lines on which a code occurred, not more than three of each:
// with them its rows are found in a large file. OK isn't in it.
type Lines map[identifier.Code][]int

const maxFirst = 3

// note adds a line, which isn't before those that are there.
func (l Lines) note(code identifier.Code, line int) {
	if code == identifier.OK {
		return
	}
	if at := l[code]; len(at) < maxFirst && !slices.Contains(at, line) {
		l[code] = append(at, line)
	}
}

// Report is the account of a list: of its rows and of its identifiers, once
// each. It holds counts, numbers of lines and names of columns, and no cell.
type Report struct {
	// Rows are the rows after the header, blank lines apart, and RowCodes what
	// became of them: the codes add up to the rows.
	Rows     uint64 `json:"rows"`
	RowCodes Tally  `json:"row_codes"`

	// Identifiers are the cells of identifier columns that aren't empty, and
	// IdentifierCodes what became of them: the codes add up to the identifiers.
	// A row of another width than the header (ROW_WIDTH) has no columns, so its
	// cells are not among them.
	Identifiers     uint64 `json:"identifiers"`
	IdentifierCodes Tally  `json:"identifier_codes"`

	// Kept are the distinct identifiers that All returned.
	Kept Kept `json:"kept"`

	// Consent is what the rows were judged by: "rows", their own columns, or
	// "list", Options.ListConsent, or "none" if the file has no consent column
	// and nothing is stated.
	Consent string `json:"consent"`

	// Kinds has the identifier cells by role.
	Kinds map[Role]Kind `json:"kinds"`

	// Jurisdictions has the rows by the law that was applied: "eea" (with the
	// United Kingdom and Switzerland), "us", "other" and "unknown". ROW_WIDTH
	// rows are not among them.
	Jurisdictions map[string]Jurisdictions `json:"jurisdictions"`

	// Suppression is the account of Options.Suppressed, nil without it. What it
	// suppressed is SUPPRESSED among the codes.
	Suppression *Suppression `json:"suppression,omitempty"`

	// Warnings counts the kept identifiers that Options.Lenient let pass.
	Warnings Tally `json:"warnings,omitempty"`

	// RowLines are where the codes of rows are first, IdentifierLines those of
	// identifiers.
	RowLines        Lines `json:"row_lines,omitempty"`
	IdentifierLines Lines `json:"identifier_lines,omitempty"`

	Columns []Column `json:"columns"`
	Bytes   int64    `json:"bytes"` // read of the file, compressed if it is
}

// Kept counts distinct identifiers by kind.
type Kept struct {
	Email uint64 `json:"email"`
	Phone uint64 `json:"phone"`
}

// Suppression counts what the suppression lists hold.
type Suppression struct {
	Rows        uint64 `json:"rows"`
	Identifiers uint64 `json:"identifiers"` // different hashes
}

// Kind is the account of the identifier cells of one role.
type Kind struct {
	Identifiers uint64 `json:"identifiers"`
	Codes       Tally  `json:"codes"`
}

// Jurisdictions counts rows, and those of them that are OK.
type Jurisdictions struct {
	Rows uint64 `json:"rows"`
	OK   uint64 `json:"ok"`
}

// counts is what grows while a list is read. The totals are counted beside the
// tallies and not made from them, so that one can be checked against the other.
type counts struct {
	rows, identifiers uint64
	kept              Kept
	rowCodes          Tally
	codes             map[Role]Tally
	places            [len(regimeNames)]Jurisdictions
	warnings          Tally

	rowLines, lines Lines
}

func newCounts() counts {
	c := counts{rowCodes: Tally{}, codes: map[Role]Tally{}, warnings: Tally{}, rowLines: Lines{}, lines: Lines{}}
	for _, r := range Roles {
		if r.isIdentifier() {
			c.codes[r] = Tally{}
		}
	}
	return c
}

func (c *counts) place(r signal.Regime, code identifier.Code) {
	c.places[r].Rows++
	if code == identifier.OK {
		c.places[r].OK++
	}
}

func (k *Kept) add(kind identifier.Kind) {
	if kind == identifier.Email {
		k.Email++
	} else {
		k.Phone++
	}
}

// Report returns the account of the rows read so far. After All has ended
// without an error, that is the file.
func (l *List) Report() Report {
	r := Report{
		Rows:            l.counts.rows,
		RowCodes:        maps.Clone(l.counts.rowCodes),
		Identifiers:     l.counts.identifiers,
		IdentifierCodes: Tally{},
		Kept:            l.counts.kept,
		Consent:         "list",
		Kinds:           map[Role]Kind{},
		Jurisdictions:   map[string]Jurisdictions{},
		Warnings:        maps.Clone(l.counts.warnings),
		RowLines:        maps.Clone(l.counts.rowLines),
		IdentifierLines: maps.Clone(l.counts.lines),
		Columns:         l.Columns(),
	}
	switch {
	case len(l.signals) > 0:
		r.Consent = "rows"
	case l.byRow:
		r.Consent = "none"
	}
	if len(l.o.Suppressed) > 0 {
		c := l.suppressed.counts
		r.Suppression = &c
	}
	for role, codes := range l.counts.codes {
		if len(codes) > 0 {
			r.Kinds[role] = Kind{Identifiers: codes.Total(), Codes: maps.Clone(codes)}
		}
		for code, n := range codes {
			r.IdentifierCodes[code] += n
		}
	}
	for i, p := range l.counts.places {
		if p.Rows > 0 {
			r.Jurisdictions[regimeNames[i]] = p
		}
	}
	r.Bytes, _ = l.Progress()
	return r
}

// NotUnderstood names the columns of which the header's name isn't known, which
// aren't read; "" if there are none. It lists no more than a message can show.
func (r *Report) NotUnderstood() string {
	return list(slices.DeleteFunc(slices.Clone(r.Columns), func(c Column) bool { return c.Known }))
}

var errSums = errors.New("audience: the codes don't add up")

// check reports whether every row, every identifier and every kept identifier
// has its code.
func (r *Report) check() error {
	ok := map[identifier.Kind]uint64{}
	for role, k := range r.Kinds {
		ok[role.kind()] += k.Codes[identifier.OK]
	}
	if r.RowCodes.Total() != r.Rows || r.IdentifierCodes.Total() != r.Identifiers ||
		ok[identifier.Email] != r.Kept.Email || ok[identifier.Phone] != r.Kept.Phone {
		return errSums
	}
	return nil
}
