// Package ristretto is the arithmetic of the group ristretto255 (RFC 9496) that
// the protocol is made of: many elements at once, one call for a chunk.
//
// # Representation
//
// Outside, an element is the 32 bytes of RFC 9496 §4.3.2. Inside, a [Vector]
// holds one point of edwards25519 for each element, in extended coordinates,
// and a [Scalar] is reduced modulo the group's order ℓ. A representative is
// never unique, so elements are compared as encodings and nowhere else.
//
// Where the processor has AVX-512 IFMA, eight elements are computed at a time, in
// the lanes of its registers; elsewhere, and with the build tag purego, one is,
// by the formulas of github.com/bwesterb/go-ristretto. Both give the same bytes.
// README.md has the representation in lanes, the formulas and their bounds.
//
// In go-ristretto a point that was never set, or whose decoding failed, equals
// every point. Here no such value can be reached: [Vector.Decode] leaves either
// elements that were all decoded or identities and an error; the zero Vector is
// empty; and a zero [Base] panics.
//
// # The identity
//
// RFC 9496 decodes 32 zero bytes to the identity. The protocol refuses them
// (PROTOCOL.md §4, RFC 9497 §2.1), and so do [Decode] and [NewBase]. Computed
// elements may be the identity and encode to 32 zero bytes; where that must not
// be, the caller looks at the bytes.
//
// # What is constant time
//
// The scalars of [Vector.Mul], [Vector.MulEncode], [Base.Mul],
// [Vector.AddMulBase], [Vector.SubMulBase] and their Encode forms are secret, and
// so are the points they yield and the bytes given to [FromUniform],
// [ScalarFromUniform] and [ScalarFromCanonical]. No branch and no address depends on them: a table is
// read whole and the wanted entry kept under a mask; in lanes, both paths of every
// choice are computed. Encoding, the one-way map
// and the scalars' arithmetic are constant time too. How many elements there
// are is public.
//
// Two things aren't. [Vector.SumVartime], whole or in parts, takes only what both
// parties know: the elements on the wire and the coefficients hashed from them.
// And Decode tells good from bad, of bytes that came from the peer, but only after
// it has decoded all of them. An error is all that [ScalarFromCanonical] tells
// about its argument.
//
// A Vector, a Base and a Scalar may be read by many goroutines at once. This
// package starts none.
package ristretto

