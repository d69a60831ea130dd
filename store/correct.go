package store

import (
	"context"
	"iter"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// Filter chooses facts by where they came from. An empty field chooses all; a
// source or a notice must be named.
type Filter struct {
	Source, Notice string
	Since, Until   time.Time // of collection, both included
}

const (
	errFilter  = refusal("neither a source nor a notice is named")
	errPurpose = refusal("the true purpose is missing, or is ads matching")
)

func (f *Filter) chooses(o *origin, collected time.Time) bool {
	return (f.Source == "" || f.Source == o.source) && (f.Notice == "" || f.Notice == o.notice) &&
		(f.Since.IsZero() || !collected.Before(f.Since)) && (f.Until.IsZero() || !collected.After(f.Until))
}

// HasOrigin says whether the ledger has a fact of that source under that notice; an
// empty one is any. A question about a source that was mistyped affects nobody.
func (d *DB) HasOrigin(ctx context.Context, source, notice string) (has bool, err error) {
	err = d.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM facts WHERE origin IN (
		SELECT id FROM origins WHERE (? = '' OR source = ?) AND (? = '' OR notice = ?)))`, source, source, notice, notice).Scan(&has)
	return has, wrap("looking for a source", err)
}

// Mislabelled counts what Relabel would correct.
func (d *DB) Mislabelled(ctx context.Context, f Filter) (n uint64, err error) {
	v, err := d.View(ctx)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	for _, err := range v.mislabelled(ctx, f) {
		if err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}

// mislabelled returns the numbers of the facts that the filter chooses, of those
// that granted ads matching and have not been taken back. Whether they still hold
// makes no difference: what was withdrawn or granted anew since was used before.
func (v *View) mislabelled(ctx context.Context, f Filter) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		if f.Source == "" && f.Notice == "" {
			yield(0, errFilter)
			return
		}
		var chosen []uint64 // first: a connection reads one thing at a time
		for g, err := range each(ctx, v.tx, "correcting the ledger", scanGrant, grantsQuery, int64(consent.AdsMatching), int64(consent.Granted), int64(consent.Retracted)) {
			if err != nil {
				yield(0, err)
				return
			}
			if f.chooses(&g.origin, g.collected) {
				chosen = append(chosen, g.fact)
			}
		}
		for _, fact := range chosen {
			if !yield(fact, nil) {
				return
			}
		}
	}
}

// grantsQuery has the grants of a purpose that no retraction of their own moment
// and origin takes back.
const grantsQuery = `SELECT f.seq, f.collected_at, o.notice, o.source FROM facts f JOIN origins o ON o.id = f.origin
	WHERE f.purpose = ? AND f.status = ? AND NOT EXISTS (
	SELECT 1 FROM facts g WHERE g.account = f.account AND g.class = f.class AND g.sum = f.sum AND g.purpose = f.purpose
	AND g.collected_at = f.collected_at AND g.origin = f.origin AND g.status = ?) ORDER BY f.seq`

// grant is a fact that said yes, and of its origin what a Filter looks at.
type grant struct {
	fact      uint64
	collected time.Time
	origin    origin
}

func scanGrant(row scanner) (g grant, err error) {
	var collected int64
	err = row.Scan(&g.fact, &collected, &g.origin.notice, &g.origin.source)
	g.collected = fromMicros(collected)
	return g, err
}

// Relabel corrects facts that were recorded as granted ads matching and never were,
// as by an import whose columns were mixed up. For each that the filter chooses it
// adds two, of the same moment and origin: that its purpose is the true one, and
// that the ads matching is retracted. Those that a person has withdrawn since, or
// granted anew, are corrected too: sessions before that used them. It returns how many were
// corrected. What was there stays, and importing the same lines again does not bring
// them back. After an error, calling it again goes on where it ended.
func (d *DB) Relabel(ctx context.Context, f Filter, to consent.Purpose) (corrected uint64, err error) {
	if !to.Valid() || to == consent.AdsMatching {
		return 0, errPurpose
	}
	v, err := d.View(ctx)
	if err != nil {
		return 0, err
	}
	defer v.Close()
	_, err = d.Put(ctx, func(yield func(Fact, error) bool) {
		for l, err := range v.linesOf(ctx, v.mislabelled(ctx, f)) {
			retracted := l.fact()
			retracted.Status = consent.Retracted
			relabelled := l.fact()
			relabelled.Purpose = to
			// In this order: if only the first is written, the next call finds it again.
			if !yield(relabelled, err) || err != nil || !yield(retracted, nil) {
				return
			}
			corrected++
		}
	})
	if err != nil {
		return 0, err
	}
	return corrected, nil
}

// fact returns the line as it could have been put.
func (l *line) fact() Fact {
	return Fact{
		AccountID: l.accountID, Class: l.Class, Sum: l.Sum, Purpose: l.Purpose, Status: l.Status, Basis: l.Basis, Jurisdiction: l.Jurisdiction,
		CollectedAt: l.CollectedAt, Notice: l.Notice, Surface: l.Surface, Reference: l.Reference, Source: l.Source,
	}
}

// Withdraw adds, for each identifier of the account for which ads matching is
// granted now, that it is withdrawn now, as reported by source. What is granted
// from a later moment on is withdrawn at that moment too. It returns how many facts
// that is, or ErrNotFound if there is no such account.
func (d *DB) Withdraw(ctx context.Context, accountID, source string) (withdrawn uint64, err error) {
	events, err := d.History(ctx, accountID)
	if err != nil {
		return 0, err
	}
	now := time.Now().Truncate(time.Microsecond)
	return d.Put(ctx, func(yield func(Fact, error) bool) {
		for _, r := range grantedFrom(events, now) {
			l := line{*r, accountID}
			f := l.fact()
			f.Status, f.Source = consent.Withdrawn, source
			if f.CollectedAt.Before(now) {
				f.CollectedAt = now
			}
			if !yield(f, nil) {
				return
			}
		}
	})
}

// grantedFrom returns the facts that grant ads matching now or from later on.
func grantedFrom(events []Event, now time.Time) (granted []*consent.Record) {
	type key struct {
		class identifier.Class
		sum   [32]byte
	}
	holds := map[key]*consent.Record{}
	for _, e := range events { // by arrival: the later wins a tie
		r := e.Fact
		switch {
		case r == nil || r.Purpose != consent.AdsMatching:
		case r.CollectedAt.After(now):
			if r.Status == consent.Granted {
				granted = append(granted, r)
			}
		default:
			k := key{r.Class, r.Sum}
			if before := holds[k]; before == nil || !before.CollectedAt.After(r.CollectedAt) {
				holds[k] = r
			}
		}
	}
	for _, r := range holds {
		if r.Status == consent.Granted {
			granted = append(granted, r)
		}
	}
	return granted
}
