// Package merkle computes the tree hash of RFC 6962 §2.1 over leaves that
// arrive one at a time, in memory logarithmic in their number. Both the token
// table (PROTOCOL.md §7.1) and the consent snapshot (§10) are committed to
// with it; a proof is made of the nodes that golang.org/x/mod/sumdb/tlog asks for.
package merkle

import (
	"crypto/sha256"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// LeafHash returns SHA-256(0x00 ‖ leaf).
func LeafHash(leaf []byte) tlog.Hash {
	var buf [128]byte // a token entry or a consent leaf fits; a longer one allocates
	return sha256.Sum256(append(append(buf[:0], 0x00), leaf...))
}

// Range is the compact form of a growing tree: the roots of its maximal
// perfect subtrees, largest first. The zero Range is the empty tree.
type Range struct {
	roots []tlog.Hash
	size  uint64
}

// Append adds a leaf by its hash.
func (r *Range) Append(leaf tlog.Hash) { r.append(leaf, func(tlog.Hash) {}) }

// append tells known of each perfect subtree that the leaf completes, smallest
// first, the leaf itself before all.
func (r *Range) append(leaf tlog.Hash, known func(tlog.Hash)) {
	r.roots = append(r.roots, leaf)
	known(leaf)
	// Adding one to size carries once for each trailing 1 bit; each carry joins
	// two perfect subtrees of equal size.
	for range bits.TrailingZeros64(^r.size) {
		n := len(r.roots)
		r.roots[n-2] = tlog.NodeHash(r.roots[n-2], r.roots[n-1])
		r.roots = r.roots[:n-1]
		known(r.roots[n-2])
	}
	r.size++
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
