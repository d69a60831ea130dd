package consent

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// History is what a ledger says of one identifier of one account: all its facts,
// for whatever purpose, ordered by when they were collected and then by arrival.
type History []Record

// NewHistory orders the facts in place.
func NewHistory(facts []Record) History {
	slices.SortFunc(facts, func(a, b Record) int {
		return cmp.Or(a.CollectedAt.Compare(b.CollectedAt), cmp.Compare(a.Fact, b.Fact))
	})
	return facts
}

// KnownNow is the number of a fact that no ledger reaches: everything that it has
// heard since is known.
const KnownNow = math.MaxUint64

// Valid appends to dst the records that held at the given moment, by what the
// ledger had heard until fact number known. With a snapshot's last fact this is
// what was known when it was cut; with KnownNow it is the truth about that moment
// as far as it has come out.
//
// A grant holds for its purpose and source from when it was collected, in the
// place of an earlier one of both. A refusal, a withdrawal or an expiry ends all
// that holds for its purpose, whatever the source. A retraction says that a grant
// of its purpose and source never held, also not before it came: the one of its own
// time, or else the last before that, of those heard of before it.
func (h History) Valid(dst []Record, at time.Time, known uint64) []Record {
	start := len(dst)
	for i := range h {
		fact := &h[i]
		if fact.CollectedAt.After(at) {
			break
		}
		if fact.Fact > known {
			continue
		}
		switch fact.Status {
		case Granted:
			if !h.takenBack(fact, known) {
				dst = grant(dst, start, fact)
			}
		case Denied, Withdrawn, Expired:
			held := slices.DeleteFunc(dst[start:], func(r Record) bool { return r.Purpose == fact.Purpose })
			dst = dst[:start+len(held)]
		}
	}
	return dst
}

// takenBack reports whether a retraction known by then says that the grant never
// held. It may have been collected after the moment asked about.
func (h History) takenBack(grant *Record, known uint64) bool {
	for i := range h {
		r := &h[i]
		if r.Status == Retracted && r.Fact <= known && meant(r, grant) && !h.otherMeant(r, grant) {
			return true
		}
	}
	return false
}

// meant reports whether the retraction can be about the grant.
func meant(r, grant *Record) bool {
	return r.Purpose == grant.Purpose && r.Source == grant.Source && grant.Fact < r.Fact && !grant.CollectedAt.After(r.CollectedAt)
}

// otherMeant reports whether the retraction is about a later grant.
func (h History) otherMeant(r, grant *Record) bool {
	for i := range h {
		if g := &h[i]; g.Status == Granted && g.CollectedAt.After(grant.CollectedAt) && meant(r, g) {
			return true
		}
	}
	return false
}

// grant puts the record in the place of the one of its purpose and source, or at
// the end.
func grant(dst []Record, start int, r *Record) []Record {
	for i := start; i < len(dst); i++ {
		if dst[i].Purpose == r.Purpose && dst[i].Source == r.Source {
			dst[i] = *r
			return dst
		}
	}
	return append(dst, *r)
}
