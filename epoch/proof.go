package epoch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/store"
)

// proof returns what shows that the manifest is in the log, and keeps the proof that
// more witnesses stand behind: the log may have been cosigned since one was made.
func (s *Shelf) proof(ctx context.Context, path string, m *publication.Manifest) ([]byte, error) {
	kept, err := publication.Proof(path)
	var last *audit.Proof
	if err == nil {
		last, err = audit.ParseProof(kept)
	}
	if err != nil {
		last = nil
	}
	next, err := s.prove(ctx, last, m)
	if err != nil {
		return nil, err
	}
	if last != nil && cosignatures(last) >= cosignatures(next) {
		return kept, nil
	}
	return next.Bytes(), publication.PutProof(path, next.Bytes())
}

// cosignatures counts those of a proof's checkpoint. The log keeps none that it has
// not verified (audit.Log.Publish), and the first signature is its own.
func cosignatures(p *audit.Proof) int { return bytes.Count(p.Checkpoint, []byte("\n\u2014 ")) - 1 }

// prove makes a proof of the log as it was when witnesses cosigned it last, or as it
// is, if the manifest has come since.
func (s *Shelf) prove(ctx context.Context, last *audit.Proof, m *publication.Manifest) (p *audit.Proof, err error) {
	log, err := audit.NewVerifier(logbook.PublicName(s.c.Identity.ID()), s.c.Identity.Public())
	if err != nil {
		return nil, err
	}
	index, entry := int64(-1), []byte(nil)
	if last != nil {
		index, entry = last.Index, last.Extra
	} else if index, entry, err = s.find(ctx, m); err != nil {
		return nil, err
	}
	files := os.DirFS(s.c.Book.PublicDir())
	tree, err := audit.ReadCosigned(files, log, audit.Quorum{})
	if errors.Is(err, fs.ErrNotExist) || err == nil && tree.Size() <= index {
		tree, err = audit.Read(files, log, audit.Quorum{})
	}
	if err != nil {
		return nil, err
	}
	if p, err = tree.Prove(index); err != nil {
		return nil, err
	}
	p.Extra = entry
	return p, nil
}

// find returns the log's entry of the manifest, and its index.
func (s *Shelf) find(ctx context.Context, m *publication.Manifest) (int64, []byte, error) {
	for e, err := range s.c.Store.Entries(ctx, store.PublicLog, 0) {
		if err != nil {
			return 0, nil, err
		}
		event, err := audit.ParseEvent(e.Body)
		if err != nil {
			return 0, nil, err
		}
		if b, ok := event.Body.(audit.Manifest); ok && b.TableID == m.TableID && b.Manifest == m.Hash() {
			return int64(e.Index), e.Body, nil
		}
	}
	return 0, nil, fmt.Errorf("epoch: the log does not have the manifest")
}
