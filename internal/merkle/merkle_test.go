package merkle

import (
	"fmt"
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
		r.Append(LeafHash(leaf))
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
	leaf := make([]byte, 16)
	for range 1 << 10 {
		r.Append(LeafHash(leaf))
	}
	if n := testing.AllocsPerRun(1000, func() { r.Append(LeafHash(leaf)) }); n != 0 {
		t.Fatalf("%v allocations a leaf", n)
	}
}
