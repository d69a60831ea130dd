package merkle

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// Every leaf of every small tree: the proof is tlog's from a full storage, and
// proves this leaf, here, in this tree, and nothing else.
func TestProofsAreTlogs(t *testing.T) {
	var stored storage
	for size := uint64(1); size <= 70; size++ {
		hashes, err := tlog.StoredHashes(int64(size-1), fmt.Appendf(nil, "leaf %d", size-1), stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		all := make([]uint64, size)
		for i := range all {
			all[i] = uint64(i)
		}
		p := proverOf(t, size, all)
		for _, at := range all {
			path, err := p.Proof(at)
			if err != nil {
				t.Fatal(err)
			}
			want, err := tlog.ProveRecord(int64(size), int64(at), stored)
			if err != nil || !slices.Equal(path, want) {
				t.Fatalf("size %d, leaf %d: another path than tlog's, %v", size, at, err)
			}
			checkProof(t, path, size, p.Root(), at)
		}
	}
}

func proverOf(t *testing.T, size uint64, positions []uint64) *Prover {
	t.Helper()
	p, err := NewProver(size, positions)
	if err != nil {
		t.Fatal(err)
	}
	for i := range size {
		p.Append(LeafHash(fmt.Appendf(nil, "leaf %d", i)))
	}
	return p
}

func checkProof(t *testing.T, path []tlog.Hash, size uint64, root tlog.Hash, at uint64) {
	t.Helper()
	leaf := LeafHash(fmt.Appendf(nil, "leaf %d", at))
	if !CheckProof(path, size, root, at, leaf) {
		t.Fatalf("size %d, leaf %d: the path doesn't prove it", size, at)
	}
	other := leaf
	other[31] ^= 1
	wrong := CheckProof(path, size, root, at, other) || CheckProof(path, size, other, at, leaf) ||
		CheckProof(append(slices.Clone(path), leaf), size, root, at, leaf) || CheckProof(path, size, root, size, leaf) ||
		CheckProof(path, size, root, 1<<63, leaf) || CheckProof(path, 1<<63, root, at, leaf)
	if size > 1 {
		wrong = wrong || CheckProof(path, size, root, (at+1)%size, leaf) || CheckProof(path[1:], size, root, at, leaf)
	}
	if wrong {
		t.Fatalf("size %d, leaf %d: the path proves something else too", size, at)
	}
}

// What is kept grows with the proofs, not with the tree.
func TestProverKeepsLittle(t *testing.T) {
	positions := []uint64{0, 7, 7, 33_000, 99_999}
	p := proverOf(t, 100_000, positions)
	if len(p.want) > 4*2*17 {
		t.Errorf("%d nodes are kept for 4 leaves", len(p.want))
	}
	for _, at := range positions {
		path, err := p.Proof(at)
		if err != nil {
			t.Fatal(err)
		}
		checkProof(t, path, 100_000, p.Root(), at)
	}
}

func TestProverRefuses(t *testing.T) {
	if _, err := NewProver(4, []uint64{4}); err != errPosition {
		t.Errorf("position outside the tree: %v", err)
	}
	if _, err := NewProver(1<<63, []uint64{0}); err != errPosition {
		t.Errorf("a tree too large: %v", err)
	}
	p, err := NewProver(2, []uint64{0})
	if err != nil {
		t.Fatal(err)
	}
	p.Append(LeafHash(nil))
	if _, err := p.Proof(0); err != errIncomplete {
		t.Errorf("half a tree: %v", err)
	}
	p.Append(LeafHash(nil))
	if _, err := p.Proof(2); err != errPosition {
		t.Errorf("position outside the tree: %v", err)
	}
}
