package store

import (
	"cmp"
	"context"
	"database/sql"
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
	tx, err := d.read.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return Summary{}, wrap("counting the ledger", err)
	}
	defer tx.Rollback()
	err = tx.QueryRowContext(ctx, `SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM accounts WHERE switched_off = 1), (SELECT COUNT(*) FROM facts)`).
		Scan(&s.Accounts, &s.SwitchedOff, &s.Facts)
	if err != nil {
		return Summary{}, wrap("counting the ledger", err)
	}
	current := each(ctx, tx, "counting the ledger", scanCounted, `SELECT f.account, f.purpose, f.status FROM facts f WHERE `+current+` ORDER BY f.account`, micros(time.Now()))
	s.Current, err = tally(current)
	return s, err
}

// counted is what tally counts: a current fact.
type counted struct {
	account int64
	purpose consent.Purpose
	status  consent.Status
}

func scanCounted(row scanner) (c counted, err error) {
	err = row.Scan(&c.account, &c.purpose, &c.status)
	return c, err
}

// tally counts facts that come by account. So it sees each account once, and
// needs no memory for those it has seen.
func tally(facts iter.Seq2[counted, error]) (list []Count, err error) {
	type group struct {
		Count
		last int64
	}
	groups := map[[2]uint8]*group{}
	for f, err := range facts {
		if err != nil {
			return nil, err
		}
		key := [2]uint8{uint8(f.purpose), uint8(f.status)}
		g := groups[key]
		if g == nil {
			g = &group{Count: Count{Purpose: f.purpose, Status: f.status}}
			groups[key] = g
		}
		g.Identifiers++
		if g.Accounts == 0 || g.last != f.account {
			g.Accounts++
			g.last = f.account
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
