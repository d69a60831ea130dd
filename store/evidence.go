package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"
)

// Session is the evidence of one session: what was asked and on what grounds, how
// it ended, and what both companies signed.
type Session struct {
	SID      [32]byte
	Peer     [32]byte // the partner's id
	Audience string   // what it fills; may be empty
	Mode     string
	Policy   [32]byte // SHA-256 of what both companies agreed
	Started  time.Time

	CutAt      time.Time // the moment of the eligible set
	Cut        uint64    // the last number that the ledger had given then
	Root       [32]byte  // of the consent tree
	Leaves     uint64    // in it; the platform's secret
	QHat, NHat uint64    // sizes with pads

	Receipt []byte // signed bodies and signatures, in the caller's encoding

	Matched uint64 // distinct accounts; 0 also if there is no result
	Found   bool   // there is a result, if only that nobody matched
	Heard   uint64 // the last number that the ledger had given when the result was stored; 0: not known
	// Commitment is what fixed the matches; nil if nothing did.
	Commitment []byte
	Ended      time.Time // zero while it is open
	Outcome    string    // in the caller's words, such as "complete"; "open" while it is
	Digests    []byte    // of what travelled, in the caller's encoding
	Expired    bool      // its secrets and manifests are gone: Expire
}

// Secrets open what a session committed to: any leaf of its consent tree, with the
// record, and any of its questions. They print as REDACTED.
type Secrets struct {
	SnapshotID [32]byte
	Seed       [32]byte
}

// Format prints REDACTED whatever the verb.
func (Secrets) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the secrets out of structured logs.
func (Secrets) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Grade is how far a session went with an identifier.
type Grade int

// The grades.
const (
	Exposed Grade = 1 // eligible: a question was made of it
	Matched Grade = 2 // and it was on the partner's list
)

// String returns the grade's name.
func (g Grade) String() string {
	switch g {
	case Exposed:
		return "exposed"
	case Matched:
		return "matched"
	}
	return fmt.Sprintf("Grade(%d)", int(g))
}

// Errors on which a caller decides.
var (
	ErrEnded   error = refusal("session has ended")
	ErrExpired error = refusal("session's secrets and manifests are no longer kept")
	ErrErased  error = refusal("the eligible set has somebody who has been erased since: take another")

	errLeaves   = refusal("eligible facts are not as many as leaves, or later than the cut")
	errEligible = refusal("a match is not on a fact that the session asked about")
)

const openOutcome = "open"

// OpenSession records a session with the facts that its eligible set was made from,
// one a leaf in any order, before its first question leaves. It returns ErrErased,
// and records nothing, if one of them has been erased since the cut.
//
// Ended, Outcome, Matched, Found, Digests and Expired are for those who read.
func (d *DB) OpenSession(ctx context.Context, s Session, secrets Secrets, eligible iter.Seq2[uint64, error], entries ...Entry) error {
	facts, err := eligibleFacts(&s, eligible)
	if err != nil {
		return err
	}
	return d.OpenSessionOf(ctx, s, secrets, facts, entries...)
}

