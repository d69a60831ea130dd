// Package store keeps what a platform must not lose over a restart: its ledger
// of consent, the nonces and budgets that partners have used, the audiences that
// matches filled, and evidence of each session.
//
// It is trusted. Whoever can write to it can forge consent; whoever can read it
// has hashed identifiers, the secrets behind the salts of every snapshot, and the
// key behind the handles. The file is readable by its owner only, and disk
// encryption is the operator's.
//
// One type, DB, over two databases: SQLite in one file, or PostgreSQL. What is their
// own is in sqlite.go and postgres.go; everything else is plain database/sql, with
// "?" for parameters.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Errors on which a caller decides.
var (
	ErrReplay   error = refusal("nonce used before")
	ErrCharged  error = refusal("questions charged before")
	ErrBudget   error = refusal("budget exhausted")
	ErrNotFound error = refusal("not found")
	ErrReplaced error = refusal("audience replaced by one begun later")

	errSession error = refusal("session differs from what is on record")
	errRange   error = refusal("number out of range")
	errHandle  error = refusal("a handle that is not of this store")
)

// refusal is an error of the store's own, not of the database.
type refusal string

func (r refusal) Error() string { return "store: " + string(r) }

// DB is an open store. The contract of its methods, under any dialect:
//
// Durable. When a method returns nil, what it wrote survives a crash of the
// process and of the machine. When it returns an error, or the process dies
// within it, what it wrote is there whole, with its entries for the logs, or not at
// all; Put and Hold, which write in batches, say what may be left.
//
// Serialisable. Methods that write see one another in some order, over all
// handles and processes that have the store open. No interleaving passes a limit,
// takes a nonce twice or gives a session two releases.
//
// Never refunded. No method lowers what was charged. A crash costs budget; it
// never gives a second draw.
//
// Concurrent. All methods may be called from any number of goroutines. Reading
// sees one moment and never waits for writing. A sequence given to Put or
// PutMatches may itself call methods: no lock is held while it runs.
//
// Errors hold no value of any row: no account, handle, hash or file line.
type DB struct {
	dialect dialect
	write   *sql.DB // one connection: writers of a process queue here, in order
	read    *sql.DB

	spillDir string // for private files that lose their names at once; the system's if empty

	reserve   func(context.Context) (free func() error, err error) // the database's way
	reserving sync.Mutex
	free      func() error            // nil if not reserved
	dirs      map[string]func() error // that are reserved
}

// dialect is what the databases do in ways of their own.
type dialect struct {
	words   *strings.Replacer // from the schema's
	before  string            // a statement before the schema
	old     string            // a query that counts the marks of a store from before the first release
	turn    string            // a statement that begins each transaction that writes
	scrub   []string          // statements after something secret was deleted
	most    []string          // before much is written,
	usual   []string          // and afterwards
	writing sql.TxOptions
	reading sql.TxOptions // of a transaction that sees one state throughout

	rowsPerInsert int // as many as are faster than fewer

	// scan streams a query's rows from the driver's own connection, where that is
	// much faster than database/sql; else nil.
	scan func(ctx context.Context, conn any, row func(columns) error, query string, args []int64) error
}

// Open opens the store at the given URL, and makes it if there is none. The URL is
// "sqlite:PATH", with the path as it is, unescaped, or what PostgreSQL's own
// programs take, "postgres://user@host/database?sslmode=verify-full". An older
// store is brought to this program's schema; a newer one is an error.
func Open(ctx context.Context, url string) (*DB, error) {
	scheme, path, _ := strings.Cut(url, ":")
	switch scheme {
	case "sqlite":
		return openSQLite(ctx, path)
	case "postgres", "postgresql":
		return openPostgres(ctx, url)
	}
	return nil, ErrURL
}

// newDB returns a store over two pools of connections, with its schema prepared.
// Readers have no limit: with one, they could all hold a stream and wait for
// another connection.
func newDB(ctx context.Context, dialect dialect, write, read *sql.DB) (*DB, error) {
	d := &DB{dialect: dialect, write: write, read: read}
	d.write.SetMaxOpenConns(1)
	d.read.SetMaxIdleConns(runtime.GOMAXPROCS(0))
	err := d.migrate(ctx)
	if err == nil {
		err = wrap("opening", d.read.PingContext(ctx))
	}
	if err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Close closes the store. No method may be running.
func (d *DB) Close() error {
	err := errors.Join(d.read.Close(), d.write.Close())
	if d.free != nil {
		err = errors.Join(err, d.free())
	}
	for _, free := range d.dirs {
		err = errors.Join(err, free())
	}
	if err != nil {
		return fmt.Errorf("store: closing: %w", err)
	}
	return nil
}

// update runs f in a transaction that is serialisable, and durable once update
// returns nil. The database's errors are wrapped with what was being done.
func (d *DB) update(ctx context.Context, what string, f func(tx *sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, &d.dialect.writing)
	if err != nil {
		return wrap(what, err)
	}
	defer tx.Rollback() // of no effect after Commit
	if d.dialect.turn != "" {
		if _, err := tx.ExecContext(ctx, d.dialect.turn); err != nil {
			return wrap(what, err)
		}
	}
	if err := f(tx); err != nil {
		return wrap(what, err)
	}
	return wrap(what, tx.Commit())
}

// view begins a transaction that reads one state of the store.
func (d *DB) view(ctx context.Context) (*sql.Tx, error) {
	return d.read.BeginTx(ctx, &d.dialect.reading)
}

func wrap(what string, err error) error {
	var own refusal
	switch {
	case err == nil:
		return nil
	case errors.As(err, &own):
		return err
	case errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	}
	if e := new(pgconn.ConnectError); errors.As(err, &e) {
		return unconnected(e)
	}
	if isFull(err) {
		return fmt.Errorf("store: %s: %w", what, ErrFull)
	}
	return fmt.Errorf("store: %s: %w", what, withoutValues(err))
}

// changed executes a statement and returns how many rows it changed.
func changed(ctx context.Context, tx *sql.Tx, statement string, args ...any) (int64, error) {
	result, err := tx.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// integer returns n as a database's integer.
func integer(n uint64) (int64, error) {
	if n > math.MaxInt64 {
		return 0, errRange
	}
	return int64(n), nil
}

// Times are stored in microseconds, PostgreSQL's own precision, rounded down.
func micros(t time.Time) int64     { return t.UnixMicro() }
func fromMicros(n int64) time.Time { return time.UnixMicro(n).UTC() }
