// Package audience turns an advertiser's file into the identifiers that may be
// matched, and accounts for every row of it.
//
// A row is somebody, with any number of e-mail addresses and phone numbers. Of
// each non-empty identifier cell, and of each row, the Report has exactly one
// code: nothing is lost on the way without being counted. Nothing is guessed
// either: a header that can't be read is a question (HeaderError), and the
// answer is the advertiser's.
//
// # Consent
//
// A file with at least one consent column is judged row by row: what its cells
// say, then the law of the place where the person is (PROTOCOL.md leaves this to
// the policy; the rules here are the product's default). A file without any
// consent column is judged by what the advertiser states of the whole list,
// Options.ListConsent. The Report says which of the two it was. Rows are judged
// one at a time: a denial in one row doesn't reach another row of the same
// person. Before either, Options.Suppressed takes out whoever asked to be.
//
// Only consent.Rule.Admit makes what All returns. This package has no other
// door.
package audience

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// Options say what the file doesn't.
type Options struct {
	// EmailClass and PhoneClass are the profiles under which raw cells are
	// normalised. Zero means identifier.EmailUID2 and identifier.PhoneE164.
	EmailClass, PhoneClass identifier.Class

	// HashedEmailClass and HashedPhoneClass are the profiles under which cells
	// that come hashed were normalised before: nobody can see that in a hash, so
	// it is the advertiser's word. Zero means EmailClass and PhoneClass.
	HashedEmailClass, HashedPhoneClass identifier.Class

	// Region is the country of phone numbers without a plus, in ISO 3166-1
	// alpha-2 capitals. Empty means that they are refused.
	Region string

	// Vanity and Lenient are identifier.Options'.
	Vanity, Lenient bool

	// Columns gives columns their roles, against what their names say: a name
	// or a position from 1, and the text of a Role. A name speaks of every
	// column that has it.
	Columns map[string]string

	// ListConsent is what the advertiser states of the whole list.
	ListConsent Statement

	// Rule admits what may be matched. It must admit the classes that the file
	// has.
	Rule consent.Rule

	// At is the time at which consent counts. Zero means the time of Open.
	At time.Time

	// Terms are what a TCF string is asked: the platform's vendor id, and for
	// which purposes. Without a vendor id a row that has such a string is
	// CONSENT_UNKNOWN.
	Terms signal.Terms

	// AdmitUSUnknown is the policy's word that in the United States a signal
	// that doesn't say, or can't be judged, isn't held against a person.
	AdmitUSUnknown bool

	// DefaultGranted is the policy's word for people of whom nothing is said, in
	// a country that is neither opt-in nor the United States.
	DefaultGranted bool

	// MaxAge is how long ago the consent of a TCF string may have been given,
	// before At; 0 is no limit.
	MaxAge time.Duration

	// Suppressed are files of people who must not be matched, whatever else is
	// true: one column of identifiers, raw or hashed, or delimited files with
	// columns as this one's. A row that has an identifier of theirs is
	// SUPPRESSED, with all its identifiers.
	Suppressed []string

	// Delimiter is sheet.Options'. Zero means: found in the header.
	Delimiter byte

	// Row, if not nil, is called with the line and the code of each row, before
	// its identifiers are returned.
	Row func(line int, code identifier.Code)
}

// List is an open file of which the columns are known.
type List struct {
	o       Options
	file    *sheet.File
	columns []Column

	identifiers []cell
	places      []cell
	signals     []cell // none if the list's statement decides
	byRow       bool

	suppressed suppressed
	oldest     time.Time // of a consent; zero: no limit

	seen    seen
	found   []found            // in the row being read
	kept    []consent.Eligible // of it
	counts  counts
	started bool
}

// cell is where to find a cell of a role in each row.
type cell struct {
	index int
	role  Role
	class identifier.Class // of an identifier
	again bool             // a column before it has the same role
}

// found is what an identifier cell of a row holds.
type found struct {
	at  cell
	id  identifier.Identifier
	sum [32]byte
	err error // an identifier.Code; the rest is then empty
}

var (
	errTwice = errors.New("audience: the list has been read already")
	errClass = errors.New("audience: the class given is not of that kind")
)

// ErrClass says that the file holds identifiers of a class that the Rule
// doesn't admit: the two companies agreed on another profile.
var ErrClass = errors.New("audience: the policy doesn't admit the profile of this file's identifiers")

