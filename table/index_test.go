package table_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/table"
)

func outputAt(i int) psi.Output {
	return psi.Output(sha512.Sum512(binary.BigEndian.AppendUint64(nil, uint64(i))))
}

// indexed writes the index of n positions, of which each seventh has the token of
// the one before it.
func indexed(t testing.TB, n, memory int) ([]byte, *table.Index) {
	t.Helper()
	q, err := table.NewQueries(table.Options{Dir: t.TempDir(), TokenLen: 14, Memory: memory})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for i := range n {
		if err := q.Add([]psi.Output{outputAt(i - b2i(i%7 == 6))}, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := q.WriteIndex(t.Context(), &file); err != nil {
		t.Fatal(err)
	}
	x, err := table.NewIndex(bytes.NewReader(file.Bytes()), int64(file.Len()), 14)
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), x
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Every token is found with all its positions, whatever the size and however it
// was sorted; no other is.
func TestIndex(t *testing.T) {
	for _, n := range []int{0, 1, 2, 127, 128, 129, 1000, 20_000} {
		for _, memory := range []int{0, 4096} {
			_, x := indexed(t, n, memory)
			s := x.Search(uint64(n))
			for i := range n {
				out := outputAt(i)
				at, found, err := s.Find(out.Token(14))
				if want := i%7 != 6; err != nil || found != want || found && at != uint64(i) {
					t.Fatalf("%d of %d is found at %d, %v, %v", i, n, at, found, err)
				}
			}
			if got := s.Matches().Count(); got != uint64(n) {
				t.Errorf("%d positions of %d", got, n)
			}
			s = x.Search(uint64(n))
			out := outputAt(n + 1)
			if _, found, err := s.Find(out.Token(14)); found || err != nil || s.Matches().Count() != 0 {
				t.Errorf("a stranger is found among %d: %v", n, err)
			}
		}
	}
}

// A position outside the set, or a file that is cut, is an error and no match.
func TestIndexRefuses(t *testing.T) {
	file, x := indexed(t, 100, 0)
	out := outputAt(99)
	s := x.Search(99)
	if _, found, err := s.Find(out.Token(14)); found || err == nil {
		t.Error("a position beyond the set is found")
	}
	if _, err := table.NewIndex(bytes.NewReader(file), int64(len(file)-1), 14); err == nil {
		t.Error("half a record is no error")
	}
	cut, err := table.NewIndex(bytes.NewReader(slices.Clone(file[:22])), int64(len(file)), 14)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := cut.Search(100).Find(out.Token(14)); err == nil {
		t.Error("a file that is cut is no error")
	}
}
