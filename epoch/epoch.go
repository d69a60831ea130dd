// Package epoch is the platform's side of its published tables (PROTOCOL.md §7.4):
// it makes the table of an epoch, keeps the key that answers under it, replaces it
// by the next, and destroys the key when its time is over.
//
// Whoever has the key can look up whom a token belongs to: it is the one secret
// that a platform keeps for longer than a session. On disk it is sealed to the
// platform's identity, so that a copy of the directory alone opens nothing.
package epoch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/store"
)

// Config is what a Shelf needs. All but Log is required.
type Config struct {
	Identity *identity.Identity
	Store    *store.DB
	Book     *logbook.Book
	// Dir is the server's private directory. The tables are in "tables" below it,
	// which is for everybody, and what is secret about them in "epochs".
	Dir string
	// Grace is how long a table is still answered under after the next one is there,
	// and after its epoch.
	Grace time.Duration
	Log   *slog.Logger
}

// Shelf is a platform's tables. It may be used by several goroutines, and the
// directory by several processes.
type Shelf struct {
	c      Config
	change sync.Mutex   // for whoever changes the directory in this process,
	lock   *flock.Flock // and in another

	mu     sync.Mutex // of what follows, and of the Tables' uses and seeds
	open   map[[32]byte]*Table
	closed bool
}

// TablesDir and epochsDir are where a server with the given Dir has its tables.
func TablesDir(dir string) string { return filepath.Join(dir, "tables") }

func (s *Shelf) tables() string { return TablesDir(s.c.Dir) }

func (s *Shelf) epochs() string { return filepath.Join(s.c.Dir, "epochs") }

func (s *Shelf) private(id [32]byte) string { return publication.Path(s.epochs(), id) }

// Open returns the shelf of a directory. It builds nothing.
func Open(c Config) (*Shelf, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Shelf{c: c, open: map[[32]byte]*Table{}}
	for _, dir := range []string{s.tables(), s.epochs()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, wrap(err)
		}
	}
	s.lock = flock.New(filepath.Join(s.epochs(), "lock"))
	return s, nil
}

// wrap names the package that failed; nil stays nil.
func wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("epoch: %w", err)
}

// changing waits until nobody else changes the directory.
func (s *Shelf) changing() (done func(), err error) {
	s.change.Lock()
	if err := s.lock.Lock(); err != nil {
		s.change.Unlock()
		return nil, wrap(err)
	}
	return func() {
		s.lock.Unlock()
		s.change.Unlock()
	}, nil
}

// Close closes the tables' files: at once, or when the last session about one ends.
// Their keys stay where they are.
func (s *Shelf) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	var errs []error
	for id, t := range s.open {
		if t.uses == 0 {
			errs = append(errs, t.close())
			delete(s.open, id)
		}
	}
	return errors.Join(errs...)
}

// ErrOver is a table whose time is over: there is another one, or will be.
var ErrOver = fmt.Errorf("epoch: the table is not answered under any more: %w", psi.AbortTable)

// Take returns the table of the id, made under the policy, for one session. It is
// answered under until the given time, and its key stays until done is called.
func (s *Shelf) Take(id [32]byte, p *policy.Policy, now time.Time) (t *Table, until time.Time, done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, err = s.get(id); err != nil {
		return nil, until, nil, err
	}
	if t.policy != p.Hash() {
		return nil, until, nil, publication.ErrNone
	}
	if until, err = s.until(t); err != nil {
		return nil, until, nil, err
	}
	if !now.Before(until) {
		return nil, until, nil, ErrOver
	}
	t.uses++
	return t, until, func() { s.done(t) }, nil
}

func (s *Shelf) done(t *Table) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.uses--; t.uses > 0 || !s.closed {
		return
	}
	delete(s.open, t.Manifest.TableID)
	if err := t.close(); err != nil {
		s.c.Log.Error("a table's files could not be closed", "error", err)
	}
}

// get returns the table of the id, opened. The caller holds mu.
func (s *Shelf) get(id [32]byte) (*Table, error) {
	if t := s.open[id]; t != nil {
		return t, nil
	}
	m, err := publication.Load(publication.Path(s.tables(), id), s.c.Identity.Public())
	if err != nil {
		return nil, err
	}
	t, err := s.load(m)
	if err == nil {
		s.open[id] = t
	}
	return t, err
}

// Current returns the path and the manifest of the table that is published for the
// policy, and what proves that it is in the log.
func (s *Shelf) Current(ctx context.Context, p *policy.Policy) (path string, m *publication.Manifest, proof []byte, err error) {
	id, err := publication.Current(s.tables(), p.Hash())
	if err != nil {
		return "", nil, nil, err
	}
	path = publication.Path(s.tables(), id)
	if m, err = publication.Load(path, s.c.Identity.Public()); err != nil {
		return "", nil, nil, err
	}
	proof, err = s.proof(ctx, path, m)
	return path, m, proof, err
}
