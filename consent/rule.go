package consent

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/input"
)

// Rule is what two companies agreed to admit, beyond what always holds: the
// purpose is advertising, the consent is granted, the account's switch is on.
// None of its fields can widen that. The zero Rule admits nothing.
type Rule struct {
	// Classes are the admitted profiles; none admits nobody.
	Classes []identifier.Class
	// Bases are the admitted grounds in law; none means consent alone. Where the
	// law asks for consent (NeedsConsent) nothing else is admitted whatever they
	// say, nor is a basis anywhere that is not Admissible.
	Bases []Basis
	// Jurisdictions, if there are any, are the only ones admitted, and an unknown
	// jurisdiction is then refused. A country's code admits its subdivisions. None
	// admits every jurisdiction, also an unknown one: the granted record is the
	// signal that a match needs.
	Jurisdictions []string
	// MaxAge is how long ago a consent may have been granted; 0 is no limit. A
	// record without a time is older than any limit.
	MaxAge time.Duration
}

// Refusal is the reason why a Rule did not admit a record. The list is closed.
// Reports count records by Refusal and show no value beside it.
type Refusal string

// The reasons, in the order in which Admit looks for them.
const (
	RefusedPurpose               Refusal = "PURPOSE" // not ads_matching
	RefusedDenied                Refusal = "DENIED"
	RefusedWithdrawn             Refusal = "WITHDRAWN"
	RefusedExpired               Refusal = "EXPIRED"
	RefusedRetracted             Refusal = "RETRACTED"
	RefusedStatus                Refusal = "STATUS"       // not in the closed list
	RefusedSwitchedOff           Refusal = "SWITCHED_OFF" // by the account holder
	RefusedZero                  Refusal = "ZERO"         // no identifier
	RefusedClass                 Refusal = "CLASS"        // a profile that the rule does not admit
	RefusedJurisdictionMalformed Refusal = "JURISDICTION_MALFORMED"
	RefusedJurisdiction          Refusal = "JURISDICTION" // not among those the rule lists
	RefusedBasis                 Refusal = "BASIS"        // not one that the rule, or the law there, admits
	RefusedFuture                Refusal = "FUTURE"       // collected after the moment asked about
	RefusedAge                   Refusal = "AGE"          // older than the rule's maximum
)

// Refusals has every Refusal once.
var Refusals = [...]Refusal{
	RefusedPurpose, RefusedDenied, RefusedWithdrawn, RefusedExpired, RefusedRetracted, RefusedStatus, RefusedSwitchedOff,
	RefusedZero, RefusedClass, RefusedJurisdictionMalformed, RefusedJurisdiction, RefusedBasis, RefusedFuture, RefusedAge,
}

// Error returns the reason after the package's name; string(r) is the bare reason.
func (r Refusal) Error() string { return "consent: refused: " + string(r) }

// Eligible is an identifier that a Rule admitted. Admit is the only function in
// the module that makes one; the zero Eligible is unusable. It prints as
// REDACTED.
type Eligible struct {
	x       input.Input
	class   identifier.Class
	account Handle
	sum     [32]byte
}

// Admit returns the record's identifier as one that may be matched at the given
// moment, or else the Refusal that says why it may not.
//
// It is the only door. Both companies go through it: the platform with the
// records of its ledger, the advertiser with those that it made of its list,
// whose Account is zero.
func (r Rule) Admit(rec *Record, at time.Time) (Eligible, error) {
	if refusal := r.refuse(rec, at); refusal != "" {
		return Eligible{}, refusal
	}
	return Eligible{
		x:       input.New(byte(rec.Class), &rec.Sum),
		class:   rec.Class,
		account: rec.Account,
		sum:     rec.Sum,
	}, nil
}

// refuse returns why the record is not admitted, or "". The first reason that
// holds is the one reported, and what a Rule cannot change comes first.
func (r Rule) refuse(rec *Record, at time.Time) Refusal {
	switch {
	case rec.Purpose != AdsMatching:
		return RefusedPurpose
	case rec.Status != Granted:
		return refuseStatus(rec.Status)
	case rec.SwitchedOff:
		return RefusedSwitchedOff
	case rec.Sum == [32]byte{}:
		return RefusedZero
	case rec.Class.Kind() == 0 || !slices.Contains(r.Classes, rec.Class):
		return RefusedClass
	case !ValidJurisdiction(rec.Jurisdiction):
		return RefusedJurisdictionMalformed
	case !r.admitsJurisdiction(rec.Jurisdiction):
		return RefusedJurisdiction
	case !r.admitsBasis(rec.Basis, rec.Jurisdiction):
		return RefusedBasis
	case rec.CollectedAt.After(at):
		return RefusedFuture
	case r.MaxAge > 0 && at.Sub(rec.CollectedAt) > r.MaxAge:
		return RefusedAge
	}
	return ""
}

func refuseStatus(s Status) Refusal {
	switch s {
	case Denied:
		return RefusedDenied
	case Withdrawn:
		return RefusedWithdrawn
	case Expired:
		return RefusedExpired
	case Retracted:
		return RefusedRetracted
	}
	return RefusedStatus
}

func (r Rule) admitsBasis(b Basis, jurisdiction string) bool {
	if b == BasisConsent {
		return len(r.Bases) == 0 || slices.Contains(r.Bases, b)
	}
	return b.Admissible() && !NeedsConsent(jurisdiction) && slices.Contains(r.Bases, b)
}

func (r Rule) admitsJurisdiction(j string) bool {
	if len(r.Jurisdictions) == 0 || slices.Contains(r.Jurisdictions, j) {
		return true
	}
	return len(j) > 2 && slices.Contains(r.Jurisdictions, j[:2])
}

// Input returns x, what enters the pseudorandom function. It panics if e was
// not made by Admit: the zero Input would silently be a pad.
func (e Eligible) Input() input.Input {
	if e.x.IsZero() {
		panic("consent: Eligible not made by Admit")
	}
	return e.x
}

// Class returns the identifier's class.
func (e Eligible) Class() identifier.Class { return e.class }

// Account returns the account that the identifier belongs to, zero at the
// advertiser.
func (e Eligible) Account() Handle { return e.account }

// Sum returns h, the SHA-256 of the normalised identifier.
func (e Eligible) Sum() [32]byte { return e.sum }

// Format prints REDACTED whatever the verb.
func (Eligible) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the identifier out of structured logs.
func (Eligible) LogValue() slog.Value { return slog.StringValue(redacted) }
