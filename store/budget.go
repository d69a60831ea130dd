package store

import (
	"context"
	"database/sql"
	"errors"
	"math"
	"time"
)

// UseNonce records that the peer used the nonce, which counts until the given
// time; a second use by then is ErrReplay, durably, whoever asks and over any
// handle (PROTOCOL.md §5.2). So is one whose time is over by now, since others are
// forgotten then: the caller's check may have been long before, while something
// else was written. until lies beyond the moment at which the message that carried
// the nonce stops being valid.
func (d *DB) UseNonce(ctx context.Context, peer, nonce [32]byte, until time.Time) error {
	return d.update(ctx, "using a nonce", func(tx *sql.Tx) error {
		now := time.Now()
		if !until.After(now) {
			return ErrReplay
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM nonces WHERE expires < ?`, micros(now.Add(-nonceKept))); err != nil {
			return err
		}
		n, err := changed(ctx, tx, `INSERT INTO nonces (peer, nonce, expires) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, peer[:], nonce[:], micros(until))
		if err == nil && n == 0 {
			return ErrReplay
		}
		return err
	})
}

// nonceKept is how long a nonce is kept after its time: longer than any transaction
// that has looked at the clock takes until it inserts one.
const nonceKept = time.Hour

// The kinds of budget.
const (
	releases = 1 // counts told to an advertiser about a universe
	queries  = 2 // items asked of, or by, a partner
)

// charge is one session's claim on a budget.
type charge struct {
	kind     int
	party    [32]byte
	universe string
	epoch    uint64
	sid      [32]byte
	amount   uint64
	limit    uint64
}

// ChargeRelease charges the session's one release to the advertiser's budget for
// the universe and epoch, before the count is drawn (PROTOCOL.md §8.4). It
// returns ErrBudget, and charges nothing, if that would pass the limit. The entries
// are written with the charge.
//
// Idempotent per session: charging a sid again is nil and of no effect, also if
// the epoch has changed in between. Atomic over all handles; never refunded.
func (d *DB) ChargeRelease(ctx context.Context, advertiser [32]byte, universe string, epoch uint64, sid [32]byte, limit uint64, entries ...Entry) error {
	return d.charge(ctx, charge{releases, advertiser, universe, epoch, sid, 1, limit}, entries)
}

// ChargeQueries charges the session's n items, pads included, to the partner's
// budget for the epoch, before the first is evaluated (PROTOCOL.md §5.2), under the
// hash of OPEN_Q. A second charge under one is ErrCharged, and of no effect: a session
// that goes on is not charged again, so it would pay for another one. Otherwise as
// ChargeRelease.
func (d *DB) ChargeQueries(ctx context.Context, partner [32]byte, epoch uint64, openQ [32]byte, n, limit uint64) error {
	return d.charge(ctx, charge{queries, partner, "", epoch, openQ, n, limit}, nil)
}

// charge notes the session first: if that changes nothing, it was charged before.
// The one conditional UPDATE keeps the limit, under any isolation that locks the
// rows it changes.
func (d *DB) charge(ctx context.Context, c charge, entries []Entry) error {
	epoch, err := integer(c.epoch)
	if err != nil {
		return err
	}
	if c.amount > c.limit {
		return ErrBudget
	}
	amount, err := integer(c.amount)
	if err != nil {
		return err
	}
	room := int64(min(c.limit, math.MaxInt64)) - amount // so that the sum is within range too
	return d.update(ctx, "charging a budget", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `INSERT INTO charges (kind, sid, party, amount) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			c.kind, c.sid[:], c.party[:], amount)
		if err != nil {
			return err
		}
		if n == 0 {
			return chargedBefore(ctx, tx, c)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO budgets (kind, party, universe, epoch, spent) VALUES (?, ?, ?, ?, 0) ON CONFLICT DO NOTHING`,
			c.kind, c.party[:], c.universe, epoch); err != nil {
			return err
		}
		n, err = changed(ctx, tx, `UPDATE budgets SET spent = spent + ? WHERE kind = ? AND party = ? AND universe = ? AND epoch = ? AND spent <= ?`,
			amount, c.kind, c.party[:], c.universe, epoch, room)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrBudget
		}
		return putEntries(ctx, tx, entries)
	})
}

// chargedBefore returns nil if the session's charge on record is this one, and may be
// made again.
func chargedBefore(ctx context.Context, tx *sql.Tx, c charge) error {
	var same bool
	err := tx.QueryRowContext(ctx, `SELECT party = ? AND amount = ? FROM charges WHERE kind = ? AND sid = ?`,
		c.party[:], int64(c.amount), c.kind, c.sid[:]).Scan(&same)
	switch {
	case err != nil:
		return err
	case !same:
		return errSession
	case c.kind == queries:
		return ErrCharged
	}
	return nil
}

// ReleasesLeft returns how many releases the advertiser can still be charged for
// the universe in the epoch. Another session may take them first: only
// ChargeRelease decides.
func (d *DB) ReleasesLeft(ctx context.Context, advertiser [32]byte, universe string, epoch, limit uint64) (uint64, error) {
	return d.left(ctx, releases, advertiser, universe, epoch, limit)
}

// QueriesLeft returns how many items the partner can still be charged in the
// epoch; see ReleasesLeft.
func (d *DB) QueriesLeft(ctx context.Context, partner [32]byte, epoch, limit uint64) (uint64, error) {
	return d.left(ctx, queries, partner, "", epoch, limit)
}

func (d *DB) left(ctx context.Context, kind int, party [32]byte, universe string, epoch, limit uint64) (uint64, error) {
	e, err := integer(epoch)
	if err != nil {
		return 0, err
	}
	var spent int64
	err = d.read.QueryRowContext(ctx, `SELECT spent FROM budgets WHERE kind = ? AND party = ? AND universe = ? AND epoch = ?`,
		kind, party[:], universe, e).Scan(&spent)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, wrap("reading a budget", err)
	}
	return limit - min(limit, uint64(spent)), nil
}

// PutRelease stores what was drawn for the session, before it is sent, and
// returns what is on record for it: the body given, or the one put first. So a
// session that is taken up again sends the same bytes, and noise cannot be
// averaged away (PROTOCOL.md §8.4). The release must have been charged. The entries
// are written with the body put first.
func (d *DB) PutRelease(ctx context.Context, sid [32]byte, body []byte, entries ...Entry) (stored []byte, err error) {
	err = d.update(ctx, "storing a release", func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM charges WHERE kind = ? AND sid = ?`, releases, sid[:]).Scan(&n); err != nil {
			return err
		}
		if n == 0 {
			return errSession
		}
		// An empty body is stored as such: a nil one would be NULL.
		first, err := changed(ctx, tx, `INSERT INTO releases (sid, body) VALUES (?, ?) ON CONFLICT DO NOTHING`, sid[:], append([]byte{}, body...))
		if err != nil {
			return err
		}
		if err := tx.QueryRowContext(ctx, `SELECT body FROM releases WHERE sid = ?`, sid[:]).Scan(&stored); err != nil || first == 0 {
			return err
		}
		return putEntries(ctx, tx, entries)
	})
	if err != nil {
		return nil, err
	}
	return stored, nil
}

// Release returns what was drawn for the session, or ErrNotFound.
func (d *DB) Release(ctx context.Context, sid [32]byte) (body []byte, err error) {
	err = d.read.QueryRowContext(ctx, `SELECT body FROM releases WHERE sid = ?`, sid[:]).Scan(&body)
	return body, wrap("reading a release", err)
}
