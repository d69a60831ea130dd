package psi

import (
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
)

// TestEach: every number is in exactly one run, however many processors there are.
func TestEach(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, processors := range []int{1, 2, 5} {
		runtime.GOMAXPROCS(processors)
		for _, n := range []int{0, 1, run - 1, run, run + 1, 7 * run, 7*run + 9} {
			times := make([]int, n)
			var mu sync.Mutex
			each(n, func(d *desk, lo, hi int) {
				mu.Lock()
				defer mu.Unlock()
				if d == nil || lo >= hi || hi-lo > run {
					t.Errorf("of %d: a run from %d to %d", n, lo, hi)
				}
				for i := lo; i < hi; i++ {
					times[i]++
				}
			})
			if want := slices.Repeat([]int{1}, n); !slices.Equal(times, want) {
				t.Errorf("%d processors, %d elements: not each once", processors, n)
			}
		}
	}
}

// TestDeskIsCleared: nothing that one worker computed with is left for the next.
func TestDeskIsCleared(t *testing.T) {
	a := newAnswered(t, 9)
	d := new(desk)
	r := a.seed.scalars(d, a.in, 0)
	d.blind(a.blinded, a.in, r)
	must(t, a.finalize(t))
	e, err := decoded(a.evaluated)
	must(t, err)
	d.unblind(make([]Output, 9), a.in, e, a.key.Public().base, r)
	d.queries = append(d.queries, a.in...)
	d.clear()
	left := false
	for i := range 9 {
		left = left || d.queries[i] != Query{} || d.hashes[i] != [64]byte{} || !d.r[i].IsZero() || d.n[i] != Element{}
	}
	for _, b := range d.msgs[:cap(d.msgs)] {
		left = left || b != 0
	}
	for _, p := range enc(d.points) {
		left = left || p != Element{}
	}
	if left || len(d.msgs[:cap(d.msgs)]) == 0 {
		t.Error("a desk holds what was computed on it")
	}
}

// TestFirstRefused: of several bad elements the first is named, whichever worker
// finds it first, and of two lists those of the answer.
func TestFirstRefused(t *testing.T) {
	key, n := NewKey(), 5*run
	blinded := make([]Element, n)
	must(t, Blind(blinded, queries(n), NewSeed(), 0))
	good := slices.Clone(blinded)
	for i := range n / run {
		blinded[i*run+run-1-i] = Element{1} // negative
	}
	const first = run - 1
	check := func(what string, err error, want int) {
		t.Helper()
		var e *ElementError
		if !errors.As(err, &e) || e.Index != want {
			t.Errorf("%s: %v, want element %d", what, err, want)
		}
	}
	for range 10 {
		dst := make([]Element, n)
		_, err := key.BlindEvaluate(dst, blinded, nil)
		check("BlindEvaluate", err, first)
		if slices.ContainsFunc(dst, func(e Element) bool { return e != Element{} }) {
			t.Error("BlindEvaluate failed and wrote")
		}
		_, err = key.Prove(blinded, good, nil)
		check("Prove", err, first)
		check("Verify", key.Public().Verify(blinded, good, &Proof{}, nil), first)
		other := slices.Clone(good)
		other[n-1] = Element{1}
		check("Verify of two", key.Public().Verify(blinded, other, &Proof{}, nil), n-1)
	}
}

// TestMemoryIsReused: a chunk costs no more memory the more elements it has, once
// one like it has been worked on.
func TestMemoryIsReused(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	const n = 16 * run
	a, out, own := newAnswered(t, n), make([]Output, n), inputs(n)
	bind := func([]Element) Bind { return a.bind }
	work := func() {
		must(t, Blind(a.blinded, a.in, a.seed, 0))
		_, err := a.key.BlindEvaluate(a.evaluated, a.blinded, bind)
		must(t, err)
		_, err = a.key.Prove(a.blinded, a.evaluated, &a.bind)
		must(t, err)
		must(t, a.key.Public().Verify(a.blinded, a.evaluated, &a.proof, &a.bind))
		a.key.Evaluate(out, own)
	}
	least := ^uint64(0)
	for range 6 { // a collection may empty the pools at any time
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		work()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if least > uint64(n*len(Element{})) {
		t.Errorf("%d bytes for %d elements", least, n)
	}
}
