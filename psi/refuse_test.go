package psi

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"testing"
)

// answered is one answered chunk and what it takes to verify it.
type answered struct {
	key                *Key
	in                 []Query
	seed               *Seed
	blinded, evaluated []Element
	proof              Proof
	bind               Bind
}

func newAnswered(t testing.TB, n int) *answered {
	t.Helper()
	a := &answered{key: NewKey(), in: queries(n), seed: NewSeed()}
	a.blinded, a.evaluated, a.proof = exchange(t, a.key, a.in, a.seed, 0, bindTo([32]byte{5}, 6))
	a.bind = NewBind(&[32]byte{5}, 6, a.blinded, a.evaluated)
	return a
}

// finalize finalises and checks that a refusal leaves the outputs alone.
func (a *answered) finalize(t testing.TB) error {
	t.Helper()
	out := make([]Output, len(a.in))
	for i := range out {
		out[i][0] = 7
	}
	err := a.key.Public().Finalize(out, a.in, a.blinded, a.evaluated, &a.proof, &a.bind, a.seed, 0)
	if err != nil {
		for i := range out {
			if out[i] != (Output{7}) {
				t.Errorf("output %d was written in spite of the error", i)
			}
		}
	}
	return err
}

// TestProofRefused changes one thing at a time of what a proof is about.
func TestProofRefused(t *testing.T) {
	const n = 6
	for name, change := range map[string]func(a *answered){
		"another key":                 func(a *answered) { a.key = NewKey() },
		"another sid":                 func(a *answered) { a.bind = NewBind(&[32]byte{8}, 6, a.blinded, a.evaluated) },
		"another seq":                 func(a *answered) { a.bind = NewBind(&[32]byte{5}, 7, a.blinded, a.evaluated) },
		"a bind with one bit changed": func(a *answered) { a.bind[63] ^= 0x80 },
		"a bind over other questions": func(a *answered) {
			other := newAnswered(t, n)
			a.bind = NewBind(&[32]byte{5}, 6, other.blinded, a.evaluated)
		},
		"answers in another order": func(a *answered) {
			a.evaluated[0], a.evaluated[1] = a.evaluated[1], a.evaluated[0]
		},
		"pairs in another order": func(a *answered) {
			a.blinded[0], a.blinded[1] = a.blinded[1], a.blinded[0]
			a.evaluated[0], a.evaluated[1] = a.evaluated[1], a.evaluated[0]
		},
		"pairs in another order, bound so": func(a *answered) {
			a.blinded[2], a.blinded[5] = a.blinded[5], a.blinded[2]
			a.evaluated[2], a.evaluated[5] = a.evaluated[5], a.evaluated[2]
			a.bind = NewBind(&[32]byte{5}, 6, a.blinded, a.evaluated)
		},
		"the proof of another chunk": func(a *answered) {
			_, _, a.proof = exchange(t, a.key, a.in, a.seed, n, bindTo([32]byte{5}, 7))
		},
		"another proof of the same key": func(a *answered) {
			_, _, a.proof = exchange(t, a.key, a.in, NewSeed(), 0, bindTo([32]byte{5}, 6))
		},
		"an answer twice":          func(a *answered) { a.evaluated[3] = a.evaluated[2] },
		"a question as its answer": func(a *answered) { a.evaluated[3] = a.blinded[3] },
		"c and s exchanged": func(a *answered) {
			a.proof = Proof(append(slices.Clone(a.proof[32:]), a.proof[:32]...))
		},
		"a proof of zeros": func(a *answered) { a.proof = Proof{} },
		"c = 0":            func(a *answered) { clear(a.proof[:32]) },
		"s = 0":            func(a *answered) { clear(a.proof[32:]) },
		"one bit of c":     func(a *answered) { a.proof[3] ^= 4 },
		"one bit of s":     func(a *answered) { a.proof[35] ^= 4 },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAnswered(t, n)
			must(t, a.finalize(t))
			change(a)
			wantAbort(t, "Finalize", a.finalize(t), AbortProof)
		})
	}
}

