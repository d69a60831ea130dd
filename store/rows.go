package store

import (
	"context"
	"database/sql"
	"errors"
	"iter"
	"strings"
)

// scanner is a row that can be read.
type scanner interface{ Scan(dest ...any) error }

// querier is a database or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
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
