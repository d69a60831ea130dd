package bench

import (
	"crypto"
	"crypto/rand"
	"errors"
	"testing"

	"github.com/cloudflare/circl/group"
	"github.com/cloudflare/circl/oprf"
	"github.com/cloudflare/circl/zk/dleq"

	"github.com/overlap-psi/overlap/psi"
)

// circlSteps use circl's OPRF as it is meant to be used. Its blinds are RFC 9497's:
// a multiplication to blind, and an inversion and a multiplication to unblind.
var circlSteps = map[string]step{
	"multiply": circlMultiply,
	"hash":     circlHash,
	"blind":    circlBlind,
	"finalize": circlFinalize,
	"prove":    circlProve,
	"verify":   circlVerify,
}

var circlDLEQ = dleq.Params{G: group.Ristretto255, H: crypto.SHA512, DST: []byte("OPRFV1-\x01-ristretto255-SHA512")}

func circlMultiply(t testing.TB, p *problem) func() result {
	k, out := circlScalar(t, &p.scalarWire), make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			e := group.Ristretto255.NewElement()
			if err := e.UnmarshalBinary(p.additive.blinded[i][:]); err != nil {
				return result{err: err}
			}
			if err := marshal(&out[i], e.Mul(e, k)); err != nil {
				return result{err: err}
			}
		}
		return result{elements: out}
	}
}

func circlHash(_ testing.TB, p *problem) func() result {
	out := make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			if err := marshal(&out[i], group.Ristretto255.HashToElement(p.messages[i], []byte(dstHashToGroup))); err != nil {
				return result{err: err}
			}
		}
		return result{elements: out}
	}
}

func circlBlind(t testing.TB, p *problem) func() result {
	client, out := oprf.NewVerifiableClient(oprf.SuiteRistretto255, p.circlKey.Public()), make([]psi.Element, len(p.inputs))
	return func() result {
		state, request, err := client.Blind(p.messages)
		if err != nil {
			return result{err: err}
		}
		for i := range out {
			if err := marshal(&out[i], request.Elements[i]); err != nil {
				return result{err: err}
			}
		}
		return result{elements: out, finish: func(evaluated []psi.Element) []psi.Output {
			outputs, err := circlOutputs(state, circlElements(t, evaluated))
			if err != nil {
				t.Fatal(err)
			}
			return outputs
		}}
	}
}

func circlFinalize(t testing.TB, p *problem) func() result {
	blinds := make([]oprf.Blind, len(p.inputs))
	for i := range blinds {
		blinds[i] = circlScalar(t, &p.blinds[i])
	}
	state, _, err := oprf.NewClient(oprf.SuiteRistretto255).DeterministicBlind(p.messages, blinds)
	if err != nil {
		t.Fatal(err)
	}
	return func() result {
		e, err := decodeCircl(p.multiplicative.evaluated)
		if err != nil {
			return result{err: err}
		}
		outputs, err := circlOutputs(state, e)
		return result{outputs: outputs, err: err}
	}
}

// circlOutputs finalises without the proof, which is measured by itself: in circl
// that is the mode OPRF, which differs from VOPRF in the hash to group alone, and
// that was done before.
func circlOutputs(state *oprf.FinalizeData, evaluated []group.Element) ([]psi.Output, error) {
	out, err := oprf.NewClient(oprf.SuiteRistretto255).Finalize(state, &oprf.Evaluation{Elements: evaluated})
	if err != nil {
		return nil, err
	}
	outputs := make([]psi.Output, len(out))
	for i := range out {
		outputs[i] = psi.Output(out[i])
	}
	return outputs, nil
}

// circlProve decodes the blinded elements; the evaluated ones are the server's
// own, so they were never encoded.
func circlProve(t testing.TB, p *problem) func() result {
	k, public := circlScalar(t, &p.scalarWire), circlPublic(t, p)
	evaluated := circlElements(t, p.additive.evaluated)
	return func() result {
		blinded, err := decodeCircl(p.additive.blinded)
		if err != nil {
			return result{err: err}
		}
		proof, err := dleq.Prover{Params: circlDLEQ}.ProveBatchRFC9497(k, public, blinded, evaluated, rand.Reader)
		if err != nil {
			return result{err: err}
		}
		b, err := proof.MarshalBinary()
		return result{proof: b, err: err}
	}
}

func circlVerify(t testing.TB, p *problem) func() result {
	public := circlPublic(t, p)
	var proof dleq.Proof
	if err := proof.UnmarshalBinary(group.Ristretto255, p.plain[:]); err != nil {
		t.Fatal(err)
	}
	return func() result {
		blinded, err := decodeCircl(p.additive.blinded)
		if err != nil {
			return result{err: err}
		}
		evaluated, err := decodeCircl(p.additive.evaluated)
		if err != nil {
			return result{err: err}
		}
		if !(dleq.Verifier{Params: circlDLEQ}).VerifyBatchRFC9497(public, blinded, evaluated, &proof) {
			return result{err: errors.New("circl refuses the proof")}
		}
		return result{}
	}
}

func circlPublic(t testing.TB, p *problem) group.Element {
	t.Helper()
	wire := p.public.Bytes()
	return circlElement(t, &wire)
}

func circlScalar(t testing.TB, wire *[32]byte) group.Scalar {
	t.Helper()
	s := group.Ristretto255.NewScalar()
	if err := s.UnmarshalBinary(wire[:]); err != nil {
		t.Fatal(err)
	}
	return s
}

func circlElement(t testing.TB, wire *psi.Element) group.Element {
	t.Helper()
	return circlElements(t, []psi.Element{*wire})[0]
}

func circlElements(t testing.TB, wire []psi.Element) []group.Element {
	t.Helper()
	e, err := decodeCircl(wire)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func decodeCircl(wire []psi.Element) ([]group.Element, error) {
	e := make([]group.Element, len(wire))
	for i := range e {
		e[i] = group.Ristretto255.NewElement()
		if err := e[i].UnmarshalBinary(wire[i][:]); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func wireOf(t testing.TB, e group.Element) (wire psi.Element) {
	t.Helper()
	if err := marshal(&wire, e); err != nil {
		t.Fatal(err)
	}
	return wire
}

func marshal(dst *psi.Element, e group.Element) error {
	b, err := e.MarshalBinaryCompress()
	copy(dst[:], b)
	return err
}
