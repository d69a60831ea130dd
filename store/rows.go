package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"slices"
	"strings"
)

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// each streams a query's rows as one statement sees them. An error ends it.
func each[T any](ctx context.Context, q querier, what string, scan func(scanner) (T, error), query string, args ...any) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		fail := func(err error) {
			var none T
			yield(none, wrap(what, err))
		}
		rows, err := q.QueryContext(ctx, query, args...)
		if err != nil {
			fail(err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows)
			if err != nil {
				fail(err)
				return
			}
			if !yield(v, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			fail(err)
		}
	}
}

const errLength = refusal("column of the wrong length")

// fixed copies a column into an array of its length.
func fixed(dst *[32]byte, column []byte) error {
	if copy(dst[:], column) != len(dst) || len(column) != len(dst) {
		return errLength
	}
	return nil
}

// insert is a prepared INSERT of many rows at once, and one of a single row for
// what is left over.
type insert struct {
	columns   int
	one, many *sql.Stmt
}

// rowsPerInsert is enough: fewer than 8 are slower, more than 16 are not faster.
const rowsPerInsert = 16

// prepareInsert prepares "INSERT INTO … (…) VALUES" with rows like the one given
// to follow. A row that is there already is left as it is.
func prepareInsert(ctx context.Context, db *sql.DB, into, row string) (*insert, error) {
	one, err := db.PrepareContext(ctx, into+" "+row+" ON CONFLICT DO NOTHING")
	if err != nil {
		return nil, err
	}
	many, err := db.PrepareContext(ctx, into+" "+row+strings.Repeat(", "+row, rowsPerInsert-1)+" ON CONFLICT DO NOTHING")
	if err != nil {
		one.Close()
		return nil, err
	}
	return &insert{strings.Count(row, "?"), one, many}, nil
}

func (s *insert) close() error { return errors.Join(s.one.Close(), s.many.Close()) }

// exec inserts the rows whose columns are args, and returns how many were new.
func (s *insert) exec(ctx context.Context, tx *sql.Tx, args []any) (inserted uint64, err error) {
	one, many := tx.StmtContext(ctx, s.one), tx.StmtContext(ctx, s.many)
	for len(args) > 0 {
		statement, n := many, s.columns*rowsPerInsert
		if len(args) < n {
			statement, n = one, s.columns
		}
		result, err := statement.ExecContext(ctx, args[:n]...)
		if err != nil {
			return inserted, err
		}
		rows, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += uint64(rows)
		args = args[n:]
	}
	return inserted, nil
}

// lookup is a prepared SELECT of numbers by their names, many at once.
type lookup struct{ many *sql.Stmt }

// namesPerLookup as rowsPerInsert.
const namesPerLookup = 64

// prepareLookup prepares "SELECT name, number FROM … WHERE name IN" with the names
// to follow.
func prepareLookup(ctx context.Context, db *sql.DB, query string) (*lookup, error) {
	many, err := db.PrepareContext(ctx, query+" (?"+strings.Repeat(", ?", namesPerLookup-1)+")")
	return &lookup{many}, err
}

func (l *lookup) close() error { return l.many.Close() }

// numbers sets the numbers of those names that have one.
func (l *lookup) numbers(ctx context.Context, tx *sql.Tx, names []string, numbers map[string]int64) error {
	many := tx.StmtContext(ctx, l.many)
	args := make([]any, namesPerLookup)
	for chunk := range slices.Chunk(names, namesPerLookup) {
		for i := range args {
			args[i] = chunk[min(i, len(chunk)-1)] // the last fills up
		}
		if err := scanNumbers(ctx, many, args, numbers); err != nil {
			return err
		}
	}
	return nil
}

func scanNumbers(ctx context.Context, many *sql.Stmt, args []any, numbers map[string]int64) error {
	rows, err := many.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var number int64
		if err := rows.Scan(&name, &number); err != nil {
			return err
		}
		numbers[name] = number
	}
	return rows.Err()
}
