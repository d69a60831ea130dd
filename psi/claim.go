package psi

import (
	"crypto/sha512"
)

// ClaimTagLen is the length in bytes of a claim's tag.
const ClaimTagLen = 16

// ClaimTag proves to the Holder of session sid that the claimant has the whole
// output, not only its token (PROTOCOL.md §8.3).
func (o *Output) ClaimTag(sid *[32]byte) (tag [ClaimTagLen]byte) {
	var scratch [128]byte
	b := lv(scratch[:0], "AMPSI-V01-claim")
	b = lv(b, sid[:])
	b = append(b, 1)
	b = lv(b, o.tail())
	full := sha512.Sum512(b)
	copy(tag[:], full[:])
	return tag
}
