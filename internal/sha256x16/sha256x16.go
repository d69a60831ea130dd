// Package sha256x16 computes SHA-256 (FIPS 180-4) of many messages of one length.
//
// On amd64 with AVX-512 it hashes sixteen messages at once, one in each 32-bit
// lane: a message's bits take the path that crypto/sha256 gives them, in vector
// registers. Elsewhere, under the build tag purego, and for the few messages
// that would leave most lanes empty, crypto/sha256 hashes one after the other.
// The digests are the same.
//
// Messages may be secret: no branch and no address depends on their bytes. Their
// number and their lengths are public. Copies of messages and the states of a
// batch are overwritten before a call returns; registers, and crypto/sha256's
// own stack, are not.
package sha256x16

import "crypto/sha256"

//go:generate go -C _asm run main.go -out ../lanes_amd64.s -stubs ../lanes_amd64.go -pkg sha256x16

// Size is the length of a digest in bytes.
const Size = sha256.Size

// Sum writes the SHA-256 of prefix ‖ message i to dst[Size·i:][:Size], for as
// many messages as dst has room for. Message i is msgs[stride·i:][:msgLen].
//
// dst may lie over msgs if each digest ends before the message after its own
// begins: so a level of a tree is hashed in place.
func Sum(dst, prefix, msgs []byte, msgLen, stride int) {
	n := len(dst) / Size
	if len(dst)%Size != 0 || msgLen < 0 || stride < msgLen || n > 0 && len(msgs) < (n-1)*stride+msgLen {
		panic("sha256x16: messages of another number or length")
	}
	b := batch{prefix, msgs, msgLen, stride}
	inLanes := b.inLanes(n)
	b.sumLanes(dst[:inLanes*Size])
	b.from(inLanes).sumEach(dst[inLanes*Size:])
}

// A batch is what Sum hashes.
type batch struct {
	prefix, msgs   []byte
	msgLen, stride int
}

// from returns the batch without the messages before message i.
func (b batch) from(i int) batch {
	b.msgs = b.msgs[min(i*b.stride, len(b.msgs)):]
	return b
}

// inLanes returns how many of n messages, the first ones, are hashed in lanes.
func (b batch) inLanes(n int) int {
	switch rest := n % 16; {
	case !useLanes:
		return 0
	case rest < fewest:
		return n - rest
	}
	return n
}

// sumEach is Sum without lanes.
func (b batch) sumEach(dst []byte) {
	var room [256]byte // most messages fit; a longer one allocates
	whole := append(room[:0], b.prefix...)
	for i := range len(dst) / Size {
		whole = append(whole[:len(b.prefix)], b.msgs[i*b.stride:][:b.msgLen]...)
		digest := sha256.Sum256(whole)
		copy(dst[i*Size:], digest[:])
	}
	clear(whole)
}

// useLanes selects the assembly.
var useLanes = hasLanes

// Portable makes the package use crypto/sha256 until restore is called. It is for
// benchmarks and comparisons, and not while other goroutines compute.
func Portable() (restore func()) {
	before := useLanes
	useLanes = false
	return func() { useLanes = before }
}
