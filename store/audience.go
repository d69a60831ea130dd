package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// Audience is what an advertiser named and a match filled.
type Audience struct {
	Name       string
	Advertiser [32]byte // the advertiser's id
	Session    [32]byte // that filled it
	Accounts   uint64   // distinct
	Created    time.Time
}

// membersPerTransaction is how many accounts are written before others have their
// turn.
const membersPerTransaction = 32768

// Match is an account that a session found, and the fact that it asked on.
type Match struct {
	Account consent.Handle
	Fact    uint64
}

// Format prints REDACTED whatever the verb.
func (Match) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the match out of structured logs.
func (Match) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Result is what a session found.
type Result struct {
	Accounts uint64   // distinct
	Facts    *Numbers // that they were asked about on
}

// PutMatches makes the accounts of the matches, which may repeat, the audience of
// the session's partner and name, and returns how many distinct accounts there
// are. The audience of before, if there is one, stands until the new one is whole
// and is gone with the same stroke, which also records which facts matched and the
// entries of that, and may be made once a session. So no result is seen without its
// record. The entries may be nil.
//
// The accounts are sorted first, out of memory if need be, since a tree that is
// larger than the cache is filled in its own order much faster than across it. They
// are written some thousands to a transaction, unseen until the last; no lock is
// held while the sequence runs. Of two calls for one audience the one begun later
// wins, and the other fails with ErrReplaced. What a crash leaves unfinished is never
// seen and goes with CloseSession. Accounts that are erased meanwhile are not in the
// audience, and are counted as erased.
func (d *DB) PutMatches(ctx context.Context, sid [32]byte, name string, matches iter.Seq2[Match, error], entries func(Result) ([]Entry, error)) (accounts uint64, err error) {
	a, err := d.newAudience(ctx, sid, name)
	if err != nil {
		return 0, err
	}
	defer a.close()
	if err := a.fill(ctx, matches); err != nil {
		a.drop(ctx)
		return 0, err
	}
	if err := a.finish(ctx, entries); err != nil {
		a.drop(ctx)
		return 0, err
	}
	return a.distinct, nil
}

// newAudience is an audience being filled.
type newAudience struct {
	d        *DB
	id       int64
	session  int64
	key      handleKey
	members  *insert
	distinct uint64
	facts    Numbers
	accounts sorter
	batch    []int64 // accounts, in order
	args     []any   // reused
}

func (a *newAudience) close() {
	a.members.close()
	_ = a.accounts.close() // the audience stands or fails without it; where an open file has a name, it may stay
}

func (d *DB) newAudience(ctx context.Context, sid [32]byte, name string) (*newAudience, error) {
	key, err := d.handleKey(ctx)
	if err != nil {
		return nil, err
	}
	members, err := d.prepareInsert(ctx, `INSERT INTO members (audience, account) VALUES`, `(?, ?)`)
	if err != nil {
		return nil, wrap("filling an audience", err)
	}
	a := &newAudience{d: d, key: key, members: members, accounts: sorter{dir: d.spillDir, limit: sorterMemory}, batch: make([]int64, 0, membersPerTransaction)}
	err = d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		var peer []byte
		if err := tx.QueryRowContext(ctx, `SELECT id, peer FROM sessions WHERE sid = ? AND ended IS NULL AND matched IS NULL`, sid[:]).Scan(&a.session, &peer); err != nil {
			return noRowIs(err, errSession)
		}
		return tx.QueryRowContext(ctx, `INSERT INTO audiences (advertiser, name, sid, ready, accounts, created) VALUES (?, ?, ?, 0, 0, ?) RETURNING id`,
			peer, name, sid[:], micros(time.Now())).Scan(&a.id)
	})
	if err != nil {
		members.close()
		return nil, err
	}
	return a, nil
}