import (
	"fmt"
	"log/slog"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// Vector is a sequence of group elements. Append, Decode, SetUniform and
// SetIdentity change it; the other methods make new ones. The zero Vector has no
// elements.
type Vector struct{ p []edwards25519.ExtendedPoint }

// DecodeError says which element could not be decoded, and never what it was.
type DecodeError struct {
	Index int // the first that could not
}

func (e *DecodeError) Error() string {
	return fmt.Sprintf("ristretto: element %d is not the encoding of an element other than the identity", e.Index)
}

// NewVector returns n times the identity: memory for Decode and SetUniform.
func NewVector(n int) *Vector {
	v := newVector(n)
	v.SetIdentity()
	return v
}

// Decode returns the elements that v.Decode makes, or no Vector if it fails.
func Decode(encoded [][32]byte) (*Vector, error) {
	v := newVector(len(encoded))
	if err := v.Decode(encoded); err != nil {
		return nil, err
	}
	return v, nil
}

// FromUniform returns the elements that v.SetUniform makes.
func FromUniform(u [][64]byte) *Vector {
	v := newVector(len(u))
	v.SetUniform(u)
	return v
}

// Decode sets v to Decode of RFC 9496 §4.3.1 on each of encoded, without the
// identity. encoded has the length of v. All are decoded before the first
// failure, if any, is returned as a *DecodeError; then v is all identities.
func (v *Vector) Decode(encoded [][32]byte) error {
	mustMatch(len(encoded), len(v.p))
	decode := decodeOne
	if eight {
		decode = decodeEight
	}
	if bad := decode(v.p, encoded); bad >= 0 {
		v.SetIdentity() // it holds points that equal every point
		return &DecodeError{bad}
	}
	return nil
}

// decodeOne is Decode, one by one. It returns the index of the first that
// failed, or −1.
func decodeOne(p []edwards25519.ExtendedPoint, encoded [][32]byte) (bad int) {
	bad = -1
	for i := range encoded {
		ok := p[i].SetRistretto(&encoded[i]) && encoded[i] != [32]byte{}
		if !ok && bad < 0 {
			bad = i
		}
	}
	return bad
}

// SetUniform sets v_i to the one-way map of RFC 9496 §4.3.4: MAP of each half of
// u[i], added. Hashing to the group is this map applied to 64 hashed bytes. u has
// the length of v.
func (v *Vector) SetUniform(u [][64]byte) {
	mustMatch(len(u), len(v.p))
	if eight {
		fromUniformEight(v.p, u)
		return
	}
	var p1, p2 edwards25519.ExtendedPoint
	for i := range u {
		elligator(&p1, (*[32]byte)(u[i][:32]))
		elligator(&p2, (*[32]byte)(u[i][32:]))
		v.p[i].Add(&p1, &p2)
	}
}

// SetIdentity makes every element of v the identity.
func (v *Vector) SetIdentity() {
	for i := range v.p {
		v.p[i].SetZero()
	}
}

// elligator sets p to MAP(t) of RFC 9496 §4.3.4. SetBytes ignores bit 255 of t
// and reduces modulo 2²⁵⁵ − 19, as the map has it.
func elligator(p *edwards25519.ExtendedPoint, t *[32]byte) {
	var r0 edwards25519.FieldElement
	var c edwards25519.CompletedPoint
	r0.SetBytes(t)
	p.SetCompleted(c.SetRistrettoElligator2(&r0))
}

// Len returns how many elements v has.
func (v *Vector) Len() int { return len(v.p) }

// Slice returns the elements lo to hi−1 of v. It shares them with v.
func (v *Vector) Slice(lo, hi int) *Vector { return &Vector{v.p[lo:hi:hi]} }

// Append appends the elements of w to v.
func (v *Vector) Append(w *Vector) { v.p = append(v.p, w.p...) }

// Add returns the elements v_i + w_i. v and w have the same length.
func (v *Vector) Add(w *Vector) *Vector {
	mustMatch(len(v.p), len(w.p))
	sum := newVector(len(v.p))
	if eight {
		addEight(sum.p, v.p, w.p)
		return sum
	}
	for i := range v.p {
		sum.p[i].Add(&v.p[i], &w.p[i])
	}
	return sum
}

// Mul returns the elements k·v_i. k is secret.
func (v *Vector) Mul(k *Scalar) *Vector {
	product := newVector(len(v.p))
	if eight {
		mulEight(product.p, v.p, k)
		return product
	}
	digits := k.Bytes()
	for i := range v.p {
		product.p[i].ScalarMult(&v.p[i], &digits)
	}
	return product
}

// Encode is Encode of RFC 9496 §4.3.2 on each element. dst has the length of v.
func (v *Vector) Encode(dst [][32]byte) {
	mustMatch(len(dst), len(v.p))
	if eight {
		encodeEight(dst, v.p)
		return
	}
	for i := range v.p {
		v.p[i].RistrettoInto(&dst[i])
	}
}

// Format prints REDACTED whatever the verb: v may hold elements that haven't
// been blinded, and those can be inverted by a dictionary.
func (Vector) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps v out of structured logs.
func (Vector) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// newVector returns n points that the caller must all set before anyone sees
// them: as they are, they equal every point.
func newVector(n int) *Vector { return &Vector{make([]edwards25519.ExtendedPoint, n)} }

// This fails to compile under go-ristretto's build tag forcegeneric, where its
// field has ten 32-bit limbs: there a decoded point's X isn't reduced, adding
// the point overflows, and one sum in six is wrong.
var _ = edwards25519.FieldElement([5]uint64{})

func mustMatch(a, b int) {
	if a != b {
		panic("ristretto: arguments of different lengths")
	}
}
