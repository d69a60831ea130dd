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

// eachIn streams the rows of those numbers, by some at once and in no order, of a
// query that ends in a column. The numbers are read as rows are.
func eachIn[T any](ctx context.Context, q querier, what string, scan func(scanner) (T, error), query string, numbers iter.Seq2[uint64, error]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for some, err := range batches(numbers) {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			for v, err := range each(ctx, q, what, scan, query+in(len(some)), anys(some)...) {
				if !yield(v, err) || err != nil {
					return
				}
			}
		}
	}
}

// batches are as many of the numbers at once as are looked up at once, each batch
// until the next. An error ends it.
func batches(numbers iter.Seq2[uint64, error]) iter.Seq2[[]int64, error] {
	return func(yield func([]int64, error) bool) {
		some := make([]int64, 0, namesPerLookup)
		for n, err := range numbers {
			if err != nil {
				yield(nil, err)
				return
			}
			if number, err := integer(n); err == nil { // no row has another
				some = append(some, number)
			}
			if len(some) == cap(some) {
				if !yield(some, nil) {
					return
				}
				some = some[:0]
			}
		}
		if len(some) > 0 {
			yield(some, nil)
		}
	}
}

// in is what follows a column that has to be one of n parameters.
func in(n int) string { return ` IN (?` + strings.Repeat(", ?", n-1) + `)` }

func anys(numbers []int64) []any {
	list := make([]any, len(numbers))
	for i, n := range numbers {
		list[i] = n
	}
	return list
}

// withoutErrors is a sequence that cannot fail as one that can.
func withoutErrors[T any](seq iter.Seq[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v := range seq {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// columns are a row's. What Bytes returns is good until the next call.
type columns interface {
	Int64(column int) int64
	Bytes(column int) []byte
}

// scanRows has row called with each row of a query's, over database/sql.
func scanRows(ctx context.Context, tx *sql.Tx, row func(columns) error, query string, args []int64) error {
	rows, err := tx.QueryContext(ctx, query, anys(args)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	values, places := make(scanned, len(names)), make([]any, len(names))
	for i := range values {
		places[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(places...); err != nil {
			return err
		}
		if err := row(values); err != nil {
			return err
		}
	}
	return rows.Err()
}

// scanned is a row of an integer, text or byte string in each column: any other
// is not in a schema of this package.
type scanned []any

func (s scanned) Int64(column int) int64 { return s[column].(int64) }

func (s scanned) Bytes(column int) []byte {
	if text, ok := s[column].(string); ok {
		return []byte(text)
	}
	return s[column].([]byte)
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

// prepareLookup prepares "SELECT name, number FROM … WHERE name" with the names to
// follow.
func prepareLookup(ctx context.Context, db *sql.DB, query string) (*lookup, error) {
	many, err := db.PrepareContext(ctx, query+in(namesPerLookup))
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
