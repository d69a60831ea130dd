package psi

import (
	"bytes"
	"slices"
	"testing"
)

// What arrives from a peer never panics, and whatever is refused ends the
// session. What is accepted is right: a Holder's answer verifies, a Querier's
// outputs are the function's, a table is the one committed to.

// FuzzBlinded gives a Holder any body for a chunk of two elements.
func FuzzBlinded(f *testing.F) {
	d := newDeal(f, 2, 2, 2)
	good := d.play(f).blinded[0].Body
	f.Add(good)
	f.Add(slices.Concat(good[32:], good[:32]))
	f.Add(make([]byte, 64))
	f.Add(append(bytes.Repeat([]byte{0xff}, 31), 0x7f))
	f.Add(slices.Concat(good[:32], []byte{1}, make([]byte, 31)))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		h := d.holder(t)
		reply, err := h.Evaluate(Frame{Type: FrameBlinded, Body: body})
		if err != nil {
			wantAbort(t, "BLINDED", err, AbortMalformed)
			wantEnded(t, "BLINDED", h, AbortMalformed)
			return
		}
		blinded, answer := elements(body), elements(reply.Body[:64])
		p, bind := Proof(reply.Body[64:]), NewBind(&d.SID, 0, blinded, answer)
		err = d.Key.Verify(blinded, answer, &p, &bind)
		must(t, err)
	})
}

// FuzzEvaluated gives a Querier any body in answer to two elements.
func FuzzEvaluated(f *testing.F) {
	d := newDeal(f, 2, 2, 2)
	good := d.play(f).evaluated[0].Body
	f.Add(good)
	f.Add(good[:127])
	f.Add(append(slices.Clone(good), 0))
	f.Add(make([]byte, 128))
	f.Add(slices.Concat(good[32:64], good[:32], good[64:]))
	f.Add(slices.Concat(good[:64], bytes.Repeat([]byte{0xff}, 64)))
	f.Add(slices.Concat(good[:32], make([]byte, 32), good[64:]))
	f.Fuzz(func(t *testing.T, body []byte) {
		q := d.querier(t)
		_, err := q.Blind(d.in)
		must(t, err)
		out, err := q.Finalize(Frame{Type: FrameEvaluated, Body: body})
		if err == nil {
			checkOutputs(t, d.key, d.in, out)
			return
		}
		code := AbortMalformed
		if q.err == nil || out != nil {
			t.Fatal("refused, and not at an end")
		}
		if len(body) == 128 && !malformed(body) {
			code = AbortProof
		}
		wantAbort(t, "EVALUATED", err, code)
		wantEnded(t, "EVALUATED", q, code)
	})
}

// malformed reports whether a body of two elements and a proof has an element
// or a scalar that isn't one.
func malformed(body []byte) bool {
	if _, err := decoded(elements(body[:64])); err != nil {
		return true
	}
	return toBig(body[64:96]).Cmp(order) >= 0 || toBig(body[96:]).Cmp(order) >= 0
}

// FuzzTable gives a Querier that has sealed any body for a table of three.
func FuzzTable(f *testing.F) {
	d := newDeal(f, 1, 1, 3)
	n := d.TokenLen
	f.Add(d.table)
	f.Add(d.table[:2*n])
	f.Add(slices.Concat(d.table[n:2*n], d.table[:n], d.table[2*n:]))
	f.Add(slices.Concat(d.table[:n], d.table[:n], d.table[2*n:]))
	f.Add(append(slices.Clone(d.table), 1))
	f.Add(make([]byte, 3*n))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		q := d.querier(t)
		q.state = sealed // as after the last EVALUATED and Seal
		entries, err := q.ReadTable(Frame{Type: FrameTable, Body: body})
		if err != nil {
			code := AbortMalformed
			if len(body) == len(d.table) {
				code = AbortTable
			}
			wantAbort(t, "TABLE", err, code)
			wantEnded(t, "TABLE", q, code)
			return
		}
		if !bytes.Equal(body, d.table) || !bytes.Equal(entries, body) {
			t.Error("a table that was not committed to is accepted")
		}
		must(t, q.Verified())
	})
}

// FuzzWalks lets the fuzzer choose the calls and frames of TestRandomWalks.
func FuzzWalks(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(bytes.Repeat([]byte{1}, 64), true)
	f.Add(bytes.Repeat([]byte{1, 1, 0, 2}, 16), false)
	f.Add(bytes.Repeat([]byte{23, 1, 5, 0, 3, 2}, 12), false)
	f.Add([]byte{1, 1, 1, 1, 1, 1, 0, 4, 1, 1}, true)
	f.Add([]byte("1101000110010Y07"), false)
	f.Fuzz(func(t *testing.T, choices []byte, holder bool) {
		choose := func(n int) int {
			if len(choices) == 0 {
				return 1 % n
			}
			c := choices[0]
			choices = choices[1:]
			return int(c) % n
		}
		if holder {
			walkHolder(t, choose, 12)
		} else {
			walkQuerier(t, choose, 12)
		}
	})
}

// FuzzTableHash: whatever is written, in whatever pieces, the order holds and
// the root is that of the entries that were taken.
func FuzzTableHash(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 3}, uint8(2))
	f.Add([]byte{0, 1, 0, 1}, uint8(4))
	f.Add([]byte{0, 2, 0, 1, 7}, uint8(3))
	f.Fuzz(func(t *testing.T, table []byte, step uint8) {
		pieces, taken := NewTableHash(2, 0), 0
		for piece := range slices.Chunk(table, 2*max(1, int(step))) {
			err, ok := pieces.Write(piece), true
			for at := taken; at < taken+len(piece)-1; at += 2 {
				ok = ok && (at == 0 || bytes.Compare(table[at-2:at], table[at:at+2]) < 0)
			}
			if ok = ok && len(piece)%2 == 0; ok != (err == nil) {
				t.Fatalf("piece at %d: %v", taken, err)
			}
			if !ok {
				return
			}
			taken += len(piece)
		}
		root, n := pieces.Root()
		if n != uint64(taken/2) || root != rootOf(t, table[:taken], 2) {
			t.Errorf("another root or size in pieces of %d", step)
		}
	})
}
