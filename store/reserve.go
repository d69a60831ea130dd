package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/internal/pending"
)

// ErrReserved is Reserve's error, and that of every method that writes of a store
// which has lost its reservation to another server.
var ErrReserved error = refusal("another server runs on this store")

// Reserve keeps the store for the one server that runs on it: a second one, in this
// process or another, gets ErrReserved. Whoever does not reserve it is not in the
// way of anybody, and may read and write meanwhile. Close gives it free, and so
// does the end of the process, however it comes. Calling it again has no effect.
//
// Over PostgreSQL the reservation is the write connection's. If that breaks, the
// next one takes it again before it writes anything; if a second server was faster,
// nothing is written any more. So there is no moment at which two servers write.
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

// within tries until it succeeds, and returns ErrReserved when the time is over.
func within(ctx context.Context, wait time.Duration, try func() (bool, error)) error {
	for deadline := time.Now().Add(wait); ; {
		done, err := try()
		if err != nil || done {
			return err
		}
		if time.Now().After(deadline) {
			return ErrReserved
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
