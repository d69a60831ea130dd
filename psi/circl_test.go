package psi

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/cloudflare/circl/expander"
	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// circl plays the other party. Its proofs are RFC 9497's, so they have an empty
// bind; of zk/dleq only the methods whose names end in RFC9497 are RFC 9497's.

var dleqParams = dleq.Params{G: group.Ristretto255, H: crypto.SHA512, DST: []byte(contextString)}

func circlElements(t *testing.T, e []Element) []group.Element {
	t.Helper()
	out := make([]group.Element, len(e))
	for i := range e {
		out[i] = group.Ristretto255.NewElement()
		if err := out[i].UnmarshalBinary(e[i][:]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func fromCircl(t *testing.T, e []group.Element) []Element {
	t.Helper()
	out := make([]Element, len(e))
	for i := range e {
		b, err := e[i].MarshalBinaryCompress()
		if err != nil {
			t.Fatal(err)
		}
		out[i] = Element(b)
	}
	return out
}

func circlVerifies(t *testing.T, k *PublicKey, blinded, evaluated []Element, p *Proof) bool {
	t.Helper()
	var proof dleq.Proof
	if err := proof.UnmarshalBinary(group.Ristretto255, p[:]); err != nil {
		t.Fatal(err)
	}
	public := circlElements(t, []Element{k.enc})[0]
	return dleq.Verifier{Params: dleqParams}.VerifyBatchRFC9497(public, circlElements(t, blinded), circlElements(t, evaluated), &proof)
}

// circlKey returns our key as circl has it.
func circlKey(t *testing.T, k *Key) *oprf.PrivateKey {
	t.Helper()
	b := k.k.Bytes()
	var private oprf.PrivateKey
	if err := private.UnmarshalBinary(oprf.SuiteRistretto255, b[:]); err != nil {
		t.Fatal(err)
	}
	return &private
}

// circlKeys are the keys of the tests below: a random one, and those whose
// multiplications have the most special cases.
func circlKeys() map[string]*Key {
	one := ristretto.ScalarFromUniform(&[64]byte{1})
	two, minusOne := one.Add(&one), one.Neg()
	return map[string]*Key{"random": NewKey(), "1": newKey(&one), "2": newKey(&two), "-1": newKey(&minusOne)}
}

var batchSizes = []int{1, 2, 3, 17, 200}

// TestCirclServerAnswersUs: circl's server evaluates what we blinded, and we
// verify its proof and unblind.
func TestCirclServerAnswersUs(t *testing.T) {
	for name, key := range circlKeys() {
		server := oprf.NewVerifiableServer(oprf.SuiteRistretto255, circlKey(t, key))
		for _, n := range batchSizes {
			t.Run(fmt.Sprintf("key %s, batch of %d", name, n), func(t *testing.T) {
				in, seed := queries(n), NewSeed()
				blinded := make([]Element, n)
				if err := Blind(blinded, in, seed, 0); err != nil {
					t.Fatal(err)
				}
				checkCirclServer(t, key, server, in, blinded, seed)
			})
		}
	}
}

func checkCirclServer(t *testing.T, key *Key, server oprf.VerifiableServer, in []Query, blinded []Element, seed *Seed) {
	answer, err := server.Evaluate(&oprf.EvaluationRequest{Elements: circlElements(t, blinded)})
	if err != nil {
		t.Fatal(err)
	}
	p, err := answer.Proof.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	evaluated, out := fromCircl(t, answer.Elements), make([]Output, len(in))
	if err := key.public.Finalize(out, in, blinded, evaluated, (*Proof)(p), nil, seed, 0); err != nil {
		t.Fatal(err)
	}
	for i := range in {
		if in[i].Input.IsZero() {
			if !out[i].IsZero() {
				t.Errorf("pad %d has an output", i)
			}
			continue
		}
		wanted, err := server.FullEvaluate(in[i].Input.Bytes()[:])
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(out[i][:], wanted) {
			t.Errorf("output %d differs from FullEvaluate's", i)
		}
	}
}

// TestCirclClientAsksUs: circl's client blinds, multiplicatively; we evaluate
// and prove; it verifies our proof and finalises.
func TestCirclClientAsksUs(t *testing.T) {
	for name, key := range circlKeys() {
		client := oprf.NewVerifiableClient(oprf.SuiteRistretto255, circlKey(t, key).Public())
		for _, n := range batchSizes {
			t.Run(fmt.Sprintf("key %s, batch of %d", name, n), func(t *testing.T) {
				in := inputs(n)
				var messages [][]byte
				for i := range in {
					messages = append(messages, in[i].Bytes()[:])
				}
				state, request, err := client.Blind(messages)
				if err != nil {
					t.Fatal(err)
				}
				blinded, evaluated := fromCircl(t, request.Elements), make([]Element, n)
				proof, err := key.BlindEvaluate(evaluated, blinded, nil)
				if err != nil {
					t.Fatal(err)
				}
				var p dleq.Proof
				if err := p.UnmarshalBinary(group.Ristretto255, proof[:]); err != nil {
					t.Fatal(err)
				}
				got, err := client.Finalize(state, &oprf.Evaluation{Elements: circlElements(t, evaluated), Proof: &p})
				if err != nil {
					t.Fatal(err)
				}
				out := make([]Output, n)
				key.Evaluate(out, in)
				for i := range out {
					want(t, fmt.Sprintf("output %d", i), got[i], out[i][:])
				}
			})
		}
	}
}

// TestCirclProofs: each side's verifier accepts the other's proofs, makes the
// same bytes of the same nonce, and refuses a wrong answer, a proof with one bit
// changed, and a proof with another bind than its own.
func TestCirclProofs(t *testing.T) {
	for _, n := range batchSizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			key, in := NewKey(), queries(n)
			blinded, evaluated := make([]Element, n), make([]Element, n)
			if err := Blind(blinded, in, NewSeed(), 0); err != nil {
				t.Fatal(err)
			}
			ours, err := key.BlindEvaluate(evaluated, blinded, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !circlVerifies(t, key.public, blinded, evaluated, &ours) {
				t.Error("circl refuses our proof")
			}
			checkSameProof(t, key, blinded, evaluated)

			wrong := append([]Element(nil), evaluated...)
			wrong[n-1] = blinded[n-1]
			if circlVerifies(t, key.public, blinded, wrong, &ours) {
				t.Error("circl accepts a wrong answer")
			}
			if err := key.public.Verify(blinded, wrong, &ours, nil); err == nil {
				t.Error("we accept a wrong answer")
			}
			for _, bit := range []int{0, 8, 251, 256, 300} {
				p := ours
				p[bit/8] ^= 1 << (bit % 8)
				if err := key.public.Verify(blinded, evaluated, &p, nil); err == nil {
					t.Errorf("we accept a proof with bit %d changed", bit)
				}
			}
			withBind := func(e []Element) Bind { return NewBind(&[32]byte{}, 0, blinded, e) }
			bound, err := key.BlindEvaluate(evaluated, blinded, withBind)
			if err != nil {
				t.Fatal(err)
			}
			if circlVerifies(t, key.public, blinded, evaluated, &bound) {
				t.Error("circl, which knows no bind, accepts a proof that has one")
			}
		})
	}
}

func checkSameProof(t *testing.T, key *Key, blinded, evaluated []Element) {
	t.Helper()
	nonce := randomScalar()
	toCircl := func(s ristretto.Scalar) group.Scalar {
		b, c := s.Bytes(), group.Ristretto255.NewScalar()
		if err := c.UnmarshalBinary(b[:]); err != nil {
			t.Fatal(err)
		}
		return c
	}
	theirs, err := dleq.Prover{Params: dleqParams}.ProveBatchWithRandomnessRFC9497(toCircl(key.k),
		circlElements(t, []Element{key.public.enc})[0], circlElements(t, blinded), circlElements(t, evaluated), toCircl(nonce))
	if err != nil {
		t.Fatal(err)
	}
	p, err := theirs.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	b, err := decoded(blinded)
	if err != nil {
		t.Fatal(err)
	}
	ours := generateProof(new(scratch), key, b, blinded, evaluated, nil, &nonce)
	want(t, "proof", ours[:], p)
	if err := key.public.Verify(blinded, evaluated, (*Proof)(p), nil); err != nil {
		t.Errorf("circl's proof: %v", err)
	}
}

// TestCirclHashes compares key derivation, both hashes and the expander, on
// messages of every length around SHA-512's blocks.
func TestCirclHashes(t *testing.T) {
	for n := range 300 {
		msg := make([]byte, n)
		rand.Read(msg)
		seed := [32]byte{byte(n), byte(n >> 8)}
		ours, err := DeriveKey(&seed, msg)
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := oprf.DeriveKey(oprf.SuiteRistretto255, oprf.VerifiableMode, seed[:], msg)
		if err != nil {
			t.Fatal(err)
		}
		b, err := theirs.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		k := ours.k.Bytes()
		want(t, "DeriveKey", k[:], b)

		h := fromCircl(t, []group.Element{group.Ristretto255.HashToElement(msg, []byte(dstHashToGroup))})[0]
		mine := enc(groupElement(msg, dstHashToGroup))[0]
		want(t, "HashToGroup", mine[:], h[:])

		s := hashToScalar(msg, dstHashToScalar)
		sb := s.Bytes()
		cs, err := group.Ristretto255.HashToScalar(msg, []byte(dstHashToScalar)).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		want(t, "HashToScalar", sb[:], cs)

		out := make([]byte, n)
		expandMessageXMD(out, msg, "some other DST")
		want(t, "expand_message_xmd", out, expander.NewExpanderMD(crypto.SHA512, []byte("some other DST")).Expand(msg, uint(n)))
	}
}
