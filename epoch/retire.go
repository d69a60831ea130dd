package epoch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/publication"
)

// Retire ends a table: nobody is answered under it from now on. It is for one whose
// people may not be asked about any more.
func (s *Shelf) Retire(id [32]byte) error { return s.retire(id, time.Now()) }

func (s *Shelf) retire(id [32]byte, at time.Time) error {
	name := filepath.Join(s.private(id), retiredFile)
	if _, err := os.Stat(s.private(id)); os.IsNotExist(err) {
		return nil // its key is gone already
	}
	if old, err := retired(name); err == nil && old.Before(at) {
		return nil
	}
	return wrap(pending.Write(name, publication.Begun, []byte(strconv.FormatInt(at.Unix(), 10)+"\n")))
}

// retired reads such a file.
func retired(name string) (time.Time, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return time.Time{}, wrap(err)
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return time.Time{}, errors.New("epoch: a table's end is not a number of seconds")
	}
	return time.Unix(seconds, 0), nil
}

// until is the time up to which the table is answered under.
func (s *Shelf) until(t *Table) (time.Time, error) {
	end, err := retired(filepath.Join(s.private(t.Manifest.TableID), retiredFile))
	if errors.Is(err, os.ErrNotExist) || err == nil && end.After(t.Manifest.NotAfter) {
		return t.Manifest.NotAfter, nil
	}
	return end, err
}

// Tend is to be called now and then, by the one process that serves: it makes the
// next table where a policy's epoch is over or its table has ended, publishes those
// whose witnesses have cosigned the log, and destroys the keys of those whose time
// has come. A policy that has no table gets none.
func (s *Shelf) Tend(ctx context.Context, policies []*policy.Policy) error {
	done, err := s.changing()
	if err != nil {
		return err
	}
	defer done()
	var errs []error
	kept := map[[32]byte]bool{}
	for _, p := range policies {
		errs = append(errs, s.tend(ctx, p))
		for _, named := range []func(string, [32]byte) ([32]byte, error){publication.Current, publication.Next} {
			if id, err := named(s.tables(), p.Hash()); err == nil {
				kept[id] = true
			}
		}
	}
	return errors.Join(append(errs, s.sweep(ctx, kept))...)
}

// tend looks after the latest table of a policy, which may wait for witnesses.
func (s *Shelf) tend(ctx context.Context, p *policy.Policy) error {
	id, err := publication.Next(s.tables(), p.Hash())
	waits := err == nil
	if errors.Is(err, publication.ErrNone) {
		id, err = publication.Current(s.tables(), p.Hash())
	}
	if errors.Is(err, publication.ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	due, err := s.due(id, p)
	switch {
	case err != nil:
		return err
	case due:
		_, err = s.rotate(ctx, p)
		return err
	case waits:
		return s.publishSeen(ctx, p, id)
	}
	return nil
}

// publishSeen publishes a table that waits, if as many witnesses as the policy asks
// for have cosigned the log with it: an advertiser would not believe it before.
func (s *Shelf) publishSeen(ctx context.Context, p *policy.Policy, id [32]byte) error {
	path := publication.Path(s.tables(), id)
	m, err := publication.Load(path, s.c.Identity.Public())
	if err != nil {
		return err
	}
	proof, err := s.proof(ctx, path, m)
	if err != nil {
		return err
	}
	if seen, err := audit.ParseProof(proof); err != nil || cosignatures(seen) < int(p.Witnesses) {
		return err
	}
	return s.publish(p, m)
}

// due reports whether the policy needs a table after the one of the id.
func (s *Shelf) due(id [32]byte, p *policy.Policy) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.get(id)
	if errors.Is(err, ErrOver) || errors.Is(err, publication.ErrNone) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	until, err := s.until(t)
	now := time.Now()
	return err == nil && (p.Epoch(now) > t.Epoch(p) || !now.Before(until)), err
}

// sweep destroys what nobody is answered under: tables whose time is over, and those
// that a build has left which ended before they were anybody's, or which another has
// replaced before they had their witnesses.
func (s *Shelf) sweep(ctx context.Context, kept map[[32]byte]bool) error {
	found, err := os.ReadDir(s.epochs())
	if err != nil {
		return wrap(err)
	}
	errs := []error{publication.Sweep(s.epochs()), publication.Sweep(s.tables())}
	for _, f := range found {
		if id, ok := idOf(f.Name()); ok {
			errs = append(errs, s.destroyIfOver(ctx, id, kept[id]))
		}
	}
	return errors.Join(errs...)
}

func (s *Shelf) destroyIfOver(ctx context.Context, id [32]byte, kept bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.get(id)
	switch {
	case errors.Is(err, ErrOver), errors.Is(err, publication.ErrNone): // half made, or half destroyed
	case err != nil:
		return err
	default:
		_, err := os.Stat(filepath.Join(s.private(id), retiredFile))
		orphan := !kept && os.IsNotExist(err)
		until, err := s.until(t)
		if err != nil || t.uses > 0 || !orphan && time.Now().Before(until) {
			return err
		}
	}
	return s.destroy(ctx, id, t)
}

// destroy removes the key, logs that, and removes the rest. What ends in between is
// done again by the next Tend. The caller holds mu.
func (s *Shelf) destroy(ctx context.Context, id [32]byte, t *Table) error {
	if t != nil {
		delete(s.open, id)
		if err := t.close(); err != nil {
			return wrap(err)
		}
	}
	if err := overwrite(filepath.Join(s.private(id), secretFile)); err != nil {
		return err
	}
	entries, err := logbook.Entries(time.Now(), audit.KeyDestroyed{TableID: id})
	if err == nil {
		err = s.c.Store.Record(ctx, entries...)
	}
	if err == nil {
		err = s.c.Book.Publish(ctx)
	}
	if err != nil {
		return err
	}
	s.c.Log.Info("table's key destroyed", "table", fmt.Sprintf("%x", id))
	return wrap(errors.Join(os.RemoveAll(publication.Path(s.tables(), id)), os.RemoveAll(s.private(id))))
}

// overwrite removes a secret, durably: what was on the disk is written over in its
// place, which making the file anew would not do. That a disk keeps no copy of it is
// best effort all the same: it was sealed to the identity for this.
func overwrite(name string) error {
	f, err := os.OpenFile(name, os.O_WRONLY, 0)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return wrap(err)
	}
	at, err := f.Stat()
	if err == nil {
		_, err = f.WriteAt(make([]byte, at.Size()), 0)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Remove(name)
	}
	if err != nil {
		return wrap(err)
	}
	return wrap(pending.SyncDir(filepath.Dir(name)))
}
