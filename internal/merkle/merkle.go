// Package merkle computes the tree hash of RFC 6962 §2.1 over leaves that pass by
// once, in memory logarithmic in their number. Both the token table (PROTOCOL.md
// §7.1) and the consent snapshot (§10) are committed to with it; a proof is made of
// the nodes that golang.org/x/mod/sumdb/tlog asks for.
package merkle

import (
	"crypto/sha256"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/internal/sha256x16"
)

// What a hash of leaves and one of nodes begin with (RFC 6962 §2.1).
var (
	leafPrefix = []byte{0x00}
	nodePrefix = []byte{0x01}
)

// LeafHash returns SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) (hash tlog.Hash) {
	sha256x16.Sum(hash[:], leafPrefix, leaf, len(leaf), len(leaf))
	return hash
}

// Range is the compact form of a growing tree: the roots of its maximal
// perfect subtrees, largest first. The zero Range is the empty tree.
type Range struct {
	roots []tlog.Hash
	size  uint64
	nodes []byte // those of one size that were added last, behind room for one more
}

// batch is the number of leaves whose hashes are in memory at once.
const batch = 1024

// AppendLeaves adds leaves of leafLen bytes each, which lie in leaves one after the
// other. How they are divided among calls makes no difference but of time: many at
// once are hashed sixteen at a time.
func (r *Range) AppendLeaves(leaves []byte, leafLen int) {
	if leafLen <= 0 || len(leaves)%leafLen != 0 {
		panic("merkle: not a whole number of leaves")
	}
	for len(leaves) > 0 {
		n := min(len(leaves)/leafLen, batch)
		sha256x16.Sum(r.room(n), leafPrefix, leaves, leafLen, leafLen)
		r.append(n, nil)
		leaves = leaves[n*leafLen:]
	}
}

// room returns where append expects the hashes of n leaves.
func (r *Range) room(n int) []byte {
	if need := (1 + n) * tlog.HashSize; len(r.nodes) < need {
		r.nodes = make([]byte, need)
	}
	return r.nodes[tlog.HashSize:][:n*tlog.HashSize]
}

// append adds the n leaves whose hashes are in room. It tells known, unless that
// is nil, of the leaves and then of the subtrees that they complete, a size after
// the other.
func (r *Range) append(n int, known func(tlog.Hash)) {
	r.join(n, r.size, known)
	r.size += uint64(n)
}

// join adds the n perfect subtrees of one size that are in room, and joins pairs of
// them to larger ones. There are at others of their size before them.
func (r *Range) join(n int, at uint64, known func(tlog.Hash)) {
	if n == 0 {
		return
	}
	const size = tlog.HashSize
	pairs := r.room(n)
	if known != nil {
		for i := range n {
			known(tlog.Hash(pairs[i*size:]))
		}
	}
	if at%2 == 1 { // the one before them is the last root: none of a smaller size is left
		last := len(r.roots) - 1
		copy(r.nodes, r.roots[last][:])
		r.roots = r.roots[:last]
		pairs = r.nodes
		n++
	}
	single := tlog.Hash(pairs[(n-1)*size:]) // if n is odd
	sha256x16.Sum(r.room(n/2), nodePrefix, pairs, 2*size, 2*size)
	r.join(n/2, at/2, known)
	if n%2 == 1 {
		r.roots = append(r.roots, single)
	}
}

// Size returns the number of leaves.
func (r *Range) Size() uint64 { return r.size }

// Root returns the tree hash; that of no leaves is SHA-256 of nothing.
func (r *Range) Root() tlog.Hash {
	n := len(r.roots)
	if n == 0 {
		return sha256.Sum256(nil)
	}
	root := r.roots[n-1]
	for i := n - 2; i >= 0; i-- {
		root = tlog.NodeHash(r.roots[i], root)
	}
	return root
}
