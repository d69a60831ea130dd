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

// Record is one identifier of one account under one purpose, as it stands at
// some moment. It prints as REDACTED.
type Record struct {
	Account      Handle           // zero at the advertiser, which has no accounts
	Class        identifier.Class // the identifier's kind and profile
	Sum          [32]byte         // h of PROTOCOL.md §3, SHA-256 of the normalised identifier
	Purpose      Purpose
	Status       Status
	Basis        Basis
	Jurisdiction string    // see ValidJurisdiction; empty: unknown
	CollectedAt  time.Time // when Status came about; zero: unknown
	SwitchedOff  bool      // the account holder's own switch against ads matching

	// What shows that it is so, in the platform's words; each may be empty, and
	// is at most MaxText bytes long.
	Notice    string // the notice that the person was shown, and its version
	Surface   string // where: a page, an app, a shop
	Reference string // the consent record's name in the system that keeps it
	Source    string // the system or the import that the record came from

	// Label is what a match may tell the advertiser of the account, under a policy
	// that has labels; at most MaxLabel bytes. It says nothing of the consent, so
	// that Admit does not look at it and the encoding is without it: whoever is
	// shown a record is shown no label.
	Label string

	// Fact is the number of the ledger's line that says all this, 0 at the
	// advertiser. Secret is what its leaves' salts derive from; it is kept only
	// with the record, zero at the advertiser. Neither is part of the encoding.
	Fact   uint64
	Secret [32]byte
}

// MaxText is the longest text of a record, in bytes.
const MaxText = 1024

// MaxLabel is the longest label, in bytes (PROTOCOL.md §7.3).
const MaxLabel = 478

// recordDST separates a record's encoding from every other one.
const recordDST = "AMPSI-V01-record"

// Append appends the record's encoding, whose SHA-256 a leaf holds (PROTOCOL.md
// §10):
//
//	"AMPSI-V01-record" ‖ account(32) ‖ I2OSP(class,1) ‖ sum(32) ‖ I2OSP(purpose,1) ‖ I2OSP(status,1) ‖ I2OSP(basis,1)
//	‖ I2OSP(switched off,1) ‖ seconds(8) ‖ I2OSP(nanoseconds,4)
//	‖ jurisdiction ‖ notice ‖ surface ‖ reference ‖ source, each as I2OSP(length,4) ‖ text
//
// Integers are big-endian; seconds are those of CollectedAt since 1970 in UTC,
// in two's complement. Every text has its length before it, so two records have
// one encoding only if they are equal. Secret is left out: whoever is shown the
// record can compute its hash without it.
func (r *Record) Append(b []byte) []byte {
	b = append(b, recordDST...)
	b = append(b, r.Account[:]...)
	b = append(b, byte(r.Class))
	b = append(b, r.Sum[:]...)
	b = append(b, byte(r.Purpose), byte(r.Status), byte(r.Basis), 0)
	if r.SwitchedOff {
		b[len(b)-1] = 1
	}
	b = appendTime(b, r.CollectedAt)
	for _, text := range r.texts() {
		b = binary.BigEndian.AppendUint32(b, uint32(len(*text)))
		b = append(b, *text...)
	}
	return b
}

// texts are the fields of variable length, in the order of the encoding.
func (r *Record) texts() [5]*string {
	return [...]*string{&r.Jurisdiction, &r.Notice, &r.Surface, &r.Reference, &r.Source}
}

// recordLen is the length of an encoding's fields of fixed length.
const recordLen = len(recordDST) + 32 + 1 + 32 + 4 + timeLen

// Hash returns the SHA-256 of the record's encoding, which is what a leaf says
// of a record.
func (r *Record) Hash() [32]byte {
	var scratch [512]byte // most fit
	return sha256.Sum256(r.Append(scratch[:0]))
}

var errRecord = errors.New("consent: not the encoding of a record")

// ParseRecord reads what Append made, and nothing else: no other bytes are the
// encoding of the record it returns. It looks at the form only; whether a record
// may be matched is Rule.Admit's to say.
func ParseRecord(b []byte) (*Record, error) {
	if len(b) < recordLen || string(b[:len(recordDST)]) != recordDST {
		return nil, errRecord
	}
	r := new(Record)
	rest := b[len(recordDST):]
	copy(r.Account[:], rest)
	r.Class = identifier.Class(rest[32])
	copy(r.Sum[:], rest[33:])
	rest = rest[65:]
	r.Purpose, r.Status, r.Basis, r.SwitchedOff = Purpose(rest[0]), Status(rest[1]), Basis(rest[2]), rest[3] == 1
	nanoseconds := binary.BigEndian.Uint32(rest[4+8:])
	if rest[3] > 1 || nanoseconds >= uint32(time.Second) {
		return nil, errRecord
	}
	r.CollectedAt = readTime(rest[4:])
	rest = rest[4+timeLen:]
	for _, text := range r.texts() {
		if len(rest) < 4 {
			return nil, errRecord
		}
		n := uint64(binary.BigEndian.Uint32(rest))
		if n > MaxText || n > uint64(len(rest)-4) {
			return nil, errRecord
		}
		*text, rest = string(rest[4:4+n]), rest[4+n:]
	}
	if len(rest) > 0 {
		return nil, errRecord
	}
	return r, nil
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

// Format prints REDACTED whatever the verb.
func (Record) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue keeps the record out of structured logs.
func (Record) LogValue() slog.Value { return slog.StringValue(redacted) }
