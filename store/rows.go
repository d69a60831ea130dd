package store

import (
	"context"
	"database/sql"
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

// insert is a prepared INSERT of many rows at once. A row that is there already is
// left as it is.
type insert struct {
	into, row string // "INSERT INTO … (…) VALUES", and a row to follow it
	columns   int
	rows      int // of many
	many      *sql.Stmt
}

func (d *DB) prepareInsert(ctx context.Context, into, row string) (s *insert, err error) {
	s = &insert{into: into, row: row, columns: strings.Count(row, "?"), rows: d.dialect.rowsPerInsert}
	s.many, err = d.write.PrepareContext(ctx, s.statement(s.rows))
	return s, err
}

func (s *insert) statement(rows int) string {
	return s.into + " " + s.row + strings.Repeat(", "+s.row, rows-1) + " ON CONFLICT DO NOTHING"
}

func (s *insert) close() error { return s.many.Close() }

// exec inserts the rows whose columns are args, and returns how many were new.
func (s *insert) exec(ctx context.Context, tx *sql.Tx, args []any) (inserted uint64, err error) {
	many := tx.StmtContext(ctx, s.many)
	for chunk := range slices.Chunk(args, s.columns*s.rows) {
		var result sql.Result
		if rows := len(chunk) / s.columns; rows == s.rows {
			result, err = many.ExecContext(ctx, chunk...)
		} else {
			result, err = tx.ExecContext(ctx, s.statement(rows), chunk...)
		}
		if err != nil {
			return inserted, err
		}
		n, err := result.RowsAffected()
		if err != nil {
			return inserted, err
		}
		inserted += uint64(n)
	}
	return inserted, nil
}

// lookup is a prepared SELECT of numbers by their names, many at once.
type lookup struct{ many *sql.Stmt }

// namesPerLookup is enough: more are not faster.
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
