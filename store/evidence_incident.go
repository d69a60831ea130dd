package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"time"
)

// Incident is what was found of a misuse: the question, and the answer as it was
// at the time. It names nobody.
type Incident struct {
	ID           string
	Predicate    string    // in the words of consent.ParsePredicate
	Since, Until time.Time // of the sessions asked about; zero: any
	At           time.Time // of the answer
	Exposed      uint64    // accounts
	Matched      uint64    // accounts
	List         [32]byte  // Answer.List of those to notify
	Exported     time.Time // when they were listed; zero: not yet
}

const errIncident = refusal("another incident has that id")

// PutIncident records an incident once; a second of its id is an error.
func (d *DB) PutIncident(ctx context.Context, i Incident, entries ...Entry) error {
	counts, err := integers(i.Exposed, i.Matched)
	if err != nil {
		return err
	}
	return d.update(ctx, "recording an incident", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `INSERT INTO incidents (id, predicate, since, until, at, exposed, matched, list, exported) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			i.ID, i.Predicate, optional(i.Since), optional(i.Until), micros(i.At), counts[0], counts[1], i.List[:], optional(i.Exported))
		if err != nil {
			return err
		}
		if n == 0 {
			return errIncident
		}
		return putEntries(ctx, tx, entries)
	})
}

// SetExported records when those to notify were listed, each time that they are.
func (d *DB) SetExported(ctx context.Context, id string, at time.Time, entries ...Entry) error {
	return d.update(ctx, "recording an incident", func(tx *sql.Tx) error {
		n, err := changed(ctx, tx, `UPDATE incidents SET exported = ? WHERE id = ?`, micros(at), id)
		if err != nil {
			return err
		}
		if n == 0 {
			return ErrNotFound
		}
		return putEntries(ctx, tx, entries)
	})
}

// Incidents returns the incidents on record, by when they were found. An error
// ends it.
func (d *DB) Incidents(ctx context.Context) iter.Seq2[Incident, error] {
	return each(ctx, d.read, "reading incidents", scanIncident,
		`SELECT id, predicate, since, until, at, exposed, matched, list, exported FROM incidents ORDER BY at, id`)
}

func scanIncident(row scanner) (i Incident, err error) {
	var since, until, exported sql.NullInt64
	var at int64
	var list []byte
	err = row.Scan(&i.ID, &i.Predicate, &since, &until, &at, &i.Exposed, &i.Matched, &list, &exported)
	i.Since, i.Until, i.At, i.Exported = fromOptional(since), fromOptional(until), fromMicros(at), fromOptional(exported)
	return i, errors.Join(err, fixed(&i.List, list))
}

// optional is a time as it is stored where the zero one is NULL.
func optional(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return micros(t)
}

func fromOptional(n sql.NullInt64) time.Time {
	if !n.Valid {
		return time.Time{}
	}
	return fromMicros(n.Int64)
}
