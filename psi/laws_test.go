package psi

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// exchange blinds in from index first, lets key answer with the session's bind,
// and returns both sides' elements and the proof.
func exchange(t testing.TB, key *Key, in []Query, seed *Seed, first uint64, bind func(b, e []Element) Bind) (blinded, evaluated []Element, p Proof) {
	t.Helper()
	blinded, evaluated = make([]Element, len(in)), make([]Element, len(in))
	must(t, Blind(blinded, in, seed, first))
	p, err := key.BlindEvaluate(evaluated, blinded, func(e []Element) Bind { return bind(blinded, e) })
	must(t, err)
	return blinded, evaluated, p
}

func bindTo(sid [32]byte, seq uint32) func(b, e []Element) Bind {
	return func(b, e []Element) Bind { return NewBind(&sid, seq, b, e) }
}

// TestFinalizeBlindEvaluateIsEvaluate: the law of the whole, for random sizes
// and places in the session, and pads anywhere.
func TestFinalizeBlindEvaluateIsEvaluate(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	sizes := []int{1, 2, 63, 64, 65, 129, run - 1, run, run + 1, 2*run + 3}
	for range 12 {
		sizes = append(sizes, 1+rng.IntN(300))
	}
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			key, seed, first := NewKey(), NewSeed(), rng.Uint64()>>rng.IntN(64)
			in := queries(n)
			for i := range in {
				switch {
				case rng.IntN(4) == 0, i >= n-n/8: // in the middle, and the end
					in[i].Input = Input{}
				}
			}
			blinded, evaluated, p := exchange(t, key, in, seed, first, bindTo([32]byte{5}, 6))
			bind := NewBind(&[32]byte{5}, 6, blinded, evaluated)
			out := make([]Output, n)
			must(t, key.Public().Finalize(out, in, blinded, evaluated, &p, &bind, seed, first))
			checkOutputs(t, key, in, out)
		})
	}
}

// checkOutputs compares with the Holder's own evaluation of the same inputs.
func checkOutputs(t testing.TB, key *Key, in []Query, out []Output) {
	t.Helper()
	if len(out) != len(in) {
		t.Fatalf("%d outputs, want %d", len(out), len(in))
	}
	var own []Input
	var of []int
	for i := range in {
		if in[i].Input.IsZero() {
			if !out[i].IsZero() {
				t.Errorf("pad %d has an output", i)
			}
			continue
		}
		own, of = append(own, in[i].Input), append(of, i)
	}
	direct := make([]Output, len(own))
	key.Evaluate(direct, own)
	for j, i := range of {
		if out[i] != direct[j] || out[i].IsZero() {
			t.Errorf("output %d is not the function's", i)
		}
	}
}

// TestBlindsAreFresh: no two elements of a session are equal, though two
// accounts share an identifier; another seed, salt or place makes others; the
// same seed makes the same, so that an auditor can be shown any.
func TestBlindsAreFresh(t *testing.T) {
	x := inputs(1)[0]
	in := []Query{{Input: x}, {Input: x}, {Input: x, Salt: [32]byte{1}}, {Input: x, Salt: [32]byte{2}}, {}, {}}
	seen := map[Element]bool{}
	blind := func(seed *Seed, first uint64) []Element {
		b := make([]Element, len(in))
		must(t, Blind(b, in, seed, first))
		return b
	}
	for _, seed := range []*Seed{{1}, {2}} {
		for _, first := range []uint64{0, 1 << 32, 1<<64 - 100} {
			for _, e := range blind(seed, first) {
				if seen[e] {
					t.Error("an element repeats")
				}
				seen[e] = true
			}
			if !slices.Equal(blind(seed, first), blind(seed, first)) {
				t.Error("the same seed, salt and place make other elements")
			}
		}
	}
	if !slices.Equal(blind(&Seed{1}, 3)[1:], append(blindOne(t, in[1], 4), blind(&Seed{1}, 3)[2:]...)) {
		t.Error("an element depends on what else is in its chunk")
	}
}

func blindOne(t *testing.T, q Query, at uint64) []Element {
	b := make([]Element, 1)
	must(t, Blind(b, []Query{q}, &Seed{1}, at))
	return b
}

// TestEvaluateSplit: how a set is cut for evaluation does not matter.
func TestEvaluateSplit(t *testing.T) {
	key, in := NewKey(), inputs(150)
	whole, parts := make([]Output, len(in)), make([]Output, len(in))
	key.Evaluate(whole, in)
	for at := range in {
		key.Evaluate(parts[at:at+1], in[at:at+1])
	}
	if !slices.Equal(whole, parts) {
		t.Error("outputs depend on the batch")
	}
	key.Evaluate(nil, nil)
}