// Open opens the file at path, or standard input if path is "-", finds out what
// its columns are, and reads the suppression lists. The error is a *HeaderError if the header leaves that
// open, wraps a *sheet.Error if the file isn't a delimited file, wraps a
// *SuppressionError if somebody on a suppression list can't be read, and is
// ErrClass if the policy has other profiles.
func Open(path string, o Options) (*List, error) {
	file, err := sheet.Open(path, sheet.Options{Delimiter: o.Delimiter})
	if err != nil {
		return nil, fmt.Errorf("audience: %w", err)
	}
	l, err := open(file, o)
	var header *HeaderError
	if errors.As(err, &header) && path != "-" {
		err = fmt.Errorf("audience: %s: %w", path, err)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return l, nil
}

func open(file *sheet.File, o Options) (*List, error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	l := &List{o: o, file: file, counts: newCounts()}
	if o.MaxAge > 0 {
		l.oldest = o.At.Add(-o.MaxAge)
	}
	if err := l.plan(); err != nil {
		return nil, err
	}
	return l, l.suppressed.read(&o)
}

// complete gives zero fields their meaning.
func (o *Options) complete() error {
	o.EmailClass = cmp.Or(o.EmailClass, identifier.EmailUID2)
	o.PhoneClass = cmp.Or(o.PhoneClass, identifier.PhoneE164)
	o.HashedEmailClass = cmp.Or(o.HashedEmailClass, o.EmailClass)
	o.HashedPhoneClass = cmp.Or(o.HashedPhoneClass, o.PhoneClass)
	if o.EmailClass.Kind() != identifier.Email || o.HashedEmailClass.Kind() != identifier.Email ||
		o.PhoneClass.Kind() != identifier.Phone || o.HashedPhoneClass.Kind() != identifier.Phone {
		return errClass
	}
	if o.At.IsZero() {
		o.At = time.Now()
	}
	return o.Terms.Check()
}

// plan decides which cells of each row are read, and in which order.
func (l *List) plan() (err error) {
	if l.columns, err = columns(l.file.Header(), l.o.Columns); err != nil {
		return err
	}
	classes := map[Role]identifier.Class{
		Email: l.o.EmailClass, EmailSHA256: l.o.HashedEmailClass,
		Phone: l.o.PhoneClass, PhoneSHA256: l.o.HashedPhoneClass,
	}
	for i, c := range l.columns {
		at := cell{index: i, role: c.Role, class: classes[c.Role]}
		switch {
		case c.Role.isIdentifier():
			if !slices.Contains(l.o.Rule.Classes, at.class) {
				return ErrClass
			}
			l.identifiers = append(l.identifiers, at)
		case c.Role.isConsent():
			at.again = slices.ContainsFunc(l.signals, func(before cell) bool { return before.role == at.role })
			l.signals = append(l.signals, at)
		case c.Role.isPlace():
			l.places = append(l.places, at)
		}
	}
	slices.SortStableFunc(l.places, func(a, b cell) int {
		return slices.Index(Roles, a.role) - slices.Index(Roles, b.role)
	})
	l.byRow = len(l.signals) > 0 || l.o.ListConsent != Granted
	return nil
}

// Format prints REDACTED whatever the verb.
func (*List) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the list out of structured logs.
func (*List) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Columns returns the file's columns and what they were taken for.
func (l *List) Columns() []Column { return slices.Clone(l.columns) }

// Progress returns how many bytes of the file have been read, and how many it
// has: 0 if unknown. It may be called from any goroutine.
func (l *List) Progress() (read, size int64) { return l.file.Progress() }

// Close closes the file. All does so at its end.
func (l *List) Close() error { return l.file.Close() }

// All returns each identifier that may be matched, once, in the order of the
// file. A list can be read once. It ends after its first error; rows returned
// before count in the Report, and stand for nothing by themselves.
func (l *List) All() iter.Seq2[consent.Eligible, error] {
	return func(yield func(consent.Eligible, error) bool) {
		for e, err := range l.Entries() {
			if !yield(e.Eligible, err) {
				return
			}
		}
	}
}

// Entry is an identifier that may be matched and the row it stands in, the first
// after the header being 1; blank lines apart, as Report counts them. One that
// is in several rows is of the first.
type Entry struct {
	Eligible consent.Eligible
	Row      uint64
}

// Entries is All, with rows.
func (l *List) Entries() iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if l.started {
			yield(Entry{}, errTwice)
			return
		}
		l.started = true
		defer l.Close()
		for row, err := range l.file.All() {
			if err != nil {
				yield(Entry{}, fmt.Errorf("audience: %w", err))
				return
			}
			l.counts.rows++
			l.read(row)
			for _, e := range l.kept {
				if !yield(Entry{e, l.counts.rows}, nil) {
					return
				}
			}
		}
		r := l.Report()
		if err := r.check(); err != nil {
			yield(Entry{}, err)
		}
	}
}

