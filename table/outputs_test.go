package table

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// someOutputs are pseudorandom outputs, every seventh a pad's and every fifth the
// same as one before, as of an identifier of two accounts.
func someOutputs(n int) []psi.Output {
	outs := random(seeded(11), n)
	for i := range outs {
		switch {
		case i%7 == 3:
			outs[i] = psi.Output{}
		case i%5 == 4:
			outs[i] = outs[i/2]
		}
	}
	return outs
}

// kept is what a store keeps of an output.
func kept(out psi.Output, tokenLen int) psi.Output {
	clear(out[tokenLen:32])
	return out
}

func newOutputs(t testing.TB, o Options, outs []psi.Output) *Outputs {
	t.Helper()
	s, err := NewOutputs(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	for i := 0; i < len(outs); i += 700 {
		if err := s.Add(outs[i:min(i+700, len(outs))], uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// Outputs come back by position, and sorted and once each whatever their number
// and the memory: a map and a sort say what is right.
func TestOutputs(t *testing.T) {
	for _, o := range []Options{{TokenLen: 16}, {TokenLen: 11, Memory: 1}, {TokenLen: 32, Memory: 4096}} {
		o.Dir = t.TempDir()
		outs := someOutputs(3000)
		s := newOutputs(t, o, outs)
		for _, i := range []uint64{0, 3, 1500, 2999} {
			if got, err := s.At(i); err != nil || got != kept(outs[i], o.TokenLen) {
				t.Errorf("output %d is another one: %v", i, err)
			}
		}
		for _, every := range []uint64{1, 2, 3000, 1 << 20} {
			want := map[psi.Token]psi.Output{}
			positions := func(yield func(uint64) bool) {
				for i := uint64(1); i < 3000 && yield(i); i += every {
				}
			}
			for i := range positions {
				if !outs[i].IsZero() {
					want[outs[i].Token(o.TokenLen)] = kept(outs[i], o.TokenLen)
				}
			}
			var got []psi.Output
			for batch, err := range s.Sorted(ctx, positions, 64) {
				if err != nil {
					t.Fatal(err)
				}
				if len(batch) != min(64, len(want)-len(got)) {
					t.Errorf("a batch of %d after %d of %d", len(batch), len(got), len(want))
				}
				got = append(got, batch...)
			}
			sorted := slices.SortedFunc(maps.Values(want), func(a, b psi.Output) int { return bytes.Compare(a[:], b[:]) })
			if !slices.Equal(got, sorted) {
				t.Errorf("%d outputs, want %d, or in another order", len(got), len(want))
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if _, err := s.At(0); err == nil {
			t.Error("an output of a closed store")
		}
		checkEmpty(t, o.Dir)
	}
}

func TestOutputsRefuse(t *testing.T) {
	s := newOutputs(t, Options{TokenLen: 16, Dir: t.TempDir()}, someOutputs(10))
	if s.Add(someOutputs(1), 11) == nil || s.Add(someOutputs(1), 9) == nil {
		t.Error("a gap or a repeat of positions")
	}
	if _, err := s.At(10); err == nil {
		t.Error("an output that was not added")
	}
	for _, err := range s.Sorted(ctx, slices.Values([]uint64{1, 10}), 4) {
		if err == nil {
			t.Error("a position that was not added is sorted")
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range s.Sorted(cancelled, slices.Values([]uint64{1}), 4) {
		if err == nil {
			t.Error("sorted after the end")
		}
	}
	s.kept.Close() // the disk is gone
	if _, err := s.At(1); err == nil {
		t.Error("read from a file that is gone")
	}
	if s.Add(someOutputs(1), 10) == nil || s.Add(someOutputs(1), 11) == nil {
		t.Error("written to a file that is gone")
	}
	if _, err := NewOutputs(Options{TokenLen: 10}); err == nil {
		t.Error("tokens of 10 bytes")
	}
}

// A lookup finds all positions of each token it is asked for, in order; a map
// says what is right.
func TestLookup(t *testing.T) {
	for _, o := range []Options{{TokenLen: 16}, {TokenLen: 11, Memory: 1}} {
		o.Dir = t.TempDir()
		outs := someOutputs(3000)
		q := newQueries(t, o, outs, 0)
		at := map[psi.Token][]uint64{}
		for i := range outs {
			if !outs[i].IsZero() {
				token := outs[i].Token(o.TokenLen)
				at[token] = append(at[token], uint64(i))
			}
		}
		ask := slices.Collect(maps.Keys(at))
		for _, out := range random(seeded(12), 500) { // strangers
			ask = append(ask, out.Token(o.TokenLen))
		}
		slices.SortFunc(ask, func(a, b psi.Token) int { return bytes.Compare(a[:], b[:]) })
		l := q.Lookup()
		want := map[uint64]bool{}
		for i, token := range ask {
			if i%3 == 0 {
				continue
			}
			position, found, err := l.Find(token)
			if err != nil || found != (at[token] != nil) || found && position != at[token][0] {
				t.Fatalf("token %d: position %d, found %v: %v", i, position, found, err)
			}
			for _, p := range at[token] {
				want[p] = true
			}
		}
		if got := slices.Collect(l.Matches().All()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%d positions are noted, want %d", len(got), len(want))
		}
		if _, found, err := l.Find(ask[1]); found || err != nil {
			t.Error("a token out of order is found")
		}
		l.Close()
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.Lookup().Find(ask[0]); err == nil {
			t.Error("found in what is closed")
		}
	}
}

func TestKeepMatches(t *testing.T) {
	m := newMatches(200)
	for _, p := range []uint64{0, 63, 64, 199} {
		m.add(p)
	}
	got, err := m.Keep(func(p uint64) (bool, error) { return p != 63, nil })
	if err != nil || !slices.Equal(slices.Collect(got.All()), []uint64{0, 64, 199}) || m.Count() != 4 {
		t.Errorf("kept %d: %v", got.Count(), err)
	}
	if _, err := m.Keep(func(uint64) (bool, error) { return true, context.Canceled }); err == nil {
		t.Error("an error of keep is lost")
	}
}
