package store

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// RecordOf returns the fact of that number as a record, with its account's switch
// as it is now, or ErrNotFound if there is none or it has been erased.
func (d *DB) RecordOf(ctx context.Context, fact uint64) (consent.Record, error) {
	records, err := d.RecordsOf(ctx, []uint64{fact})
	if err != nil {
		return consent.Record{}, err
	}
	r, there := records[fact]
	if !there {
		return consent.Record{}, ErrNotFound
	}
	return r, nil
}

// RecordsOf returns the facts of those numbers as records, from one state of the
// store; see RecordOf. There are none for numbers that are not on record.
func (d *DB) RecordsOf(ctx context.Context, facts []uint64) (map[uint64]consent.Record, error) {
	v, err := d.View(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	records := make(map[uint64]consent.Record, len(facts))
	for l, err := range v.lines(ctx, facts) {
		if err != nil {
			return nil, err
		}
		records[l.Fact] = l.Record
	}
	return records, nil
}

// line is a fact as it is on record.
type line struct {
	consent.Record
	accountID string
}

const linesQuery = `SELECT f.seq, f.account, a.account_id, a.switched_off, f.class, f.sum, f.purpose, f.status, f.collected_at, f.reference, f.label, f.secret,
	o.basis, o.jurisdiction, o.notice, o.surface, o.source
	FROM facts f JOIN accounts a ON a.id = f.account JOIN origins o ON o.id = f.origin WHERE `

func (v *View) scanLine(row scanner) (l line, err error) {
	var account, collected int64
	var sum, secret []byte
	err = row.Scan(&l.Fact, &account, &l.accountID, &l.SwitchedOff, &l.Class, &sum, &l.Purpose, &l.Status, &collected, &l.Reference, &l.Label, &secret,
		&l.Basis, &l.Jurisdiction, &l.Notice, &l.Surface, &l.Source)
	if err != nil {
		return line{}, err
	}
	l.Account = v.key.of(account)
	l.CollectedAt = fromMicros(collected)
	return l, cmp.Or(fixed(&l.Sum, sum), fixed(&l.Secret, secret))
}

// lines returns the facts of those numbers that are on record, in no order.
func (v *View) lines(ctx context.Context, facts []uint64) iter.Seq2[line, error] {
	return v.linesOf(ctx, withoutErrors(slices.Values(facts)))
}

// linesOf is lines of a sequence of numbers, which is read by the chunk.
func (v *View) linesOf(ctx context.Context, facts iter.Seq2[uint64, error]) iter.Seq2[line, error] {
	return eachIn(ctx, v.tx, "reading the ledger", v.scanLine, linesQuery+`f.seq`, facts)
}

// Event is what happened to an account once: a fact that arrived, or its switch
// being set.
type Event struct {
	Number uint64          // of arrival, see Cut
	Fact   *consent.Record // nil if it is the switch; see RecordOf
	Off    bool            // the switch
	At     time.Time       // when the fact was collected, or the switch set
}

// History returns all that happened to the account, in the order of its arrival,
// or ErrNotFound if there is no such account.
func (d *DB) History(ctx context.Context, accountID string) ([]Event, error) {
	v, err := d.View(ctx)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	return v.history(ctx, accountID)
}

func (v *View) history(ctx context.Context, accountID string) (events []Event, err error) {
	var account int64
	if err := v.tx.QueryRowContext(ctx, `SELECT id FROM accounts WHERE account_id = ?`, accountID).Scan(&account); err != nil {
		return nil, wrap("reading the ledger", err)
	}
	for l, err := range each(ctx, v.tx, "reading the ledger", v.scanLine, linesQuery+`f.account = ?`, account) {
		if err != nil {
			return nil, err
		}
		events = append(events, Event{l.Fact, &l.Record, false, l.CollectedAt})
	}
	for e, err := range each(ctx, v.tx, "reading the ledger", scanSwitch, `SELECT seq, off, at FROM switches WHERE account = ?`, account) {
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.Number, b.Number) })
	return events, nil
}

func scanSwitch(row scanner) (e Event, err error) {
	var at int64
	err = row.Scan(&e.Number, &e.Off, &at)
	e.At = fromMicros(at)
	return e, err
}
