package store

import (
	"context"
	"fmt"
	"iter"
)

// BudgetKind is what a budget is of.
type BudgetKind uint8

// The kinds of budget.
const (
	Releases BudgetKind = releases // counts told to an advertiser about a universe
	Queries  BudgetKind = queries  // items evaluated for a partner
)

// String returns "releases" or "evaluations".
func (k BudgetKind) String() string {
	switch k {
	case Releases:
		return "releases"
	case Queries:
		return "evaluations"
	}
	return fmt.Sprintf("BudgetKind(%d)", uint8(k))
}

// Budget is what has been charged to a partner in an epoch.
type Budget struct {
	Party    [32]byte
	Universe string // "" for Queries, which are counted over all of them
	Epoch    uint64
	Kind     BudgetKind
	Spent    uint64
}

// Budgets returns every budget that something was charged to, by party, epoch,
// universe and kind, from one state of the store.
func (d *DB) Budgets(ctx context.Context) iter.Seq2[Budget, error] {
	return each(ctx, d.read, "reading the budgets", scanBudget,
		`SELECT party, universe, epoch, kind, spent FROM budgets ORDER BY party, epoch, universe, kind`)
}

func scanBudget(row scanner) (b Budget, err error) {
	var party []byte
	if err := row.Scan(&party, &b.Universe, &b.Epoch, &b.Kind, &b.Spent); err != nil {
		return Budget{}, err
	}
	return b, fixed(&b.Party, party)
}
