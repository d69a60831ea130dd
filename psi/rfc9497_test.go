package psi

import (
	"fmt"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// rfc9497 is one suite in one mode of RFC 9497, appendix A.1.
type rfc9497 struct {
	GroupDST             hexBytes
	Identifier           string
	KeyInfo, Seed        hexBytes
	Mode                 int
	SkSm, PkSm           hexBytes
	Vectors              []rfc9497Vector
	context, hashToGroup string
}

type rfc9497Vector struct {
	Batch                                                   int
	Blind, BlindedElement, EvaluationElement, Input, Output string
	Proof                                                   struct{ Proof, R hexBytes }
}

// TestRFC9497 checks every value of the modes OPRF and VOPRF. RFC 9497 blinds
// multiplicatively and its inputs are not 44 bytes long, so the test drives the
// functions below Blind, Finalize and Evaluate.
func TestRFC9497(t *testing.T) {
	file := load[struct{ Suites []rfc9497 }](t, "testdata/rfc9497_ristretto255_sha512.json")
	checked := 0
	for _, s := range file.Suites {
		if s.Mode > 1 { // POPRF: another function
			continue
		}
		s.context = fmt.Sprintf("OPRFV1-%c-%s", s.Mode, s.Identifier)
		s.hashToGroup = "HashToGroup-" + s.context
		t.Run(fmt.Sprintf("mode %d", s.Mode), func(t *testing.T) {
			want(t, "groupDST", []byte(s.hashToGroup), s.GroupDST)
			key := s.deriveKey(t)
			for i, v := range s.Vectors {
				t.Run(fmt.Sprintf("vector %d", i), func(t *testing.T) { s.check(t, key, &v) })
				checked++
			}
		})
	}
	if checked != 5 {
		t.Fatalf("%d vectors checked, want 2 of mode 0 and 3 of mode 1", checked)
	}
}

// deriveKey is DeriveKeyPair in the suite's mode. In mode 1, which is ours, it
// must be what DeriveKey does.
func (s *rfc9497) deriveKey(t *testing.T) *Key {
	msg := append(slices.Clone(s.Seed), byte(len(s.KeyInfo)>>8), byte(len(s.KeyInfo)))
	msg = append(append(msg, s.KeyInfo...), 0)
	k := hashToScalar(msg, "DeriveKeyPair"+s.context)
	key := newKey(&k)
	if s.Mode == 1 {
		var err error
		if key, err = DeriveKey((*[32]byte)(s.Seed), s.KeyInfo); err != nil {
			t.Fatal(err)
		}
		want(t, "contextString", []byte(contextString), []byte(s.context))
		public := key.Public().Bytes()
		want(t, "pkSm", public[:], s.PkSm)
	}
	sk := key.k.Bytes()
	want(t, "skSm", sk[:], s.SkSm)
	return key
}

func (s *rfc9497) check(t *testing.T, key *Key, v *rfc9497Vector) {
	inputs, outputs := splitHex(t, v.Input), splitHex(t, v.Output)
	blinds := splitHex(t, v.Blind)
	blindedWant, evaluatedWant := splitHex(t, v.BlindedElement), splitHex(t, v.EvaluationElement)
	if len(inputs) != v.Batch || len(outputs) != v.Batch || len(blinds) != v.Batch ||
		len(blindedWant) != v.Batch || len(evaluatedWant) != v.Batch {
		t.Fatalf("batch is not %d everywhere", v.Batch)
	}

	var blinded []Element
	for i := range inputs {
		r := scalar(t, blinds[i])
		blinded = append(blinded, enc(groupElement(inputs[i], s.hashToGroup).Mul(&r))...)
		want(t, "BlindedElement", blinded[i][:], blindedWant[i])
	}
	evaluated := make([]Element, v.Batch)
	proof, err := key.BlindEvaluate(evaluated, blinded, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range evaluated {
		want(t, "EvaluationElement", evaluated[i][:], evaluatedWant[i])
		s.checkOutput(t, key, inputs[i], blinds[i], evaluated[i], outputs[i])
	}
	if s.Mode == 0 {
		return
	}
	nonce := scalar(t, v.Proof.R)
	b, err := decoded(blinded)
	if err != nil {
		t.Fatal(err)
	}
	again := generateProof(new(scratch), key, b, blinded, evaluated, nil, &nonce)
	want(t, "Proof", again[:], v.Proof.Proof)
	for _, p := range []*Proof{&again, &proof} {
		if err := key.public.Verify(blinded, evaluated, p, nil); err != nil {
			t.Error(err)
		}
	}
}

// checkOutput unblinds as RFC 9497 does, evaluates without a blind, and blinds
// the protocol's way. All give the one output.
func (s *rfc9497) checkOutput(t *testing.T, key *Key, input, blind []byte, evaluated Element, output []byte) {
	r := scalar(t, blind)
	inv := inverse(t, &r)
	e, err := decoded([]Element{evaluated})
	if err != nil {
		t.Fatal(err)
	}
	h, scalars := groupElement(input, s.hashToGroup), []ristretto.Scalar{r}
	additive := h.AddMulBase(ristretto.Generator(), scalars).Mul(&key.k).SubMulBase(key.public.base, scalars)
	for how, n := range map[string]*ristretto.Vector{
		"Output":                   e.Mul(&inv),
		"Output of Evaluate":       h.Mul(&key.k),
		"Output blinded with r·G0": additive,
	} {
		out := finalizeHash(input, &enc(n)[0])
		want(t, how, out[:], output)
	}
}
