package bench

import (
	"encoding/binary"
	"testing"

	"github.com/overlap-psi/overlap/bench/path"
	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/psi"
)

// overlapSteps are Overlap's, on whichever path is selected. prove includes the
// bind, which RFC 9497 hasn't: another 64 bytes hashed for an element. blind
// includes the derivation of the blinds from the session's seed (PROTOCOL.md §10);
// finalize has them, as the others do.
var overlapSteps = map[string]step{
	"multiply": overlapMultiply,
	"hash":     overlapHash,
	"blind":    overlapBlind,
	"finalize": overlapFinalize,
	"prove":    overlapProve,
	"verify":   overlapVerify,
}

func overlapMultiply(_ testing.TB, p *problem) func() result {
	out := make([]psi.Element, len(p.inputs))
	return func() result {
		v, err := ristretto.Decode(p.additive.blinded)
		if err != nil {
			return result{err: err}
		}
		v.MulEncode(out, &p.scalar)
		return result{elements: out}
	}
}

func overlapHash(_ testing.TB, p *problem) func() result {
	out, u := make([]psi.Element, len(p.inputs)), make([][64]byte, len(p.inputs))
	return func() result {
		expand(u, p.inputs)
		ristretto.FromUniform(u).Encode(out)
		return result{elements: out}
	}
}

func overlapBlind(t testing.TB, p *problem) func() result {
	out, queries, seed := make([]psi.Element, len(p.inputs)), make([]psi.Query, len(p.inputs)), psi.NewSeed()
	for i := range queries {
		queries[i].Input = p.inputs[i]
	}
	finish := func(evaluated []psi.Element) []psi.Output {
		proof, err := p.key.Prove(out, evaluated, nil)
		if err != nil {
			t.Fatal(err)
		}
		outputs := make([]psi.Output, len(out))
		if err := p.public.Finalize(outputs, queries, out, evaluated, &proof, nil, seed, 0); err != nil {
			t.Fatal(err)
		}
		return outputs
	}
	return func() result {
		err := psi.Blind(out, queries, seed, 0)
		return result{elements: out, finish: finish, err: err}
	}
}

func overlapFinalize(t testing.TB, p *problem) func() result {
	n := make([]psi.Element, len(p.inputs))
	out, r := make([]psi.Output, len(n)), make([]ristretto.Scalar, len(n))
	for i := range r {
		r[i] = scalarOf(t, &p.blinds[i])
	}
	f := newFinalHash(len(n))
	return func() result {
		e, err := ristretto.Decode(p.additive.evaluated)
		if err != nil {
			return result{err: err}
		}
		e.SubMulBase(p.base, r).Encode(n)
		f.sum(out, p.inputs, n)
		return result{outputs: out}
	}
}

func overlapProve(_ testing.TB, p *problem) func() result {
	return func() result {
		b := p.bind()
		proof, err := p.key.Prove(p.additive.blinded, p.additive.evaluated, &b)
		return result{proof: proof[:], err: err}
	}
}

func overlapVerify(_ testing.TB, p *problem) func() result {
	return func() result {
		b := p.bind()
		return result{err: p.public.Verify(p.additive.blinded, p.additive.evaluated, &p.bound, &b)}
	}
}

const dstHashToGroup = "HashToGroup-OPRFV1-\x01-ristretto255-SHA512"

// inputLen is the length of an Input (PROTOCOL.md §3).
const inputLen = 44

var (
	zeroBlock = path.NewPrefix(make([]byte, 128)) // Z_pad
	noPrefix  = path.NewPrefix(nil)
)

// expand is expand_message_xmd of RFC 9380 §5.3.1 for 64 bytes of every input,
// which package psi keeps to itself.
func expand(u [][64]byte, in []psi.Input) {
	const run = 64 // so that a run's messages stay in the first cache
	var msgs [run * (64 + 1 + 64)]byte
	tail := append([]byte(dstHashToGroup), byte(len(dstHashToGroup)))
	for lo := 0; lo < len(in); lo += run {
		hi := min(lo+run, len(in))
		// msg_prime = Z_pad || msg || l_i_b_str || I2OSP(0, 1) || DST_prime
		b := msgs[:0]
		for i := lo; i < hi; i++ {
			b = append(b, in[i].Bytes()[:]...)
			b = append(append(b, 0, 64, 0), tail...)
		}
		zeroBlock.Sum(u[lo:hi], b, inputLen+3+len(tail))
		// b_1 = H(b_0 || I2OSP(1, 1) || DST_prime)
		b = msgs[:0]
		for i := lo; i < hi; i++ {
			b = append(append(b, u[i][:]...), 1)
			b = append(b, tail...)
		}
		noPrefix.Sum(u[lo:hi], b, 64+1+len(tail))
	}
}

// finalHash is Finalize's hash of RFC 9497 §3.3.1: over I2OSP(44,2) || x ||
// I2OSP(32,2) || enc(N) || "Finalize".
type finalHash struct {
	msgs []byte
	sums [][64]byte
}

const finalLen = 2 + inputLen + 2 + 32 + len("Finalize")

func newFinalHash(n int) *finalHash {
	return &finalHash{make([]byte, 0, n*finalLen), make([][64]byte, n)}
}

func (f *finalHash) sum(out []psi.Output, in []psi.Input, n []psi.Element) {
	f.msgs = f.msgs[:0]
	for i := range in {
		f.msgs = binary.BigEndian.AppendUint16(f.msgs, inputLen)
		f.msgs = append(f.msgs, in[i].Bytes()[:]...)
		f.msgs = binary.BigEndian.AppendUint16(f.msgs, uint16(len(n[i])))
		f.msgs = append(append(f.msgs, n[i][:]...), "Finalize"...)
	}
	noPrefix.Sum(f.sums, f.msgs, finalLen)
	for i := range out {
		out[i] = f.sums[i]
	}
}
