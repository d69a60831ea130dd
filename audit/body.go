package audit

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Policy says that a policy is in force from now on.
type Policy struct {
	Hash     Hash   `json:"hash"` // PROTOCOL.md §15
	Version  uint64 `json:"version"`
	Document Hash   `json:"document"` // SHA-256 of the signed document
	Signer   Hash   `json:"signer"`   // the id of the company that signed it
}

// Snapshot says that consent was judged and frozen for a session, before
// anything was asked (PROTOCOL.md §10).
type Snapshot struct {
	SID         Hash   `json:"sid"`
	ConsentRoot Hash   `json:"consent_root"`
	ConsentSize uint64 `json:"consent_size"` // padded
	Policy      Hash   `json:"policy"`
}

// Matched fixes which of its questions a platform found on the list, when it
// found out and before anybody asked: SHA-256 of 32 random bytes and the matches'
// list, both of which stay private until somebody has to be answered. How many
// there are it does not say.
type Matched struct {
	SID        Hash `json:"sid"`
	Commitment Hash `json:"commitment"`
}

// Session says that a session is over.
type Session struct {
	SID     Hash   `json:"sid"`
	Record  Hash   `json:"record"`  // SHA-256 of the Record (PROTOCOL.md §10)
	Outcome string `json:"outcome"` // complete or failed
	Partner Hash   `json:"partner"` // the other company's id
	Mode    string `json:"mode"`    // PROTOCOL.md §1
}

// Release says that a session has charged a budget. How much was released is
// not in the log.
type Release struct {
	SID     Hash   `json:"sid"`
	Charged string `json:"charged"` // releases or queries
	Epoch   uint64 `json:"epoch"`
}

// Erasure says that leaves of past snapshots can't be opened any more, because a
// person's records were erased. It does not say whose.
type Erasure struct {
	Request Hash     `json:"request"` // random, fresh for each request
	Closed  []Closed `json:"closed,omitempty"`
}

// Closed is the closed leaves of one session's snapshot, each leaf_i of
// PROTOCOL.md §10: a hash with a salt that is gone.
type Closed struct {
	SID    Hash   `json:"sid"`
	Leaves []Hash `json:"leaves"`
}

// Incident says that it was asked who was affected by something, and fixes the
// question and the answer. The list's file has to begin with 32 random bytes:
// the hash of a short list could be tried out otherwise.
type Incident struct {
	ID        Hash `json:"id"`        // random
	Predicate Hash `json:"predicate"` // SHA-256 of its text
	Affected  Hash `json:"affected"`  // SHA-256 of the list's file, which stays private
}

// Hold says that erasing the people of an incident waits until they are told, or
// until the given time. The last hold of an incident counts.
type Hold struct {
	Incident Hash      `json:"incident"`
	Reason   string    `json:"reason"` // notification, authority or claim
	Until    time.Time `json:"until"`  // in UTC and whole seconds
}

// Manifest says that a table is published from now on (PROTOCOL.md §7.4).
type Manifest struct {
	TableID  Hash   `json:"table_id"`
	Manifest Hash   `json:"manifest"` // SHA-256 of the body of MANIFEST
	Policy   Hash   `json:"policy"`   // that its people were admitted under
	Epoch    uint64 `json:"epoch"`
}

// KeyDestroyed says that a published table's key is gone: nobody can be answered
// under it any more.
type KeyDestroyed struct {
	TableID Hash `json:"table_id"`
}

// Access says that somebody inside the company has looked at results. It belongs
// in the private log.
type Access struct {
	Who    string `json:"who"`    // at most 256 bytes
	Reason string `json:"reason"` // at most 1024 bytes
	What   string `json:"what"`   // a-z and _, at most 32: what was read
	Rows   uint64 `json:"rows"`
	SID    *Hash  `json:"sid,omitempty"` // if it is of one session
}

func (Policy) Kind() Kind   { return "policy" }
func (Snapshot) Kind() Kind { return "snapshot" }
func (Matched) Kind() Kind  { return "matched" }
func (Session) Kind() Kind  { return "session" }
func (Release) Kind() Kind  { return "release" }
func (Erasure) Kind() Kind  { return "erasure" }
func (Incident) Kind() Kind { return "incident" }
func (Hold) Kind() Kind     { return "hold" }
func (Access) Kind() Kind   { return "access" }

func (Manifest) Kind() Kind     { return "manifest" }
func (KeyDestroyed) Kind() Kind { return "key_destroyed" }

func (b Policy) valid() bool {
	return named(b.Hash, b.Document, b.Signer) && b.Version > 0
}

func (b Snapshot) valid() bool {
	return named(b.SID, b.ConsentRoot, b.Policy) && b.ConsentSize > 0
}

func (b Manifest) valid() bool     { return named(b.TableID, b.Manifest, b.Policy) }
func (b KeyDestroyed) valid() bool { return named(b.TableID) }

func (b Matched) valid() bool { return named(b.SID, b.Commitment) }

func (b Session) valid() bool {
	return named(b.SID, b.Record, b.Partner) && oneOf(b.Outcome, "complete", "failed") &&
		oneOf(b.Mode, "A_LEARNS", "P_LEARNS", "MUTUAL_A", "MUTUAL_P")
}

func (b Release) valid() bool {
	return named(b.SID) && oneOf(b.Charged, "releases", "queries")
}

// valid asks for one order of sessions and leaves, which also keeps that of the
// accounts from being told.
func (b Erasure) valid() bool {
	for i, c := range b.Closed {
		if !named(c.SID) || len(c.Leaves) == 0 || !rising(c.Leaves) || i > 0 && compareHash(b.Closed[i-1].SID, c.SID) >= 0 {
			return false
		}
	}
	return named(b.Request)
}

func (b Incident) valid() bool {
	return named(b.ID, b.Predicate, b.Affected)
}

func (b Hold) valid() bool {
	return named(b.Incident) && oneOf(b.Reason, "notification", "authority", "claim") && b.Until.Unix() > 0 &&
		b.Until.UTC().Year() <= 9999 && b.Until.Location() == time.UTC && b.Until.Nanosecond() == 0
}

func (b Access) valid() bool {
	small := func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') }
	return isText(b.Who, 256) && isText(b.Reason, 1024) && isText(b.What, 32) && !strings.ContainsFunc(b.What, small) &&
		(b.SID == nil || named(*b.SID))
}

// named reports whether no hash was forgotten.
func named(hashes ...Hash) bool { return !slices.Contains(hashes, Hash{}) }

func oneOf(s string, allowed ...string) bool { return slices.Contains(allowed, s) }

func rising(leaves []Hash) bool {
	for i := range leaves {
		if leaves[i] == (Hash{}) || i > 0 && compareHash(leaves[i-1], leaves[i]) >= 0 {
			return false
		}
	}
	return true
}

func isText(s string, most int) bool {
	return s != "" && len(s) <= most && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
