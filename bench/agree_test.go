package bench

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	gtank "github.com/gtank/ristretto255"

	"github.com/overlap-psi/overlap/bench/path"
	"github.com/overlap-psi/overlap/internal/ristretto"
)

// The kernel's other tests compare it with go-ristretto and with circl, which is
// go-ristretto. gtank/ristretto255 stands on filippo.io/edwards25519 and shares no
// code with either, so the tests below compare the arithmetic itself.

// each runs a test on every path, with elements and scalars to run it on.
func each(t *testing.T, test func(t *testing.T, s *source)) {
	for _, name := range path.All {
		t.Run(name, func(t *testing.T) {
			use(t, name)
			test(t, &source{rand.NewChaCha8([32]byte{byte(len(name))})})
		})
	}
}

// source draws what the tests run on: mostly random, some of it at an edge.
type source struct{ *rand.ChaCha8 }

func (s *source) bytes32() (b [32]byte) {
	s.Read(b[:])
	return b
}

// edges are integers around 0, p = 2²⁵⁵ − 19, ℓ, the limbs of 51 bits and 2²⁵⁶.
var edges = func() (e []*big.Int) {
	power := func(n uint) *big.Int { return new(big.Int).Lsh(big.NewInt(1), n) }
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	around := []*big.Int{big.NewInt(2), new(big.Int).Sub(power(255), big.NewInt(19)), power(255),
		new(big.Int).Sub(power(256), big.NewInt(3)), new(big.Int).Sub(power(256), big.NewInt(38)), order, new(big.Int).Lsh(order, 1),
		power(51), power(102), power(153), power(204), power(252), power(253), power(254)}
	for _, x := range around {
		for d := int64(-2); d <= 2; d++ {
			e = append(e, new(big.Int).Add(x, big.NewInt(d)))
		}
	}
	return e
}()

func littleEndian(x *big.Int) (b [32]byte) {
	x.FillBytes(b[:])
	for i := range 16 {
		b[i], b[31-i] = b[31-i], b[i]
	}
	return b
}

// wide returns n times 64 bytes. Half of the first halves and a third of the
// second are edges, the others random.
func (s *source) wide(n int) [][64]byte {
	u := make([][64]byte, n)
	for i := range u {
		a, b := s.bytes32(), s.bytes32()
		if i%2 == 0 {
			a = littleEndian(edges[i/2%len(edges)])
		}
		if i%3 == 0 {
			b = littleEndian(edges[(i/3+i/len(edges))%len(edges)])
		}
		copy(u[i][:32], a[:])
		copy(u[i][32:], b[:])
	}
	return u
}

// scalars returns n scalars as both libraries have them.
func (s *source) scalars(t *testing.T, n int) (ours []ristretto.Scalar, theirs []*gtank.Scalar) {
	t.Helper()
	for _, u := range s.wide(n) {
		if len(ours)%2 == 0 {
			clear(u[32:]) // so that those around 0 and ℓ are
		}
		o := ristretto.ScalarFromUniform(&u)
		th, err := gtank.NewScalar().SetUniformBytes(u[:])
		if err != nil {
			t.Fatal(err)
		}
		if wire := o.Bytes(); !bytes.Equal(wire[:], th.Bytes()) {
			t.Fatal("scalars reduced modulo ℓ differ")
		}
		ours, theirs = append(ours, o), append(theirs, th)
	}
	return ours, theirs
}

// elements returns n elements as both have them, none the identity.
func (s *source) elements(t *testing.T, n int) (ours *ristretto.Vector, theirs []*gtank.Element) {
	t.Helper()
	u := make([][64]byte, n)
	for i := range u {
		s.Read(u[i][:])
		e, err := gtank.NewIdentityElement().SetUniformBytes(u[i][:])
		if err != nil {
			t.Fatal(err)
		}
		theirs = append(theirs, e)
	}
	return ristretto.FromUniform(u), theirs
}

