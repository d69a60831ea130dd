package policy

import (
	"errors"
	"math/bits"
)

// SessionTokenLen is the length in bytes of the tokens of session tables,
// PROTOCOL.md §9.
const SessionTokenLen = 16

// Bounds of a published table's token length in bytes.
const (
	minTokenLen = 11
	maxTokenLen = 32
)

// ErrTokenLen refuses a token length of PROTOCOL.md §9.
var ErrTokenLen = errors.New("policy: token length not allowed for sets of this size")

// TokenLen returns the least length in bytes with which q̂ queries against n̂
// entries match falsely with probability at most 2^−40, and at least 11:
// 8·len ≥ 40 + log₂ q̂ + log₂ n̂ (PROTOCOL.md §9). It is a bound, not the length to
// use: that is SessionTokenLen for session tables and the manifest's for
// published ones.
func TokenLen(qHat, nHat uint64) int {
	return max(minTokenLen, (40+log2(qHat, nHat)+7)/8)
}

// log2 returns ⌈log₂(a·b)⌉, 0 if a·b = 0.
func log2(a, b uint64) int {
	hi, lo := bits.Mul64(a, b)
	if hi == 0 && lo == 0 {
		return 0
	}
	lo, borrow := bits.Sub64(lo, 1, 0)
	if hi -= borrow; hi > 0 {
		return 64 + bits.Len64(hi)
	}
	return bits.Len64(lo)
}

// CheckTokenLen returns ErrTokenLen unless tokens of tokenLen bytes may be used
// for q̂ queries against n̂ entries. A session table has SessionTokenLen, a
// published one 11 to 32.
func CheckTokenLen(tokenLen int, qHat, nHat uint64, published bool) error {
	if tokenLen < TokenLen(qHat, nHat) || tokenLen > maxTokenLen || !published && tokenLen != SessionTokenLen {
		return ErrTokenLen
	}
	return nil
}
