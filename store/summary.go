package store

import (
	"cmp"
	"context"
	"iter"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// Summary counts what the ledger holds now.
type Summary struct {
	Accounts    uint64  // known, with or without identifiers
	SwitchedOff uint64  // of these
	Facts       uint64  // lines, also those that later ones have replaced
	Current     []Count // by purpose, then status; none is zero
}

// Count is how many current facts are of one purpose and status.
type Count struct {
	Purpose     consent.Purpose
	Status      consent.Status
	Identifiers uint64 // (account, identifier) pairs
	Accounts    uint64 // distinct accounts
}

// Summary counts what the ledger holds now. It reads all of it.
func (d *DB) Summary(ctx context.Context) (s Summary, err error) {
	v, err := d.View(ctx)
	if err != nil {
		return Summary{}, err
	}
	defer v.Close()
	err = v.tx.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM accounts WHERE switched_off = 1), (SELECT COUNT(*) FROM facts)`).
		Scan(&s.Accounts, &s.SwitchedOff, &s.Facts)
	if err != nil {
		return Summary{}, wrap("counting the ledger", err)
	}
	s.Current, err = tally(v.current(ctx, consent.Purposes[0], consent.Purposes[len(consent.Purposes)-1], time.Now(), nil))
	return s, wrap("counting the ledger", err)
}

// tally counts facts that come by account. So it sees each account once, and
// needs no memory for those it has seen.
func tally(facts iter.Seq2[current, error]) (list []Count, err error) {
	type group struct {
		Count
		last consent.Handle
	}
	groups := map[[2]uint8]*group{}
	for f, err := range facts {
		if err != nil {
			return nil, err
		}
		key := [2]uint8{uint8(f.Purpose), uint8(f.Status)}
		g := groups[key]
		if g == nil {
			g = &group{Count: Count{Purpose: f.Purpose, Status: f.Status}}
			groups[key] = g
		}
		g.Identifiers++
		if g.last != f.Account {
			g.Accounts++
			g.last = f.Account
		}
	}
	for _, g := range groups {
		list = append(list, g.Count)
	}
	slices.SortFunc(list, func(a, b Count) int {
		return cmp.Or(cmp.Compare(a.Purpose, b.Purpose), cmp.Compare(a.Status, b.Status))
	})
	return list, nil
}
