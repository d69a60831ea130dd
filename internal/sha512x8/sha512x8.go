// Package sha512x8 computes SHA-512 (FIPS 180-4) of many messages of one length.
//
// On amd64 with AVX-512 it hashes eight messages at once, one in each 64-bit
// lane: a message's bits take the path that crypto/sha512 gives them, in
// vector registers. Elsewhere, and under the build tag purego, crypto/sha512
// hashes one after the other. The digests are the same.
//
// Messages may be secret: no branch and no address depends on their bytes. Their
// number and their length are public. The states of a batch are overwritten
// before a call returns; registers, and crypto/sha512's own stack, are not.
package sha512x8

import (
	"crypto/sha512"
	"encoding"
	"hash"
)

//go:generate go -C _asm run main.go -out ../lanes_amd64.s -stubs ../lanes_amd64.go -pkg sha512x8

// Prefix is what all messages of a batch begin with, hashed once: whole blocks.
// Any number of goroutines may use one.
type Prefix struct {
	size  uint64 // in bytes
	after []byte // crypto/sha512's state after it
	lanes        // eight copies of the same
}

var none = NewPrefix(nil)

// NewPrefix returns the prefix with these bytes, a multiple of 128.
func NewPrefix(blocks []byte) *Prefix {
	if len(blocks)%sha512.BlockSize != 0 {
		panic("sha512x8: a prefix is a whole number of blocks")
	}
	d := sha512.New()
	d.Write(blocks)
	after, err := d.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		panic("sha512x8: crypto/sha512 does not give its state")
	}
	return &Prefix{size: uint64(len(blocks)), after: after, lanes: newLanes(blocks)}
}

// Sum writes the SHA-512 of message i to dst[i]. msgs has len(dst) messages of
// msgLen bytes, one after the other.
func Sum(dst [][64]byte, msgs []byte, msgLen int) { none.Sum(dst, msgs, msgLen) }

// Sum is the function Sum for messages that begin with the prefix, of which msgs
// has what follows it: len(dst) times msgLen bytes.
func (p *Prefix) Sum(dst [][64]byte, msgs []byte, msgLen int) {
	if msgLen < 0 || len(msgs) != len(dst)*msgLen {
		panic("sha512x8: messages of another number or length")
	}
	if inLanes {
		p.sumLanes(dst, msgs, msgLen)
	} else {
		p.sumEach(dst, msgs, msgLen)
	}
}

// sumEach is Sum without lanes.
func (p *Prefix) sumEach(dst [][64]byte, msgs []byte, msgLen int) {
	if p.size == 0 {
		for i := range dst {
			dst[i] = sha512.Sum512(msgs[i*msgLen:][:msgLen])
		}
		return
	}
	d := sha512.New()
	for i := range dst {
		p.resume(d)
		d.Write(msgs[i*msgLen:][:msgLen])
		d.Sum(dst[i][:0])
	}
	p.resume(d) // over the last message
}

// resume sets all of d to the state after the prefix.
func (p *Prefix) resume(d hash.Hash) {
	if d.(encoding.BinaryUnmarshaler).UnmarshalBinary(p.after) != nil {
		panic("sha512x8: crypto/sha512 does not take its own state")
	}
}

// inLanes selects the assembly.
var inLanes = hasLanes

// Portable makes the package use crypto/sha512 until restore is called. It is for
// benchmarks and comparisons, and not while other goroutines compute.
func Portable() (restore func()) {
	before := inLanes
	inLanes = false
	return func() { inLanes = before }
}
