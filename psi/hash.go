package psi

import (
	"crypto/sha512"
	"encoding/binary"

	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/internal/sha512x8"
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
	var scratch [512]byte // an Input, a composite, a blind or a key's seed fits; no allocation
	defer clear(scratch[:])
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

// zPad is Z_pad of RFC 9380 §5.3.1, hashed once for all messages.
var zPad = sha512x8.NewPrefix(make([]byte, sha512.BlockSize))

// A messages appends message i to b. All of a batch have one length.
type messages func(b []byte, i int) []byte

// expandMessageXMDs is expandMessageXMD for 64 bytes of each of many messages.
func (d *desk) expandMessageXMDs(out [][64]byte, msg messages, dst string) {
	if len(dst) > 255 {
		panic("psi: expand_message_xmd: length out of range")
	}
	dstPrime := append([]byte(dst), byte(len(dst)))
	d.sums(zPad.Sum, out, func(b []byte, i int) []byte {
		b = binary.BigEndian.AppendUint16(msg(b, i), sha512.Size)
		return append(append(b, 0), dstPrime...)
	})
	d.sums(sha512x8.Sum, out, func(b []byte, i int) []byte { // b_1, from b_0
		b = append(append(b, out[i][:]...), 1)
		return append(b, dstPrime...)
	})
}

// sums hashes a batch, few messages at a time so that they stay in the cache.
// Message i may be made from out[i].
func (d *desk) sums(sum func(dst [][64]byte, msgs []byte, msgLen int), out [][64]byte, msg messages) {
	const few, longest = 64, 256 // no message here is longer
	buf := sized(&d.msgs, few*longest)[:0]
	for lo := 0; lo < len(out); lo += few {
		hi := min(lo+few, len(out))
		buf = buf[:0]
		for i := lo; i < hi; i++ {
			buf = msg(buf, i)
		}
		sum(out[lo:hi], buf, len(buf)/(hi-lo))
	}
}

// hashToGroup computes HashToGroup of RFC 9497 §4.1 for every query. A pad's
// place is filled too, with the image of 44 zero bytes; the caller ignores it.
// The elements lie on the desk.
func (d *desk) hashToGroup(in []Query) *ristretto.Vector {
	u, h := sized(&d.hashes, len(in)), vectorOf(&d.points, len(in))
	d.expandMessageXMDs(u, func(b []byte, i int) []byte {
		return append(b, in[i].Input.Bytes()[:]...)
	}, dstHashToGroup)
	h.SetUniform(u)
	return h
}

// hashToScalar is HashToScalar of RFC 9497 §4.1 under the given DST.
func hashToScalar(msg []byte, dst string) ristretto.Scalar {
	var u [64]byte
	expandMessageXMD(u[:], msg, dst)
	return ristretto.ScalarFromUniform(&u)
}

// hashToScalars is hashToScalar for many messages.
func (d *desk) hashToScalars(out []ristretto.Scalar, msg messages, dst string) {
	u := sized(&d.hashes, len(out))
	d.expandMessageXMDs(u, msg, dst)
	for i := range out {
		out[i] = ristretto.ScalarFromUniform(&u[i])
	}
}

// finalizeHashes computes the PRF's outputs from x and enc(N) of every query,
// RFC 9497 §3.3.1. They lie on the desk.
func (d *desk) finalizeHashes(in []Query, n []Element) [][64]byte {
	out := sized(&d.hashes, len(in))
	d.sums(sha512x8.Sum, out, func(b []byte, i int) []byte {
		return appendFinalize(b, in[i].Input.Bytes()[:], &n[i])
	})
	return out
}

// appendFinalize appends what is hashed to the output of x and enc(N):
// I2OSP(44,2) || x || I2OSP(32,2) || enc(N) || "Finalize".
func appendFinalize(b, x []byte, n *[32]byte) []byte {
	b = lengthPrefixed(b, x)
	b = lengthPrefixed(b, n[:])
	return append(b, "Finalize"...)
}

// lv appends LV(b) = I2OSP(len(b),4) ‖ b (PROTOCOL.md §2).
func lv[T ~string | ~[]byte](dst []byte, b T) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(b)))
	return append(dst, b...)
}
