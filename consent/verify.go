package consent

import (
	"bytes"
	"crypto/sha256"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/merkle"
)

// verifier reads a snapshot's lines, a batch at a time.
type verifier struct {
	s    *Snapshot
	read batch
	made batch // the pads that should stand there
	last line  // the last leaf; at first zeros, which come before any
}

// verify reads all lines and computes again what they should be.
func (s *Snapshot) verify() error {
	n := int(min(batchLen, s.size))
	v := &verifier{s: s, read: newBatch(n), made: newBatch(n)}
	var tree merkle.Range
	facts := sha256.New()
	for tree.Size() < s.size {
		leaves, err := v.next(tree.Size())
		if err != nil {
			return err
		}
		tree.AppendLeaves(leaves, sha256.Size)
		v.read.addFacts(facts)
	}
	switch {
	case tree.Root() != s.root:
		return damaged("root differs")
	case [32]byte(facts.Sum(nil)) != s.facts:
		return damaged("the facts' numbers differ")
	}
	return nil
}

// next reads the lines from position at on, of leaves or of pads, and returns what
// stands at their ends if all of them are what they should be.
func (v *verifier) next(at uint64) (leaves []byte, err error) {
	end := v.s.size
	if at < v.s.leaves {
		end = v.s.leaves
	}
	n := int(min(batchLen, end-at))
	v.read.lines = v.read.lines[:n*lineLen]
	if err := v.s.readAt(v.read.lines, lineOffset(at)); err != nil {
		return nil, err
	}
	if at < v.s.leaves {
		return v.leaves()
	}
	return v.pads(at)
}

func (v *verifier) leaves() ([]byte, error) {
	for i := range v.read.len() {
		l := v.read.line(i)
		switch {
		case identifier.Class(l.class()).Kind() == 0:
			return nil, damaged("leaf of an unknown class")
		case v.last.compare(l) >= 0:
			return nil, damaged("leaves are not strictly increasing")
		}
		v.last = *l
	}
	leaves := v.read.hash()
	for i := range v.read.len() {
		if !bytes.Equal(leaves[i*sha256.Size:][:sha256.Size], v.read.line(i).kept()[:]) {
			return nil, damaged("a leaf differs")
		}
	}
	return leaves, nil
}

func (v *verifier) pads(at uint64) ([]byte, error) {
	v.made.reset()
	for i := range v.read.len() {
		v.made.addPad(&v.s.id, at+uint64(i))
	}
	leaves := v.made.seal()
	if !bytes.Equal(v.read.lines, v.made.lines) {
		return nil, damaged("not a pad where pads stand")
	}
	return leaves, nil
}