func checkAgree(t *testing.T, what string, ours [][32]byte, theirs []*gtank.Element) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("%s: %d elements, want %d", what, len(ours), len(theirs))
	}
	for i := range ours {
		if !bytes.Equal(ours[i][:], theirs[i].Bytes()) {
			t.Errorf("%s: element %d of %d differs", what, i, len(ours))
		}
	}
}

func encode(v *ristretto.Vector) [][32]byte {
	out := make([][32]byte, v.Len())
	v.Encode(out)
	return out
}

// sizes are lengths around those of vectors, and one that has many.
var sizes = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 63, 64, 65, 200}

func TestAgreeMap(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		for _, n := range append(sizes, len(edges)*len(edges)) {
			u := s.wide(n)
			var theirs []*gtank.Element
			for i := range u {
				e, err := gtank.NewIdentityElement().SetUniformBytes(u[i][:])
				if err != nil {
					t.Fatal(err)
				}
				theirs = append(theirs, e)
			}
			checkAgree(t, "map", encode(ristretto.FromUniform(u)), theirs)
		}
	})
}

// TestAgreeDecode: both accept the same encodings, as the same elements; but the
// identity is an element for gtank.
func TestAgreeDecode(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		var candidates [][32]byte
		for _, x := range edges {
			candidates = append(candidates, littleEndian(x))
		}
		for i := range 4000 {
			b := s.bytes32()
			switch i % 4 { // a random string is hardly ever canonical and non-negative
			case 0:
				b[31] &= 0x7f
			case 1, 2:
				b[31] &= 0x7f
				b[0] &^= 1
			}
			candidates = append(candidates, b)
		}
		valid, _ := s.elements(t, 200)
		for i, b := range encode(valid) {
			candidates = append(candidates, b)
			b[i%32] ^= 1 << (i % 8)
			candidates = append(candidates, b)
		}
		accepted := 0
		for i := range candidates {
			accepted += checkDecode(t, candidates[i])
		}
		if refused := len(candidates) - accepted; accepted < 400 || refused < 400 {
			t.Errorf("%d accepted and %d refused: too few of a kind", accepted, refused)
		}
		checkDecodeBatches(t, s)
	})
}

func checkDecode(t *testing.T, b [32]byte) (accepted int) {
	t.Helper()
	theirs, err := gtank.NewIdentityElement().SetCanonicalBytes(b[:])
	want := err == nil && b != [32]byte{}
	ours, err := ristretto.Decode([][32]byte{b})
	if (err == nil) != want {
		t.Fatalf("decoding %x: accepted %v, want %v", b, err == nil, want)
	}
	if err != nil {
		return 0
	}
	checkAgree(t, "decode", encode(ours), []*gtank.Element{theirs})
	twice := encode(ours.Add(ours))
	checkAgree(t, "decode and double", twice, []*gtank.Element{gtank.NewIdentityElement().Add(theirs, theirs)})
	return 1
}

// checkDecodeBatches puts encodings that are none anywhere in a batch: the first
// is named.
func checkDecodeBatches(t *testing.T, s *source) {
	t.Helper()
	for _, n := range sizes {
		v, theirs := s.elements(t, n)
		good := encode(v)
		decoded, err := ristretto.Decode(good)
		if err != nil {
			t.Fatal(err)
		}
		checkAgree(t, "decode of a batch", encode(decoded), theirs)
		for first := range n {
			bad := slices.Clone(good)
			bad[first] = littleEndian(edges[7]) // p, not canonical
			bad[n-1-(n-1-first)/2] = [32]byte{}
			var e *ristretto.DecodeError
			if _, err := ristretto.Decode(bad); !errors.As(err, &e) || e.Index != first {
				t.Fatalf("of %d, the first that is bad being %d: %v", n, first, err)
			}
		}
	}
}

