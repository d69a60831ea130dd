// Package ledger reads a platform's file of users: one line for each
// identifier of an account and each purpose for which it was collected, and one
// code for each line.
//
// The purpose is what makes the difference between a number given for
// two-factor authentication and one given for advertising, so nothing about it
// has a default: a line of which a field isn't one of the known words is
// refused, whole. Identifiers are normalised and hashed here; nothing of a
// value leaves the package but its hash.
//
// A line may carry the signals that other systems keep: TCF, GPP and US Privacy
// strings, Global Privacy Control, an opt-out. They can't grant anything. A
// granted line for advertising of which a signal says otherwise, where the person
// is, becomes a denied one: the contradiction is kept as a fact, and the Report
// counts it.
package ledger

import (
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

// Options say how values are read.
type Options struct {
	// Classes are the profiles under which raw values are normalised, each
	// giving a Line of its own. Nil means identifier.EmailUID2 and
	// identifier.PhoneE164. A value of a kind without a class is refused.
	Classes []identifier.Class

	// HashedEmailClass and HashedPhoneClass are the profiles under which values
	// that come hashed were normalised before. Zero means the first of Classes
	// of that kind.
	HashedEmailClass, HashedPhoneClass identifier.Class

	// Region is the country of phone numbers without a plus, in ISO 3166-1
	// alpha-2 capitals. Empty means that they are refused.
	Region string

	// Vanity and Lenient are identifier.Options'.
	Vanity, Lenient bool

	// Columns say what columns hold, against what their names say: a name or a
	// position from 1, and the name of a field or "ignore". A name speaks of every
	// column that has it. Columns that may say that somebody must not be matched
	// (purpose, status, ads_switch, the signals) are what they are called.
	Columns map[string]string

	// Terms are what a TCF string is asked: the platform's own vendor id, and
	// for which purposes. Without a vendor id no such string says GRANTED.
	Terms signal.Terms

	// Delimiter is sheet.Options'. Zero means: found in the header.
	Delimiter byte

	// Now is the clock of which no line's time may be ahead. Nil means time.Now.
	Now func() time.Time

	// Line, if not nil, is called with the number and the code of each line,
	// before what it holds is returned.
	Line func(number int, code Code)
}

// Switch is the state of the user's own control over ads matching, for the
// whole account, as one line gives it.
type Switch uint8

// The states.
const (
	Unset Switch = iota // the line doesn't say
	On
	Off // no identifier of the account may be matched, whatever the purpose
)

// Line is one identifier of one account, held for one purpose. It prints as
// REDACTED.
type Line struct {
	Number       int    // of the line in the file, from 1
	AccountID    string // the platform's own name for the account, at most MaxAccountID bytes
	Class        identifier.Class
	Sum          [32]byte // SHA-256 of the normalised identifier
	Purpose      consent.Purpose
	Status       consent.Status
	Jurisdiction string // see consent.ValidJurisdiction; "" is unknown
	CollectedAt  time.Time
	Switch       Switch
	Basis        consent.Basis

	// What shows that it is so, in the platform's words; each may be empty, and
	// is at most consent.MaxText bytes long.
	Source    string // the system or the import that the line came from
	Notice    string // the notice that the person was shown, and its version
	Surface   string // where: a page, an app, a shop
	Reference string // the consent record's name in the system that keeps it

	// Label is what a match may tell the advertiser of the account, at most
	// consent.MaxLabel bytes; empty for other purposes.
	Label string
}

// MaxAccountID is the longest name of an account, in bytes.
const MaxAccountID = 256

// Format prints REDACTED whatever the verb.
func (Line) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the line out of structured logs.
func (Line) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// File is an open file of which the columns are known.
type File struct {
	o       Options
	sheet   *sheet.File
	columns columns
	counts  counts
	lines   []Line // of the row being read
	started bool
}

var (
	errTwice = errors.New("ledger: the file has been read already")
	errClass = errors.New("ledger: the class given is not of that kind")
)

// Open opens the file at path, or standard input if path is "-", and finds its
// columns. The error is a *HeaderError if some are missing or may hold refusals
// that would not be read, a *ColumnError if Options.Columns can't be right, and
// wraps a *sheet.Error if the file isn't a delimited file.
func Open(path string, o Options) (*File, error) {
	in, err := sheet.Open(path, sheet.Options{Delimiter: o.Delimiter})
	if err != nil {
		return nil, fmt.Errorf("ledger: %w", err)
	}
	f, err := open(in, o)
	var header *HeaderError
	if errors.As(err, &header) && path != "-" {
		err = fmt.Errorf("ledger: %s: %w", path, err)
	}
	if err != nil {
		in.Close()
		return nil, err
	}
	return f, nil
}

func open(in *sheet.File, o Options) (f *File, err error) {
	if err := o.complete(); err != nil {
		return nil, err
	}
	f = &File{o: o, sheet: in, counts: newCounts()}
	if f.columns, err = find(in.Header(), o.Columns); err != nil {
		return nil, err
	}
	return f, nil
}

// complete gives zero fields their meaning.
func (o *Options) complete() error {
	if o.Classes == nil {
		o.Classes = []identifier.Class{identifier.EmailUID2, identifier.PhoneE164}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	for _, c := range o.Classes {
		if c.Kind() == 0 {
			return errClass
		}
	}
	for _, h := range []struct {
		class *identifier.Class
		kind  identifier.Kind
	}{{&o.HashedEmailClass, identifier.Email}, {&o.HashedPhoneClass, identifier.Phone}} {
		if *h.class == 0 {
			*h.class = first(o.Classes, h.kind)
		}
		if *h.class != 0 && h.class.Kind() != h.kind {
			return errClass
		}
	}
	return o.Terms.Check()
}

// first returns the first class of a kind, 0 if there is none.
func first(classes []identifier.Class, k identifier.Kind) identifier.Class {
	i := slices.IndexFunc(classes, func(c identifier.Class) bool { return c.Kind() == k })
	if i < 0 {
		return 0
	}
	return classes[i]
}

// Progress returns how many bytes of the file have been read, and how many it
// has: 0 if unknown. It may be called from any goroutine.
func (f *File) Progress() (read, size int64) { return f.sheet.Progress() }

// Close closes the file. All does so at its end.
func (f *File) Close() error { return f.sheet.Close() }

// All returns what the file's lines hold, in their order: a Line for each class
// of the value's kind. A file can be read once. It ends after its first error.
func (f *File) All() iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if f.started {
			yield(Line{}, errTwice)
			return
		}
		f.started = true
		defer f.Close()
		for row, err := range f.sheet.All() {
			if err != nil {
				yield(Line{}, fmt.Errorf("ledger: %w", err))
				return
			}
			f.read(row)
			for _, line := range f.lines {
				if !yield(line, nil) {
					return
				}
			}
		}
		r := f.Report()
		if err := r.check(); err != nil {
			yield(Line{}, err)
		}
	}
}