func (a *newAudience) fill(ctx context.Context, matches iter.Seq2[Match, error]) error {
	var entry [8]byte // as the sorter compares
	for m, err := range matches {
		if err != nil {
			return fmt.Errorf("store: reading matches: %w", err)
		}
		account, ok := a.key.account(m.Account)
		if !ok {
			return errHandle
		}
		a.facts.Add(m.Fact)
		binary.BigEndian.PutUint64(entry[:], uint64(account))
		if err := a.accounts.add(entry[:]); err != nil {
			return err
		}
	}
	last := int64(-1) // rows are numbered from 1
	for entry, err := range a.accounts.sorted() {
		if err != nil {
			return err
		}
		account := int64(binary.BigEndian.Uint64(entry))
		if account == last {
			continue
		}
		last = account
		if a.batch = append(a.batch, account); len(a.batch) < membersPerTransaction {
			continue
		}
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

// flush writes the accounts of a batch, but for those erased since.
func (a *newAudience) flush(ctx context.Context) error {
	var distinct uint64
	err := a.d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		var there int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audiences WHERE id = ?`, a.id).Scan(&there); err != nil {
			return err
		}
		if there == 0 {
			return ErrReplaced
		}
		lately, err := erasedLately(ctx, tx)
		if err != nil {
			return err
		}
		erased := map[int64]bool{}
		for _, e := range lately {
			erased[e.account] = true
		}
		id := any(a.id)
		a.args = slices.Grow(a.args[:0], 2*len(a.batch))
		for _, account := range a.batch {
			if !erased[account] {
				a.args = append(a.args, id, account)
			}
		}
		distinct, err = a.members.exec(ctx, tx, a.args)
		return err
	})
	if err != nil {
		return err
	}
	a.distinct += distinct
	a.batch = a.batch[:0]
	return nil
}

// finish makes the audience the one of its name, and the session's result.
func (a *newAudience) finish(ctx context.Context, entries func(Result) ([]Entry, error)) error {
	accounts, err := integer(a.distinct)
	if err != nil {
		return err
	}
	return a.d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		if err := a.makeReady(ctx, tx, accounts); err != nil {
			return err
		}
		if err := a.record(ctx, tx, accounts); err != nil {
			return err
		}
		if entries == nil {
			return nil
		}
		list, err := entries(Result{a.distinct, &a.facts})
		if err != nil {
			return fmt.Errorf("the entries of it: %w", err)
		}
		return putEntries(ctx, tx, list)
	})
}

func (a *newAudience) makeReady(ctx context.Context, tx *sql.Tx, accounts int64) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM audiences WHERE id < ? AND (advertiser, name) = (SELECT advertiser, name FROM audiences WHERE id = ?)`, a.id, a.id); err != nil {
		return err
	}
	n, err := changed(ctx, tx, `UPDATE audiences SET ready = 1, accounts = ? WHERE id = ?`, accounts, a.id)
	if err == nil && n == 0 {
		return ErrReplaced
	}
	return err
}

// record stores the matched manifest, which must be part of the eligible one.
func (a *newAudience) record(ctx context.Context, tx *sql.Tx, accounts int64) error {
	n, err := changed(ctx, tx, `UPDATE sessions SET matched = ? WHERE id = ? AND ended IS NULL AND matched IS NULL`, accounts, a.session)
	if err != nil {
		return err
	}
	if n == 0 {
		return errSession
	}
	for at, c := range a.facts.chunks {
		if err := a.checkEligible(ctx, tx, at, c); err != nil {
			return err
		}
	}
	if err := putManifest(ctx, tx, a.session, Matched, &a.facts); err != nil {
		return err
	}
	return a.countErased(ctx, tx)
}

func (a *newAudience) checkEligible(ctx context.Context, tx *sql.Tx, at uint64, matched *chunk) error {
	p := part{at: int64(at), session: a.session}
	err := tx.QueryRowContext(ctx, `SELECT facts FROM manifests WHERE chunk = ? AND grade = ? AND session = ?`, p.at, int64(Exposed), a.session).Scan(&p.facts)
	if err != nil {
		return noRowIs(err, errEligible)
	}
	eligible, err := p.decode()
	if err != nil {
		return err
	}
	for i := range matched {
		if matched[i]&^eligible[i] != 0 {
			return errEligible
		}
	}
	return nil
}

// countErased counts those of the matches that were erased since the session
// asked: Erase could not know that they would match.
func (a *newAudience) countErased(ctx context.Context, tx *sql.Tx) error {
	lately, err := erasedLately(ctx, tx)
	if err != nil {
		return err
	}
	places := map[int64][]place{} // by account
	for _, e := range lately {
		if a.facts.Has(e.fact) {
			r := &consent.Record{Fact: e.fact, Class: e.class}
			places[e.account] = append(places[e.account], place{a.session, Matched, r})
		}
	}
	for _, list := range places {
		if err := countErased(ctx, tx, list); err != nil {
			return err
		}
	}
	return nil
}

// drop removes an audience that will not be finished, also if ctx is over. If
// even that fails, CloseSession removes it.
func (a *newAudience) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_ = a.d.update(ctx, "dropping an audience", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM audiences WHERE id = ? AND ready = 0`, a.id)
		return err
	})
}

// DeleteAudience removes an advertiser's audience and who is in it, for good, with
// its entries; what the session that filled it asked and found stays on record. It
// reports whether there was one: a second call finds none.
func (d *DB) DeleteAudience(ctx context.Context, advertiser [32]byte, name string, entries ...Entry) (deleted bool, err error) {
	err = d.update(ctx, "deleting an audience", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `DELETE FROM audiences WHERE advertiser = ? AND name = ? AND ready = 1`, advertiser[:], name)
		if err != nil || n == 0 {
			return err
		}
		deleted = true
		return putEntries(ctx, tx, entries)
	})
	return deleted, err
}

// ExpireAudiences removes the audiences that were filled before the given moment,
// and returns how many.
func (d *DB) ExpireAudiences(ctx context.Context, before time.Time) (n int64, err error) {
	err = d.update(ctx, "expiring audiences", func(tx *sql.Tx) error {
		n, err = changed(ctx, tx, `DELETE FROM audiences WHERE created < ? AND ready = 1`, micros(before))
		return err
	})
	return n, err
}

// Audiences returns the audiences there are, by name, then advertiser.
func (d *DB) Audiences(ctx context.Context) ([]Audience, error) {
	var list []Audience
	for a, err := range each(ctx, d.read, "reading audiences", scanAudience,
		`SELECT name, advertiser, sid, accounts, created FROM audiences WHERE ready = 1 ORDER BY name, advertiser`) {
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func scanAudience(row scanner) (a Audience, err error) {
	var advertiser, sid []byte
	var created int64
	if err := row.Scan(&a.Name, &advertiser, &sid, &a.Accounts, &created); err != nil {
		return Audience{}, err
	}
	a.Created = fromMicros(created)
	if err := fixed(&a.Advertiser, advertiser); err != nil {
		return Audience{}, err
	}
	return a, fixed(&a.Session, sid)
}

// AudienceAccounts returns the platform's own ids of the accounts in that
// advertiser's audience, in byte order, from one state of the store. They are
// sorted in memory. It yields ErrNotFound if there is no such audience. An error
// ends it.
func (d *DB) AudienceAccounts(ctx context.Context, advertiser [32]byte, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		tx, err := d.view(ctx)
		if err != nil {
			yield("", wrap("reading an audience", err))
			return
		}
		defer tx.Rollback()
		var id int64
		err = tx.QueryRowContext(ctx, `SELECT id FROM audiences WHERE advertiser = ? AND name = ? AND ready = 1`, advertiser[:], name).Scan(&id)
		if err != nil {
			yield("", wrap("reading an audience", err))
			return
		}
		each(ctx, tx, "reading an audience", scanText,
			`SELECT a.account_id FROM members m JOIN accounts a ON a.id = m.account WHERE m.audience = ? ORDER BY a.account_id`, id)(yield)
	}
}

func scanText(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}
