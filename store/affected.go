package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// Query asks who was affected by a misuse. An account is, if one of its identifiers
// is in the manifest of a session and all the records of that identifier which held
// at the moment of the session's eligible set, as is known now, are ones that the
// predicate means: one that it does not mean was reason enough. If none held there
// was no reason, whatever the predicate says but for the kind of identifier.
type Query struct {
	Predicate    consent.Predicate
	Grade        Grade
	Since, Until time.Time // of the eligible sets: at Since or later, before Until; zero: any
	Advertiser   [32]byte  // zero: any
	SID          [32]byte  // zero: any; if it is not among them: ErrNotFound
}

// Tally is how many. An account with several identifiers counts once.
type Tally struct {
	Accounts    uint64
	Identifiers uint64 // (account, identifier) pairs
}

// Answer says how many were affected. An account that several lines of a list have
// is counted in each of them, and once in the whole.
type Answer struct {
	Tally
	Sessions    []SessionTally    // all that were asked about, by time
	Advertisers []AdvertiserTally // of these sessions, in their order
	Kinds       []KindTally       // that somebody was affected by
	Purposes    []PurposeTally    // likewise

	// List is the SHA-256 of the accounts affected, in the order in which
	// AffectedAccounts has them, each as I2OSP(length,4) ‖ the platform's id.
	List [32]byte
}

// SessionTally is how many a session affected.
type SessionTally struct {
	Tally
	SID        [32]byte
	Advertiser [32]byte
	Audience   string
	Mode       string
	CutAt      time.Time
	Erased     Tally // in the manifest and erased since: of none of them can it be known
	Expired    bool  // the manifest is no longer kept: it cannot be known of anybody
}

// AdvertiserTally is how many an advertiser's sessions affected.
type AdvertiserTally struct {
	Tally
	Advertiser [32]byte
}

// KindTally is how many were affected by a kind of identifier.
type KindTally struct {
	Tally
	Kind identifier.Kind
}

// PurposeTally is how many were affected although what held was the purpose; 0 is
// nothing held.
type PurposeTally struct {
	Tally
	Purpose consent.Purpose
}

// Affected is one account that was affected. It prints as REDACTED.
type Affected struct {
	AccountID string
	Uses      []Use
}

// Use is an identifier's use in sessions on one ground.
type Use struct {
	Record   consent.Record   // what it was admitted on
	Valid    []consent.Record // what held then, as is known now
	Sessions [][32]byte       // by time
}

// Format prints REDACTED whatever the verb.
func (Affected) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the account out of structured logs.
func (Affected) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Affected counts those affected, from one state of the store. It reads the whole
// ledger once, and keeps in memory a bit for each of its numbers and each session
// asked about, at most; parts that sessions have in common are kept once.
func (d *DB) Affected(ctx context.Context, q Query) (Answer, error) {
	var t *tallies
	in, err := d.inquire(ctx, q, func(in *inquiry, a *account) bool {
		if t == nil {
			t = newTally(in.sessions)
		}
		t.add(a)
		return true
	})
	if err != nil {
		return Answer{}, err
	}
	if t == nil {
		t = newTally(in.sessions)
	}
	return t.answer(in.sessions), nil
}

// AffectedAccounts returns those affected, and for each of their identifiers on
// what ground it was admitted to which session, in the order in which the store
// came to know the accounts. Otherwise as Affected. An error ends it.
func (d *DB) AffectedAccounts(ctx context.Context, q Query) iter.Seq2[Affected, error] {
	return func(yield func(Affected, error) bool) {
		_, err := d.inquire(ctx, q, func(in *inquiry, a *account) bool { return yield(a.affected(in), nil) })
		if err != nil {
			yield(Affected{}, err)
		}
	}
}

func (a *account) affected(in *inquiry) Affected {
	one := Affected{AccountID: a.id}
	for _, u := range a.uses {
		use := Use{Record: *u.record, Valid: slices.Clone(u.valid)}
		for _, s := range u.sessions {
			use.Sessions = append(use.Sessions, in.sessions[s].SID)
		}
		one.Uses = append(one.Uses, use)
	}
	return one
}

// counter counts what comes by account, and for each account by identifier.
type counter struct {
	Tally
	account, identifier uint64 // last counted, from 1
}

func (c *counter) add(account, identifier uint64) {
	if c.account != account {
		c.account = account
		c.Accounts++
	}
	if c.identifier != identifier {
		c.identifier = identifier
		c.Identifiers++
	}
}

// tallies counts affected accounts.
type tallies struct {
	all                 counter
	sessions            []counter
	advertisers         []counter
	advertiserOf        []int // by session
	kinds               map[identifier.Kind]*counter
	purposes            map[consent.Purpose]*counter
	account, identifier uint64 // running numbers
	list                hash.Hash
}

func newTally(sessions []*asked) *tallies {
	t := &tallies{
		sessions: make([]counter, len(sessions)),
		kinds:    map[identifier.Kind]*counter{},
		purposes: map[consent.Purpose]*counter{},
		list:     sha256.New(),
	}
	known := map[[32]byte]int{}
	for _, s := range sessions {
		i, there := known[s.Advertiser]
		if !there {
			i = len(known)
			known[s.Advertiser] = i
		}
		t.advertiserOf = append(t.advertiserOf, i)
	}
	t.advertisers = make([]counter, len(known))
	return t
}

func (t *tallies) add(a *account) {
	t.account++
	t.list.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a.id))))
	t.list.Write([]byte(a.id))
	for i := range a.uses {
		u := &a.uses[i]
		if u.first {
			t.identifier++
		}
		t.all.add(t.account, t.identifier)
		for _, s := range u.sessions {
			t.sessions[s].add(t.account, t.identifier)
			t.advertisers[t.advertiserOf[s]].add(t.account, t.identifier)
		}
		of(t.kinds, u.record.Class.Kind()).add(t.account, t.identifier)
		if len(u.valid) == 0 {
			of(t.purposes, 0).add(t.account, t.identifier)
		}
		for i := range u.valid {
			of(t.purposes, u.valid[i].Purpose).add(t.account, t.identifier)
		}
	}
}

func of[K comparable](counters map[K]*counter, key K) *counter {
	c := counters[key]
	if c == nil {
		c = new(counter)
		counters[key] = c
	}
	return c
}

func (t *tallies) answer(sessions []*asked) Answer {
	a := Answer{Tally: t.all.Tally, List: [32]byte(t.list.Sum(nil))}
	for i, s := range sessions {
		s.Tally = t.sessions[i].Tally
		a.Sessions = append(a.Sessions, s.SessionTally)
		if at := t.advertiserOf[i]; at == len(a.Advertisers) {
			a.Advertisers = append(a.Advertisers, AdvertiserTally{t.advertisers[at].Tally, s.Advertiser})
		}
	}
	for _, k := range sortedKeys(t.kinds) {
		a.Kinds = append(a.Kinds, KindTally{t.kinds[k].Tally, k})
	}
	for _, p := range sortedKeys(t.purposes) {
		a.Purposes = append(a.Purposes, PurposeTally{t.purposes[p].Tally, p})
	}
	return a
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
