// Package consent decides who may be matched, and commits to the decision.
//
// A platform's ledger is a stream of Records: one identifier of one account,
// what the account holder was told when giving it (Purpose), and what became of
// that (Status). Rule.Admit is the one door from a Record to an Eligible, and an
// Eligible is the one thing that the pseudorandom function takes (PROTOCOL.md
// §3). No field of a Rule can open the door to another purpose than advertising:
// a number given for two-factor authentication, for recovery, for signing up, or
// found in somebody else's address book does not pass, whatever else is true.
//
// What must not compile:
//
//	e := consent.Eligible{...}             // no field is exported
//	k.Evaluate(out, []psi.Input{record.Sum}) // a hash is no Input
//	input.New(class, &record.Sum)          // only this package may; source_test.go looks for it
//
// A Snapshot is everything eligible at one moment, in order, under one root that
// a session is bound to (PROTOCOL.md §10).
//
// The package is pure: no file, network, clock, randomness or log.
package consent

import (
	"errors"
	"fmt"
	"log/slog"
)

// Purpose is what a person was told an identifier is for, by the notice shown
// when it was given. The list is closed, and its zero value is no purpose.
type Purpose uint8

// The purposes. Security is three of them, not one flag: an order or a policy
// may treat them apart, and a record says which notice was shown.
const (
	AccountSignup      Purpose = iota + 1 // an address demanded for having an account
	AccountSecurity2FA                    // two-factor authentication
	AccountRecovery                       // getting back into an account
	AccountReauth                         // proving oneself after suspicious activity
	ProfileContact                        // contact details shown on a profile
	AdsMatching                           // matching with advertisers' lists: the only one Admit lets through
	UploadedByOther                       // found in what another person uploaded
	ImportUnknown                         // from a system that did not keep the purpose
)

// Purposes has every Purpose once.
var Purposes = [...]Purpose{
	AccountSignup, AccountSecurity2FA, AccountRecovery, AccountReauth,
	ProfileContact, AdsMatching, UploadedByOther, ImportUnknown,
}

var purposeNames = [...]string{
	AccountSignup:      "account_signup",
	AccountSecurity2FA: "account_security_2fa",
	AccountRecovery:    "account_recovery",
	AccountReauth:      "account_reauth",
	ProfileContact:     "profile_contact",
	AdsMatching:        "ads_matching",
	UploadedByOther:    "uploaded_by_other",
	ImportUnknown:      "import_unknown",
}

var errPurpose = errors.New("consent: unknown purpose")

// ParsePurpose returns the purpose of the given name, such as "ads_matching".
// An unknown or empty name is an error, never a purpose.
func ParsePurpose(name string) (Purpose, error) {
	for _, p := range Purposes {
		if purposeNames[p] == name {
			return p, nil
		}
	}
	return 0, errPurpose
}

// Valid reports whether p is in the closed list.
func (p Purpose) Valid() bool { return AccountSignup <= p && p <= ImportUnknown }

// String returns the purpose's name.
func (p Purpose) String() string {
	if p.Valid() {
		return purposeNames[p]
	}
	return fmt.Sprintf("Purpose(%d)", uint8(p))
}

// Status is the last thing that happened to a consent. The list is closed, and
// its zero value is no status.
type Status uint8

// The statuses.
const (
	Granted Status = iota + 1
	Denied
	Withdrawn
	Expired
	Retracted // the record was wrong, as by a mislabelled import: what it said never held
)

// Statuses has every Status once.
var Statuses = [...]Status{Granted, Denied, Withdrawn, Expired, Retracted}

var statusNames = [...]string{
	Granted:   "granted",
	Denied:    "denied",
	Withdrawn: "withdrawn",
	Expired:   "expired",
	Retracted: "retracted",
}

var errStatus = errors.New("consent: unknown status")

// ParseStatus returns the status of the given name. A ledger of consent events
// says "given" and "refused" for "granted" and "denied". An unknown or empty
// name is an error, never a status.
func ParseStatus(name string) (Status, error) {
	switch name {
	case "given":
		return Granted, nil
	case "refused":
		return Denied, nil
	}
	for _, s := range Statuses {
		if statusNames[s] == name {
			return s, nil
		}
	}
	return 0, errStatus
}

// Valid reports whether s is in the closed list.
func (s Status) Valid() bool { return Granted <= s && s <= Retracted }

// String returns the status's name.
func (s Status) String() string {
	if s.Valid() {
		return statusNames[s]
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Basis is the ground in law that a record was collected on. The list is closed,
// and its zero value is no basis.
type Basis uint8

// The bases. Only the first three can ever be admitted, and where the law asks
// for consent (NeedsConsent) only the first.
const (
	BasisConsent             Basis = iota + 1
	BasisNoticeOptOut              // told, and did not opt out: the regime of the United States
	BasisLegitimateInterests       // weighed against the person's
	BasisContract                  // needed for what the person ordered, which advertising is not
	BasisLegalObligation           // demanded by a law, which demands no advertising
)

// Bases has every Basis once.
var Bases = [...]Basis{BasisConsent, BasisNoticeOptOut, BasisLegitimateInterests, BasisContract, BasisLegalObligation}

var basisNames = [...]string{
	BasisConsent:             "consent",
	BasisNoticeOptOut:        "notice_opt_out",
	BasisLegitimateInterests: "legitimate_interests",
	BasisContract:            "contract",
	BasisLegalObligation:     "legal_obligation",
}

var errBasis = errors.New("consent: unknown basis")

// ParseBasis returns the basis of the given name. An unknown or empty name is an
// error, never a basis.
func ParseBasis(name string) (Basis, error) {
	for _, b := range Bases {
		if basisNames[b] == name {
			return b, nil
		}
	}
	return 0, errBasis
}

// Valid reports whether b is in the closed list.
func (b Basis) Valid() bool { return BasisConsent <= b && b <= BasisLegalObligation }

// Admissible reports whether a Rule may name b at all.
func (b Basis) Admissible() bool { return BasisConsent <= b && b <= BasisLegitimateInterests }

// String returns the basis's name.
func (b Basis) String() string {
	if b.Valid() {
		return basisNames[b]
	}
	return fmt.Sprintf("Basis(%d)", uint8(b))
}

// Handle is the platform's opaque, stable name of one account, 32 bytes. It
// stands for a person, so it prints as REDACTED. The zero Handle is no account.
type Handle [32]byte

const redacted = "REDACTED"

// Format prints REDACTED whatever the verb.
func (Handle) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the handle out of structured logs.
func (Handle) LogValue() slog.Value { return slog.StringValue(redacted) }
