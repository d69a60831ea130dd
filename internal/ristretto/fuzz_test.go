package ristretto

import (
	"bytes"
	"testing"
)

// FuzzDecode checks on any 32 bytes that what Decode accepts encodes to the same
// bytes again, and that it accepts what RFC 9496 in big integers and circl do,
// without the identity.
func FuzzDecode(f *testing.F) {
	for _, enc := range invalid(f) {
		f.Add(enc[:])
	}
	for _, enc := range encode(newSource(40).vector(20)) {
		f.Add(enc[:])
		enc[31] |= 0x80
		f.Add(enc[:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) == 32 {
			underEach(func() { fuzzDecode(t, b) })
		}
	})
}

func fuzzDecode(t *testing.T, b []byte) {
	enc := [32]byte(b)
	p, refAccepts := refDecode(enc)
	circlAccepts := circl.NewElement().UnmarshalBinary(b) == nil
	v, err := Decode([][32]byte{enc})
	accepts := err == nil
	if identity := enc == [32]byte{}; identity && accepts || !identity && accepts != refAccepts ||
		refAccepts != circlAccepts {
		t.Fatalf("Decode: %v, the reference: %v, circl: %v", accepts, refAccepts, circlAccepts)
	}
	if accepts != (v != nil) {
		t.Fatal("a Vector and an error, or neither")
	}
	if !accepts {
		return
	}
	checkPoints(t, v)
	one := small(1)
	multiplied := make([][32]byte, 1)
	v.MulEncode(multiplied, &one)
	if encode(v)[0] != enc || multiplied[0] != enc || p.encode() != enc {
		t.Fatalf("encodes to %x, %x and, by the reference, %x", encode(v)[0], multiplied[0], p.encode())
	}
}

// FuzzFromUniform compares the one-way map with big integers on any 64 bytes, and
// the two ways to multiply and encode with each other.
func FuzzFromUniform(f *testing.F) {
	s := newSource(41)
	for _, u := range s.uniform(4) {
		k := s.scalar()
		b := k.Bytes()
		f.Add(u[:], b[:])
	}
	root := littleEndian(refSqrtID) // maps to the identity
	f.Add(bytes.Repeat(root[:], 2), root[:])
	f.Fuzz(func(t *testing.T, uniform, scalar []byte) {
		var u, wide [64]byte
		copy(u[:], uniform)
		copy(wide[:], scalar)
		k := ScalarFromUniform(&wide)
		underEach(func() { fuzzFromUniform(t, u, k) })
	})
}

func fuzzFromUniform(t *testing.T, u [64]byte, k Scalar) {
	v := FromUniform([][64]byte{u})
	checkPoints(t, v)
	if got, want := encode(v)[0], refFromUniform(u).encode(); got != want {
		t.Fatalf("maps to %x, want %x", got, want)
	}
	if eight && !ifma {
		return // multiplying takes too long to be fuzzed in Go's lanes
	}
	got := make([][32]byte, 1)
	v.MulEncode(got, &k)
	if want := encode(v.Mul(&k))[0]; got[0] != want {
		t.Fatalf("multiplied, it encodes to %x, want %x", got[0], want)
	}
}
