package store

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// Subject is what became of one account in sessions: what a person who asks is to
// be told. It prints as REDACTED.
type Subject struct {
	Exposures []Exposure // by session, then fact
	Expired   uint64     // sessions whose manifests are no longer kept: it cannot be said of them
}

// Exposure is that a question was made of one of the account's identifiers.
type Exposure struct {
	Session Session
	Matched bool             // false also where it is not known: see Changed, and Session's Mode and Found
	Changed bool             // the record no longer held, or the switch was off, when the result was stored
	Record  consent.Record   // what it was admitted on
	Then    []consent.Record // what held at that moment, as was known then
	Now     []consent.Record // as is known now
}

// Format prints REDACTED whatever the verb.
func (Subject) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the subject out of structured logs.
func (Subject) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Subject returns in which sessions the account was, from one state of the store,
// or ErrNotFound.
func (d *DB) Subject(ctx context.Context, accountID string) (s Subject, err error) {
	v, err := d.View(ctx)
	if err != nil {
		return Subject{}, err
	}
	defer v.Close()
	var account int64
	if err := v.tx.QueryRowContext(ctx, `SELECT id FROM accounts WHERE account_id = ?`, accountID).Scan(&account); err != nil {
		return Subject{}, wrap("reading an account", err)
	}
	if err := v.tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM sessions WHERE snapshot_id IS NULL`).Scan(&s.Expired); err != nil {
		return Subject{}, wrap("reading sessions", err)
	}
	records, err := recordsOfAccount(ctx, v.tx, v.key, account)
	if err != nil {
		return Subject{}, err
	}
	var switches []Event
	for e, err := range each(ctx, v.tx, "reading the ledger", scanSwitch, `SELECT seq, off, at FROM switches WHERE account = ? ORDER BY seq`, account) {
		if err != nil {
			return Subject{}, err
		}
		switches = append(switches, e)
	}
	places, err := findInManifests(ctx, v.tx, records)
	if err != nil {
		return Subject{}, err
	}
	matched := map[place]bool{}
	for _, p := range places {
		matched[p] = p.grade == Matched
	}
	for _, p := range places {
		if p.grade != Exposed {
			continue
		}
		e := Exposure{Matched: matched[place{p.session, Matched, p.record}], Record: *p.record}
		e.Session, err = scanSession(v.tx.QueryRowContext(ctx, `SELECT `+sessionColumns+` FROM sessions WHERE id = ?`, p.session))
		if err != nil {
			return Subject{}, wrap("reading a session", err)
		}
		h := historyOf(p.record, records)
		e.Then = h.Valid(nil, e.Session.CutAt, e.Session.Cut)
		e.Now = h.Valid(nil, e.Session.CutAt, consent.KnownNow)
		e.Changed = e.Session.Found && changedMeanwhile(&e, h, switches)
		s.Exposures = append(s.Exposures, e)
	}
	return s, nil
}

// changedMeanwhile reports whether what the ledger had heard when the session's result
// was stored takes back what the session had asked on.
func changedMeanwhile(e *Exposure, h consent.History, switches []Event) bool {
	known, at := e.Session.Heard, e.Session.Ended
	if known == 0 { // it may have heard of anything
		known = consent.KnownNow
	}
	if at.IsZero() {
		at = time.Now()
	}
	off := false
	for _, s := range switches {
		if s.Number <= known && !s.At.After(at) {
			off = s.Off
		}
	}
	return off || !slices.ContainsFunc(h.Valid(nil, at, known), func(r consent.Record) bool { return r.Fact == e.Record.Fact })
}

// historyOf returns those of the account's records that are of r's identifier.
func historyOf(r *consent.Record, records []consent.Record) consent.History {
	var list []consent.Record
	for i := range records {
		if records[i].Class == r.Class && records[i].Sum == r.Sum {
			list = append(list, records[i])
		}
	}
	return consent.NewHistory(list)
}
