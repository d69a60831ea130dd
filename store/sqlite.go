package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
)

var (
	errURL  = errors.New("store: unknown kind of store; supported: sqlite:PATH")
	errPath = errors.New("store: sqlite: needs the path of a file")
)

// Open opens the store at the given URL, and makes it if there is none. The URL
// is "sqlite:PATH", with the path as it is, unescaped. An older store is brought
// to this program's schema; a newer one is an error.
func Open(ctx context.Context, url string) (*DB, error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return nil, errURL // without the URL, which may hold a password
	}
	return openSQLite(ctx, path)
}

// Every connection: wait for other processes' transactions rather than fail;
// temporary files would hold identifiers, so there are none. Writing: a commit is
// on disk before it returns; deleted content is overwritten; 32 MiB of pages in
// memory and in the log save writing the same page for many a transaction.
const (
	everyPragma  = "_pragma=busy_timeout(30000)&_pragma=foreign_keys(1)&_pragma=temp_store(MEMORY)"
	writePragmas = everyPragma + "&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)" +
		"&_pragma=secure_delete(1)&_pragma=cache_size(-32768)&_pragma=wal_autocheckpoint(8192)"
	readPragmas = everyPragma + "&_txlock=deferred&_pragma=query_only(1)"
)

var sqlite = dialect{
	words:   strings.NewReplacer("NEVER CHANGED", "BEGIN SELECT RAISE(ABORT, 'what is in the ledger is never changed: a change is a new row'); END"),
	reading: sql.TxOptions{ReadOnly: true}, // its first statement takes the state
}

func openSQLite(ctx context.Context, path string) (*DB, error) {
	if path == "" || path == ":memory:" {
		return nil, errPath
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
	escaped := strings.ReplaceAll(url.QueryEscape(path), "+", "%20")
	name := "file:" + escaped + "?modeof=" + escaped + "&"
	d := &DB{dialect: sqlite}
	if d.write, err = connect(ctx, name+writePragmas, 1); err != nil {
		return nil, err
	}
	if err := refuseDevelopment(ctx, d.write); err != nil {
		d.write.Close()
		return nil, err
	}
	if err := d.migrate(ctx); err != nil {
		d.write.Close()
		return nil, err
	}
	if d.read, err = connect(ctx, name+readPragmas, 0); err != nil {
		d.write.Close()
		return nil, err
	}
	return d, nil
}

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

// connect opens a pool of at most n connections, any number if n is 0, and tries
// one. Readers have no limit: with one, they could all hold a stream and wait for
// another connection.
func connect(ctx context.Context, name string, n int) (*sql.DB, error) {
	pool, err := sql.Open("sqlite3", name)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	pool.SetMaxOpenConns(n)
	pool.SetMaxIdleConns(max(n, runtime.GOMAXPROCS(0)))
	if err := pool.PingContext(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("store: %w", err)
	}
	return pool, nil
}

// refuseDevelopment refuses a file from before the first release, whose facts say
// less than the ledger must.
func refuseDevelopment(ctx context.Context, db *sql.DB) error {
	var n int
	if err := db.QueryRowContext(ctx, `SELECT COUNT(*) FROM sqlite_schema WHERE name = 'migrations'`).Scan(&n); err != nil {
		return wrap("preparing the schema", err)
	}
	if n > 0 {
		return errDevelopment
	}
	return nil
}
