package ristretto

import (
	"math/big"
	"testing"

	"github.com/cloudflare/circl/group"
)

// TestReference checks the big-integer reference before anything is compared
// with it.
func TestReference(t *testing.T) {
	same := func(name string, got, want *big.Int) {
		t.Helper()
		if mod(new(big.Int).Set(want)).Cmp(got) != 0 {
			t.Errorf("%s = %d, want %d", name, got, want)
		}
	}
	same("d", mul(refD, big.NewInt(121666)), big.NewInt(-121665))
	same("SQRT_M1²", mul(refSqrtM1, refSqrtM1), big.NewInt(-1))
	same("SQRT_AD_MINUS_ONE²", mul(refSqrtADM1, refSqrtADM1), sub(neg(refD), refOne))
	same("INVSQRT_A_MINUS_D²·(a − d)", mul(refInvSqrtAD, refInvSqrtAD, sub(neg(refOne), refD)), refOne)
	same("ONE_MINUS_D_SQ", refOneMinusDSq, sub(refOne, mul(refD, refD)))
	same("D_MINUS_ONE_SQ", refDMinusOneSq, mul(sub(refD, refOne), sub(refD, refOne)))
	same("i·d", mul(refSqrtID, refSqrtID), mul(refSqrtM1, refD))

	rfc := load[rfc9496](t, "rfc9496_ristretto255.json")
	for _, c := range rfc.SqrtRatioM1 {
		wasSquare, r := sqrtRatioM1(fromLittleEndian(c.U), fromLittleEndian(c.V))
		if wasSquare != c.WasSquare || littleEndian(r) != c.R.b32() {
			t.Errorf("SQRT_RATIO_M1(%x, %x) = %v, %x", c.U, c.V, wasSquare, r)
		}
	}
	for _, enc := range invalid(t)[1:] {
		if _, ok := refDecode(enc); ok {
			t.Errorf("the reference decodes %x", enc)
		}
	}
	g, _ := refDecode(rfc.GeneratorMultiples[1].b32())
	for i, want := range rfc.GeneratorMultiples {
		if got := g.mul(big.NewInt(int64(i))).encode(); got != want.b32() {
			t.Errorf("%d·G by the reference = %x, want %x", i, got, want)
		}
	}
	for _, c := range rfc.ElementDerivation {
		if got := refFromUniform([64]byte(c.Input)).encode(); got != c.Output.b32() {
			t.Errorf("map by the reference = %x, want %x", got, c.Output)
		}
	}
}

// TestAgainstReference compares every operation with big integers.
func TestAgainstReference(t *testing.T) { eachImplementation(t, testAgainstReference) }

func testAgainstReference(t *testing.T) {
	const n = 48
	s := newSource(20)
	u, d, k := s.uniform(n), s.scalars(n), s.scalar()
	copy(d, edges)
	// Corners of the map: 0, ±1, p − 1, p, p + 1, the t of the identity, and all
	// with bit 255, in each half and in both.
	for i, corner := range []*big.Int{
		big.NewInt(0), refOne, sub(refP, refOne), refP, new(big.Int).Add(refP, refOne),
		refSqrtID, new(big.Int).Sub(refP, refSqrtID), refSqrtM1,
	} {
		b := littleEndian(corner)
		copy(u[3*i][:], b[:])
		b[31] |= 0x80
		copy(u[3*i+1][32:], b[:])
		copy(u[3*i+2][:], b[:])
		copy(u[3*i+2][32:], b[:])
	}
	base, baseEnc := s.base()
	refBase, _ := refDecode(baseEnc)

	v := FromUniform(u)
	multiplied := make([][32]byte, n)
	v.MulEncode(multiplied, &k)
	encoded, doubledV, products := encode(v), encode(v.Add(v)), encode(v.Mul(&k))
	fixed, added, subtracted := encode(base.Mul(d)), encode(v.AddMulBase(base, d)), encode(v.SubMulBase(base, d))
	total := refIdentity
	for i := range u {
		p := refFromUniform(u[i])
		q := refBase.mul(d[i].big())
		kp := p.mul(k.big())
		total = total.add(p.mul(d[i].big()))
		for name, c := range map[string]struct {
			got  [32]byte
			want refPoint
		}{
			"FromUniform": {encoded[i], p},
			"Add":         {doubledV[i], p.add(p)},
			"Mul":         {products[i], kp},
			"MulEncode":   {multiplied[i], kp},
			"Base.Mul":    {fixed[i], q},
			"AddMulBase":  {added[i], p.add(q)},
			"SubMulBase":  {subtracted[i], p.add(q.neg())},
		} {
			if want := c.want.encode(); c.got != want {
				t.Errorf("%s, element %d = %x, want %x", name, i, c.got, want)
			}
		}
		again, ok := refDecode(encoded[i])
		if !ok || again.encode() != encoded[i] {
			t.Errorf("the reference doesn't decode element %d", i)
		}
	}
	if got := encode(v.SumVartime(d))[0]; got != total.encode() {
		t.Errorf("SumVartime = %x, want %x", got, total.encode())
	}
}

