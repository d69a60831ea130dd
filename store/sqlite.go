package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/ncruces/go-sqlite3"
	"github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
)

var errPath = errors.New("store: sqlite: needs the path of a file")

// Every connection: wait for other processes' transactions rather than fail;
// temporary files would hold identifiers, so there are none. Writing: a commit is
// on disk before it returns; deleted content is overwritten; 32 MiB of pages in
// the log save writing the same page for many a transaction.
const (
	everyPragma  = "_pragma=busy_timeout(30000)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	writePragmas = everyPragma + "&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=secure_delete(1)&_pragma=wal_autocheckpoint(8192)"
	readPragmas = everyPragma + "&_txlock=deferred&_pragma=query_only(1)"
)

var sqlite = dialect{
	words:   strings.NewReplacer("NEVER CHANGED", "BEGIN SELECT RAISE(ABORT, 'what is in the ledger is never changed: a change is a new row'); END"),
	old:     `SELECT COUNT(*) FROM sqlite_schema WHERE name IN ('migrations', 'audiences_ready')`,
	reading: sql.TxOptions{ReadOnly: true}, // its first statement takes the state
	// The log has pages as they were, and is cut off if no reader needs it just now.
	scrub: []string{`PRAGMA busy_timeout(0)`, `PRAGMA wal_checkpoint(TRUNCATE)`, `PRAGMA busy_timeout(30000)`},
	// KiB of pages in memory: an import writes all over its indexes, a session does not.
	most:  []string{`PRAGMA cache_size(-32768)`},
	usual: []string{`PRAGMA cache_size(-2000)`},

	rowsPerInsert: 16,
	scan:          scanSQLite,
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	if path == "" || path == ":memory:" {
		return nil, errPath
	}
	if err := checkFile(ctx, path); err != nil {
		return nil, err
	}
	if err := private(path); err != nil {
		return nil, err
	}
	path, err := realPath(path)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	// The log and its index stand beside the file. The driver makes both as the
	// umask has it, but it leaves an index that is there and gives the log the
	// mode of a file named.
	if err := private(path + "-shm"); err != nil {
		return nil, err
	}
	escaped := escape(path)
	name := "file:" + escaped + "?modeof=" + escaped + "&"
	write, err := sql.Open("sqlite3", name+writePragmas)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	read, err := sql.Open("sqlite3", name+readPragmas)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := connect(ctx, write); err != nil {
		return nil, errors.Join(err, write.Close(), read.Close())
	}
	d, err := newDB(ctx, sqlite, write, read)
	if err != nil {
		return nil, err
	}
	d.spillDir = filepath.Dir(path) // what is as secret as the store stays beside it
	d.reserve = func(context.Context) (func() error, error) { return reserveFile(path+"-serving", ErrReserved) }
	return d, nil
}

// scanSQLite is a dialect's scan: database/sql puts each integer of each row into
// memory of its own, which costs as much as SQLite's part.
func scanSQLite(ctx context.Context, conn any, row func(columns) error, query string, args []int64) error {
	c := conn.(driver.Conn).Raw()
	defer c.SetInterrupt(c.SetInterrupt(ctx))
	s, _, err := c.Prepare(query)
	if err == nil {
		defer s.Close()
		err = stepSQLite(s, row, args)
	}
	if errors.Is(err, sqlite3.INTERRUPT) && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func stepSQLite(s *sqlite3.Stmt, row func(columns) error, args []int64) error {
	for i, arg := range args {
		if err := s.BindInt64(i+1, arg); err != nil {
			return err
		}
	}
	for r := (sqliteRow{s}); s.Step(); {
		if err := row(r); err != nil {
			return err
		}
	}
	return s.Err()
}

type sqliteRow struct{ s *sqlite3.Stmt }

func (r sqliteRow) Int64(column int) int64  { return r.s.ColumnInt64(column) }
func (r sqliteRow) Bytes(column int) []byte { return r.s.ColumnRawBlob(column) } // of text, its bytes

// private makes the file, if there is none, and leaves it readable by its owner
// only.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// realPath returns where the file is, wherever the process goes: connections are
// made later too.
func realPath(path string) (string, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	return filepath.Abs(path)
}

// busyTime is how long one process waits for another's transaction, as the
// busy_timeout above says.
const busyTime = 30 * time.Second

// connect makes the first connection. Two that turn a new file to its log at once
// get in each other's way, and SQLite's own patience does not cover that.
func connect(ctx context.Context, write *sql.DB) error {
	for deadline := time.Now().Add(busyTime); ; {
		err := refuseDevelopment(ctx, write, sqlite.old)
		if !errors.Is(err, sqlite3.BUSY) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// refuseForeign refuses another program's database, without a file beside it or a
// lock on it. What is not in the file yet, but in its log, it does not see: what
// looks empty is let pass.
func refuseForeign(ctx context.Context, path string) error {
	db, err := sql.Open("sqlite3", "file:"+escape(path)+"?mode=ro&immutable=1")
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer db.Close()
	var tables, ours int
	err = db.QueryRowContext(ctx, `SELECT COUNT(*), COUNT(*) FILTER (WHERE name IN ('schema_versions', 'migrations', 'audiences_ready')) FROM sqlite_schema`).Scan(&tables, &ours)
	if err == nil && tables > 0 && ours == 0 {
		return fmt.Errorf("%w: %s is another program's database", ErrForeign, path)
	}
	return nil // an error here may be a writer's at work; the store's own connection will tell
}

func escape(path string) string { return strings.ReplaceAll(url.QueryEscape(path), "+", "%20") }
