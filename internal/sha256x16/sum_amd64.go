//go:build amd64 && !purego

package sha256x16

import (
	"crypto/sha256"
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// hasLanes: F has the arithmetic and BW what works on bytes.
var hasLanes = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

// fewest is the number of messages from which on sixteen lanes take less time
// than crypto/sha256, one after the other, with the processor's instructions for
// SHA-256.
const fewest = 6

// lanes are sixteen states: word i of state l is lanes[i][l].
type lanes [8][16]uint32

// initial is H of FIPS 180-4 §5.3.3, in every lane.
var initial = func() (s lanes) {
	for i, word := range [8]uint32{
		0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
	} {
		for l := range s[i] {
			s[i][l] = word
		}
	}
	return s
}()

// A shape is how a block divides into a message's bytes, and prefix and padding.
// It is the same for messages of the same length.
type shape struct {
	mask uint64                 // a bit for each byte of the message
	pad  [sha256.BlockSize]byte // 0 where the message's bytes are
}

// shape returns that of block i of prefix ‖ message ‖ a bit 1 ‖ zeros ‖ the size in
// bits (FIPS 180-4 §5.1.1).
func (b batch) shape(i int) (s shape) {
	const block = sha256.BlockSize
	begin := len(b.prefix) - i*block // of the message, in this block
	end := begin + b.msgLen
	s.mask = below(end) &^ below(begin)
	if begin > 0 {
		copy(s.pad[:], b.prefix[i*block:])
	}
	if 0 <= end && end < block {
		s.pad[end] = 0x80
	}
	if end+1+8 <= block {
		binary.BigEndian.PutUint64(s.pad[block-8:], uint64(len(b.prefix)+b.msgLen)<<3)
	}
	return s
}

// below returns a bit for each byte of a block before byte i.
func below(i int) uint64 {
	if i < 0 {
		return 0
	}
	return 1<<i - 1 // all, from 64 on
}

// sumLanes is Sum in lanes.
func (b batch) sumLanes(dst []byte) {
	n := len(dst) / Size
	blocks := (len(b.prefix) + b.msgLen + 1 + 8 + sha256.BlockSize - 1) / sha256.BlockSize
	var state lanes
	var offset [16]int
	for first := 0; first < n; first += 16 {
		state = initial
		for l := range offset { // the last message fills lanes that have none of their own
			offset[l] = min(first+l, n-1)*b.stride - len(b.prefix)
		}
		for i := range blocks {
			s := b.shape(i)
			block((*[8][16]uint32)(&state), b.msgs, &offset, s.mask, &s.pad)
			for l := range offset {
				offset[l] += sha256.BlockSize
			}
		}
		state.write(dst[first*Size:])
	}
	clear(state[:])
}

// write writes as many digests as dst has room for.
func (s *lanes) write(dst []byte) {
	if len(dst) >= 16*Size {
		digests((*[16 * Size]byte)(dst), (*[8][16]uint32)(s))
		return
	}
	var d [16 * Size]byte
	digests(&d, (*[8][16]uint32)(s))
	copy(dst, d[:])
	clear(d[:])
}
