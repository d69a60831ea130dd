package store

import (
	"bytes"
	"encoding/binary"
	"iter"
	"maps"
	"math/bits"
	"slices"
)

// Numbers is a set of numbers of facts, such as those that a session asked about, or
// of accounts. It takes a bit for each number of the parts of the ledger that it touches.
type Numbers struct{ chunks map[uint64]*chunk }

// A chunk has a bit for each of chunkLen numbers that follow one another.
type chunk [chunkLen / 64]uint64

const chunkLen = 1 << 16

// Add puts n into the set and reports whether it was not there.
func (s *Numbers) Add(n uint64) bool {
	if s.chunks == nil {
		s.chunks = map[uint64]*chunk{}
	}
	c := s.chunks[n/chunkLen]
	if c == nil {
		c = new(chunk)
		s.chunks[n/chunkLen] = c
	}
	if c.has(n) {
		return false
	}
	c[n%chunkLen/64] |= 1 << (n % 64)
	return true
}

// Remove takes n out of the set, if it is there.
func (s *Numbers) Remove(n uint64) {
	if c := s.chunks[n/chunkLen]; c != nil {
		c.remove(n)
	}
}

// Has reports whether n is in the set.
func (s *Numbers) Has(n uint64) bool {
	c := s.chunks[n/chunkLen]
	return c != nil && c.has(n)
}

// Len returns how many numbers there are.
func (s *Numbers) Len() (n uint64) {
	for _, c := range s.chunks {
		n += c.len()
	}
	return n
}

// All returns the numbers in increasing order.
func (s *Numbers) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, at := range slices.Sorted(maps.Keys(s.chunks)) {
			for i, word := range s.chunks[at] {
				for ; word != 0; word &= word - 1 {
					if !yield(at*chunkLen + uint64(i*64+bits.TrailingZeros64(word))) {
						return
					}
				}
			}
		}
	}
}

func (c *chunk) has(n uint64) bool { return c[n%chunkLen/64]>>(n%64)&1 == 1 }

func (c *chunk) remove(n uint64) { c[n%chunkLen/64] &^= 1 << (n % 64) }

func (c *chunk) len() (n uint64) {
	for _, word := range c {
		n += uint64(bits.OnesCount64(word))
	}
	return n
}

// The encoding of a chunk is the shorter of two, and the first if neither is: one
// for numbers that stand together or alone, and one for those that lie anyhow.
//
//	0 ‖ number of runs ‖ (numbers left out before it ‖ its length - 1) of each run, as varints
//	1 ‖ the chunk's bits(8192), the first number in the lowest bit of the first byte
//
// Runs do not touch, so of a run that is not the first one fewer is counted as
// left out. An encoding ends by itself.
const (
	formRuns = 0
	formBits = 1
	bitsLen  = 1 + chunkLen/8
)

// encode returns the chunk's one encoding.
func (c *chunk) encode() []byte {
	b := make([]byte, 1, bitsLen+2*binary.MaxVarintLen16)
	b[0] = formRuns
	b = binary.AppendUvarint(b, c.runs())
	end := 0
	for start := c.next(0, 1); start < chunkLen && len(b) <= bitsLen; start = c.next(end, 1) {
		left := start - end
		if end > 0 {
			left--
		}
		end = c.next(start, 0)
		b = binary.AppendUvarint(b, uint64(left))
		b = binary.AppendUvarint(b, uint64(end-start-1))
	}
	if len(b) <= bitsLen {
		return b
	}
	b = append(b[:0], formBits)
	for _, word := range c {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

// runs counts the places where a number is in and the one before it is not.
func (c *chunk) runs() (n uint64) {
	before := uint64(0)
	for _, word := range c {
		n += uint64(bits.OnesCount64(word &^ (word<<1 | before)))
		before = word >> 63
	}
	return n
}

// next returns the first position from i on whose bit is the given one, or
// chunkLen.
func (c *chunk) next(i int, bit uint64) int {
	for i < chunkLen {
		word := c[i/64]
		if bit == 0 {
			word = ^word
		}
		if word >>= i % 64; word != 0 {
			return i + bits.TrailingZeros64(word)
		}
		i += 64 - i%64
	}
	return chunkLen
}

const errChunk = refusal("manifest or audience is damaged")

// decodeChunk returns the chunk that b begins with, and what follows it. Only what
// encode makes is read.
func decodeChunk(b []byte) (c *chunk, rest []byte, err error) {
	c = new(chunk)
	switch {
	case len(b) >= bitsLen && b[0] == formBits:
		for i := range c {
			c[i] = binary.LittleEndian.Uint64(b[1+8*i:])
		}
		rest = b[bitsLen:]
	case len(b) > 1 && b[0] == formRuns:
		if rest, err = c.decodeRuns(b[1:]); err != nil {
			return nil, nil, err
		}
	default:
		return nil, nil, errChunk
	}
	if !bytes.Equal(c.encode(), b[:len(b)-len(rest)]) {
		return nil, nil, errChunk
	}
	return c, rest, nil
}

func (c *chunk) decodeRuns(b []byte) (rest []byte, err error) {
	number := func() (n uint64) {
		n, length := binary.Uvarint(b)
		if length <= 0 {
			err = errChunk
			return 0
		}
		b = b[length:]
		return n
	}
	end := uint64(0)
	for i := number(); i > 0 && err == nil; i-- {
		left, more := number(), number()
		if end > 0 {
			left++ // cannot pass 2⁶⁴ unnoticed: it is 0 then, and the encoding another
		}
		if left > chunkLen-end || more >= chunkLen-end-left {
			return nil, errChunk
		}
		start := end + left
		end = start + more + 1
		c.fill(start, end)
	}
	return b, err
}

// fill sets the bits from start up to end.
func (c *chunk) fill(start, end uint64) {
	for i := start; i < end; i++ {
		c[i/64] |= 1 << (i % 64)
	}
}
