package table

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// inChunks returns entries, n at a time, in a buffer that is overwritten.
func inChunks(entries []byte, entryLen, n int) iter.Seq2[[]byte, error] {
	return chunks(bytes.NewReader(entries), int64(len(entries)), n*entryLen)
}

func newQueries(t testing.TB, o Options, outs []psi.Output, first uint64) *Queries {
	t.Helper()
	q, err := NewQueries(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { q.Close() })
	for i := 0; i < len(outs); i += 700 {
		if err := q.Add(outs[i:min(i+700, len(outs))], first+uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return q
}

// checkMatch compares a join with looking every token up in a map.
func checkMatch(t *testing.T, o Options, outs []psi.Output, first uint64, entries []byte, perChunk int) {
	t.Helper()
	entryLen := psi.EntryLen(o.TokenLen, o.LabelLen)
	table := map[psi.Token]bool{}
	for e := range slices.Chunk(entries, entryLen) {
		var token psi.Token
		copy(token[:], e[:o.TokenLen])
		table[token] = true
	}
	want := map[uint64]bool{}
	for i := range outs {
		if !outs[i].IsZero() && table[outs[i].Token(o.TokenLen)] {
			want[first+uint64(i)] = true
		}
	}
	q := newQueries(t, o, outs, first)
	for range 2 { // a second join has the same result
		m, err := q.Match(ctx, inChunks(entries, entryLen, perChunk))
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.Collect(m.All()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Fatalf("%d positions matched, want %d", len(got), len(want))
		}
		if m.Count() != uint64(len(want)) {
			t.Fatalf("count is %d, want %d", m.Count(), len(want))
		}
		for p := range first + uint64(len(outs)) + 200 {
			if m.Has(p) != want[p] {
				t.Fatalf("position %d: %t", p, m.Has(p))
			}
		}
	}
	if err := cmp.Or(q.Close(), q.Close()); err != nil {
		t.Fatal(err)
	}
	checkEmpty(t, o.Dir)
}

// TestMatch asks for some of a table's own outputs and others, some of them
// twice, some of them pads, in memory and spilled.
func TestMatch(t *testing.T) {
	for _, n := range []int{0, 1, 2, 63, 64, 65, 500, 3000} {
		for _, memory := range []int{10 * 24, 64 * 24, 20_000, 0} {
			for _, perChunk := range []int{1, 7, 1024, 100_000} {
				o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: memory}
				entries, _ := naiveTable(random(seeded(30), n), 16, &psi.Seed{})
				outs := slices.Concat(random(seeded(30), n/2), make([]psi.Output, 3), random(seeded(31), n), random(seeded(30), n/3))
				checkMatch(t, o, outs, uint64(n), entries, perChunk)
			}
		}
	}
}

// TestMatchAll has every query match, one token for all, and none.
func TestMatchAll(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: 10_000}
	outs := random(seeded(32), 2000)
	entries, _ := naiveTable(outs, 16, &psi.Seed{})
	checkMatch(t, o, outs, 0, entries, 100)
	checkMatch(t, o, slices.Repeat(outs[:1], 5000), 9, entries, 100)
	checkMatch(t, o, outs, 0, nil, 100)
	checkMatch(t, o, make([]psi.Output, 10), 0, make([]byte, 16), 1) // a pad never matches, not even a zero token
}

// TestMatchLabels has entries longer than their tokens.
func TestMatchLabels(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 14, LabelLen: 20}
	outs := random(seeded(33), 1500)
	tokens, _ := naiveTable(outs[:700], 14, &psi.Seed{})
	var entries []byte
	for token := range slices.Chunk(tokens, 14) {
		entries = append(append(entries, token...), bytes.Repeat([]byte{0xab}, 36)...)
	}
	checkMatch(t, o, outs, 0, entries, 33)
}

