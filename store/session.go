package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"
)

// Session is the evidence of one session: what was asked, how it ended, and what
// both companies signed.
type Session struct {
	SID        [32]byte
	Peer       [32]byte // the partner's id
	Audience   string   // what it filled; may be empty
	Started    time.Time
	Ended      time.Time
	Outcome    string // in the caller's words, such as "complete"
	QHat, NHat uint64 // sizes with pads
	Receipt    []byte // signed bodies and signatures, in the caller's encoding
}

const sessionColumns = `sid, peer, audience, started, ended, outcome, q_hat, n_hat, receipt`

// PutSession records the session. Recording it again, as when it was taken up
// after a loss and ended once more, replaces how it ended; the peer and the sizes
// are what they were, and the end may not lie before the one on record.
func (d *DB) PutSession(ctx context.Context, s Session) error {
	q, err := integer(s.QHat)
	if err != nil {
		return err
	}
	n, err := integer(s.NHat)
	if err != nil {
		return err
	}
	return d.update(ctx, "recording a session", func(tx *sql.Tx) error {
		rows, err := changed(ctx, tx, `INSERT INTO sessions (`+sessionColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (sid) DO UPDATE SET ended = excluded.ended, outcome = excluded.outcome, receipt = excluded.receipt
			WHERE sessions.peer = excluded.peer AND sessions.q_hat = excluded.q_hat AND sessions.n_hat = excluded.n_hat AND sessions.ended <= excluded.ended`,
			s.SID[:], s.Peer[:], s.Audience, micros(s.Started), micros(s.Ended), s.Outcome, q, n, append([]byte{}, s.Receipt...))
		if err == nil && rows == 0 {
			return errSession
		}
		return err
	})
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

func scanSession(row scanner) (s Session, err error) {
	var sid, peer []byte
	var started, ended int64
	if err := row.Scan(&sid, &peer, &s.Audience, &started, &ended, &s.Outcome, &s.QHat, &s.NHat, &s.Receipt); err != nil {
		return Session{}, err
	}
	s.Started, s.Ended = fromMicros(started), fromMicros(ended)
	return s, errors.Join(fixed(&s.SID, sid), fixed(&s.Peer, peer))
}
