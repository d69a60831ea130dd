package psi

import (
	"crypto/sha512"
	"encoding/binary"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// Domain separation, PROTOCOL.md §2. RFC 9497's strings are used unchanged, so
// that its vectors test this code; product, version and purpose are separated
// in the Input.
const (
	contextString   = "OPRFV1-\x01-ristretto255-SHA512"
	dstHashToGroup  = "HashToGroup-" + contextString
	dstHashToScalar = "HashToScalar-" + contextString
	dstDeriveKey    = "DeriveKeyPair" + contextString
	dstSeed         = "Seed-" + contextString
	dstBlind        = "AMPSI-V01-blind-scalar"
)

// expandMessageXMD fills out with expand_message_xmd(SHA-512, msg, dst,
// len(out)), RFC 9380 §5.3.1. dst is one of our own constants, at most 255
// bytes; out at most 255·64.
func expandMessageXMD(out, msg []byte, dst string) {
	if len(dst) > 255 || len(out) > 255*sha512.Size {
		panic("psi: expand_message_xmd: length out of range")
	}
	var scratch [512]byte // an Input, a composite or a blind fits; no allocation
	// msg_prime = Z_pad || msg || l_i_b_str || I2OSP(0, 1) || DST_prime
	b := append(scratch[:sha512.BlockSize], msg...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(out)))
	b = append(b, 0)
	b = append(append(b, dst...), byte(len(dst)))
	b0 := sha512.Sum512(b)

	// b_i = H(strxor(b_0, b_(i-1)) || I2OSP(i, 1) || DST_prime), b_(0) taken as 0
	var bi [sha512.Size]byte
	for i := 1; len(out) > 0; i++ {
		for j := range bi {
			bi[j] ^= b0[j]
		}
		b = append(append(scratch[:0], bi[:]...), byte(i))
		b = append(append(b, dst...), byte(len(dst)))
		bi = sha512.Sum512(b)
		out = out[copy(out, bi[:]):]
	}
}

// hashToGroup computes HashToGroup of RFC 9497 §4.1 for every query. A pad's
// place is filled too, with the image of 44 zero bytes; the caller ignores it.
func hashToGroup(in []Query) *ristretto.Vector {
	u := make([][64]byte, len(in))
	for i := range in {
		expandMessageXMD(u[i][:], in[i].Input.Bytes()[:], dstHashToGroup)
	}
	return ristretto.FromUniform(u)
}

// hashToScalar is HashToScalar of RFC 9497 §4.1 under the given DST.
func hashToScalar(msg []byte, dst string) ristretto.Scalar {
	var u [64]byte
	expandMessageXMD(u[:], msg, dst)
	return ristretto.ScalarFromUniform(&u)
}

// finalizeHash computes the PRF's output from x and enc(N), RFC 9497 §3.3.1:
// Hash(I2OSP(44,2) || x || I2OSP(32,2) || enc(N) || "Finalize").
func finalizeHash(x []byte, n *[32]byte) Output {
	var scratch [96]byte
	b := binary.BigEndian.AppendUint16(scratch[:0], uint16(len(x)))
	b = append(b, x...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(n)))
	b = append(b, n[:]...)
	return sha512.Sum512(append(b, "Finalize"...))
}

// lv appends LV(b) = I2OSP(len(b),4) ‖ b (PROTOCOL.md §2).
func lv[T ~string | ~[]byte](dst []byte, b T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}
