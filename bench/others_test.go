package bench

import (
	"crypto"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"testing"

	goristretto "github.com/bwesterb/go-ristretto"
	"github.com/cloudflare/circl/expander"
	gtank "github.com/gtank/ristretto255"

	"github.com/overlap-psi/overlap/psi"
)

// go-ristretto and gtank/ristretto255 are groups and no more. What RFC 9497 adds
// is written around them as one does today: circl's expander to hash to the group
// and RFC 9497's blinds. They have no proofs, so none are measured.
var (
	goRistrettoSteps = map[string]step{
		"multiply": goRistrettoMultiply,
		"hash":     goRistrettoHash,
		"blind":    goRistrettoBlind,
		"finalize": goRistrettoFinalize,
	}
	gtankSteps = map[string]step{
		"multiply": gtankMultiply,
		"hash":     gtankHash,
		"blind":    gtankBlind,
		"finalize": gtankFinalize,
	}
)

var errEncoding = errors.New("not the encoding of an element")

func uniformBytes(message []byte) []byte {
	return expander.NewExpanderMD(crypto.SHA512, []byte(dstHashToGroup)).Expand(message, 64)
}

func finalize(message []byte, n *psi.Element) psi.Output {
	b := binary.BigEndian.AppendUint16(nil, uint16(len(message)))
	b = append(b, message...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
	b = append(b, n[:]...)
	return sha512.Sum512(append(b, "Finalize"...))
}

func goRistrettoMultiply(_ testing.TB, p *problem) func() result {
	var k goristretto.Scalar
	k.SetBytes(&p.scalarWire)
	out := make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			var e goristretto.Point
			if !e.SetBytes(&p.additive.blinded[i]) {
				return result{err: errEncoding}
			}
			e.ScalarMult(&e, &k).BytesInto(&out[i])
		}
		return result{elements: out}
	}
}

// goRistrettoPoint is HashToGroup; the library has only hashes of its own.
func goRistrettoPoint(message []byte) *goristretto.Point {
	u := uniformBytes(message)
	var a, b goristretto.Point
	a.SetElligator((*[32]byte)(u[:32]))
	b.SetElligator((*[32]byte)(u[32:]))
	return a.Add(&a, &b)
}

func goRistrettoHash(_ testing.TB, p *problem) func() result {
	out := make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			goRistrettoPoint(p.messages[i]).BytesInto(&out[i])
		}
		return result{elements: out}
	}
}

func goRistrettoBlind(t testing.TB, p *problem) func() result {
	out, blinds := make([]psi.Element, len(p.inputs)), make([]goristretto.Scalar, len(p.inputs))
	finish := func(evaluated []psi.Element) []psi.Output {
		outputs, err := goRistrettoOutputs(p, blinds, evaluated)
		if err != nil {
			t.Fatal(err)
		}
		return outputs
	}
	return func() result {
		for i := range out {
			h := goRistrettoPoint(p.messages[i])
			h.ScalarMult(h, blinds[i].Rand()).BytesInto(&out[i])
		}
		return result{elements: out, finish: finish}
	}
}

func goRistrettoFinalize(_ testing.TB, p *problem) func() result {
	blinds := make([]goristretto.Scalar, len(p.inputs))
	for i := range blinds {
		blinds[i].SetBytes(&p.blinds[i])
	}
	return func() result {
		outputs, err := goRistrettoOutputs(p, blinds, p.multiplicative.evaluated)
		return result{outputs: outputs, err: err}
	}
}

func goRistrettoOutputs(p *problem, blinds []goristretto.Scalar, evaluated []psi.Element) ([]psi.Output, error) {
	outputs := make([]psi.Output, len(evaluated))
	for i := range outputs {
		var e goristretto.Point
		var inverse goristretto.Scalar
		var n psi.Element
		if !e.SetBytes(&evaluated[i]) {
			return nil, errEncoding
		}
		e.ScalarMult(&e, inverse.Inverse(&blinds[i])).BytesInto(&n)
		outputs[i] = finalize(p.messages[i], &n)
	}
	return outputs, nil
}

func gtankMultiply(t testing.TB, p *problem) func() result {
	k, out := gtankScalar(t, &p.scalarWire), make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			e, err := gtank.NewIdentityElement().SetCanonicalBytes(p.additive.blinded[i][:])
			if err != nil {
				return result{err: err}
			}
			out[i] = psi.Element(e.ScalarMult(k, e).Bytes())
		}
		return result{elements: out}
	}
}

func gtankElement(message []byte) (*gtank.Element, error) {
	return gtank.NewIdentityElement().SetUniformBytes(uniformBytes(message))
}

func gtankHash(_ testing.TB, p *problem) func() result {
	out := make([]psi.Element, len(p.inputs))
	return func() result {
		for i := range out {
			e, err := gtankElement(p.messages[i])
			if err != nil {
				return result{err: err}
			}
			out[i] = psi.Element(e.Bytes())
		}
		return result{elements: out}
	}
}

func gtankBlind(t testing.TB, p *problem) func() result {
	out, blinds := make([]psi.Element, len(p.inputs)), make([]*gtank.Scalar, len(p.inputs))
	finish := func(evaluated []psi.Element) []psi.Output {
		outputs, err := gtankOutputs(p, blinds, evaluated)
		if err != nil {
			t.Fatal(err)
		}
		return outputs
	}
	return func() result {
		var u [64]byte
		for i := range out {
			rand.Read(u[:])
			r, err := gtank.NewScalar().SetUniformBytes(u[:])
			if err != nil {
				return result{err: err}
			}
			e, err := gtankElement(p.messages[i])
			if err != nil {
				return result{err: err}
			}
			blinds[i] = r
			out[i] = psi.Element(e.ScalarMult(r, e).Bytes())
		}
		return result{elements: out, finish: finish}
	}
}

func gtankFinalize(t testing.TB, p *problem) func() result {
	blinds := make([]*gtank.Scalar, len(p.inputs))
	for i := range blinds {
		blinds[i] = gtankScalar(t, &p.blinds[i])
	}
	return func() result {
		outputs, err := gtankOutputs(p, blinds, p.multiplicative.evaluated)
		return result{outputs: outputs, err: err}
	}
}

func gtankOutputs(p *problem, blinds []*gtank.Scalar, evaluated []psi.Element) ([]psi.Output, error) {
	outputs := make([]psi.Output, len(evaluated))
	for i := range outputs {
		e, err := gtank.NewIdentityElement().SetCanonicalBytes(evaluated[i][:])
		if err != nil {
			return nil, err
		}
		n := psi.Element(e.ScalarMult(gtank.NewScalar().Invert(blinds[i]), e).Bytes())
		outputs[i] = finalize(p.messages[i], &n)
	}
	return outputs, nil
}

func gtankScalar(t testing.TB, wire *[32]byte) *gtank.Scalar {
	t.Helper()
	s, err := gtank.NewScalar().SetCanonicalBytes(wire[:])
	if err != nil {
		t.Fatal(err)
	}
	return s
}
