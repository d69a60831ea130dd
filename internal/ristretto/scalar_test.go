package ristretto

import (
	"errors"
	"math/big"
	"testing"
)

func TestScalarArithmetic(t *testing.T) {
	s := newSource(10)
	values := append(s.scalars(40), edges...)
	check := func(name string, got Scalar, want *big.Int) {
		t.Helper()
		if got != fromBig(want) {
			t.Fatalf("%s = %x, want %x", name, got.big(), want)
		}
	}
	for _, a := range values {
		check("−a", a.Neg(), new(big.Int).Neg(a.big()))
		if a.IsZero() != (a.big().Sign() == 0) {
			t.Errorf("IsZero of %x", a.big())
		}
		half := a.Mul(&oneHalf)
		if half.Add(&half) != a {
			t.Errorf("half of %x, twice, is another", a.big())
		}
		for _, b := range values {
			check("a + b", a.Add(&b), new(big.Int).Add(a.big(), b.big()))
			check("a − b", a.Sub(&b), new(big.Int).Sub(a.big(), b.big()))
			check("a·b", a.Mul(&b), new(big.Int).Mul(a.big(), b.big()))
		}
	}
}

func TestScalarFromUniform(t *testing.T) {
	s := newSource(11)
	values := []*big.Int{new(big.Int).Sub(new(big.Int).Lsh(refOne, 512), refOne)}
	for _, u := range s.uniform(1000) {
		values = append(values, fromLittleEndian(u[:]))
	}
	// The neighbours of multiples of ℓ, small, random and the largest there are.
	largest := new(big.Int).Div(values[0], refL)
	for _, multiple := range append(factors(s, 200), big.NewInt(1), refTwo, largest) {
		for around := int64(-2); around <= 2; around++ {
			n := new(big.Int).Mul(multiple, refL)
			values = append(values, n.Add(n, big.NewInt(around)))
		}
	}
	for _, n := range values {
		got := ScalarFromUniform(wide(n))
		if want := new(big.Int).Mod(n, refL); got.big().Cmp(want) != 0 {
			t.Fatalf("%x modulo ℓ = %x, want %x", n, got.big(), want)
		}
	}
}

// factors returns n random numbers whose multiples of ℓ are below 2^511.
func factors(s source, n int) (out []*big.Int) {
	for _, u := range s.uniform(n) {
		u[63] &= 0x7f
		out = append(out, new(big.Int).Div(fromLittleEndian(u[:]), refL))
	}
	return out
}

func wide(n *big.Int) *[64]byte {
	var b [64]byte
	n.FillBytes(b[:])
	for i := range 32 {
		b[i], b[63-i] = b[63-i], b[i]
	}
	return &b
}

func TestScalarFromCanonical(t *testing.T) {
	bit := func(n uint) *big.Int { return new(big.Int).Lsh(refOne, n) }
	plus := func(a *big.Int, b int64) *big.Int { return new(big.Int).Add(a, big.NewInt(b)) }
	for _, n := range []*big.Int{
		big.NewInt(0), refOne, plus(refL, -1), plus(refL, -2), bit(252), plus(bit(252), -1),
	} {
		b := littleEndian(n)
		s, err := ScalarFromCanonical(&b)
		if err != nil || s.Bytes() != b {
			t.Errorf("%x: %x, %v", n, s.big(), err)
		}
	}
	for _, n := range []*big.Int{
		refL, plus(refL, 1), plus(refL, 2), new(big.Int).Lsh(refL, 1), plus(bit(253), -1),
		bit(253), bit(254), bit(255), plus(bit(253), 1), plus(bit(255), 5), plus(bit(256), -1),
	} {
		b := littleEndian(n)
		s, err := ScalarFromCanonical(&b)
		if !errors.Is(err, ErrScalar) || !s.IsZero() {
			t.Errorf("%x: %x, %v", n, s.big(), err)
		}
	}
}

// TestDigits checks that the digits of every window width add up to the scalar
// and stay in range.
func TestDigits(t *testing.T) {
	for w := 2; w <= 15; w++ {
		for _, s := range append(newSource(byte(w)).scalars(50), edges...) {
			sum := new(big.Int)
			for pos := w * (windows(w) - 1); pos >= 0; pos -= w {
				m := s.digit(pos, w)
				if m < -1<<(w-1) || m > 1<<(w-1) {
					t.Fatalf("w = %d: digit %d", w, m)
				}
				sum.Add(sum.Lsh(sum, uint(w)), big.NewInt(int64(m)))
			}
			if sum.Cmp(s.big()) != 0 {
				t.Fatalf("w = %d: digits of %x add up to %x", w, s.big(), sum)
			}
		}
	}
	if narrow, wide := window(0), window(1<<22); narrow != 2 || wide != 15 {
		t.Errorf("windows of %d to %d bits", narrow, wide)
	}
}
