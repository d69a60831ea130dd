package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// ClosedLeaf is a leaf that an erasure closes for good: the record that it was
// made from, with its secret, and the id of its session's snapshot, which together
// give its hash for the last time (consent.OpenLeaf). It prints as REDACTED.
type ClosedLeaf struct {
	SID        [32]byte
	SnapshotID [32]byte
	Record     consent.Record
}

// Format prints REDACTED whatever the verb.
func (ClosedLeaf) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the leaf out of structured logs.
func (ClosedLeaf) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Erase removes an account: its facts and their secrets, its switch, its place in
// audiences. The entries are of the leaves that this closes, by session, then fact;
// they are called for within the transaction, and may be nil.
//
// The numbers of its facts stay in manifests and are nobody's: of each session it
// is still known how many it was about, and no longer that this account was one of
// them. It returns a *HeldError while a hold keeps the account, and ErrNotFound if
// there is none, as when it has been erased. An account of the same id that comes
// later is another one.
func (d *DB) Erase(ctx context.Context, accountID string, entries func([]ClosedLeaf) ([]Entry, error)) error {
	key, err := d.handleKey(ctx)
	if err != nil {
		return err
	}
	defer d.scrub(ctx)
	return d.update(ctx, "erasing an account", func(tx *sql.Tx) error {
		var account int64
		if err := tx.QueryRowContext(ctx, `SELECT id FROM accounts WHERE account_id = ?`, accountID).Scan(&account); err != nil {
			return err
		}
		if err := checkHold(ctx, tx, account, time.Now()); err != nil {
			return err
		}
		records, err := recordsOfAccount(ctx, tx, key, account)
		if err != nil {
			return err
		}
		places, err := findInManifests(ctx, tx, records)
		if err != nil {
			return err
		}
		if err := countErased(ctx, tx, places); err != nil {
			return err
		}
		closed, err := closedLeaves(ctx, tx, places)
		if err != nil {
			return err
		}
		if err := deleteAccount(ctx, tx, account, records, time.Now()); err != nil {
			return err
		}
		if entries == nil {
			return nil
		}
		list, err := entries(closed)
		if err != nil {
			return fmt.Errorf("the entries of it: %w", err)
		}
		return putEntries(ctx, tx, list)
	})
}

// scrub overwrites what the database has of deleted rows outside of its tables. It
// is as much as can be done now: what a reader keeps from it goes with the next
// time, or when the store is closed.
func (d *DB) scrub(ctx context.Context) { d.tell(ctx, d.dialect.scrub) }

// tell executes statements that are for the one connection that writes. What fails
// would have been good, but need not be.
func (d *DB) tell(ctx context.Context, statements []string) {
	ctx = context.WithoutCancel(ctx)
	conn, err := d.write.Conn(ctx)
	if err != nil {
		return
	}
	defer conn.Close()
	for _, statement := range statements {
		_, _ = conn.ExecContext(ctx, statement)
	}
}

// recordsOfAccount returns all that the ledger says of the account, in the order of
// arrival.
func recordsOfAccount(ctx context.Context, tx *sql.Tx, key handleKey, account int64) (records []consent.Record, err error) {
	v := &View{tx: tx, key: key}
	for l, err := range each(ctx, tx, "reading an account", v.scanLine, linesQuery+`f.account = ? ORDER BY f.seq`, account) {
		if err != nil {
			return nil, err
		}
		l.SwitchedOff = false // as it was when the record was admitted
		records = append(records, l.Record)
	}
	return records, nil
}

// place is where a record stands in a session's manifest.
type place struct {
	session int64
	grade   Grade
	record  *consent.Record
}

// findInManifests returns the places of an account's records, by session, grade
// and fact. It reads the parts of manifests that have their numbers, and no others.
func findInManifests(ctx context.Context, q querier, records []consent.Record) (places []place, err error) {
	byChunk := map[int64][]*consent.Record{}
	for i := range records {
		at := int64(records[i].Fact / chunkLen)
		byChunk[at] = append(byChunk[at], &records[i])
	}
	for at, list := range byChunk {
		for _, grade := range []Grade{Exposed, Matched} {
			for p, err := range each(ctx, q, "reading manifests", scanPart, `SELECT chunk, session, facts FROM manifests WHERE chunk = ? AND grade = ?`, at, int64(grade)) {
				if err != nil {
					return nil, err
				}
				c, err := p.decode()
				if err != nil {
					return nil, err
				}
				for _, r := range list {
					if c.has(r.Fact) {
						places = append(places, place{p.of, grade, r})
					}
				}
			}
		}
	}
	slices.SortFunc(places, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.session, b.session), cmp.Compare(a.grade, b.grade), cmp.Compare(a.record.Fact, b.record.Fact))
	})
	return places, nil
}

