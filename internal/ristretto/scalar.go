package ristretto

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"

	backend "github.com/bwesterb/go-ristretto"
)

// Scalar is an integer modulo ℓ = 2²⁵² + 27742317777372353535851937790883648493,
// the order of the group. It is always reduced, so == compares values; that is
// for public scalars, as it isn't constant time. The zero Scalar is 0. Any
// Scalar may be a secret: it prints REDACTED.
type Scalar struct{ s backend.Scalar }

// ErrScalar is returned for bytes that encode ℓ or more.
var ErrScalar = errors.New("ristretto: scalar is not reduced modulo the group order")

// ScalarFromUniform returns b, little-endian, modulo ℓ: uniform if b is.
func ScalarFromUniform(b *[64]byte) Scalar {
	var s Scalar
	s.s.SetReduced(b)
	return s
}

// ScalarFromCanonical decodes the 32 bytes of a scalar, little-endian. It
// returns ErrScalar unless they encode a number below ℓ (PROTOCOL.md §4).
func ScalarFromCanonical(b *[32]byte) (Scalar, error) {
	var s Scalar
	s.s.SetBytes(b) // b modulo 2²⁵³ and then ℓ, so b again only if b is below ℓ
	again := s.Bytes()
	if subtle.ConstantTimeCompare(again[:], b[:]) != 1 {
		return Scalar{}, ErrScalar
	}
	return s, nil
}

// Bytes returns the 32 bytes of s, little-endian.
func (s *Scalar) Bytes() [32]byte {
	var b [32]byte
	s.s.BytesInto(&b)
	return b
}

// IsZero reports whether s is 0, in constant time.
func (s *Scalar) IsZero() bool { return s.s.IsNonZeroI() == 0 }

// Add returns s + t.
func (s *Scalar) Add(t *Scalar) (sum Scalar) {
	sum.s.Add(&s.s, &t.s)
	return sum
}

// Sub returns s − t.
func (s *Scalar) Sub(t *Scalar) (difference Scalar) {
	difference.s.Sub(&s.s, &t.s)
	return difference
}

// Mul returns s·t.
func (s *Scalar) Mul(t *Scalar) (product Scalar) {
	product.s.Mul(&s.s, &t.s)
	return product
}

// Neg returns −s.
func (s *Scalar) Neg() (negative Scalar) {
	negative.s.Neg(&s.s)
	return negative
}

// oneHalf is the inverse of 2.
var oneHalf = func() (half Scalar) {
	half.s.Inverse(half.s.SetUint64(2))
	return half
}()

// Format prints REDACTED whatever the verb.
func (Scalar) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps s out of structured logs.
func (Scalar) LogValue() slog.Value { return slog.StringValue("REDACTED") }