// read reads one row into f.lines and counts it.
func (f *File) read(row sheet.Row) {
	f.lines = f.lines[:0]
	f.counts.lines++
	code := RowWidth
	if !row.Ragged {
		code = f.readCells(row)
	}
	f.counts.note(code, row.Line)
	if f.o.Line != nil {
		f.o.Line(row.Line, code)
	}
}

// readCells appends the lines of one row to f.lines, or says why there are none.
func (f *File) readCells(row sheet.Row) Code {
	r := reader{cells: row.Cells, columns: &f.columns, code: OK}
	line := Line{Number: row.Line}
	line.AccountID = r.account()
	r.texts(&line)
	kind, hashed := r.kind()
	line.Purpose = r.purpose()
	line.Label = r.label(line.Purpose)
	line.Status = r.status()
	line.Basis = r.basis()
	line.Jurisdiction = r.jurisdiction()
	line.CollectedAt = r.time(f.o.Now())
	line.Switch = r.adsSwitch()
	if r.code != OK {
		return r.code
	}
	said := f.heed(&line, &r)
	for _, class := range f.classes(kind, hashed) {
		id, err := f.parse(class, r.cell(value), hashed)
		if err != nil {
			f.lines = f.lines[:0]
			return Code(err.(identifier.Code))
		}
		line.Class, line.Sum = class, id.Sum()
		f.lines = append(f.lines, line)
	}
	if len(f.lines) == 0 {
		return KindUnknown
	}
	f.counts.add(&line, said)
	return OK
}

// heed makes a granted line for advertising a denied one if a signal says
// otherwise, and returns what it says, 0 if nothing does. The strictest signal
// decides.
func (f *File) heed(l *Line, r *reader) signal.Result {
	if l.Purpose != consent.AdsMatching || l.Status != consent.Granted {
		return 0
	}
	said := r.strictest(f.o.Terms, signal.RegimeOf(l.Jurisdiction))
	if said <= signal.Granted {
		return 0
	}
	l.Status = consent.Denied
	return said
}

// classes returns the classes under which a value is read.
func (f *File) classes(k identifier.Kind, hashed bool) (classes []identifier.Class) {
	if !hashed {
		for _, c := range f.o.Classes {
			if c.Kind() == k {
				classes = append(classes, c)
			}
		}
		return classes
	}
	c := f.o.HashedEmailClass
	if k == identifier.Phone {
		c = f.o.HashedPhoneClass
	}
	if c != 0 {
		classes = append(classes, c)
	}
	return classes
}

func (f *File) parse(c identifier.Class, raw string, hashed bool) (identifier.Identifier, error) {
	if hashed {
		id, err := c.ParseSum(raw)
		if err == nil && id.Sum() == [32]byte{} {
			err = identifier.HashOfJunk // 64 zeros are no hash of anything
		}
		return id, err
	}
	return c.Normalize(raw, identifier.Options{Region: f.o.Region, Vanity: f.o.Vanity, Lenient: f.o.Lenient})
}
