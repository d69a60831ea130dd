package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"math"
	"slices"
	"sort"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// inquiry looks at every account for those that a Query is about.
type inquiry struct {
	q        Query
	tx       *sql.Tx
	key      handleKey
	origins  originReader
	sessions []*asked           // by time
	parts    map[int64][]*chunk // of the sessions' manifests, by chunk
	found    func(*inquiry, *account) (more bool)

	// Of the range of accounts at hand, reused.
	facts []known
	ids   map[int64]string // nil until one is asked for
	// Of the account at hand, reused.
	account account
	records []consent.Record
	valid   []consent.Record
	arena   []consent.Record
	hits    []int
}

// asked is a session that is asked about.
type asked struct {
	SessionTally
	id int64
}

// account is an affected account; it is another's after the call.
type account struct {
	number int64
	id     string
	uses   []use
}

type use struct {
	record   *consent.Record
	valid    []consent.Record
	sessions []int
	first    bool // of its identifier
}

// known is a fact as its table has it.
type known struct {
	seq, account, origin, collected int64
	class                           identifier.Class
	purpose                         consent.Purpose
	status                          consent.Status
	sum                             [32]byte
	reference                       string
}

const errGrade = refusal("neither exposed nor matched is asked about")

// inquire calls found for each affected account, by number, until it wants no
// more.
func (d *DB) inquire(ctx context.Context, q Query, found func(*inquiry, *account) (more bool)) (*inquiry, error) {
	if q.Grade != Exposed && q.Grade != Matched {
		return nil, errGrade // not 0 accounts: nothing would have been looked at
	}
	v, err := d.View(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	in := &inquiry{
		q: q, tx: v.tx, key: v.key, found: found,
		origins: originReader{from: v.tx, known: map[int64]origin{}},
		parts:   map[int64][]*chunk{},
	}
	if err := in.readSessions(ctx); err != nil {
		return nil, err
	}
	if (q.SID != [32]byte{}) && len(in.sessions) == 0 {
		return nil, ErrNotFound
	}
	if len(in.parts) == 0 {
		return in, nil
	}
	for from := int64(0); from <= int64(v.Cut()); from += rangeLen {
		more, err := in.readRange(ctx, from)
		if err != nil {
			return nil, wrap("reading the ledger", err)
		}
		if !more {
			break
		}
	}
	return in, nil
}

// rangeLen is how many numbers are looked at at a time. Accounts that came together
// have facts that came together, so what is needed of the manifests for one range
// stays in the processor's cache.
const rangeLen = 1 << 16

func (in *inquiry) readSessions(ctx context.Context) error {
	since, until := int64(math.MinInt64), int64(math.MaxInt64)
	if !in.q.Since.IsZero() {
		since = micros(in.q.Since)
	}
	if !in.q.Until.IsZero() {
		until = micros(in.q.Until)
	}
	for s, err := range each(ctx, in.tx, "reading sessions", scanAsked, `SELECT s.id, s.sid, s.peer, s.audience, s.mode, s.cut_at, s.snapshot_id IS NULL, e.identifiers, e.accounts
		FROM sessions s LEFT JOIN erased e ON e.session = s.id AND e.grade = ? AND e.class = 0
		WHERE s.cut_at >= ? AND s.cut_at < ? ORDER BY s.cut_at, s.id`, int64(in.q.Grade), since, until) {
		if err != nil {
			return err
		}
		if (in.q.Advertiser == [32]byte{} || in.q.Advertiser == s.Advertiser) && (in.q.SID == [32]byte{} || in.q.SID == s.SID) {
			in.sessions = append(in.sessions, s)
		}
	}
	same := map[string]*chunk{} // sessions after one another are about nearly the same accounts
	for i, s := range in.sessions {
		if err := in.readManifest(ctx, i, s, same); err != nil {
			return err
		}
	}
	return nil
}

func scanAsked(row scanner) (s *asked, err error) {
	s = new(asked)
	var sid, peer []byte
	var cutAt int64
	var identifiers, accounts sql.NullInt64
	if err := row.Scan(&s.id, &sid, &peer, &s.Audience, &s.Mode, &cutAt, &s.Expired, &identifiers, &accounts); err != nil {
		return nil, err
	}
	s.CutAt = fromMicros(cutAt)
	s.Erased = Tally{uint64(accounts.Int64), uint64(identifiers.Int64)}
	return s, errors.Join(fixed(&s.SID, sid), fixed(&s.Advertiser, peer))
}

func (in *inquiry) readManifest(ctx context.Context, i int, s *asked, same map[string]*chunk) error {
	for p, err := range each(ctx, in.tx, "reading manifests", scanPart, `SELECT chunk, session, facts FROM manifests WHERE session = ? AND grade = ?`, s.id, int64(in.q.Grade)) {
		if err != nil {
			return err
		}
		c := same[string(p.numbers)]
		if c == nil {
			if c, err = p.decode(); err != nil {
				return err
			}
			same[string(p.numbers)] = c
		}
		if in.parts[p.at] == nil {
			in.parts[p.at] = make([]*chunk, len(in.sessions))
		}
		in.parts[p.at][i] = c
	}
	return nil
}

// readRange looks at the accounts of the numbers from from on.
func (in *inquiry) readRange(ctx context.Context, from int64) (more bool, err error) {
	in.ids = nil
	if err := in.readFacts(ctx, from); err != nil {
		return false, err
	}
	for facts := in.facts; len(facts) > 0; {
		n := 1
		for n < len(facts) && facts[n].account == facts[0].account {
			n++
		}
		more, err := in.judge(ctx, from, facts[:n])
		if err != nil || !more {
			return false, err
		}
		facts = facts[n:]
	}
	return true, nil
}

// readFacts reads the range's facts, by account.
func (in *inquiry) readFacts(ctx context.Context, from int64) error {
	in.facts = in.facts[:0]
	rows, err := in.tx.QueryContext(ctx, `SELECT seq, account, origin, class, purpose, status, collected_at, reference, sum
		FROM facts WHERE account >= ? AND account < ? ORDER BY account`, from, from+rangeLen)
	if err != nil {
		return err
	}
	defer rows.Close()
	var sum, reference sql.RawBytes
	for rows.Next() {
		var f known
		if err := rows.Scan(&f.seq, &f.account, &f.origin, &f.class, &f.purpose, &f.status, &f.collected, &reference, &sum); err != nil {
			return err
		}
		if err := fixed(&f.sum, sum); err != nil {
			return err
		}
		f.reference = string(reference)
		in.facts = append(in.facts, f)
	}
	return rows.Err()
}

// judge looks at one account's facts, and calls found if it was affected.
func (in *inquiry) judge(ctx context.Context, from int64, facts []known) (more bool, err error) {
	slices.SortFunc(facts, func(a, b known) int {
		return cmp.Or(cmp.Compare(a.class, b.class), bytes.Compare(a.sum[:], b.sum[:]))
	})
	in.account = account{number: facts[0].account, uses: in.account.uses[:0]}
	in.records, in.arena, in.hits = in.records[:0], in.arena[:0], in.hits[:0]
	for len(facts) > 0 {
		n := 1
		for n < len(facts) && facts[n].class == facts[0].class && facts[n].sum == facts[0].sum {
			n++
		}
		if in.concerns(facts[:n]) {
			if err := in.judgeIdentifier(ctx, facts[:n]); err != nil {
				return false, err
			}
		}
		facts = facts[n:]
	}
	if len(in.account.uses) == 0 {
		return true, nil
	}
	if in.account.id, err = in.accountID(ctx, from, in.account.number); err != nil {
		return false, err
	}
	return in.found(in, &in.account), nil
}

// concerns reports whether the identifier can be in a manifest at all.
func (in *inquiry) concerns(facts []known) bool {
	return in.q.Predicate.Covers(facts[0].class) && slices.ContainsFunc(facts, func(f known) bool { return in.parts[f.seq/chunkLen] != nil })
}

// judgeIdentifier adds the uses by which the identifier was affected. What held
// changes only when something was collected, so it is asked once for all sessions
// between two such moments.
func (in *inquiry) judgeIdentifier(ctx context.Context, facts []known) error {
	start := len(in.records)
	for i := range facts {
		r, err := in.record(ctx, &facts[i])
		if err != nil {
			return err
		}
		in.records = append(in.records, r)
	}
	h := consent.NewHistory(in.records[start:])
	uses := len(in.account.uses)
	for i := 0; i < len(in.sessions); {
		at := in.sessions[i].CutAt
		end := in.until(h, at)
		in.valid = h.Valid(in.valid[:0], at, consent.KnownNow)
		if in.q.Predicate.Affects(facts[0].class, in.valid) {
			in.addUses(h, i, end)
		}
		i = end
	}
	if len(in.account.uses) > uses {
		in.account.uses[uses].first = true
	}
	return nil
}

// until returns the first session by whose time a fact was collected that was not
// by the given one, or how many sessions there are.
func (in *inquiry) until(h consent.History, at time.Time) int {
	for i := range h {
		if next := h[i].CollectedAt; next.After(at) {
			return sort.Search(len(in.sessions), func(j int) bool { return !in.sessions[j].CutAt.Before(next) })
		}
	}
	return len(in.sessions)
}

// addUses adds a use for each record that one of the sessions from start to end
// asked on.
func (in *inquiry) addUses(h consent.History, start, end int) {
	for i := range h {
		parts := in.parts[int64(h[i].Fact/chunkLen)]
		if parts == nil {
			continue
		}
		hits := len(in.hits)
		for s := start; s < end; s++ {
			if c := parts[s]; c != nil && c.has(h[i].Fact) {
				in.hits = append(in.hits, s)
			}
		}
		if len(in.hits) == hits {
			continue
		}
		arena := len(in.arena)
		in.arena = append(in.arena, in.valid...)
		in.account.uses = append(in.account.uses, use{record: &h[i], valid: in.arena[arena:], sessions: in.hits[hits:]})
	}
}

func (in *inquiry) record(ctx context.Context, f *known) (consent.Record, error) {
	o, err := in.origins.read(ctx, f.origin)
	return consent.Record{
		Account: in.key.of(f.account), Class: f.class, Sum: f.sum, Purpose: f.purpose, Status: f.status,
		Basis: o.basis, Jurisdiction: o.jurisdiction, CollectedAt: fromMicros(f.collected),
		Notice: o.notice, Surface: o.surface, Reference: f.reference, Source: o.source, Fact: uint64(f.seq),
	}, err
}

// accountID returns the platform's id of an account of the range, all of which are
// read when the first is asked for.
func (in *inquiry) accountID(ctx context.Context, from, number int64) (string, error) {
	if in.ids == nil {
		in.ids = map[int64]string{}
		rows, err := in.tx.QueryContext(ctx, `SELECT id, account_id FROM accounts WHERE id >= ? AND id < ?`, from, from+rangeLen)
		if err != nil {
			return "", err
		}
		defer rows.Close()
		for rows.Next() {
			var number int64
			var id string
			if err := rows.Scan(&number, &id); err != nil {
				return "", err
			}
			in.ids[number] = id
		}
		if err := rows.Err(); err != nil {
			return "", err
		}
	}
	return in.ids[number], nil
}
