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
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/overlap-psi/overlap/identifier"
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
)

// Statuses has every Status once.
var Statuses = [...]Status{Granted, Denied, Withdrawn, Expired}

var statusNames = [...]string{
	Granted:   "granted",
	Denied:    "denied",
	Withdrawn: "withdrawn",
	Expired:   "expired",
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
func (s Status) Valid() bool { return Granted <= s && s <= Expired }

// String returns the status's name.
func (s Status) String() string {
	if s.Valid() {
		return statusNames[s]
	}
	return fmt.Sprintf("Status(%d)", uint8(s))
}

// Handle is the platform's opaque, stable name of one account, 32 bytes. It
// stands for a person, so it prints as REDACTED. The zero Handle is no account.
type Handle [32]byte

// Record is one identifier of one account under one purpose, as it stands at
// some moment. It prints as REDACTED.
type Record struct {
	Account      Handle           // zero at the advertiser, which has no accounts
	Class        identifier.Class // the identifier's kind and profile
	Sum          [32]byte         // h of PROTOCOL.md §3, SHA-256 of the normalised identifier
	Purpose      Purpose
	Status       Status
	Jurisdiction string    // see ValidJurisdiction; empty: unknown
	CollectedAt  time.Time // when Status came about; zero: unknown
	SwitchedOff  bool      // the account holder's own switch against ads matching
	Secret       [32]byte  // its leaves' salts derive from it; kept only with the record, zero at the advertiser
}

// recordDST separates a record's hash from every other one.
const recordDST = "AMPSI-V01-record"

// Hash returns the SHA-256 of the record's encoding, which is what a leaf says
// of a record (PROTOCOL.md §10):
//
//	"AMPSI-V01-record" ‖ account(32) ‖ I2OSP(class,1) ‖ sum(32) ‖ I2OSP(purpose,1) ‖ I2OSP(status,1)
//	‖ I2OSP(switched off,1) ‖ seconds(8) ‖ I2OSP(nanoseconds,4) ‖ I2OSP(len(jurisdiction),4) ‖ jurisdiction
//
// Integers are big-endian; seconds are those of CollectedAt since 1970 in UTC,
// in two's complement. All but the last field are of fixed length, so two
// records have one encoding only if they are equal. Secret is left out: whoever
// is shown the record can compute its hash without it.
func (r *Record) Hash() [32]byte {
	var scratch [128]byte
	b := append(scratch[:0], recordDST...)
	b = append(b, r.Account[:]...)
	b = append(b, byte(r.Class))
	b = append(b, r.Sum[:]...)
	b = append(b, byte(r.Purpose), byte(r.Status), 0)
	if r.SwitchedOff {
		b[len(b)-1] = 1
	}
	b = appendTime(b, r.CollectedAt)
	b = binary.BigEndian.AppendUint32(b, uint32(len(r.Jurisdiction)))
	b = append(b, r.Jurisdiction...)
	return sha256.Sum256(b)
}

// timeLen is the length of an encoded time.
const timeLen = 8 + 4

func appendTime(b []byte, t time.Time) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func readTime(b []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint64(b)), int64(binary.BigEndian.Uint32(b[8:]))).UTC()
}

const redacted = "REDACTED"

// Format prints REDACTED whatever the verb.
func (Handle) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the handle out of structured logs.
func (Handle) LogValue() slog.Value { return slog.StringValue(redacted) }

// Format prints REDACTED whatever the verb.
func (Record) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the record out of structured logs.
func (Record) LogValue() slog.Value { return slog.StringValue(redacted) }
