package psi

import (
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// forgery is a full chunk of which every answer is wrong, and RFC 9497's proof.
type forgery struct {
	key                *Key
	blinded, evaluated []Element
	right              []Element
	proof              Proof
}

// forged builds testdata/forged_batch.json's chunk, once.
var forged = sync.OnceValues(func() (*forgery, error) {
	text, err := os.ReadFile("testdata/forged_batch.json")
	if err != nil {
		return nil, err
	}
	var file struct {
		Key, Proof hexBytes
		Offsets    []uint32
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	k, err := ristretto.ScalarFromCanonical((*[32]byte)(file.Key))
	if err != nil {
		return nil, err
	}
	n := len(file.Offsets)
	f := &forgery{newKey(&k), make([]Element, n), make([]Element, n), make([]Element, n), Proof(file.Proof)}
	u, offsets := make([][64]byte, n), make([]ristretto.Scalar, n)
	for i, e := range file.Offsets {
		u[i] = sha512.Sum512(fmt.Appendf(nil, "AMPSI-V01 forged batch element %d", i))
		offsets[i] = ristretto.ScalarFromUniform(&[64]byte{byte(e), byte(e >> 8), byte(e >> 16)})
	}
	each(n, func(_ *desk, lo, hi int) {
		c := ristretto.FromUniform(u[lo:hi])
		c.Encode(f.blinded[lo:hi])
		kc := c.Mul(&k)
		kc.Encode(f.right[lo:hi])
		kc.AddMulBase(ristretto.Generator(), offsets[lo:hi]).Encode(f.evaluated[lo:hi])
	})
	return f, nil
})

// TestForgedBatch: RFC 9497's batch proof accepts a chunk in which no answer is
// right; the protocol's, with any bind, refuses it. If the first half fails, the
// vector no longer shows why the bind is there.
func TestForgedBatch(t *testing.T) {
	f, err := forged()
	if err != nil {
		t.Fatal(err)
	}
	if len(f.evaluated) != ChunkElems {
		t.Fatalf("%d elements, want %d", len(f.evaluated), ChunkElems)
	}
	for i := range f.evaluated {
		if f.evaluated[i] == f.right[i] {
			t.Fatalf("answer %d is right", i)
		}
	}

	if err := f.key.public.Verify(f.blinded, f.evaluated, &f.proof, nil); err != nil {
		t.Errorf("with an empty bind, as RFC 9497 has it: %v", err)
	}
	if !circlVerifies(t, f.key.public, f.blinded, f.evaluated, &f.proof) {
		t.Error("circl refuses the chunk")
	}

	sid := ascending(7)
	bind := NewBind(&sid, 0, f.blinded, f.evaluated)
	for name, b := range map[string]*Bind{"the session's bind": &bind, "a bind of zeros": {}} {
		if err := f.key.public.Verify(f.blinded, f.evaluated, &f.proof, b); !errors.Is(err, AbortProof) {
			t.Errorf("with %s: %v, want AbortProof", name, err)
		}
	}
}

// TestForgedBatchSwapped is the control: with two answers swapped the errors no
// longer cancel, so even RFC 9497's proof fails.
func TestForgedBatchSwapped(t *testing.T) {
	f, err := forged()
	if err != nil {
		t.Fatal(err)
	}
	swapped := append([]Element(nil), f.evaluated...)
	swapped[3], swapped[ChunkElems-1] = swapped[ChunkElems-1], swapped[3]
	if err := f.key.public.Verify(f.blinded, swapped, &f.proof, nil); !errors.Is(err, AbortProof) {
		t.Errorf("two answers swapped: %v, want AbortProof", err)
	}
}

// TestForgedBatchInASession plays the Holder that sends the forged chunk. Its
// Querier is made to have asked just these elements.
func TestForgedBatchInASession(t *testing.T) {
	f, err := forged()
	if err != nil {
		t.Fatal(err)
	}
	q, err := NewQuerier(Params{SID: ascending(7), ChunkElems: ChunkElems, Window: 4, TokenLen: 16,
		Queries: ChunkElems, Entries: 1, Key: f.key.Public()}, NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	q.inFlight = []inquiry{{in: make([]Query, ChunkElems), body: appendElements(nil, f.blinded)}}
	q.blinded = 1
	body := append(appendElements(nil, f.evaluated), f.proof[:]...)
	if out, err := q.Finalize(Frame{Type: FrameEvaluated, Body: body}); out != nil || !errors.Is(err, AbortProof) {
		t.Errorf("%d outputs, %v; want none and AbortProof", len(out), err)
	}
}