func TestMatchRefuses(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	entries, _ := naiveTable(nil, 16, &psi.Seed{})
	swapped := slices.Concat(entries[16:32], entries[:16], entries[32:])
	broken := errors.New("broken")
	for name, in := range map[string]iter.Seq2[[]byte, error]{
		"cut":                 inChunks(entries[:100], 16, 50),
		"swapped":             inChunks(swapped, 16, 50),
		"swapped, two chunks": inChunks(swapped, 16, 1),
		"doubled":             inChunks(slices.Concat(entries, entries[len(entries)-16:]), 16, 50),
		"doubled, two chunks": inChunks(slices.Concat(entries, entries[len(entries)-16:]), 16, 1024),
	} {
		q := newQueries(t, o, random(seeded(34), 10), 0)
		if m, err := q.Match(ctx, in); err == nil || m != nil {
			t.Errorf("%s: joined", name)
		}
	}
	q := newQueries(t, o, random(seeded(34), 10), 0)
	if _, err := q.Match(ctx, failed(broken)); !errors.Is(err, broken) {
		t.Errorf("the reader's error is %v", err)
	}
	q.Close()
	if _, err := q.Match(ctx, inChunks(entries, 16, 50)); !errors.Is(err, errClosed) {
		t.Errorf("Match after Close: %v", err)
	}
	if err := q.Add(random(seeded(34), 1), 0); !errors.Is(err, errClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

// TestCancelMatch checks that no chunk is asked for after the one at which the
// context ended.
func TestCancelMatch(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	q := newQueries(t, o, random(seeded(35), 100), 0)
	entries, _ := naiveTable(nil, 16, &psi.Seed{})
	ctx, cancel := context.WithCancel(ctx)
	n := 0
	_, err := q.Match(ctx, func(yield func([]byte, error) bool) {
		for chunk := range slices.Chunk(entries, 160) {
			if n++; n == 5 {
				cancel()
			}
			if !yield(chunk, nil) {
				return
			}
		}
	})
	if !errors.Is(err, context.Canceled) || n != 5 {
		t.Errorf("%d chunks, %v", n, err)
	}
}

func TestMatchesStopsEarly(t *testing.T) {
	m := newMatches(200)
	for _, p := range []uint64{0, 63, 64, 199} {
		m.add(p)
	}
	var got []uint64
	for p := range m.All() {
		if got = append(got, p); len(got) == 2 {
			break
		}
	}
	if !slices.Equal(got, []uint64{0, 63}) || m.Count() != 4 || m.Has(1<<40) {
		t.Errorf("got %v", got)
	}
}

// TestSpool reads twice what was appended, and joins it.
func TestSpool(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	s, err := NewSpool(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	outs := random(seeded(36), 40_000)
	table, _ := inFull(t, o, outs, "", &psi.Seed{})
	var want []byte
	for chunk, err := range table.Chunks(1000) {
		if err := cmp.Or(err, s.Append(chunk)); err != nil {
			t.Fatal(err)
		}
		want = append(want, chunk...)
		if err := s.Append(chunk[:17]); err == nil {
			t.Fatal("half an entry was spooled")
		}
	}
	for range 2 {
		if got := collect(t, s.Chunks(), 16, 16384); !bytes.Equal(got, want) || s.Entries() != table.Entries() {
			t.Fatal("spooled entries differ")
		}
	}
	m, err := newQueries(t, o, outs[:1000], 0).Match(ctx, s.Chunks())
	if err != nil || m.Count() != 1000 {
		t.Fatalf("spooled table: %v", err)
	}
	if err := cmp.Or(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(want[:16]); !errors.Is(err, errClosed) {
		t.Errorf("Append after Close: %v", err)
	}
	for _, err := range s.Chunks() {
		if !errors.Is(err, errClosed) {
			t.Errorf("Chunks after Close: %v", err)
		}
	}
	checkEmpty(t, o.Dir)
}

// FuzzMatch joins sets over a small alphabet, so that much is equal.
func FuzzMatch(f *testing.F) {
	f.Add([]byte{}, []byte{}, uint16(0), uint8(1))
	f.Add([]byte{1, 2, 3, 3, 255}, []byte{3, 255, 0}, uint16(1), uint8(2))
	f.Add(bytes.Repeat([]byte{9, 73, 200}, 50), []byte{9, 200}, uint16(300), uint8(0))
	f.Fuzz(func(t *testing.T, own, theirs []byte, memory uint16, perChunk uint8) {
		output := func(v byte) (o psi.Output) {
			o[0], o[7], o[15], o[63] = v&0xc0, v&0x30, v&0x0f, 1
			return o
		}
		outs := make([]psi.Output, len(own))
		for i, v := range own {
			outs[i] = output(v)
		}
		slices.Sort(theirs)
		var entries []byte
		for _, v := range slices.Compact(theirs) {
			o := output(v)
			entries = append(entries, o[:16]...)
		}
		checkMatch(t, Options{Dir: t.TempDir(), TokenLen: 16, Memory: 24*4 + int(memory)}, outs, 3, entries, int(perChunk)+1)
	})
}

func ExampleMatches() {
	o := Options{TokenLen: 16}
	b, _ := NewBuilder(o)
	defer b.Close()
	b.Add([]psi.Output{{1}, {2}, {3}})
	table, _ := b.Seal(context.Background(), "", psi.NewSeed())
	defer table.Remove()
	q, _ := NewQueries(o)
	defer q.Close()
	q.Add([]psi.Output{{9}, {3}, {1}, {3}}, 0)
	matches, _ := q.Match(context.Background(), table.Chunks(16384))
	fmt.Println(table.Entries(), slices.Collect(matches.All()))
	// Output: 1024 [1 2 3]
}