// TestScalarsOfAProof: c and s plus the group order stand for the same numbers,
// and are refused, as is everything else from the order up.
func TestScalarsOfAProof(t *testing.T) {
	a := newAnswered(t, 3)
	good := a.proof
	for _, at := range []int{0, 32} {
		value := toBig(good[at : at+32])
		for name, n := range map[string]*big.Int{
			"plus the order": new(big.Int).Add(value, order),
			"the order":      order,
			"2^253":          new(big.Int).Lsh(big.NewInt(1), 253),
			"with bit 255":   new(big.Int).SetBit(value, 255, 1),
			"2^256 - 1":      new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 256), big.NewInt(1)),
		} {
			a.proof = good
			b := littleEndian(n)
			copy(a.proof[at:], b[:])
			wantAbort(t, fmt.Sprintf("scalar %d %s", at/32, name), a.finalize(t), AbortMalformed)
		}
	}
}

// TestInvalidElements puts each invalid encoding and the identity in the first,
// a middle and the last place of a chunk, in both directions.
func TestInvalidElements(t *testing.T) {
	const n = 65 // two processors' worth
	a := newAnswered(t, n)
	for _, bad := range refusedEncodings(t) {
		for _, at := range []int{0, n / 2, n - 1} {
			checkInvalidQuestion(t, a, bad, at)
			checkInvalidAnswer(t, a, bad, at)
		}
		if k, err := ParsePublicKey(bad); k != nil || !errors.Is(err, AbortMalformed) {
			t.Errorf("ParsePublicKey(%x): %v", bad, err)
		}
	}
}

func checkInvalidQuestion(t *testing.T, a *answered, bad Element, at int) {
	t.Helper()
	blinded := slices.Clone(a.blinded)
	blinded[at] = bad
	answer := make([]Element, len(blinded))
	p, err := a.key.BlindEvaluate(answer, blinded, func([]Element) Bind {
		t.Error("bind called for a chunk that is refused")
		return Bind{}
	})
	wantElement(t, err, at)
	if p != (Proof{}) || slices.ContainsFunc(answer, func(e Element) bool { return e != Element{} }) {
		t.Errorf("%x at %d: something was answered", bad, at)
	}
	blinded[len(blinded)-1] = bad // the first is told, whatever comes after
	_, err = a.key.BlindEvaluate(answer, blinded, nil)
	wantElement(t, err, at)
}

func checkInvalidAnswer(t *testing.T, a *answered, bad Element, at int) {
	t.Helper()
	wrong := *a
	wrong.evaluated = slices.Clone(a.evaluated)
	wrong.evaluated[at] = bad
	wrong.bind = NewBind(&[32]byte{5}, 6, wrong.blinded, wrong.evaluated)
	wantElement(t, wrong.finalize(t), at)
}

// wantElement checks that the error names the element, and not its bytes.
func wantElement(t *testing.T, err error, at int) {
	t.Helper()
	var e *ElementError
	if !errors.As(err, &e) || e.Index != at {
		t.Errorf("%v, want an *ElementError at %d", err, at)
		return
	}
	wantAbort(t, "element", err, AbortMalformed)
	if text := fmt.Sprintf("psi: element %d of the chunk is not a valid group element", at); err.Error() != text {
		t.Errorf("%q, want %q", err, text)
	}
}

// TestBodyLengths: on the wire a body has the length declared, whole elements
// and no byte more.
func TestBodyLengths(t *testing.T) {
	d := newDeal(t, 5, 3, 8) // chunks of 3 and 2
	p := d.play(t)
	cut := func(f Frame, n int) Frame { f.Body = f.Body[:n]; return f }
	longer := func(f Frame, n int) Frame {
		f.Body = append(slices.Clone(f.Body), bytes.Repeat(f.Body[:32], 1+n/32)[:n]...)
		return f
	}
	for name, f := range map[string]Frame{
		"empty":              {Type: FrameBlinded},
		"31 bytes":           cut(p.blinded[0], 31),
		"33 bytes":           cut(p.blinded[0], 33),
		"a byte short":       cut(p.blinded[0], 3*32-1),
		"a byte more":        longer(p.blinded[0], 1),
		"an element short":   cut(p.blinded[0], 2*32),
		"an element more":    longer(p.blinded[0], 32),
		"a chunk of 16 385":  longer(p.blinded[0], 32*16382),
		"an oversized frame": longer(p.blinded[0], 1<<20),
	} {
		h := d.holder(t)
		reply, err := h.Evaluate(f)
		wantAbort(t, "BLINDED, "+name, err, AbortMalformed)
		if reply.Body != nil {
			t.Errorf("BLINDED, %s: answered", name)
		}
		wantEnded(t, "BLINDED, "+name, h, AbortMalformed)
	}
	whole := len(p.evaluated[0].Body)
	for name, f := range map[string]Frame{
		"empty":            {Type: FrameEvaluated},
		"31 bytes":         cut(p.evaluated[0], 31),
		"33 bytes":         cut(p.evaluated[0], 33),
		"no proof":         cut(p.evaluated[0], 3*32),
		"half a proof":     cut(p.evaluated[0], 4*32),
		"a byte short":     cut(p.evaluated[0], whole-1),
		"a byte more":      longer(p.evaluated[0], 1),
		"an element short": {Type: FrameEvaluated, Body: p.evaluated[0].Body[32:]},
		"an element more":  longer(p.evaluated[0], 32),
		"two proofs":       longer(p.evaluated[0], 64),
	} {
		q := d.querier(t)
		_, err := q.Blind(d.chunk(0))
		must(t, err)
		out, err := q.Finalize(f)
		wantAbort(t, "EVALUATED, "+name, err, AbortMalformed)
		if out != nil {
			t.Errorf("EVALUATED, %s: outputs", name)
		}
		wantEnded(t, "EVALUATED, "+name, q, AbortMalformed)
	}
}