// read reads one row into l.kept and counts it.
func (l *List) read(row sheet.Row) {
	l.kept = l.kept[:0]
	code := identifier.RowWidth
	if !row.Ragged {
		code = l.readCells(row)
	}
	l.counts.rowCodes[code]++
	l.counts.rowLines.note(code, row.Line)
	if l.o.Row != nil {
		l.o.Row(row.Line, code)
	}
}

// readCells returns the row's code: OK if an identifier of it is kept, now or
// from an earlier row; else what excludes the row; else what is wrong with its
// first identifier.
func (l *List) readCells(row sheet.Row) identifier.Code {
	cells := row.Cells
	where := l.where(cells)
	l.find(cells)
	verdict := l.verdict(cells, where.regime)
	first, kept := identifier.Empty, false
	for i := range l.found {
		f := &l.found[i]
		code := l.admit(f, where, verdict)
		if code == identifier.Empty {
			continue // a cell without an identifier has no code
		}
		l.counts.identifiers++
		l.counts.codes[f.at.role][code]++
		l.counts.lines.note(code, row.Line)
		kept = kept || code == identifier.OK || code == identifier.OKDuplicate
		if first == identifier.Empty {
			first = code
		}
	}
	code := first
	switch {
	case kept:
		code = identifier.OK
	case verdict.code != identifier.OK:
		code = verdict.code
	}
	l.counts.place(where.regime, code)
	return code
}

// where returns the first jurisdiction that can be read.
func (l *List) where(cells []string) place {
	for _, at := range l.places {
		if p := readPlace(cells[at.index], at.role); p.regime != signal.NoRegime {
			return p
		}
	}
	return place{}
}

// find reads the row's identifiers into l.found.
func (l *List) find(cells []string) {
	l.found = l.found[:0]
	for _, at := range l.identifiers {
		f := found{at: at}
		if f.id, f.err = l.parse(cells[at.index], at); f.err == nil {
			f.sum = f.id.Sum()
		}
		l.found = append(l.found, f)
	}
}

// verdict returns whether the row may be used: who asked to be left out comes
// before what the row's consent says.
func (l *List) verdict(cells []string, r signal.Regime) ruling {
	for i := range l.found {
		if f := &l.found[i]; f.err == nil && l.suppressed.has(&f.sum) {
			return ruling{code: identifier.Suppressed}
		}
	}
	if !l.byRow {
		return ruling{identifier.OK, consent.BasisConsent}
	}
	var s signals
	for _, at := range l.signals {
		s.note(at, cells[at.index])
	}
	s.judge(&l.o, r, l.oldest)
	return s.decide(&l.o, r)
}

// admit returns the code of one identifier cell, and appends the identifier to
// l.kept if that is OK.
func (l *List) admit(f *found, where place, verdict ruling) identifier.Code {
	if f.err != nil {
		return f.err.(identifier.Code)
	}
	if verdict.code != identifier.OK {
		return verdict.code
	}
	e, err := l.o.Rule.Admit(&consent.Record{
		Class:        f.at.class,
		Sum:          f.sum,
		Purpose:      consent.AdsMatching,
		Status:       consent.Granted,
		Basis:        verdict.basis,
		Jurisdiction: where.code,
		CollectedAt:  l.o.At,
	}, l.o.At)
	if err != nil {
		return refused(err)
	}
	if !l.seen.add(f.at.class, &f.sum) {
		return identifier.OKDuplicate
	}
	if w := f.id.Warning(); w != "" {
		l.counts.warnings[w]++
	}
	l.counts.kept.add(f.at.class.Kind())
	l.kept = append(l.kept, e)
	return identifier.OK
}

func (l *List) parse(raw string, at cell) (identifier.Identifier, error) {
	switch {
	case raw == "":
		return identifier.Identifier{}, identifier.Empty
	case at.role == EmailSHA256 || at.role == PhoneSHA256:
		return at.class.ParseSum(raw)
	}
	return at.class.Normalize(raw, identifier.Options{Region: l.o.Region, Vanity: l.o.Vanity, Lenient: l.o.Lenient})
}

// refused returns the code of an identifier that the Rule didn't admit. A
// record made here is always granted, for advertising, now and of a class that
// the Rule has (ErrClass), so little is left to refuse.
func refused(err error) identifier.Code {
	switch err.(consent.Refusal) {
	case consent.RefusedZero: // 64 zeros are no hash of anything
		return identifier.HashOfJunk
	case consent.RefusedBasis: // nothing is against it, and the policy asks for consent
		return identifier.ConsentMissing
	case consent.RefusedJurisdiction: // not one of those that were agreed
		return identifier.JurisdictionUnknown
	}
	return identifier.ConsentDenied
}