// TestAgreeMultiply: one scalar for all, at every edge.
func TestAgreeMultiply(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		ks, theirKs := s.scalars(t, 2*len(edges))
		for i := range ks {
			n := sizes[i%len(sizes)]
			v, theirs := s.elements(t, n)
			for j := range theirs {
				theirs[j].ScalarMult(theirKs[i], theirs[j])
			}
			what := fmt.Sprintf("multiply by scalar %d", i)
			out := make([][32]byte, n)
			v.MulEncode(out, &ks[i])
			checkAgree(t, what, out, theirs)
			checkAgree(t, what+" without encoding", encode(v.Mul(&ks[i])), theirs)
		}
	})
}

// TestAgreeBase: a scalar for each element, and the table of the generator or of
// another base.
func TestAgreeBase(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		v, theirs := s.elements(t, 1)
		other, err := ristretto.NewBase(&encode(v)[0])
		if err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string]struct {
			ours   *ristretto.Base
			theirs *gtank.Element
		}{"generator": {ristretto.Generator(), gtank.NewGeneratorElement()}, "base": {other, theirs[0]}} {
			for _, n := range append(sizes, 2*len(edges)) {
				v, theirs := s.elements(t, n)
				r, theirR := s.scalars(t, n)
				products, sums, differences := make([]*gtank.Element, n), make([]*gtank.Element, n), make([]*gtank.Element, n)
				for i := range theirs {
					products[i] = gtank.NewIdentityElement().ScalarMult(theirR[i], b.theirs)
					sums[i] = gtank.NewIdentityElement().Add(theirs[i], products[i])
					differences[i] = gtank.NewIdentityElement().Subtract(theirs[i], products[i])
				}
				checkAgree(t, name+", multiply", encode(b.ours.Mul(r)), products)
				checkAgree(t, name+", add", encode(v.AddMulBase(b.ours, r)), sums)
				checkAgree(t, name+", subtract", encode(v.SubMulBase(b.ours, r)), differences)
			}
		}
	})
}

// TestAgreeSum: the sums of the proofs.
func TestAgreeSum(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		for _, n := range append(sizes, 1000) {
			v, theirs := s.elements(t, n)
			d, theirD := s.scalars(t, n)
			want := gtank.NewIdentityElement().VarTimeMultiScalarMult(theirD, theirs)
			checkAgree(t, fmt.Sprintf("sum of %d", n), encode(v.SumVartime(d)), []*gtank.Element{want})
		}
	})
}

// TestAgreeIdentity: computed elements may be the identity, alone or among others
// whose inversion they share.
func TestAgreeIdentity(t *testing.T) {
	each(t, func(t *testing.T, s *source) {
		for _, n := range sizes[1:] {
			// r_i·G − r_i·G for every third i, and a random element for the others.
			_, theirs := s.elements(t, n)
			r, theirR := s.scalars(t, n)
			wire := make([][32]byte, n)
			for i := range theirs {
				if i%3 == 0 {
					theirs[i].ScalarBaseMult(theirR[i])
					if theirs[i].Equal(gtank.NewIdentityElement()) == 1 {
						theirs[i].Set(gtank.NewGeneratorElement()) // what Decode takes
						r[i] = ristretto.ScalarFromUniform(&[64]byte{1})
					}
				} else {
					r[i] = ristretto.ScalarFromUniform(new([64]byte))
				}
				wire[i] = [32]byte(theirs[i].Bytes())
			}
			decoded, err := ristretto.Decode(wire)
			if err != nil {
				t.Fatal(err)
			}
			mixed := decoded.SubMulBase(ristretto.Generator(), r)
			for i := 0; i < n; i += 3 {
				theirs[i].Set(gtank.NewIdentityElement())
			}
			checkAgree(t, "with the identity", encode(mixed), theirs)
			k, theirK := s.scalars(t, 2)
			for i := range theirs {
				theirs[i].ScalarMult(theirK[1], theirs[i])
			}
			out := make([][32]byte, n)
			mixed.MulEncode(out, &k[1])
			checkAgree(t, "with the identity, multiplied", out, theirs)
		}
	})
}
