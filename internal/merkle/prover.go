package merkle

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"
)

// Prover makes the inclusion proofs (RFC 6962 §2.1.1) of a few leaves of a tree
// whose leaves pass by once. It keeps the nodes that the proofs are made of, at
// most two for each level and leaf to prove, and nothing of the rest.
type Prover struct {
	tree Range
	size uint64
	want nodes
	next int64 // number of the node that comes next
}

// nodes are the roots of perfect subtrees, by their number in the order in which
// they become known (tlog.StoredHashIndex), which is how tlog asks for them.
type nodes map[int64]tlog.Hash

// ReadHashes is a tlog.HashReader's.
func (s nodes) ReadHashes(numbers []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(numbers))
	for i, number := range numbers {
		hashes[i] = s[number]
	}
	return hashes, nil
}

// wanted remembers what it is asked for.
type wanted nodes

func (w wanted) ReadHashes(numbers []int64) ([]tlog.Hash, error) {
	for _, number := range numbers {
		w[number] = tlog.Hash{}
	}
	return make([]tlog.Hash, len(numbers)), nil
}

// maxSize is far above any tree and below what overflows tlog's arithmetic.
const maxSize = 1 << 48

var (
	errPosition   = errors.New("merkle: position outside the tree")
	errIncomplete = errors.New("merkle: the tree is not complete")
)

// NewProver returns a Prover for leaves at the given positions of a tree of size
// leaves.
func NewProver(size uint64, positions []uint64) (*Prover, error) {
	p := &Prover{size: size, want: nodes{}}
	if size > maxSize {
		return nil, errPosition
	}
	for _, at := range positions {
		if at >= size {
			return nil, errPosition
		}
		if _, err := tlog.ProveRecord(int64(size), int64(at), wanted(p.want)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Append adds a leaf by its hash.
func (p *Prover) Append(leaf tlog.Hash) {
	copy(p.tree.room(1), leaf[:])
	p.tree.append(1, func(node tlog.Hash) {
		if _, ok := p.want[p.next]; ok {
			p.want[p.next] = node
		}
		p.next++
	})
}

// Root returns the tree hash of the leaves so far.
func (p *Prover) Root() tlog.Hash { return p.tree.Root() }

// Proof returns the audit path of the leaf at a position that NewProver was
// given, leaf first. All leaves have been appended.
func (p *Prover) Proof(at uint64) ([]tlog.Hash, error) {
	if p.tree.Size() != p.size {
		return nil, errIncomplete
	}
	if at >= p.size {
		return nil, errPosition
	}
	return tlog.ProveRecord(int64(p.size), int64(at), p.want)
}

// CheckProof reports whether the tree of the given size and root has a leaf of
// this hash at the position. The path comes from anybody.
func CheckProof(path []tlog.Hash, size uint64, root tlog.Hash, at uint64, leaf tlog.Hash) bool {
	return size <= maxSize && at < size && tlog.CheckRecord(path, int64(size), root, int64(at), leaf) == nil
}
