package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// ErrHeld is what a *HeldError is.
var ErrHeld error = refusal("account is held back from erasure")

// Hold is why accounts must not be erased yet, as when those affected by an
// incident have still to be told.
type Hold struct {
	ID       int64 // given by the store
	Incident string
	Reason   string
	Until    time.Time
}

// HeldError says which hold keeps an account: of several, the one that lasts
// longest.
type HeldError struct{ Hold Hold }

func (e *HeldError) Error() string { return ErrHeld.Error() }

// Unwrap returns ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// GoString keeps the hold's texts out of logs.
func (e *HeldError) GoString() string { return e.Error() }

// accountsPerTransaction as factsPerTransaction.
const accountsPerTransaction = 4096

// Hold keeps accounts from being erased, from when each is read until the hold's
// time is over or it is released, and returns the hold's id and how many accounts
// it keeps. Those that the store does not have are left out. If the sequence fails,
// the hold is released; what a crash leaves of one keeps those that were read.
func (d *DB) Hold(ctx context.Context, h Hold, accounts iter.Seq2[string, error], entries ...Entry) (id int64, held uint64, err error) {
	err = d.update(ctx, "holding accounts", func(tx *sql.Tx) error {
		if err := tx.QueryRowContext(ctx, `INSERT INTO holds (incident, reason, until) VALUES (?, ?, ?) RETURNING id`, h.Incident, h.Reason, micros(h.Until)).Scan(&id); err != nil {
			return err
		}
		return putEntries(ctx, tx, entries)
	})
	if err != nil {
		return 0, 0, err
	}
	if held, err = d.fillHold(ctx, id, accounts); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		return 0, 0, errors.Join(err, d.ReleaseHold(ctx, id))
	}
	return id, held, nil
}

func (d *DB) fillHold(ctx context.Context, id int64, accounts iter.Seq2[string, error]) (held uint64, err error) {
	batch := make([]string, 0, accountsPerTransaction)
	for account, err := range accounts {
		if err != nil {
			return held, fmt.Errorf("store: reading accounts: %w", err)
		}
		if batch = append(batch, account); len(batch) < accountsPerTransaction {
			continue
		}
		n, err := d.holdBatch(ctx, id, batch)
		if err != nil {
			return held, err
		}
		held += n
		batch = batch[:0]
	}
	n, err := d.holdBatch(ctx, id, batch)
	return held + n, err
}

func (d *DB) holdBatch(ctx context.Context, id int64, batch []string) (held uint64, err error) {
	slices.Sort(batch) // neighbours are found on the same page
	err = d.update(ctx, "holding accounts", func(tx *sql.Tx) error {
		for _, account := range batch {
			n, err := changed(ctx, tx, `INSERT INTO held (account, hold) SELECT id, ? FROM accounts WHERE account_id = ? ON CONFLICT DO NOTHING`, id, account)
			if err != nil {
				return err
			}
			held += uint64(n)
		}
		return nil
	})
	return held, err
}

// ReleaseHold ends a hold, whatever its time. A hold that is not there is no error.
func (d *DB) ReleaseHold(ctx context.Context, id int64, entries ...Entry) error {
	return d.update(ctx, "releasing a hold", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `DELETE FROM holds WHERE id = ?`, id)
		if err != nil || n == 0 {
			return err
		}
		return putEntries(ctx, tx, entries)
	})
}

// Holds returns the holds there are, also those whose time is over, in the order in
// which they were placed.
func (d *DB) Holds(ctx context.Context) (list []Hold, err error) {
	for h, err := range each(ctx, d.read, "reading holds", scanHold, `SELECT id, incident, reason, until FROM holds ORDER BY id`) {
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	return list, nil
}

func scanHold(row scanner) (h Hold, err error) {
	var until int64
	err = row.Scan(&h.ID, &h.Incident, &h.Reason, &until)
	h.Until = fromMicros(until)
	return h, err
}

// checkHold returns a *HeldError if a hold keeps the account now.
func checkHold(ctx context.Context, tx *sql.Tx, account int64, now time.Time) error {
	h, err := scanHold(tx.QueryRowContext(ctx, `SELECT h.id, h.incident, h.reason, h.until FROM held k JOIN holds h ON h.id = k.hold
		WHERE k.account = ? AND h.until > ? ORDER BY h.until DESC, h.id LIMIT 1`, account, micros(now)))
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	return &HeldError{h}
}