// tallyKey is a row of the table erased.
type tallyKey struct {
	session int64
	grade   Grade
	class   identifier.Class // 0: any
}

// countErased adds one account to the totals of what is erased, in each session
// that it has a place in.
func countErased(ctx context.Context, tx *sql.Tx, places []place) error {
	identifiers := map[tallyKey]int64{}
	for _, p := range places {
		identifiers[tallyKey{p.session, p.grade, p.record.Class}]++
		identifiers[tallyKey{p.session, p.grade, 0}]++
	}
	for key, n := range identifiers {
		if err := addErased(ctx, tx, key, n, 1); err != nil {
			return err
		}
	}
	return nil
}

func addErased(ctx context.Context, tx *sql.Tx, key tallyKey, identifiers, accounts int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO erased (session, grade, class, identifiers, accounts) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (session, grade, class) DO UPDATE SET identifiers = erased.identifiers + excluded.identifiers, accounts = erased.accounts + excluded.accounts`,
		key.session, int64(key.grade), int64(key.class), identifiers, accounts)
	return err
}

func closedLeaves(ctx context.Context, tx *sql.Tx, places []place) (closed []ClosedLeaf, err error) {
	for _, p := range places {
		if p.grade != Exposed {
			continue
		}
		leaf := ClosedLeaf{Record: *p.record}
		var sid, snapshot []byte
		if err := tx.QueryRowContext(ctx, `SELECT sid, snapshot_id FROM sessions WHERE id = ?`, p.session).Scan(&sid, &snapshot); err != nil {
			return nil, err
		}
		if err := errors.Join(fixed(&leaf.SID, sid), fixed(&leaf.SnapshotID, snapshot)); err != nil {
			return nil, err
		}
		closed = append(closed, leaf)
	}
	return closed, nil
}

// deleteAccount deletes what refers to the account before the account.
func deleteAccount(ctx context.Context, tx *sql.Tx, account int64, records []consent.Record, now time.Time) error {
	if err := leaveAudiences(ctx, tx, uint64(account)); err != nil {
		return err
	}
	for _, statement := range []string{
		`DELETE FROM held WHERE account = ?`,
		`DELETE FROM switches WHERE account = ?`,
		`DELETE FROM facts WHERE account = ?`,
		`DELETE FROM accounts WHERE id = ?`,
	} {
		if _, err := tx.ExecContext(ctx, statement, account); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `DELETE FROM erased_lately WHERE at < ?`, micros(now.Add(-lately))); err != nil {
		return err
	}
	for i := range records {
		if _, err := tx.ExecContext(ctx, `INSERT INTO erased_lately (fact, account, class, at) VALUES (?, ?, ?, ?)`,
			int64(records[i].Fact), account, int64(records[i].Class), micros(now)); err != nil {
			return err
		}
	}
	return nil
}

// leaveAudiences takes the account out of the audiences that it is in.
func leaveAudiences(ctx context.Context, tx *sql.Tx, account uint64) error {
	at := int64(account / chunkLen)
	var left []part
	for p, err := range each(ctx, tx, "reading audiences", scanPart, `SELECT chunk, audience, accounts FROM members WHERE chunk = ?`, at) {
		if err != nil {
			return err
		}
		c, err := p.decode()
		if err != nil {
			return err
		}
		if c.has(account) {
			c.remove(account)
			p.numbers = c.encode()
			left = append(left, p)
		}
	}
	for _, p := range left {
		if _, err := tx.ExecContext(ctx, `UPDATE members SET accounts = ? WHERE chunk = ? AND audience = ?`, p.numbers, p.at, p.of); err != nil {
			return err
		}
	}
	return nil
}

// lately is longer than a session takes from its snapshot to its result.
const lately = 48 * time.Hour

// erasedFact is a number that is nobody's any more.
type erasedFact struct {
	fact    uint64
	account int64
	class   identifier.Class
}

func erasedLately(ctx context.Context, tx *sql.Tx) (list []erasedFact, err error) {
	scan := func(row scanner) (e erasedFact, err error) {
		err = row.Scan(&e.fact, &e.account, &e.class)
		return e, err
	}
	for e, err := range each(ctx, tx, "reading erasures", scan, `SELECT fact, account, class FROM erased_lately`) {
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}
