package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// View is the ledger as one state of the store has it, whatever is written in the
// meantime. It holds a connection until it is closed, and is not for concurrent
// use.
type View struct {
	d    *DB
	conn *sql.Conn // of tx
	tx   *sql.Tx
	key  handleKey
	cut  uint64
}

// View returns the ledger as it is now.
func (d *DB) View(ctx context.Context) (*View, error) {
	key, err := d.handleKey(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := d.read.Conn(ctx)
	if err != nil {
		return nil, wrap("reading the ledger", err)
	}
	tx, err := conn.BeginTx(ctx, &d.dialect.reading)
	if err != nil {
		conn.Close()
		return nil, wrap("reading the ledger", err)
	}
	v := &View{d: d, conn: conn, tx: tx, key: key}
	if v.cut, err = cut(ctx, tx); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// Cut returns the last number that the view has of a fact or switch: all up to it
// are in the view, and none after it.
func (v *View) Cut() uint64 { return v.cut }

// Close ends the view and what is being read of it.
func (v *View) Close() error {
	err := v.tx.Rollback()
	if errors.Is(err, sql.ErrTxDone) { // as it is when the context is over
		err = nil
	}
	if closed := v.conn.Close(); err == nil && !errors.Is(closed, sql.ErrConnDone) {
		err = closed
	}
	return wrap("reading the ledger", err)
}

// scan has row called with each row of a query's.
func (v *View) scan(ctx context.Context, row func(columns) error, query string, args ...int64) error {
	scan := v.d.dialect.scan
	if scan == nil {
		return scanRows(ctx, v.tx, row, query, args)
	}
	return v.conn.Raw(func(conn any) error { return scan(ctx, conn, row, query, args) })
}

// Cut returns the last number given to a fact or switch.
func (d *DB) Cut(ctx context.Context) (uint64, error) { return cut(ctx, d.read) }

func cut(ctx context.Context, q querier) (n uint64, err error) {
	err = q.QueryRowContext(ctx, `SELECT last_seq FROM meta`).Scan(&n)
	return n, wrap("reading the ledger", err)
}

// Records returns what a View of now has.
func (d *DB) Records(ctx context.Context, at time.Time) iter.Seq2[consent.Record, error] {
	return func(yield func(consent.Record, error) bool) {
		v, err := d.View(ctx)
		if err != nil {
			yield(consent.Record{}, err)
			return
		}
		defer v.Close()
		v.Records(ctx, at)(yield)
	}
}

// Records returns what the ledger says at the given moment of every identifier
// that was collected for ads matching: its current fact, granted or not, with the
// account's switch as the view has it. Nothing is decided here; that is
// Rule.Admit's. Identifiers collected for other purposes do not leave the database.
//
// They come ordered by (handle, class, sum), each once, as consent.WriteSnapshot
// wants them. An error ends it.
func (v *View) Records(ctx context.Context, at time.Time) iter.Seq2[consent.Record, error] {
	return v.records(ctx, consent.AdsMatching, at)
}

// RecordsAmong is Records of some accounts alone, in any order and any number of
// times. If they are few, it takes no longer for a larger ledger.
func (v *View) RecordsAmong(ctx context.Context, accounts iter.Seq2[consent.Handle, error], at time.Time) iter.Seq2[consent.Record, error] {
	return func(yield func(consent.Record, error) bool) {
		among := new(Numbers)
		for h, err := range accounts {
			if err != nil {
				yield(consent.Record{}, err)
				return
			}
			account, ok := v.key.account(h)
			if !ok {
				yield(consent.Record{}, errHandle)
				return
			}
			among.Add(uint64(account))
		}
		v.complete(ctx, v.current(ctx, consent.AdsMatching, consent.AdsMatching, at, among))(yield)
	}
}

func (v *View) records(ctx context.Context, purpose consent.Purpose, at time.Time) iter.Seq2[consent.Record, error] {
	return v.complete(ctx, v.current(ctx, purpose, purpose, at, nil))
}

// complete adds what the facts' origins say.
func (v *View) complete(ctx context.Context, facts iter.Seq2[current, error]) iter.Seq2[consent.Record, error] {
	return func(yield func(consent.Record, error) bool) {
		origins := originReader{from: v.tx, known: map[int64]origin{}}
		for c, err := range facts {
			var o origin
			if err == nil {
				o, err = origins.read(ctx, c.origin)
			}
			if err != nil {
				yield(consent.Record{}, wrap("reading the ledger", err))
				return
			}
			c.Basis, c.Jurisdiction, c.Notice, c.Surface, c.Source = o.basis, o.jurisdiction, o.notice, o.surface, o.source
			if !yield(c.Record, nil) {
				return
			}
		}
	}
}

// current is the fact that holds of an identifier under a purpose: a record, but
// for what its origin says.
type current struct {
	consent.Record
	origin int64
}

// current returns the facts that hold at the given moment for purposes from the
// first to the last, by (handle, class, sum, purpose): the latest collected, and of
// those the last to arrive. Unless it is nil, among has the numbers of the accounts
// that are meant.
//
// Facts are read in the order of their table and then sorted: an index in the order
// of handles would be written all over in every import.
func (v *View) current(ctx context.Context, first, last consent.Purpose, at time.Time, among *Numbers) iter.Seq2[current, error] {
	return func(yield func(current, error) bool) {
		s := sorter{dir: v.d.spillDir, limit: sorterMemory}
		defer s.close()
		if err := v.sortSwitches(ctx, &s, among); err != nil {
			yield(current{}, err)
			return
		}
		if err := v.sortFacts(ctx, &s, first, last, at, among); err != nil {
			yield(current{}, err)
			return
		}
		var off consent.Handle // the last account that is switched off
		for e, err := range lastOfEach(s.sorted(), keyLen) {
			switch {
			case err != nil:
				yield(current{}, err)
				return
			case e[classAt] == 0:
				off = consent.Handle(e)
			case !yield(parseEntry(e, off), nil):
				return
			}
		}
	}
}

// lastOfEach returns the last of adjacent entries whose first n bytes are the same.
func lastOfEach(entries iter.Seq2[[]byte, error], n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var last []byte
		for e, err := range entries {
			if err != nil {
				yield(nil, err)
				return
			}
			if len(last) > 0 && !bytes.Equal(e[:n], last[:n]) && !yield(last, nil) {
				return
			}
			last = append(last[:0], e...)
		}
		if len(last) > 0 {
			yield(last, nil)
		}
	}
}

// An entry is a fact as it is sorted, the latest of a key last:
//
//	handle(32) ‖ class(1) ‖ sum(32) ‖ purpose(1) ‖ collected at(8) ‖ seq(8) ‖ status(1) ‖ origin(8) ‖ secret(32) ‖ I2OSP(length,2) ‖ label ‖ reference
//
// Before an account's facts, if it is switched off, stands its handle and zeros.
const (
	classAt = 32
	keyLen  = 32 + 1 + 32 + 1
)

func (v *View) sortSwitches(ctx context.Context, s *sorter, among *Numbers) error {
	return v.scanAmong(ctx, among, "id", func(row columns) error {
		h := v.key.of(row.Int64(0))
		var e [keyLen]byte
		copy(e[:], h[:])
		return s.add(e[:])
	}, `SELECT id FROM accounts WHERE switched_off = 1`)
}

// scanAmong is scan of the rows whose column, the first of the query's, is one of
// the numbers, or of all rows if these are nil. A few numbers are looked up, and for
// many it is quicker to read all rows.
func (v *View) scanAmong(ctx context.Context, among *Numbers, column string, row func(columns) error, query string, args ...int64) error {
	if among == nil {
		return v.scan(ctx, row, query, args...)
	}
	if among.Len()*fewOf > v.cut {
		return v.scan(ctx, func(c columns) error {
			if !among.Has(uint64(c.Int64(0))) {
				return nil
			}
			return row(c)
		}, query, args...)
	}
	for some, err := range batches(withoutErrors(among.All())) {
		if err != nil {
			return err
		}
		if err := v.scan(ctx, row, query+` AND `+column+in(len(some)), slices.Concat(args, some)...); err != nil {
			return err
		}
	}
	return nil
}

// fewOf accounts are about as many rows of the ledger as are read in the time that
// it takes to look one of them up.
const fewOf = 16

func (v *View) sortFacts(ctx context.Context, s *sorter, first, last consent.Purpose, at time.Time, among *Numbers) error {
	var e []byte
	return v.scanAmong(ctx, among, "account", func(row columns) error {
		h := v.key.of(row.Int64(0))
		e = append(append(e[:0], h[:]...), byte(row.Int64(2)))
		e = append(append(e, row.Bytes(3)...), byte(row.Int64(4)))
		if len(e) != keyLen {
			return errLength
		}
		e = binary.BigEndian.AppendUint64(e, uint64(row.Int64(6))) // not before 1970
		e = binary.BigEndian.AppendUint64(e, uint64(row.Int64(1)))
		e = append(e, byte(row.Int64(5)))
		e = binary.BigEndian.AppendUint64(e, uint64(row.Int64(7)))
		secret := row.Bytes(8)
		if len(secret) != 32 {
			return errLength
		}
		e = append(e, secret...)
		label := row.Bytes(9)
		if len(label) > consent.MaxLabel {
			return errLength
		}
		e = binary.BigEndian.AppendUint16(e, uint16(len(label)))
		e = append(e, label...)
		return s.add(append(e, row.Bytes(10)...))
	}, `SELECT account, seq, class, sum, purpose, status, collected_at, origin, secret, label, reference FROM facts
		WHERE purpose BETWEEN ? AND ? AND collected_at <= ?`, int64(first), int64(last), micros(at))
}

// parseEntry reads an entry. The account that off names is switched off.
func parseEntry(e []byte, off consent.Handle) (c current) {
	c.Account = consent.Handle(e)
	c.SwitchedOff = c.Account == off
	c.Class = identifier.Class(e[classAt])
	c.Sum = [32]byte(e[classAt+1:])
	c.Purpose = consent.Purpose(e[keyLen-1])
	e = e[keyLen:]
	c.CollectedAt = fromMicros(int64(binary.BigEndian.Uint64(e)))
	c.Fact = binary.BigEndian.Uint64(e[8:])
	c.Status = consent.Status(e[16])
	c.origin = int64(binary.BigEndian.Uint64(e[17:]))
	c.Secret = [32]byte(e[25:])
	e = e[57:]
	end := 2 + int(binary.BigEndian.Uint16(e))
	c.Label, c.Reference = string(e[2:end]), string(e[end:])
	return c
}

// originReader reads origins by their numbers and remembers some.
type originReader struct {
	from  querier
	known map[int64]origin
}

func (o *originReader) read(ctx context.Context, number int64) (origin, error) {
	if from, known := o.known[number]; known {
		return from, nil
	}
	var from origin
	err := o.from.QueryRowContext(ctx, `SELECT basis, jurisdiction, notice, surface, source FROM origins WHERE id = ?`, number).
		Scan(&from.basis, &from.jurisdiction, &from.notice, &from.surface, &from.source)
	if err != nil {
		return origin{}, err
	}
	if len(o.known) >= originsKept {
		clear(o.known)
	}
	o.known[number] = from
	return from, nil
}