// OpenSessionOf is OpenSession for an eligible set that is at hand, as that of a
// published table is: nothing is counted for each of its facts.
func (d *DB) OpenSessionOf(ctx context.Context, s Session, secrets Secrets, facts *Numbers, entries ...Entry) error {
	sizes, err := integers(s.Cut, s.Leaves, s.QHat, s.NHat)
	if err != nil {
		return err
	}
	return d.update(ctx, "opening a session", func(tx *sql.Tx) error {
		lately, err := erasedLately(ctx, tx)
		if err != nil {
			return err
		}
		for _, e := range lately {
			if facts.Has(e.fact) {
				return ErrErased
			}
		}
		var id int64
		err = tx.QueryRowContext(ctx, `INSERT INTO sessions (sid, peer, audience, mode, policy, started, cut_at, cut, snapshot_id, seed, root, leaves, q_hat, n_hat, outcome, receipt, digests)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
			s.SID[:], s.Peer[:], s.Audience, s.Mode, s.Policy[:], micros(s.Started), micros(s.CutAt), sizes[0], secrets.SnapshotID[:], secrets.Seed[:],
			s.Root[:], sizes[1], sizes[2], sizes[3], openOutcome, append([]byte{}, s.Receipt...), []byte{}).Scan(&id)
		if err != nil {
			return noRowIs(err, errSession)
		}
		if err := putManifest(ctx, tx, id, Exposed, facts); err != nil {
			return err
		}
		return putEntries(ctx, tx, entries)
	})
}

// noRowIs returns what it means if there is no row.
func noRowIs(err, meaning error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return meaning
	}
	return err
}

func eligibleFacts(s *Session, eligible iter.Seq2[uint64, error]) (*Numbers, error) {
	facts := new(Numbers)
	var n uint64
	for fact, err := range eligible {
		if err != nil {
			return nil, fmt.Errorf("store: reading the eligible set: %w", err)
		}
		if n++; fact == 0 || fact > s.Cut || !facts.Add(fact) {
			return nil, errLeaves
		}
	}
	if n != s.Leaves {
		return nil, errLeaves
	}
	return facts, nil
}

func integers(numbers ...uint64) (list []int64, err error) {
	for _, n := range numbers {
		i, err := integer(n)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, nil
}

func putManifest(ctx context.Context, tx *sql.Tx, session int64, grade Grade, facts *Numbers) error {
	for at, c := range facts.chunks {
		if _, err := tx.ExecContext(ctx, `INSERT INTO manifests (chunk, grade, session, facts) VALUES (?, ?, ?, ?)`, int64(at), int64(grade), session, c.encode()); err != nil {
			return err
		}
	}
	return nil
}

// Ending is how a session ended.
type Ending struct {
	Ended   time.Time
	Outcome string
	Receipt []byte // nil: as when it was opened
	Digests []byte
}

// CloseSession records how the session ended, once: afterwards it returns
// ErrEnded, and writes no event.
func (d *DB) CloseSession(ctx context.Context, sid [32]byte, e Ending, entries ...Entry) error {
	return d.update(ctx, "closing a session", func(tx *sql.Tx) error {
		var receipt any // NULL keeps the one on record
		if e.Receipt != nil {
			receipt = e.Receipt
		}
		n, err := changed(ctx, tx, `UPDATE sessions SET ended = ?, outcome = ?, receipt = COALESCE(?, receipt), digests = ? WHERE sid = ? AND ended IS NULL`,
			micros(e.Ended), e.Outcome, receipt, append([]byte{}, e.Digests...), sid[:])
		if err != nil {
			return err
		}
		if n == 0 {
			return whyNotOpen(ctx, tx, sid)
		}
		return putEntries(ctx, tx, entries)
	})
}

func whyNotOpen(ctx context.Context, tx *sql.Tx, sid [32]byte) error {
	var n int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sessions WHERE sid = ?`, sid[:]).Scan(&n); err != nil {
		return err
	}
	if n == 0 {
		return ErrNotFound
	}
	return ErrEnded
}

// Interrupted returns the sessions that were started before the given moment and
// have not ended. If that is when this process started, and no other serves from
// this store, their process died, and CloseSession is to say so.
func (d *DB) Interrupted(ctx context.Context, before time.Time) (list []Session, err error) {
	for s, err := range each(ctx, d.read, "reading sessions", scanSession, `SELECT `+sessionColumns+` FROM sessions WHERE ended IS NULL AND started < ? ORDER BY started, id`, micros(before)) {
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

// Session returns the session on record, or ErrNotFound.
func (d *DB) Session(ctx context.Context, sid [32]byte) (Session, error) {
	s, err := scanSession(d.read.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE sid = ?`, sid[:]))
	return s, wrap("reading a session", err)
}

// Sessions returns the sessions on record, by when they started. An error ends it.
func (d *DB) Sessions(ctx context.Context) iter.Seq2[Session, error] {
	return each(ctx, d.read, "reading sessions", scanSession, `SELECT `+sessionColumns+` FROM sessions ORDER BY started, sid`)
}

const sessionColumns = `sid, peer, audience, mode, policy, started, cut_at, cut, root, leaves, q_hat, n_hat, matched, heard, commitment, ended, outcome, receipt, digests, snapshot_id IS NULL`

func scanSession(row scanner) (s Session, err error) {
	var sid, peer, policy, root []byte
	var started, cutAt int64
	var matched, ended, heard sql.NullInt64
	if err := row.Scan(&sid, &peer, &s.Audience, &s.Mode, &policy, &started, &cutAt, &s.Cut, &root, &s.Leaves, &s.QHat, &s.NHat,
		&matched, &heard, &s.Commitment, &ended, &s.Outcome, &s.Receipt, &s.Digests, &s.Expired); err != nil {
		return Session{}, err
	}
	s.Started, s.CutAt, s.Matched = fromMicros(started), fromMicros(cutAt), uint64(matched.Int64)
	s.Found, s.Heard = matched.Valid, uint64(heard.Int64)
	if ended.Valid {
		s.Ended = fromMicros(ended.Int64)
	}
	return s, errors.Join(fixed(&s.SID, sid), fixed(&s.Peer, peer), fixed(&s.Policy, policy), fixed(&s.Root, root))
}

// Secrets returns the session's secrets, ErrExpired if they are no longer kept, or
// ErrNotFound.
func (d *DB) Secrets(ctx context.Context, sid [32]byte) (s Secrets, err error) {
	var id, seed []byte
	if err := d.read.QueryRowContext(ctx, `SELECT snapshot_id, seed FROM sessions WHERE sid = ?`, sid[:]).Scan(&id, &seed); err != nil {
		return Secrets{}, wrap("reading a session", err)
	}
	if id == nil || seed == nil {
		return Secrets{}, ErrExpired
	}
	return s, errors.Join(fixed(&s.SnapshotID, id), fixed(&s.Seed, seed))
}

// Manifest returns the facts that the session's accounts were exposed or matched
// on, also those that have been erased since. It returns ErrExpired if they are no
// longer kept, and ErrNotFound if there is no such session, or no result of it.
func (d *DB) Manifest(ctx context.Context, sid [32]byte, grade Grade) (*Numbers, error) {
	tx, err := d.view(ctx)
	if err != nil {
		return nil, wrap("reading a manifest", err)
	}
	defer tx.Rollback()
	var id int64
	var expired, without bool
	if err := tx.QueryRowContext(ctx, `SELECT id, snapshot_id IS NULL, matched IS NULL FROM sessions WHERE sid = ?`, sid[:]).Scan(&id, &expired, &without); err != nil {
		return nil, wrap("reading a manifest", err)
	}
	switch {
	case expired:
		return nil, ErrExpired
	case without && grade == Matched:
		return nil, ErrNotFound
	}
	return readNumbers(ctx, tx, "reading a manifest", `SELECT chunk, session, facts FROM manifests WHERE session = ? AND grade = ?`, id, int64(grade))
}

// readNumbers reads a set of numbers from its rows.
func readNumbers(ctx context.Context, q querier, what, query string, args ...any) (*Numbers, error) {
	set := &Numbers{chunks: map[uint64]*chunk{}}
	for part, err := range each(ctx, q, what, scanPart, query, args...) {
		if err != nil {
			return nil, err
		}
		c, err := part.decode()
		if err != nil {
			return nil, err
		}
		set.chunks[uint64(part.at)] = c
	}
	return set, nil
}

// part is one row of a set of numbers: of a session's manifest, or of the accounts
// of an audience.
type part struct {
	at, of  int64 // which chunk, and of what
	numbers []byte
}

func scanPart(row scanner) (p part, err error) {
	err = row.Scan(&p.at, &p.of, &p.numbers)
	return p, err
}

func (p *part) decode() (*chunk, error) {
	c, rest, err := decodeChunk(p.numbers)
	if err == nil && len(rest) > 0 {
		return nil, errChunk
	}
	return c, err
}

// Expire forgets the secrets and the manifests of the sessions that have ended and
// whose eligible set was taken before the given moment, each with its entries, and
// returns how many sessions that were. From then on nobody can say who was in
// them. entries may be nil.
func (d *DB) Expire(ctx context.Context, before time.Time, entries func(Session) []Entry) (n int, err error) {
	defer d.scrub(ctx)
	for {
		more := false
		err := d.update(ctx, "forgetting a session", func(tx *sql.Tx) (err error) {
			more, err = expireOne(ctx, tx, before, entries)
			return err
		})
		if err != nil || !more {
			return n, err
		}
		n++
	}
}

func expireOne(ctx context.Context, tx *sql.Tx, before time.Time, entries func(Session) []Entry) (more bool, err error) {
	s, err := scanSession(tx.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions
		WHERE cut_at < ? AND snapshot_id IS NOT NULL AND ended IS NOT NULL ORDER BY cut_at, id LIMIT 1`, micros(before)))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	for _, statement := range []string{
		`DELETE FROM manifests WHERE session = (SELECT id FROM sessions WHERE sid = ?)`,
		`UPDATE sessions SET snapshot_id = NULL, seed = NULL WHERE sid = ?`,
	} {
		if _, err := tx.ExecContext(ctx, statement, s.SID[:]); err != nil {
			return false, err
		}
	}
	if entries == nil {
		return true, nil
	}
	return true, putEntries(ctx, tx, entries(s))
}
