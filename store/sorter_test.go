package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"unsafe"
)

// sortAll sorts entries and returns how many runs there were.
func sortAll(t testing.TB, limit int, entries [][]byte) (sorted [][]byte, runs int) {
	t.Helper()
	s := sorter{dir: t.TempDir(), limit: limit}
	for _, e := range entries {
		if err := s.add(e); err != nil {
			t.Fatal(err)
		}
	}
	for e, err := range s.sorted() {
		if err != nil {
			t.Fatal(err)
		}
		sorted = append(sorted, bytes.Clone(e))
	}
	if left, err := os.ReadDir(s.dir); err != nil || len(left) > 0 {
		t.Errorf("%d files with a name: %v", len(left), err)
	}
	runs = len(s.runs)
	if err := s.close(); err != nil {
		t.Error(err)
	}
	return sorted, runs
}

// In memory and over a file, entries of all lengths, some of them equal, come in
// the order of their bytes.
func TestSorter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 1000, 20_000} {
		var entries [][]byte
		for range n {
			e := make([]byte, 8+random.IntN(200))
			binary.BigEndian.PutUint64(e, uint64(random.IntN(n))<<random.IntN(60))
			for i := 8; i < len(e); i++ {
				e[i] = byte(random.IntN(3))
			}
			entries = append(entries, e)
		}
		want := slices.Clone(entries)
		slices.SortFunc(want, bytes.Compare)
		for _, limit := range []int{1, 3 * blockLen, sorterMemory} {
			got, runs := sortAll(t, limit, entries)
			if !slices.EqualFunc(got, want, bytes.Equal) {
				t.Errorf("%d entries, limit %d: not in order", n, limit)
			}
			if spilt := n == 20_000 && limit < sorterMemory; spilt != (runs > 1) {
				t.Errorf("%d entries, limit %d: %d runs", n, limit, runs)
			}
		}
	}
}

// Short entries take as much memory as is allowed, too, though most of it is where
// they are.
func TestSorterMemory(t *testing.T) {
	const limit = 4 << 20
	s := sorter{dir: t.TempDir(), limit: limit}
	defer s.close()
	var e [8]byte
	most := 0
	for i := range uint64(1_000_000) {
		binary.BigEndian.PutUint64(e[:], i*i)
		if err := s.add(e[:]); err != nil {
			t.Fatal(err)
		}
		most = max(most, s.lots[s.filling].memory())
	}
	if more := blockLen / len(e) * refLen; most > limit/2+blockLen+more {
		t.Errorf("%d bytes, of half of %d", most, limit)
	}
	if len(s.runs) < 2 || unsafe.Sizeof(ref{}) != refLen {
		t.Errorf("%d runs, a ref of %d bytes", len(s.runs), unsafe.Sizeof(ref{}))
	}
}

// Whoever stops in the middle leaves nothing either, and a file that fails is an
// error.
func TestSorterEnds(t *testing.T) {
	fill := func(dir string) (*sorter, error) {
		s := &sorter{dir: dir, limit: 1}
		var e [100]byte
		for i := range uint64(10_000) {
			binary.BigEndian.PutUint64(e[:], i)
			if err := s.add(e[:]); err != nil {
				return s, err
			}
		}
		return s, nil
	}
	s, err := fill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for range s.sorted() {
		break
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
	failed := false
	for _, err := range s.sorted() { // of a closed file
		failed = failed || err != nil
	}
	if !failed {
		t.Error("reading a closed file succeeds")
	}
	s, err = fill(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.file.Truncate(1000); err != nil {
		t.Fatal(err)
	}
	failed = false
	for _, err := range s.sorted() {
		failed = failed || err != nil
	}
	if !failed {
		t.Error("reading a file cut short succeeds")
	}
	s.close()
	if _, err := fill(fmt.Sprint(t.TempDir(), "/none")); err == nil {
		t.Error("sorting without a folder for files succeeds")
	}
}

// A write that fails while entries are added is an error of a later add or of
// reading, and nobody waits for it for ever.
func TestSorterWriteFails(t *testing.T) {
	s := &sorter{dir: t.TempDir(), limit: 1}
	var e [100]byte
	for s.file == nil {
		if err := s.add(e[:]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.wait(); err != nil {
		t.Fatal(err)
	}
	s.file.Close()
	var err error
	for range 3 * blockLen / len(e) { // one lot to fail, one to be told
		if err = s.add(e[:]); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("adding: %v", err)
	}
	for s.written == nil { // a lot that fails after the last add
		if err := s.add(e[:]); err != nil {
			t.Fatal(err)
		}
	}
	for _, err = range s.sorted() {
	}
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("reading: %v", err)
	}
	if err := s.close(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("closing: %v", err)
	}
}