// TestNonceIsFresh: two proofs of one chunk share neither half. Of two with one
// nonce and different challenges anybody could compute the key.
func TestNonceIsFresh(t *testing.T) {
	a := newAnswered(t, 2)
	seen := map[[32]byte]bool{}
	for range 20 {
		p, err := a.key.BlindEvaluate(make([]Element, 2), a.blinded, nil)
		must(t, err)
		c, s := [32]byte(p[:32]), [32]byte(p[32:])
		if seen[c] || seen[s] {
			t.Fatal("half of a proof repeats")
		}
		seen[c], seen[s] = true, true
	}
}

// TestKeys: keys are what they say, and differ.
func TestKeys(t *testing.T) {
	a, b := NewKey(), NewKey()
	if a.k == b.k || a.Public().Bytes() == b.Public().Bytes() {
		t.Error("two keys are equal")
	}
	again, err := ParsePublicKey(a.Public().Bytes())
	must(t, err)
	if again.Bytes() != a.Public().Bytes() {
		t.Error("a public key changes when it is parsed")
	}
	one, err := DeriveKey(&[32]byte{1}, []byte("a"))
	must(t, err)
	for _, info := range []string{"", "b", "aa"} {
		other, err := DeriveKey(&[32]byte{1}, []byte(info))
		must(t, err)
		if other.k == one.k {
			t.Errorf("info %q makes the same key as \"a\"", info)
		}
	}
	if _, err := DeriveKey(&[32]byte{}, make([]byte, 1<<16)); err == nil {
		t.Error("info of 65536 bytes is accepted: its length takes 16 bits")
	}
	if _, err := DeriveKey(&[32]byte{}, make([]byte, 1<<16-1)); err != nil {
		t.Error(err)
	}
}

// TestDestroy: a destroyed key is gone, and its use is our own mistake.
func TestDestroy(t *testing.T) {
	key := NewKey()
	key.Destroy()
	if !key.k.IsZero() {
		t.Error("the scalar is still there")
	}
	mustPanic(t, "Evaluate", func() { key.Evaluate(make([]Output, 1), inputs(1)) })
	mustPanic(t, "BlindEvaluate", func() { key.BlindEvaluate(make([]Element, 1), make([]Element, 1), nil) })
	seed := NewSeed()
	if *seed == (Seed{}) || *seed == *NewSeed() {
		t.Error("a seed is not random")
	}
	seed.Destroy()
	if *seed != (Seed{}) {
		t.Error("the seed is still there")
	}
}

// TestMisuse: calls that no peer's bytes can cause.
func TestMisuse(t *testing.T) {
	key, in := newTestKey(t), queries(2)
	e := make([]Element, 2)
	mustPanic(t, "Evaluate, lengths", func() { key.Evaluate(make([]Output, 1), inputs(2)) })
	mustPanic(t, "Evaluate of a pad", func() { key.Evaluate(make([]Output, 1), make([]Input, 1)) })
	// With many inputs too the panic is the caller's to recover, not a goroutine's.
	mustPanic(t, "Evaluate of a pad among many", func() { key.Evaluate(make([]Output, 500), append(inputs(499), Input{})) })
	mustPanic(t, "Blind, lengths", func() { Blind(e[:1], in, &Seed{}, 0) })
	mustPanic(t, "BlindEvaluate, lengths", func() { key.BlindEvaluate(e[:1], e, nil) })
	mustPanic(t, "Finalize, outputs", func() {
		key.Public().Finalize(make([]Output, 1), in, e, e, &Proof{}, nil, &Seed{}, 0)
	})
	mustPanic(t, "Finalize, blinded", func() {
		key.Public().Finalize(make([]Output, 2), in, e[:1], e, &Proof{}, nil, &Seed{}, 0)
	})
}

// TestAnotherKeySomewhere: a Holder that takes another key for the whole chunk,
// for one chunk or for one element, to mark or to un-mix who asked, is found:
// the one K of OPEN_H holds for all elements of all chunks.
func TestAnotherKeySomewhere(t *testing.T) {
	d := newDeal(t, 10, 5, 8)
	other := NewKey()
	for at := -1; at < 5; at++ { // -1 stands for all
		q, h := d.querier(t), d.holder(t)
		b, err := q.Blind(d.chunk(0))
		must(t, err)
		e, err := h.Evaluate(b)
		must(t, err)
		_, err = q.Finalize(e)
		must(t, err)
		b, err = q.Blind(d.chunk(1))
		must(t, err)
		_, err = q.Finalize(Frame{Type: FrameEvaluated, Seq: 1, Body: d.otherKey(t, other, b.Body, at)})
		wantAbort(t, fmt.Sprintf("another key at %d", at), err, AbortProof)
	}
}

