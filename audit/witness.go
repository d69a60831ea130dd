package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/mod/sumdb/note"
)

// ErrStale says that a proof does not begin at the tree that the witness has
// cosigned last; see Witness.Last.
var ErrStale = errors.New("audit: the consistency proof does not begin at the checkpoint that was cosigned last")

// Witness vouches that a log only grows: it cosigns a checkpoint if it extends
// the one that it cosigned last, which is in a file. So of two views of a log
// that differ a witness cosigns one at most. What it has not cosigned it does
// not know. Who puts back an old state file makes it cosign a second view.
type Witness struct {
	path string
	key  *Cosigner
	log  note.Verifier
}

// NewWitness returns the witness of one log, with its state at path, where there
// is nothing before the first time.
func NewWitness(path string, key *Cosigner, log note.Verifier) *Witness {
	return &Witness{path, key, log}
}

// Last returns the checkpoint that was cosigned last, or nil.
func (w *Witness) Last() (*Checkpoint, error) {
	signed, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("audit: witness: %w", err)
	}
	// With its own signature, or else it isn't its own.
	return ParseCheckpoint(signed, w.log, Quorum{Of: []*WitnessKey{&w.key.WitnessKey}, Least: 1})
}

// Cosign checks a consistency proof's file from the last checkpoint to a new
// one, and returns the new one with the witness's signature added. That it has
// done so is durable before it returns. It refuses with ErrStale, ErrRollback or
// ErrFork. The first proof it sees begins at size 0.
func (w *Witness) Cosign(proof []byte, now time.Time) (cosigned []byte, err error) {
	c, err := ParseConsistency(proof)
	if err != nil {
		return nil, err
	}
	next, err := ParseCheckpoint(c.Checkpoint, w.log, Quorum{})
	if err != nil {
		return nil, err
	}
	// Between the look at the last one and its replacement nobody may replace it.
	lock := flock.New(w.path + ".lock")
	if err := lock.Lock(); err != nil {
		return nil, fmt.Errorf("audit: witness: %w", err)
	}
	defer lock.Close()
	last, err := w.Last()
	if err != nil {
		return nil, err
	}
	if last == nil {
		last = &Checkpoint{Root: new(edge).root()}
	}
	switch {
	case next.Size < last.Size:
		return nil, ErrRollback
	case next.Size == last.Size && next.Root != last.Root:
		return nil, ErrFork
	case c.Old != last.Size:
		return nil, ErrStale
	}
	if err := c.check(last, next); err != nil {
		return nil, err
	}
	cosigned, err = Cosign(next, w.key, now)
	if err != nil {
		return nil, err
	}
	if err := w.keep(next, now); err != nil {
		return nil, err
	}
	return cosigned, nil
}

// keep writes the state: the checkpoint with the log's signature and its own,
// and nothing that a stranger could have added.
func (w *Witness) keep(c *Checkpoint, now time.Time) error {
	c.note.UnverifiedSigs = nil
	cosigned, err := Cosign(c, w.key, now)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(filepath.Dir(w.path))
	if err != nil {
		return fmt.Errorf("audit: witness: %w", err)
	}
	defer root.Close()
	d := writer{directory{root}, map[string]bool{}, map[string]bool{}}
	name := filepath.Base(w.path)
	if err := d.put(name, name+".new", cosigned); err != nil {
		return err
	}
	return d.settle()
}
