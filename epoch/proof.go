package epoch

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/store"
)

// proof returns what shows that the manifest is in the log. The log's head may have
// got cosignatures since the proof was made, or lost them with its next entry: the
// proof that more witnesses stand behind is kept.
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
	if last != nil && signatures(last) >= signatures(next) {
		return kept, nil
	}
	return next.Bytes(), publication.PutProof(path, next.Bytes())
}

// signatures counts those of a proof's checkpoint, the log's own among them.
func signatures(p *audit.Proof) int { return bytes.Count(p.Checkpoint, []byte("\n\u2014 ")) }

// prove makes a proof of the log as it is.
func (s *Shelf) prove(ctx context.Context, last *audit.Proof, m *publication.Manifest) (*audit.Proof, error) {
	log, err := audit.NewVerifier(logbook.PublicName(s.c.Identity.ID()), s.c.Identity.Public())
	if err != nil {
		return nil, err
	}
	tree, err := audit.Read(os.DirFS(s.c.Book.PublicDir()), log, audit.Quorum{})
	if err != nil {
		return nil, err
	}
	index, entry := int64(-1), []byte(nil)
	if last != nil {
		index, entry = last.Index, last.Extra
	} else if index, entry, err = s.find(ctx, m); err != nil {
		return nil, err
	}
	p, err := tree.Prove(index)
	if err != nil {
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
