package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
)

const everyFact = `SELECT seq, account, class, sum, secret, reference FROM facts WHERE seq BETWEEN ? AND ? ORDER BY seq`

// scanAll returns the columns of what a scan finds.
func scanAll(t *testing.T, scan func(row func(columns) error, query string, args []int64) error) (rows []string) {
	t.Helper()
	err := scan(func(row columns) error {
		rows = append(rows, fmt.Sprintf("%d %d %d %x %x %q", row.Int64(0), row.Int64(1), row.Int64(2), row.Bytes(3), row.Bytes(4), row.Bytes(5)))
		return nil
	}, everyFact, []int64{0, 1 << 40})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// A dialect's own scan finds what database/sql finds, in the view's state and not
// in that of now.
func TestScan(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		one, two := fact("ada", 1), fact("bob", 2)
		two.Reference = "line 2"
		put(t, d, one, two)
		v := view(t, d)
		put(t, d, fact("carol", 3))
		got := scanAll(t, func(row func(columns) error, query string, args []int64) error {
			return v.scan(t.Context(), row, query, args...)
		})
		want := scanAll(t, func(row func(columns) error, query string, args []int64) error {
			return scanRows(t.Context(), v.tx, row, query, args)
		})
		if len(want) != 2 || !slices.Equal(got, want) {
			t.Errorf("scanned %d rows, database/sql %d: they differ", len(got), len(want))
		}
	})
}

// A scan ends with the row's error, with the context's or with the database's, and
// the connection serves on.
func TestScanFails(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("ada", 1), fact("bob", 2))
		v := view(t, d)
		failure := errors.New("enough")
		rows := 0
		err := v.scan(t.Context(), func(columns) error { rows++; return failure }, everyFact, 0, 1<<40)
		if err != failure || rows != 1 {
			t.Errorf("%d rows, %v; want 1 row and its own error", rows, err)
		}
		if err := v.scan(t.Context(), func(columns) error { return nil }, everyFact, 0, 1<<40); err != nil {
			t.Errorf("after that: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		rows = 0
		err = v.scan(ctx, func(columns) error { rows++; cancel(); return nil }, everyFact, 0, 1<<40)
		if err != nil && !errors.Is(err, context.Canceled) || err == nil && rows != 2 {
			t.Errorf("cancelled after a row: %v, %d rows", err, rows)
		}
		if err := v.scan(ctx, func(columns) error { return nil }, everyFact, 0, 1<<40); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled before: %v", err)
		}
		last := view(t, d)
		if err := last.scan(t.Context(), func(columns) error { return nil }, `SELECT seq FROM nowhere`); err == nil {
			t.Error("a table that isn't there is read")
		}
	})
}
