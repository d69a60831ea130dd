package store

import (
	"context"
	"math"
	"slices"
	"testing"
)

func TestBudgets(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d, ctx := open(t, url), t.Context()
		list := func(d *DB) (list []Budget) {
			t.Helper()
			for b, err := range d.Budgets(ctx) {
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, b)
			}
			return list
		}
		if got := list(d); got != nil {
			t.Errorf("a new store has budgets: %v", got)
		}
		for sid, charge := range []func(sid [32]byte) error{
			func(sid [32]byte) error { return d.ChargeRelease(ctx, id(2), "users", 8, sid, 10) },
			func(sid [32]byte) error { return d.ChargeRelease(ctx, id(2), "users", 8, sid, 10) },
			func(sid [32]byte) error { return d.ChargeRelease(ctx, id(2), "shop", 8, sid, 10) },
			func(sid [32]byte) error { return d.ChargeRelease(ctx, id(2), "users", 7, sid, 10) },
			func(sid [32]byte) error { return d.ChargeRelease(ctx, id(1), "users", math.MaxInt64, sid, 10) },
			func(sid [32]byte) error { return d.ChargeQueries(ctx, id(2), 8, sid, 1024, 1<<40) },
			func(sid [32]byte) error { return d.ChargeQueries(ctx, id(2), 8, sid, 2048, 1<<40) },
		} {
			for range 2 { // again is of no effect
				if err := charge(id(byte(sid))); err != nil && err != ErrCharged {
					t.Fatal(err)
				}
			}
		}
		if err := d.ChargeRelease(ctx, id(3), "users", 8, id(99), 0); err != ErrBudget {
			t.Errorf("over the limit: %v", err)
		}
		want := []Budget{
			{id(1), "users", math.MaxInt64, Releases, 1},
			{id(2), "users", 7, Releases, 1},
			{id(2), "", 8, Queries, 3072},
			{id(2), "shop", 8, Releases, 1},
			{id(2), "users", 8, Releases, 2},
		}
		if got := list(open(t, url)); !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		for range d.Budgets(ctx) {
			break // and what follows is not read
		}
		cancelled, cancel := context.WithCancel(ctx)
		cancel()
		for _, err := range d.Budgets(cancelled) {
			if err == nil {
				t.Error("read after it was cancelled")
			}
		}
	})
}

func TestBudgetKinds(t *testing.T) {
	for kind, want := range map[BudgetKind]string{Releases: "releases", Queries: "evaluations", 0: "BudgetKind(0)", 3: "BudgetKind(3)"} {
		if got := kind.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
