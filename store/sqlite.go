package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	_ "github.com/ncruces/go-sqlite3/driver" // registers "sqlite3"
)

var (
	errURL   = errors.New("store: unknown kind of store; supported: sqlite:PATH")
	errPath  = errors.New("store: sqlite: needs the path of a file")
	errNewer = errors.New("store: made by a newer version of this program")
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
	d := &DB{}
	if d.write, err = connect(ctx, name+writePragmas, 1); err != nil {
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

//go:embed schema/*_sqlite.sql
var schema embed.FS

// migrate applies the schema files that the store has not seen yet, all in one
// transaction, so that two programs that open a new store make it once.
func (d *DB) migrate(ctx context.Context) error {
	files, err := fs.Glob(schema, "schema/*_sqlite.sql") // in order of their numbers
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return d.update(ctx, "preparing the schema", func(tx *sql.Tx) error {
		applied, err := appliedMigrations(ctx, tx)
		if err != nil {
			return err
		}
		if applied > len(files) {
			return errNewer
		}
		for i, name := range files[applied:] {
			if err := apply(ctx, tx, applied+i+1, name); err != nil {
				return err
			}
		}
		return drawHandleKey(ctx, tx)
	})
}

func appliedMigrations(ctx context.Context, tx *sql.Tx) (n int, err error) {
	const table = `CREATE TABLE IF NOT EXISTS migrations (version INTEGER NOT NULL PRIMARY KEY, applied INTEGER NOT NULL)`
	if _, err := tx.ExecContext(ctx, table); err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT COALESCE(MAX(version), 0) FROM migrations`).Scan(&n)
	return n, err
}

func apply(ctx context.Context, tx *sql.Tx, version int, name string) error {
	statements, err := schema.ReadFile(name)
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, string(statements)); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO migrations (version, applied) VALUES (?, ?)`, version, micros(time.Now()))
	return err
}

// drawHandleKey gives a new store the key that its handles are made with.
func drawHandleKey(ctx context.Context, tx *sql.Tx) error {
	var key [32]byte
	rand.Read(key[:])
	_, err := tx.ExecContext(ctx, `INSERT INTO meta (one, handle_key, last_seq) VALUES (1, ?, 0) ON CONFLICT DO NOTHING`, key[:])
	return err
}
