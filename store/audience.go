package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"log/slog"
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

// Match is an account that a session found, and the fact that it asked on.
type Match struct {
	Account consent.Handle
	Fact    uint64
}

// Format prints REDACTED whatever the verb.
func (Match) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the match out of structured logs.
func (Match) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// PutMatches makes the accounts of the matches, which may repeat, the audience of
// the session's partner and name, and returns how many distinct accounts there
// are. The audience of before, if there is one, is gone with the same stroke, which
// also records which facts matched, and may be made once a session. So no result is
// seen without its record.
//
// The commitment, if it is not nil, is asked for once the sequence has run. It fixes
// the matches, and is kept for the session's end (Session.Commitment), when it is to
// be in the log: an entry that came with the matches would tell how long they took.
//
// Matches take a bit for each number of the parts of the ledger that they touch, in
// memory and in the store; no lock is held while the sequence runs. Of two sessions
// for one audience the one opened later wins, and the other fails with ErrReplaced if
// it comes after it. Accounts that are erased meanwhile are not in the audience, and
// are counted as erased.
func (d *DB) PutMatches(ctx context.Context, sid [32]byte, name string, matches iter.Seq2[Match, error], commitment func() [32]byte) (accounts uint64, err error) {
	found, err := d.gather(ctx, matches)
	if err != nil {
		return 0, err
	}
	err = d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		if err := found.put(ctx, tx, sid, name); err != nil || commitment == nil {
			return err
		}
		sum := commitment()
		_, err := tx.ExecContext(ctx, `UPDATE sessions SET commitment = ? WHERE sid = ?`, sum[:], sid[:])
		return err
	})
	if err != nil {
		return 0, err
	}
	return found.accounts.Len(), nil
}

// found is what a session found: accounts, and facts that they were asked about on.
type found struct{ accounts, facts Numbers }

func (d *DB) gather(ctx context.Context, matches iter.Seq2[Match, error]) (*found, error) {
	key, err := d.handleKey(ctx)
	if err != nil {
		return nil, err
	}
	f := new(found)
	for m, err := range matches {
		if err != nil {
			return nil, fmt.Errorf("store: reading matches: %w", err)
		}
		account, ok := key.account(m.Account)
		if !ok {
			return nil, errHandle
		}
		f.facts.Add(m.Fact)
		f.accounts.Add(uint64(account))
	}
	return f, nil
}

// put stores the audience and the session's matched manifest.
func (f *found) put(ctx context.Context, tx *sql.Tx, sid [32]byte, name string) error {
	var session int64
	var peer []byte
	if err := tx.QueryRowContext(ctx, `SELECT id, peer FROM sessions WHERE sid = ? AND ended IS NULL AND matched IS NULL`, sid[:]).Scan(&session, &peer); err != nil {
		return noRowIs(err, errSession)
	}
	if err := f.forgetErased(ctx, tx, session); err != nil {
		return err
	}
	if err := f.putAudience(ctx, tx, session, peer, name); err != nil {
		return err
	}
	return f.putMatched(ctx, tx, session)
}

// forgetErased takes those who were erased since the session asked out of the
// accounts, and counts them: Erase could not know that they would match.
func (f *found) forgetErased(ctx context.Context, tx *sql.Tx, session int64) error {
	lately, err := erasedLately(ctx, tx)
	if err != nil {
		return err
	}
	places := map[int64][]place{} // by account
	for _, e := range lately {
		f.accounts.Remove(uint64(e.account))
		if f.facts.Has(e.fact) {
			r := &consent.Record{Fact: e.fact, Class: e.class}
			places[e.account] = append(places[e.account], place{session, Matched, r})
		}
	}
	for _, list := range places {
		if err := countErased(ctx, tx, list); err != nil {
			return err
		}
	}
	return nil
}