// TestLastChunkIsShort: the last chunk has what is left, not a full chunk.
func TestLastChunkIsShort(t *testing.T) {
	d := newDeal(t, 5, 3, 8)
	p := d.play(t)
	if n := len(p.blinded[1].Body); n != 2*32 {
		t.Fatalf("the last BLINDED has %d bytes", n)
	}
	h := d.holder(t)
	_, err := h.Evaluate(p.blinded[0])
	must(t, err)
	full := p.blinded[0]
	full.Seq = 1
	_, err = h.Evaluate(full)
	wantAbort(t, "a full last chunk", err, AbortMalformed)
}

// TestEmptyBindFailsOnTheWire: RFC 9497's own proof, honest in everything else,
// is refused by a Querier.
func TestEmptyBindFailsOnTheWire(t *testing.T) {
	d := newDeal(t, 4, 4, 4)
	q := d.querier(t)
	f, err := q.Blind(d.chunk(0))
	must(t, err)
	blinded, answer := elements(f.Body), make([]Element, 4)
	p, err := d.key.BlindEvaluate(answer, blinded, nil)
	must(t, err)
	if err := d.Key.Verify(blinded, answer, &p, nil); err != nil {
		t.Fatalf("the proof is none of RFC 9497's: %v", err)
	}
	_, err = q.Finalize(Frame{Type: FrameEvaluated, Body: append(appendElements(nil, answer), p[:]...)})
	wantAbort(t, "a proof with an empty bind", err, AbortProof)
	wantEnded(t, "a proof with an empty bind", q, AbortProof)
}

// TestAnotherSessionsAnswer: an EVALUATED of another session, with the same key
// and questions, is refused; so is that of another chunk.
func TestAnotherSessionsAnswer(t *testing.T) {
	d := newDeal(t, 4, 2, 4)
	other := *d
	other.SID = ascending(10)
	replayed := other.play(t)
	q := d.querier(t)
	f, err := q.Blind(d.chunk(0))
	must(t, err)
	if !bytes.Equal(f.Body, replayed.blinded[0].Body) {
		t.Fatal("the sessions ask differently")
	}
	_, err = q.Finalize(replayed.evaluated[0])
	wantAbort(t, "the answer of another session", err, AbortProof)

	own, q := d.play(t), d.querier(t)
	for seq := range uint32(2) {
		_, err := q.Blind(d.chunk(seq))
		must(t, err)
	}
	later := own.evaluated[1]
	later.Seq = 0
	_, err = q.Finalize(later)
	wantAbort(t, "the answer to the next chunk", err, AbortProof)
}

// TestAnswerOfAnotherSize: Finalize without the machine says so too.
func TestAnswerOfAnotherSize(t *testing.T) {
	a := newAnswered(t, 3)
	a.evaluated = a.evaluated[:2]
	wantAbort(t, "an answer short", a.finalize(t), AbortMalformed)
	a = newAnswered(t, 3)
	a.evaluated = append(a.evaluated, a.evaluated[0])
	wantAbort(t, "an answer more", a.finalize(t), AbortMalformed)
}
