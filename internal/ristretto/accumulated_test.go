package ristretto

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"testing"
)

// accumulated is the SHA-256 of the 2 000 encodings of TestAccumulated, one
// after the other. A big-integer implementation of RFC 9496 gives the same. It
// must never change: every path that computes these operations, on whatever
// machine, must reproduce it.
const accumulated = "f32621db31c9272868b088b26304ec2d378f26bca6aaf94812a6af4b8c5e92fb"

// block returns SHA-512("ristretto255 accumulated" ‖ I2OSP(i,4)).
func block(i int) *[64]byte {
	b := sha512.Sum512(binary.BigEndian.AppendUint32([]byte("ristretto255 accumulated"), uint32(i)))
	return &b
}

// TestAccumulated computes, from P_i = FromUniform(block(i)), k = block(500) and
// r_i = block(501+i) for i from 0 to 499, the encodings of all P_i, of all
// k·P_i, of all P_i + r_i·G and of all P_i − r_i·K with K = k·G.
func TestAccumulated(t *testing.T) { eachImplementation(t, testAccumulated) }

func testAccumulated(t *testing.T) {
	const n = 500
	u, r := make([][64]byte, n), make([]Scalar, n)
	for i := range n {
		u[i], r[i] = *block(i), ScalarFromUniform(block(n+1+i))
	}
	k := ScalarFromUniform(block(n))
	key, err := NewBase(&encode(Generator().Mul([]Scalar{k}))[0])
	if err != nil {
		t.Fatal(err)
	}

	out := encode(FromUniform(u))
	p := mustDecode(t, out...)
	multiplied := make([][32]byte, n)
	p.MulEncode(multiplied, &k)
	out = append(out, multiplied...)
	out = append(out, encode(p.AddMulBase(Generator(), r))...)
	out = append(out, encode(p.SubMulBase(key, r))...)

	h := sha256.New()
	for i := range out {
		h.Write(out[i][:])
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != accumulated || len(out) != 2000 {
		t.Errorf("SHA-256 of %d encodings is %s, want %s", len(out), got, accumulated)
	}
}