// otherKey evaluates a BLINDED body with d's key, but with another at one place
// or everywhere, and proves it as well as one can: with the own bind, and with
// the key that most answers have.
func (d *deal) otherKey(t *testing.T, other *Key, body []byte, at int) []byte {
	blinded := elements(body)
	b, err := decoded(blinded)
	must(t, err)
	e, wrong := enc(b.Mul(&d.key.k)), enc(b.Mul(&other.k))
	prover := d.key
	if at < 0 {
		e = wrong
		// The other scalar under the public key that was announced.
		prover = &Key{k: other.k, public: d.key.public}
	} else {
		e[at] = wrong[at]
	}
	bind, nonce := NewBind(&d.SID, 1, blinded, e), randomScalar()
	p := generateProof(new(scratch), prover, b, blinded, e, bind[:], &nonce)
	return append(appendElements(nil, e), p[:]...)
}

// TestSumIsTheSum: the composites' sums do not depend on how many processors
// share them.
func TestSumIsTheSum(t *testing.T) {
	for _, n := range []int{1, 2, 63, 200, run, run + 1, 2 * run, 3*run + 1} {
		blinded := make([]Element, n)
		must(t, Blind(blinded, queries(n), &Seed{}, 0))
		v, err := decoded(blinded)
		must(t, err)
		d := make([]ristretto.Scalar, n)
		total := ristretto.Generator().Mul(d[:1]) // 0·G
		for i := range d {
			d[i] = hashToScalar([]byte{byte(i), byte(i >> 8)}, "coefficients")
			total = total.Add(v.Slice(i, i+1).Mul(&d[i]))
		}
		if enc(sums(d, v)[0])[0] != enc(total)[0] {
			t.Errorf("sum of %d differs", n)
		}
	}
}

// TestAllocations: what a chunk allocates does not grow with each of its elements,
// wherever its pads are, but by the doublings of slices and by the goroutines that
// take a share of it: a sixteenth of an element at most.
func TestAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool forgets at random")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // and at a collection
	allocations := func(n int) (total float64) {
		a, out, own := newAnswered(t, n), make([]Output, n), inputs(n)
		bind := func(e []Element) Bind { return a.bind }
		for _, op := range []func(){
			func() { must(t, Blind(a.blinded, a.in, a.seed, 0)) },
			func() { must(t, a.finalize(t)) },
			func() { a.key.Evaluate(out, own) },
			func() {
				_, err := a.key.BlindEvaluate(a.evaluated, a.blinded, bind)
				must(t, err)
			},
		} {
			total += testing.AllocsPerRun(1, op)
		}
		return total
	}
	if few, many := allocations(64), allocations(1024); many > few+64 {
		t.Errorf("%v allocations for 64 elements, %v for 1024", few, many)
	}
}

// TestEvaluateAll: a sequence has the outputs that Evaluate computes, chunk by
// chunk, and ends with the first error of either side.
func TestEvaluateAll(t *testing.T) {
	key := NewKey()
	for _, n := range []int{0, 1, ChunkElems - 1, ChunkElems, ChunkElems + 1} {
		in, want := inputs(n), make([]Output, n)
		key.Evaluate(want, in)
		var got []Output
		must(t, key.EvaluateAll(sequence(in, nil), func(outs []Output, first uint64) error {
			if first != uint64(len(got)) || len(outs) == 0 || len(outs) > ChunkElems {
				t.Errorf("%d outputs from %d on", len(outs), first)
			}
			got = append(got, outs...)
			return nil
		}))
		if !slices.Equal(got, want) {
			t.Errorf("%d inputs have other outputs", n)
		}
	}
	failure := errors.New("failure")
	calls := 0
	count := func([]Output, uint64) error { calls++; return nil }
	if err := key.EvaluateAll(sequence(inputs(3), failure), count); err != failure || calls != 0 {
		t.Errorf("inputs that fail: %v after %d calls", err, calls)
	}
	if err := key.EvaluateAll(sequence(inputs(3), nil), func([]Output, uint64) error { return failure }); err != failure {
		t.Errorf("a call that fails: %v", err)
	}
}

// sequence yields the inputs, and then the error if there is one.
func sequence(in []Input, err error) iter.Seq2[Input, error] {
	return func(yield func(Input, error) bool) {
		for _, i := range in {
			if !yield(i, nil) {
				return
			}
		}
		if err != nil {
			yield(Input{}, err)
		}
	}
}
