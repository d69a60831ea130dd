package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// Fact is one line of the ledger: what one identifier of one account was
// collected for, and what became of that, at one moment. Facts are only ever
// added. What holds of an (account, identifier, purpose) is its latest fact. It
// prints as REDACTED.
type Fact struct {
	AccountID    string // the platform's own name of the account, 1–256 bytes of UTF-8
	Class        identifier.Class
	Sum          [32]byte // SHA-256 of the normalised identifier
	Purpose      consent.Purpose
	Status       consent.Status
	Basis        consent.Basis
	Jurisdiction string // see consent.ValidJurisdiction
	CollectedAt  time.Time

	// As in consent.Record, each at most consent.MaxText bytes; may be empty.
	// Facts have a Reference each, but share the others among many.
	Notice, Surface, Reference, Source string

	// Label is consent.Record's, of ads matching only, and may be empty. A fact with
	// another label is another fact.
	Label string

	// SwitchedOff turns the account's own switch against ads matching off for
	// all its identifiers. False says nothing, so that an old file cannot turn on
	// again what the account holder has turned off since; SetSwitch can.
	SwitchedOff bool
}

// Format prints REDACTED whatever the verb.
func (Fact) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the fact out of structured logs.
func (Fact) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// FactError says which fact, counted from 1, Put would not take, and why.
type FactError struct {
	Number uint64
	Reason string // a constant text
}

func (e *FactError) Error() string { return fmt.Sprintf("store: fact %d: %s", e.Number, e.Reason) }

const maxAccountID = 256

// validAccountID reports whether the platform may name an account so.
func validAccountID(id string) bool {
	return len(id) > 0 && len(id) <= maxAccountID && text(id)
}

// unsound returns what is wrong with the fact, or "".
func (f *Fact) unsound() string {
	switch {
	case !validAccountID(f.AccountID):
		return "account id is not 1 to 256 bytes of text"
	case f.Class.Kind() == 0:
		return "unknown class"
	case f.Sum == [32]byte{}:
		return "no identifier"
	case !f.Purpose.Valid():
		return "unknown purpose"
	case !f.Status.Valid():
		return "unknown status"
	case !f.Basis.Valid():
		return "unknown basis"
	case !consent.ValidJurisdiction(f.Jurisdiction):
		return "malformed jurisdiction"
	case f.CollectedAt.Year() < 1970 || f.CollectedAt.Year() > 9999:
		return "time of collection is missing or out of range"
	}
	if len(f.Label) > consent.MaxLabel || !text(f.Label) || f.Label != "" && f.Purpose != consent.AdsMatching {
		return "label is not at most 478 bytes of text, or of another purpose than ads matching"
	}
	for _, s := range []string{f.Notice, f.Surface, f.Reference, f.Source} {
		if len(s) > consent.MaxText || !text(s) {
			return "notice, surface, reference or source is not at most 1024 bytes of text"
		}
	}
	return ""
}

// text reports whether every dialect can keep s as text.
func text(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// digestLen is the length of digests in the tables. Two contents of one digest are
// 2⁶⁴ hashes of work, and gain that the second is taken for the first.
const digestLen = 16

// digest is of all that the fact says of its account.
func (f *Fact) digest(origin int64) (d [digestLen]byte) {
	var scratch [256]byte
	b := append(scratch[:0], byte(f.Class), byte(f.Purpose), byte(f.Status))
	b = append(b, f.Sum[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(micros(f.CollectedAt)))
	b = binary.BigEndian.AppendUint64(b, uint64(origin))
	b = append(b, f.Reference...)
	if f.Label != "" { // else it is as it was before there were labels
		b = append(append(b, 0), f.Label...) // no reference has a zero byte
	}
	sum := sha256.Sum256(b)
	copy(d[:], sum[:])
	return d
}

// origin is what facts that come from one place have in common.
type origin struct {
	basis                                 consent.Basis
	jurisdiction, notice, surface, source string
}

func (f *Fact) origin() origin {
	return origin{f.Basis, f.Jurisdiction, f.Notice, f.Surface, f.Source}
}

// digest is of the whole origin, one encoding for each.
func (o *origin) digest() (d [digestLen]byte) {
	b := []byte{byte(o.basis)}
	for _, s := range []string{o.jurisdiction, o.notice, o.surface, o.source} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	copy(d[:], sum[:])
	return d
}
