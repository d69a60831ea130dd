package merkle

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

type storage []tlog.Hash

func (s storage) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		out[i] = s[x]
	}
	return out, nil
}

// tlog, the Go checksum database's own implementation, is the oracle.
func TestRootIsTlogs(t *testing.T) {
	var r Range
	var stored storage
	for n := range 300 {
		want, err := tlog.TreeHash(int64(n), stored)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Root(); got != want {
			t.Fatalf("%d leaves: root %v, want %v", n, got, want)
		}
		if r.Size() != uint64(n) {
			t.Fatalf("size %d after %d leaves", r.Size(), n)
		}
		leaf := fmt.Appendf(nil, "leaf %d", n)
		hashes, err := tlog.StoredHashes(int64(n), leaf, stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
		r.AppendLeaves(leaf, len(leaf))
	}
}

// A stored tree, and the leaves that it is of.
func storedTree(t *testing.T, size, leafLen int) (leaves []byte, stored storage) {
	t.Helper()
	leaves = make([]byte, size*leafLen)
	rand.NewChaCha8([32]byte{byte(leafLen)}).Read(leaves)
	for i := range size {
		hashes, err := tlog.StoredHashes(int64(i), leaves[i*leafLen:][:leafLen], stored)
		if err != nil {
			t.Fatal(err)
		}
		stored = append(stored, hashes...)
	}
	return leaves, stored
}

func checkRoot(t *testing.T, r *Range, stored storage) {
	t.Helper()
	want, err := tlog.TreeHash(int64(r.Size()), stored)
	if err != nil {
		t.Fatal(err)
	}
	if r.Root() != want {
		t.Fatalf("%d leaves: another root than tlog's", r.Size())
	}
}

// Any two batches and a third of what is left: the leaves are the same tree's.
func TestBatches(t *testing.T) {
	const size = 100
	leaves, stored := storedTree(t, size, 16)
	for a := range 41 {
		for b := range 41 {
			var r Range
			for _, upTo := range []int{a, a + b, size} {
				r.AppendLeaves(leaves[r.Size()*16:upTo*16], 16)
				if r.Size() != uint64(upTo) {
					t.Fatalf("batches of %d and %d: size %d, want %d", a, b, r.Size(), upTo)
				}
				checkRoot(t, &r, stored)
			}
		}
	}
}

// Batches of all sizes, also above what is hashed at once, of leaves of many lengths.
func TestRandomBatches(t *testing.T) {
	const size = 3000
	random := rand.New(rand.NewPCG(1, 2))
	for _, leafLen := range []int{1, 11, 32, 46, 54, 55, 200, 494} {
		leaves, stored := storedTree(t, size, leafLen)
		for range 20 {
			var r Range
			for most := 1 + random.IntN(size); r.Size() < size; {
				n := min(random.IntN(most+1), size-int(r.Size()))
				r.AppendLeaves(leaves[int(r.Size())*leafLen:][:n*leafLen], leafLen)
				checkRoot(t, &r, stored)
			}
		}
	}
}

func TestAppendLeavesRefuses(t *testing.T) {
	for name, f := range map[string]func(r *Range){
		"part of a leaf":  func(r *Range) { r.AppendLeaves(make([]byte, 33), 16) },
		"leaves of none":  func(r *Range) { r.AppendLeaves(nil, 0) },
		"negative length": func(r *Range) { r.AppendLeaves(make([]byte, 16), -16) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f(new(Range))
		}()
	}
}

func TestLeafHashOfLongLeaf(t *testing.T) {
	long := make([]byte, 1000)
	if LeafHash(long) != tlog.RecordHash(long) {
		t.Fatal("long leaf differs from tlog's")
	}
}

func TestAppendDoesNotAllocate(t *testing.T) {
	var r Range
	leaves := make([]byte, 1000*16)
	r.AppendLeaves(leaves, 16)
	if n := testing.AllocsPerRun(100, func() { r.AppendLeaves(leaves, 16) }); n != 0 {
		t.Fatalf("%v allocations for 1000 leaves", n)
	}
	p, err := NewProver(1<<20, []uint64{3})
	if err != nil {
		t.Fatal(err)
	}
	p.Append(tlog.Hash{})
	p.Append(tlog.Hash{})
	if n := testing.AllocsPerRun(1000, func() { p.Append(tlog.Hash{}) }); n != 0 {
		t.Fatalf("%v allocations for a leaf of a Prover", n)
	}
}

func BenchmarkAppendLeaves(b *testing.B) {
	const n = 16384 // a TABLE frame's
	leaves := make([]byte, n*16)
	for b.Loop() {
		var r Range
		r.AppendLeaves(leaves, 16)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/leaf")
}
