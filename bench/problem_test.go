package bench

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"

	"github.com/overlap-psi/overlap/internal/input"
	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/psi"
)

// problem is a chunk that all implementations work on: n identifiers, the
// Holder's key, and the blinds, answers and proofs that the two sides send.
type problem struct {
	inputs   []psi.Input
	messages [][]byte // the same, as byte strings

	key        *psi.Key
	public     *psi.PublicKey
	base       *ristretto.Base // of the public key
	scalar     ristretto.Scalar
	circlKey   *oprf.PrivateKey
	scalarWire [32]byte

	blinds         [][32]byte // scalars
	additive       exchange   // B = H(x) + r·G: Overlap's
	multiplicative exchange   // B = r·H(x): RFC 9497's
	bound, plain   psi.Proof  // over additive, with a bind and without

	hashed  []psi.Element // H(x)
	outputs []psi.Output
}

// exchange is what both sides send about a chunk.
type exchange struct{ blinded, evaluated []psi.Element }

// newProblem makes a problem of n elements. circl makes what is multiplicative
// and Overlap the rest, except what TestKernel compares Overlap with.
func newProblem(t testing.TB, n int) *problem {
	t.Helper()
	p := new(problem)
	p.setKey(t)
	p.setInputs(n)
	p.setBlinds(t, n)
	b := p.bind()
	var err error
	if p.bound, err = p.key.Prove(p.additive.blinded, p.additive.evaluated, &b); err != nil {
		t.Fatal(err)
	}
	if p.plain, err = p.key.Prove(p.additive.blinded, p.additive.evaluated, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// setKey derives one key in both libraries.
func (p *problem) setKey(t testing.TB) {
	seed, info := [32]byte{4}, []byte("a key of the benchmarks")
	var err error
	if p.key, err = psi.DeriveKey(&seed, info); err != nil {
		t.Fatal(err)
	}
	p.public = p.key.Public()
	if p.circlKey, err = oprf.DeriveKey(oprf.SuiteRistretto255, oprf.VerifiableMode, seed[:], info); err != nil {
		t.Fatal(err)
	}
	k, err := p.circlKey.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	p.scalarWire = [32]byte(k)
	p.scalar = scalarOf(t, &p.scalarWire)
	wire := p.public.Bytes()
	if p.base, err = ristretto.NewBase(&wire); err != nil {
		t.Fatal(err)
	}
}

func (p *problem) setInputs(n int) {
	p.inputs, p.messages = make([]psi.Input, n), make([][]byte, n)
	for i := range n {
		sum := sha256.Sum256(fmt.Appendf(nil, "person%d@mail.example", i))
		p.inputs[i] = input.New(0x01, &sum)
		p.messages[i] = p.inputs[i].Bytes()[:]
	}
	p.outputs = make([]psi.Output, n)
	p.key.Evaluate(p.outputs, p.inputs)
}

func (p *problem) setBlinds(t testing.TB, n int) {
	rng := rand.NewChaCha8([32]byte{1})
	p.blinds, p.hashed = make([][32]byte, n), make([]psi.Element, n)
	r := make([]ristretto.Scalar, n)
	for i := range r {
		var u [64]byte
		rng.Read(u[:])
		r[i] = ristretto.ScalarFromUniform(&u)
		p.blinds[i] = r[i].Bytes()
		p.hashed[i] = wireOf(t, group.Ristretto255.HashToElement(p.messages[i], []byte(dstHashToGroup)))
	}
	h, err := ristretto.Decode(p.hashed)
	if err != nil {
		t.Fatal(err)
	}
	p.additive.blinded = make([]psi.Element, n)
	h.AddMulBase(ristretto.Generator(), r).Encode(p.additive.blinded)
	p.additive.evaluated = p.evaluate(t, p.additive.blinded)

	few := min(n, fewer) // those who blind so have no more
	p.multiplicative.blinded = make([]psi.Element, few)
	for i := range few {
		e := group.Ristretto255.NewElement().Mul(circlElement(t, &p.hashed[i]), circlScalar(t, &p.blinds[i]))
		p.multiplicative.blinded[i] = wireOf(t, e)
	}
	p.multiplicative.evaluated = p.evaluate(t, p.multiplicative.blinded)
}

// evaluate is the Holder's answer, without a proof.
func (p *problem) evaluate(t testing.TB, blinded []psi.Element) []psi.Element {
	t.Helper()
	v, err := ristretto.Decode(blinded)
	if err != nil {
		t.Fatal(err)
	}
	e := make([]psi.Element, len(blinded))
	v.MulEncode(e, &p.scalar)
	return e
}

// bind is that of the session's first chunk (PROTOCOL.md §6).
func (p *problem) bind() psi.Bind {
	return psi.NewBind(&[32]byte{9}, 0, p.additive.blinded, p.additive.evaluated)
}

// first returns the problem of the first n elements. Its proofs are p's, so
// operations on proofs take all.
func (p *problem) first(t testing.TB, n int) *problem {
	t.Helper()
	q := *p
	q.inputs, q.messages, q.blinds = p.inputs[:n], p.messages[:n], p.blinds[:n]
	q.hashed, q.outputs = p.hashed[:n], p.outputs[:n]
	q.additive = exchange{p.additive.blinded[:n], p.additive.evaluated[:n]}
	few := min(n, fewer)
	q.multiplicative = exchange{p.multiplicative.blinded[:few], p.multiplicative.evaluated[:few]}
	return &q
}

func scalarOf(t testing.TB, wire *[32]byte) ristretto.Scalar {
	t.Helper()
	s, err := ristretto.ScalarFromCanonical(wire)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