// circl's ristretto255 is the group that the protocol's other implementations
// are likely to stand on.
var circl = group.Ristretto255

func circlElement(t testing.TB, enc [32]byte) group.Element {
	t.Helper()
	e := circl.NewElement()
	if err := e.UnmarshalBinary(enc[:]); err != nil {
		t.Fatal(err)
	}
	return e
}

func circlScalar(s Scalar) group.Scalar {
	b, out := s.Bytes(), circl.NewScalar()
	if err := out.UnmarshalBinary(b[:]); err != nil {
		panic(err)
	}
	return out
}

func circlEncode(t testing.TB, e group.Element) [32]byte {
	t.Helper()
	b, err := e.MarshalBinaryCompress()
	if err != nil {
		t.Fatal(err)
	}
	return [32]byte(b)
}

func TestAgainstCircl(t *testing.T) { eachImplementation(t, testAgainstCircl) }

func testAgainstCircl(t *testing.T) {
	eachLength(t, func(t *testing.T, s source, n int) {
		v, w, r, k := s.vector(n), s.vector(n), s.scalars(n), s.scalar()
		base, baseEnc := s.base()
		multiplied := make([][32]byte, n)
		v.MulEncode(multiplied, &k)
		ve, we := encode(v), encode(w)
		sums, generator := encode(v.Add(w)), encode(Generator().Mul(r))
		added, subtracted := encode(v.AddMulBase(base, r)), encode(v.SubMulBase(base, r))
		total := circl.Identity()
		for i := range n {
			a, b, c := circlElement(t, ve[i]), circlElement(t, we[i]), circlElement(t, baseEnc)
			x := circlScalar(r[i])
			c.Mul(c, x)
			total.Add(total, circl.NewElement().Mul(a, x))
			minus := circl.NewElement().Neg(c)
			for name, pair := range map[string]struct {
				got  [32]byte
				want group.Element
			}{
				"MulEncode":  {multiplied[i], circl.NewElement().Mul(a, circlScalar(k))},
				"Add":        {sums[i], circl.NewElement().Add(a, b)},
				"Generator":  {generator[i], circl.NewElement().MulGen(x)},
				"AddMulBase": {added[i], circl.NewElement().Add(a, c)},
				"SubMulBase": {subtracted[i], circl.NewElement().Add(a, minus)},
			} {
				if want := circlEncode(t, pair.want); pair.got != want {
					t.Fatalf("%s, element %d = %x, circl has %x", name, i, pair.got, want)
				}
			}
		}
		if got := encode(v.SumVartime(r))[0]; got != circlEncode(t, total) {
			t.Fatal("SumVartime isn't circl's sum")
		}
	})
}

func TestHashToGroupAgainstCircl(t *testing.T) { eachImplementation(t, testHashToGroupAgainstCircl) }

func testHashToGroupAgainstCircl(t *testing.T) {
	const dst = "a domain of this test"
	for _, u := range newSource(30).uniform(100) {
		want := circlEncode(t, circl.HashToElement(u[:], []byte(dst)))
		if got := hashToGroup(u[:], dst); got != want {
			t.Fatalf("%x, circl has %x", got, want)
		}
	}
}
