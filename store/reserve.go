package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/internal/pending"
)

// ErrReserved is Reserve's error.
var ErrReserved error = refusal("another server runs on this store")

// ErrTaken is the error of Check, and of every method that writes, once another server
// has reserved the store in a moment in which this one's connection was broken. It is
// for good: this server does not know what the other has done since.
var ErrTaken error = refusal("another server has taken this store")

// errLingers says that the database has not noticed yet that this server's last
// connection is gone.
var errLingers error = refusal("PostgreSQL still keeps the store for a connection of this server's that is lost; it notices within half a minute")

// Reserve keeps the store for the one server that runs on it: a second one, in this
// process or another, gets ErrReserved. Whoever does not reserve it is not in the
// way of anybody, and may read and write meanwhile. Close gives it free, and so
// does the end of the process, however it comes. Calling it again has no effect.
//
// Over PostgreSQL the reservation is the write connection's. If that breaks, the
// next one takes it again before it writes anything, and Check makes the next one; if
// a second server was faster, nothing is written any more (ErrTaken). So there is no
// moment at which two servers write.
// It takes connections of its own: a pooler that gives each transaction another
// session breaks the promise.
func (d *DB) Reserve(ctx context.Context) error {
	d.reserving.Lock()
	defer d.reserving.Unlock()
	if d.free != nil {
		return nil
	}
	free, err := d.reserve(ctx)
	if err != nil {
		return wrap("reserving it for a server", err)
	}
	d.free = free
	return nil
}

// Check says whether the store can be used: that it answers and, if it is reserved,
// that it still is; a reservation that was lost meanwhile is taken again. A server
// calls it now and then. Whoever writes just now is not waited for: that shows it, too.
func (d *DB) Check(ctx context.Context) error {
	var n int
	err := alive(ctx, d.read)
	if err == nil {
		err = d.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM schema_versions`).Scan(&n)
	}
	if err == nil && d.isReserved() {
		if err = alive(ctx, d.write); ctx.Err() != nil && d.write.Stats().InUse > 0 {
			err = nil
		}
	}
	if err != nil && ctx.Err() != nil {
		return errNoAnswer
	}
	return wrap("looking whether it is there", err)
}

// errNoAnswer says that the store is slower than a caller of Check waits.
var errNoAnswer error = refusal("the database does not answer in time")

// alive says whether a pool has a connection that works. Each that does not is gone
// from the pool afterwards.
func alive(ctx context.Context, pool *sql.DB) error {
	for {
		err := pool.PingContext(ctx)
		if !errors.Is(err, driver.ErrBadConn) || ctx.Err() != nil {
			return err
		}
	}
}

func (d *DB) isReserved() bool {
	d.reserving.Lock()
	defer d.reserving.Unlock()
	return d.free != nil
}

// ErrDirReserved is ReserveDir's error.
var ErrDirReserved error = refusal("another server uses this directory")

// ReserveDir keeps the directory for the server that runs on this store, as long as
// Reserve keeps the store: what it writes in the one belongs to the other. A server
// on another store gets ErrDirReserved. Calling it again has no effect.
func (d *DB) ReserveDir(dir string) error {
	d.reserving.Lock()
	defer d.reserving.Unlock()
	if d.dirs[dir] != nil {
		return nil
	}
	free, err := reserveFile(filepath.Join(dir, "serving"), ErrDirReserved)
	switch {
	case errors.Is(err, ErrDirReserved):
		return fmt.Errorf("%w: %s", err, dir)
	case err != nil:
		return wrap("reserving a directory", err)
	}
	if d.dirs == nil {
		d.dirs = map[string]func() error{}
	}
	d.dirs[dir] = free
	return nil
}

// reserveFile locks the file, which is made if need be and never removed: who found
// it could lock what nobody else would find. If another has it, the error is taken.
func reserveFile(name string, taken error) (free func() error, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	mine, err := pending.TryLock(f)
	if err == nil && !mine {
		err = taken
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f.Close, nil
}

// The times that a server waits for the reservation of one that has just died: at
// its start, when there may well be another that lives; and when its own connection
// was lost, until the database has noticed too (writeSettings).
var (
	reserveWithin = 3 * time.Second
	retakeWithin  = 30 * time.Second
)

// within tries until it succeeds, and returns the error given when the time is over.
func within(ctx context.Context, wait time.Duration, late error, try func() (bool, error)) error {
	for deadline := time.Now().Add(wait); ; {
		done, err := try()
		if err != nil || done {
			return err
		}
		if time.Now().After(deadline) {
			return late
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
