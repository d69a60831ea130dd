package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/ncruces/go-sqlite3"
)

// Errors of Open, by which a caller knows what to do.
var (
	// ErrURL says that a URL names no store. It is without the URL, which may hold a
	// password.
	ErrURL = errors.New("store: the URL of the store can't be read: write sqlite:PATH or postgres://USER@HOST/DATABASE")
	// ErrForeign says that what is there is no store: another kind of file, or
	// another program's database. Nothing of it was changed.
	ErrForeign = errors.New("store: not a store of this program")
	// ErrNewer says that a newer version of this program has made the store.
	ErrNewer = errors.New("store: made by a newer version of this program")
	// ErrNoDirectory says that the directory of an SQLite file is not there.
	ErrNoDirectory = errors.New("store: there is no such directory")
	// ErrUnreachable says that no PostgreSQL could be reached.
	ErrUnreachable = errors.New("store: PostgreSQL can't be reached")
	// ErrNotLetIn says that PostgreSQL refuses the user or the password.
	ErrNotLetIn = errors.New("store: PostgreSQL does not let this user in")
	// ErrNoDatabase says that PostgreSQL has no database of that name.
	ErrNoDatabase = errors.New("store: PostgreSQL has no such database")
)

// ErrFull says that the store's disk is full, or takes nothing for another reason:
// SQLite's driver does not always tell the two apart. What was being written is not
// there.
var ErrFull = errors.New("store: the disk is full, or can't be written to")

func isFull(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "53100" // disk_full
	}
	return slices.ContainsFunc([]error{sqlite3.FULL, sqlite3.IOERR_WRITE, sqlite3.IOERR_SHMSIZE, sqlite3.IOERR_SHMMAP}, func(e error) bool { return errors.Is(err, e) })
}

// sqliteMagic begins every file of SQLite, https://www.sqlite.org/fileformat.html §1.3.
const sqliteMagic = "SQLite format 3\x00"

// checkFile refuses a path at which no file of SQLite can be or is, before anything
// is made or changed there. An empty file may become one.
func checkFile(ctx context.Context, path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		if dir := filepath.Dir(path); !isDir(dir) {
			return fmt.Errorf("%w: %s", ErrNoDirectory, dir)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	if isDir(path) {
		return fmt.Errorf("%w: %s is a directory", ErrForeign, path)
	}
	var begin [len(sqliteMagic)]byte
	switch n, err := io.ReadFull(f, begin[:]); {
	case n == 0 && err == io.EOF:
		return nil
	case string(begin[:]) == sqliteMagic:
		return refuseForeign(ctx, path)
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("store: %w", err)
	}
	return fmt.Errorf("%w: %s is another kind of file", ErrForeign, path)
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// unconnected makes one sentence of why there is no connection to PostgreSQL: pgx
// tells each address and each way of TLS that it has tried, in a line of its own.
func unconnected(e *pgconn.ConnectError) error {
	at := e.Config.Host
	if !strings.HasPrefix(at, "/") { // else a directory with a socket
		at = net.JoinHostPort(at, fmt.Sprint(e.Config.Port))
	}
	var said *pgconn.PgError
	if errors.As(e, &said) {
		switch {
		case strings.HasPrefix(said.Code, "28"): // invalid authorization specification
			return fmt.Errorf("%w: %q at %s (SQLSTATE %s)", ErrNotLetIn, e.Config.User, at, said.Code)
		case said.Code == "3D000": // invalid catalog name
			return fmt.Errorf("%w: %q at %s", ErrNoDatabase, e.Config.Database, at)
		}
		return fmt.Errorf("%w at %s: %s (SQLSTATE %s)", ErrUnreachable, at, said.Message, said.Code)
	}
	return fmt.Errorf("%w at %s: %w", ErrUnreachable, at, innermost(e))
}

// innermost is the first of the errors that have no other in them.
func innermost(err error) error {
	for {
		var dns *net.DNSError
		if errors.As(err, &dns) {
			return errors.New("there is no host of this name, or it can't be looked up")
		}
		next := errors.Unwrap(err)
		if several, ok := err.(interface{ Unwrap() []error }); ok && len(several.Unwrap()) > 0 {
			next = several.Unwrap()[0]
		}
		switch {
		case next == nil && errors.Is(err, context.DeadlineExceeded):
			return errors.New("no answer in time")
		case next == nil:
			return err
		}
		err = next
	}
}