// putAudience puts the accounts in the place of the audience of that name, unless a
// session that was opened later has filled it.
func (f *found) putAudience(ctx context.Context, tx *sql.Tx, session int64, peer []byte, name string) error {
	if _, err := tx.ExecContext(ctx, `DELETE FROM audiences WHERE advertiser = ? AND name = ? AND session < ?`, peer, name, session); err != nil {
		return err
	}
	accounts, err := integer(f.accounts.Len())
	if err != nil {
		return err
	}
	var audience int64
	err = tx.QueryRowContext(ctx, `INSERT INTO audiences (advertiser, name, session, accounts, created) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING RETURNING id`,
		peer, name, session, accounts, micros(time.Now())).Scan(&audience)
	if err != nil {
		return noRowIs(err, ErrReplaced)
	}
	for at, c := range f.accounts.chunks {
		if _, err := tx.ExecContext(ctx, `INSERT INTO members (chunk, audience, accounts) VALUES (?, ?, ?)`, int64(at), audience, c.encode()); err != nil {
			return err
		}
	}
	return nil
}

// putMatched stores the matched manifest, which must be part of the eligible one.
func (f *found) putMatched(ctx context.Context, tx *sql.Tx, session int64) error {
	accounts, err := integer(f.accounts.Len())
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `UPDATE sessions SET matched = ?, heard = (SELECT last_seq FROM meta) WHERE id = ?`, accounts, session); err != nil {
		return err
	}
	for at, c := range f.facts.chunks {
		if err := checkEligible(ctx, tx, session, at, c); err != nil {
			return err
		}
	}
	return putManifest(ctx, tx, session, Matched, &f.facts)
}

func checkEligible(ctx context.Context, tx *sql.Tx, session int64, at uint64, matched *chunk) error {
	p := part{at: int64(at), of: session}
	err := tx.QueryRowContext(ctx, `SELECT facts FROM manifests WHERE chunk = ? AND grade = ? AND session = ?`, p.at, int64(Exposed), session).Scan(&p.numbers)
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

// DeleteAudience removes an advertiser's audience and who is in it, for good, with
// its entries; what the session that filled it asked and found stays on record. It
// reports whether there was one: a second call finds none.
func (d *DB) DeleteAudience(ctx context.Context, advertiser [32]byte, name string, entries ...Entry) (deleted bool, err error) {
	err = d.update(ctx, "deleting an audience", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `DELETE FROM audiences WHERE advertiser = ? AND name = ?`, advertiser[:], name)
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
		n, err = changed(ctx, tx, `DELETE FROM audiences WHERE created < ?`, micros(before))
		return err
	})
	return n, err
}

// Audiences returns the audiences there are, by name, then advertiser.
func (d *DB) Audiences(ctx context.Context) ([]Audience, error) {
	var list []Audience
	for a, err := range each(ctx, d.read, "reading audiences", scanAudience,
		`SELECT a.name, a.advertiser, s.sid, a.accounts, a.created FROM audiences a JOIN sessions s ON s.id = a.session ORDER BY a.name, a.advertiser`) {
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
// sorted out of memory if need be. It yields ErrNotFound if there is no such
// audience. An error ends it.
func (d *DB) AudienceAccounts(ctx context.Context, advertiser [32]byte, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		names := sorter{dir: d.spillDir, limit: sorterMemory}
		defer names.close()
		if err := d.sortAudience(ctx, advertiser, name, &names); err != nil {
			yield("", wrap("reading an audience", err))
			return
		}
		for padded, err := range names.sorted() {
			if err != nil {
				yield("", wrap("reading an audience", err))
				return
			}
			if !yield(string(padded[:len(padded)-minEntry]), nil) {
				return
			}
		}
	}
}

// sortAudience adds the account ids, each with as many zeros behind it as the sorter
// wants of bytes, and after which an id sorts as without.
func (d *DB) sortAudience(ctx context.Context, advertiser [32]byte, name string, names *sorter) error {
	tx, err := d.view(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var id int64
	if err := tx.QueryRowContext(ctx, `SELECT id FROM audiences WHERE advertiser = ? AND name = ?`, advertiser[:], name).Scan(&id); err != nil {
		return err
	}
	accounts, err := readNumbers(ctx, tx, "reading an audience", `SELECT chunk, audience, accounts FROM members WHERE audience = ?`, id)
	if err != nil {
		return err
	}
	var padded []byte
	for account, err := range eachIn(ctx, tx, "reading an audience", scanText, `SELECT account_id FROM accounts WHERE id`, withoutErrors(accounts.All())) {
		if err != nil {
			return err
		}
		padded = append(append(padded[:0], account...), make([]byte, minEntry)...)
		if err := names.add(padded); err != nil {
			return err
		}
	}
	return nil
}

func scanText(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}
