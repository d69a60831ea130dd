//go:build amd64 && !purego

package sha512x8

import (
	"crypto/sha512"
	"encoding/binary"

	"golang.org/x/sys/cpu"
)

// hasLanes: F has the arithmetic and BW what works on bytes.
var hasLanes = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW

// lanes are eight states: word i of state l is state[i][l].
type lanes struct{ state [8][8]uint64 }

// initial is H of FIPS 180-4 §5.3.5.
var initial = [8]uint64{
	0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
	0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
}

// newLanes returns the state after whole blocks, eight times.
func newLanes(blocks []byte) (s lanes) {
	if !hasLanes {
		return s
	}
	for i, word := range initial {
		s.state[i] = [8]uint64{word, word, word, word, word, word, word, word}
	}
	var offset [8]int
	for range len(blocks) / sha512.BlockSize {
		s.add(blocks, &offset, &whole)
	}
	return s
}

// A shape is how a block divides into the message's bytes and padding. It is
// the same for messages of the same length.
type shape struct {
	mask [2]uint64              // a bit for each byte of the message
	pad  [sha512.BlockSize]byte // 0 where the message's bytes are
}

// whole is a block without padding.
var whole = shape{mask: [2]uint64{^uint64(0), ^uint64(0)}}

// add adds a block to every state and moves each offset behind it.
func (s *lanes) add(msgs []byte, offset *[8]int, b *shape) {
	block(&s.state, msgs, offset, &b.mask, &b.pad)
	for l := range offset {
		offset[l] += sha512.BlockSize
	}
}

// ending returns the shapes of the one or two blocks with the last rest < 128
// bytes of a message of size bytes: they, a bit 1, zeros, and the size in bits
// (FIPS 180-4 §5.1.2).
func ending(rest int, size uint64) (blocks [2]shape, n int) {
	for i := range rest {
		blocks[0].mask[i/64] |= 1 << (i % 64)
	}
	blocks[0].pad[rest] = 0x80
	if n = 1; rest+1+16 > sha512.BlockSize {
		n = 2
	}
	last := &blocks[n-1].pad
	binary.BigEndian.PutUint64(last[112:], size>>61)
	binary.BigEndian.PutUint64(last[120:], size<<3)
	return blocks, n
}

// sumLanes is Sum in lanes.
func (p *Prefix) sumLanes(dst [][64]byte, msgs []byte, msgLen int) {
	rest := msgLen % sha512.BlockSize
	end, n := ending(rest, p.size+uint64(msgLen))
	var s lanes
	var offset [8]int
	for first := 0; first < len(dst); first += 8 {
		s = p.lanes
		last := len(dst) - 1 // it fills lanes that have no message of their own
		for l := range offset {
			offset[l] = min(first+l, last) * msgLen
		}
		for range msgLen / sha512.BlockSize {
			s.add(msgs, &offset, &whole)
		}
		for i := range n {
			s.add(msgs, &offset, &end[i])
		}
		s.write(dst[first:])
	}
	clear(s.state[:])
}

// write writes as many digests as dst has room for.
func (s *lanes) write(dst [][64]byte) {
	if len(dst) >= 8 {
		digests((*[8][64]byte)(dst), &s.state)
		return
	}
	var d [8][64]byte
	digests(&d, &s.state)
	copy(dst, d[:])
	clear(d[:])
}
