package epoch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/table"
)

// Rotate makes a table of the people whom the policy admits now, under a new key,
// and publishes it: it becomes the policy's current one, and the one before is
// answered under for the grace. If the policy asks for witnesses, it waits for them
// first, in the place of another that waits; Tend publishes it then. Whatever goes
// wrong, the one before stays.
func (s *Shelf) Rotate(ctx context.Context, p *policy.Policy) (*publication.Manifest, error) {
	done, err := s.changing()
	if err != nil {
		return nil, err
	}
	defer done()
	return s.rotate(ctx, p)
}

func (s *Shelf) rotate(ctx context.Context, p *policy.Policy) (*publication.Manifest, error) {
	b := &build{s: s, p: p, x: secret{Policy: p.Hash()}}
	defer b.close()
	m, err := b.run(ctx)
	if err != nil {
		return nil, err
	}
	if p.Witnesses == 0 {
		return m, s.publish(p, m)
	}
	s.c.Log.Info("table waits for witnesses", "table", fmt.Sprintf("%x", m.TableID), "entries", m.Entries, "witnesses", p.Witnesses)
	return m, publication.SetNext(s.tables(), p.Hash(), m.TableID)
}

// publish makes a table the policy's current one.
func (s *Shelf) publish(p *policy.Policy, m *publication.Manifest) error {
	s.c.Log.Info("table published", "table", fmt.Sprintf("%x", m.TableID), "entries", m.Entries, "until", m.NotAfter)
	before, err := publication.Current(s.tables(), p.Hash())
	if err != nil && !errors.Is(err, publication.ErrNone) {
		return err
	}
	first := err != nil || before == m.TableID // which a killed process has published
	if err := publication.SetCurrent(s.tables(), p.Hash(), m.TableID); err != nil || first {
		return err
	}
	return s.retire(before, time.Now().Add(s.c.Grace))
}

// build is one Rotate under way.
type build struct {
	s      *Shelf
	p      *policy.Policy
	x      secret
	id     [32]byte
	dir    string // what will be private of the table
	cut    *consent.Snapshot
	files  []*os.File
	index  *table.Queries
	tokens *table.Table
}

func (b *build) run(ctx context.Context) (*publication.Manifest, error) {
	rand.Read(b.id[:])
	rand.Read(b.x.Seed[:])
	rand.Read(b.x.Snapshot[:])
	var err error
	if b.dir, err = os.MkdirTemp(b.s.epochs(), publication.Begun+"*"); err != nil {
		return nil, wrap(err)
	}
	at := time.Now()
	if err := b.snapshot(ctx, at); err != nil {
		return nil, err
	}
	k, err := key(&b.x.Seed, b.id)
	if err != nil {
		return nil, err
	}
	defer k.Destroy()
	if err := b.evaluate(ctx, k); err != nil {
		return nil, err
	}
	m, err := publication.Sign(b.s.c.Identity, publication.Manifest{
		TableID: b.id, Key: k.Public(), Classes: publication.Classes(b.p), TokenLen: publication.TokenLen, Entries: b.tokens.Entries(),
		Root: b.tokens.Root(), ConsentRoot: b.cut.Root(), ConsentSize: b.cut.Size(), NotBefore: at, NotAfter: b.s.validUntil(b.p, at), Universe: b.p.Universe,
	})
	if err != nil {
		return nil, err
	}
	if err := b.keep(ctx); err != nil {
		return nil, err
	}
	if err := publication.PutKey(b.s.tables(), b.s.c.Identity.Public()); err != nil {
		return nil, err
	}
	path := publication.Path(b.s.tables(), b.id)
	if err := publication.Write(path, m, b.tokens); err != nil {
		return nil, err
	}
	return m, b.s.log(ctx, path, m, b.p)
}

// validUntil is the end of the epoch and the grace after it.
func (s *Shelf) validUntil(p *policy.Policy, at time.Time) time.Time {
	end := time.Unix(int64((p.Epoch(at)+1)*p.EpochSeconds), 0).Add(s.c.Grace)
	if most := at.Add(publication.MaxValid - time.Second); end.After(most) {
		return most
	}
	return end
}

// create makes a file in the private directory.
func (b *build) create(name string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(b.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, wrap(err)
	}
	b.files = append(b.files, f)
	return f, nil
}

func (b *build) snapshot(ctx context.Context, at time.Time) error {
	f, err := b.create(snapshotFile)
	if err != nil {
		return err
	}
	view, err := b.s.c.Store.View(ctx)
	if err != nil {
		return err
	}
	defer view.Close()
	b.x.Cut = view.Cut()
	if _, _, _, err = consent.WriteSnapshot(f, &b.x.Snapshot, b.p.Rule(), at, psi.PadSize, view.Records(ctx, at)); err != nil {
		return err
	}
	size, err := f.Seek(0, 1)
	if err != nil {
		return wrap(err)
	}
	b.cut, err = consent.ReadSnapshot(f, size)
	return err
}

// evaluate makes the table: one entry for each distinct identifier, and pads.
func (b *build) evaluate(ctx context.Context, k *psi.Key) error {
	o := table.Options{Dir: filepath.Join(b.s.c.Dir, "spill"), TokenLen: publication.TokenLen}
	entries, err := table.NewBuilder(o)
	if err != nil {
		return err
	}
	defer entries.Close()
	if b.index, err = table.NewQueries(o); err != nil {
		return err
	}
	err = k.EvaluateAll(b.cut.Inputs(), func(outs []psi.Output, first uint64) error {
		return errors.Join(entries.Add(outs), b.index.Add(outs, first), ctx.Err())
	})
	if err != nil {
		return err
	}
	pads := psi.NewSeed()
	defer pads.Destroy()
	b.tokens, err = entries.Seal(ctx, "", pads)
	return err
}

// keep makes what is private of the table durable, before anything is published.
func (b *build) keep(ctx context.Context) error {
	f, err := b.create(indexFile)
	if err != nil {
		return err
	}
	if err := b.index.WriteIndex(ctx, f); err != nil {
		return err
	}
	for _, f := range b.files {
		if err := f.Sync(); err != nil {
			return wrap(err)
		}
	}
	sealed, err := b.s.seal(b.id, &b.x)
	if err != nil {
		return err
	}
	if err := pending.Write(filepath.Join(b.dir, secretFile), publication.Begun, sealed); err != nil {
		return wrap(err)
	}
	if err := os.Rename(b.dir, b.s.private(b.id)); err != nil {
		return wrap(err)
	}
	b.dir = ""
	return nil
}

func (b *build) close() {
	var errs []error
	clear(b.x.Seed[:])
	if b.index != nil {
		errs = append(errs, b.index.Close())
	}
	if b.tokens != nil {
		errs = append(errs, b.tokens.Remove())
	}
	for _, f := range b.files {
		errs = append(errs, f.Close())
	}
	if b.dir != "" {
		errs = append(errs, os.RemoveAll(b.dir))
	}
	if err := errors.Join(errs...); err != nil {
		b.s.c.Log.Error("a table's files could not be removed", "error", err)
	}
}

// log records the table in the public log, and keeps the proof beside it.
func (s *Shelf) log(ctx context.Context, path string, m *publication.Manifest, p *policy.Policy) error {
	entries, err := logbook.Entries(time.Now(), m.Event(p))
	if err != nil {
		return err
	}
	if err := s.c.Store.Record(ctx, entries...); err != nil {
		return err
	}
	if err := s.c.Book.Publish(ctx); err != nil {
		return err
	}
	_, err = s.proof(ctx, path, m)
	return err
}
