package store

import (
	"context"
	"database/sql"
	"iter"
)

// Log is where an entry will be published.
type Log int

// The logs.
const (
	PublicLog Log = 1 // the transparency log, for everybody
	AccessLog Log = 2 // who read what, for those who answer for it
)

// Entry is for a log, in the caller's encoding. A method that takes
// entries writes them with what they tell of, in one transaction: neither is ever
// there without the other.
type Entry struct {
	Log  Log
	Body []byte
}

// Logged is an entry with its number, which is its index in its log.
type Logged struct {
	Index uint64
	Body  []byte
}

// Record writes entries that tell of nothing else in the store, such as who is
// about to read a manifest, and why.
func (d *DB) Record(ctx context.Context, entries ...Entry) error {
	return d.update(ctx, "recording an entry", func(tx *sql.Tx) error { return putEntries(ctx, tx, entries) })
}

const errLog = refusal("no such log")

// putEntries numbers the entries in the order given. The counter's row is locked
// until the transaction ends, so numbers come in the order of commits, and one that
// is rolled back gives its number back. It is the last thing that a transaction
// does, so that others wait for it as shortly as can be; and the logs are taken in
// one order, so that no two wait for one another.
func putEntries(ctx context.Context, tx *sql.Tx, entries []Entry) error {
	for _, log := range []Log{PublicLog, AccessLog} {
		var bodies [][]byte
		for _, e := range entries {
			if e.Log == log {
				bodies = append(bodies, e.Body)
			} else if e.Log != PublicLog && e.Log != AccessLog {
				return errLog
			}
		}
		if err := putBodies(ctx, tx, log, bodies); err != nil {
			return err
		}
	}
	return nil
}

func putBodies(ctx context.Context, tx *sql.Tx, log Log, bodies [][]byte) error {
	if len(bodies) == 0 {
		return nil
	}
	var next int64
	if err := tx.QueryRowContext(ctx, `UPDATE outbox_next SET id = id + ? WHERE log = ? RETURNING id`, len(bodies), int64(log)).Scan(&next); err != nil {
		return err
	}
	first := next - int64(len(bodies))
	for i, body := range bodies {
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (log, id, body) VALUES (?, ?, ?)`, int64(log), first+int64(i), append([]byte{}, body...)); err != nil {
			return err
		}
	}
	return nil
}

// Entries returns the log's entries from the given index on, in order, each with
// the next index. Whoever publishes goes on where the published log ends. An error
// ends it.
func (d *DB) Entries(ctx context.Context, log Log, from uint64) iter.Seq2[Logged, error] {
	return func(yield func(Logged, error) bool) {
		start, err := integer(from)
		if err != nil {
			yield(Logged{}, err)
			return
		}
		each(ctx, d.read, "reading entries", scanLogged, `SELECT id, body FROM outbox WHERE log = ? AND id >= ? ORDER BY id`, int64(log), start)(yield)
	}
}

func scanLogged(row scanner) (l Logged, err error) {
	err = row.Scan(&l.Index, &l.Body)
	return l, err
}
