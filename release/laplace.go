package release

import (
	"crypto/rand"
	"encoding/binary"
	"io"
	"math/bits"
)

// A source draws exact samples from random bytes: no floating point, so no gap
// between the law on paper and the law in the machine (Mironov 2012). The
// sampler is that of Canonne, Kamath and Steinke 2020, "The Discrete Gaussian
// for Differential Privacy", as written in PROTOCOL.md §8.4.
//
// Bounds: s, t ≤ MaxEpsilonTerm < 2^20. The loops over K and V pass k steps
// with probability 1/k! and e^-k, so both stay far below 2^20, and every
// product below 2^40.
type source struct {
	reader io.Reader // nil: crypto/rand; tests set it
	buffer [512]byte
	unread int // bytes at the end of buffer not handed out yet
}

// uint64 returns 64 random bits. It panics if the source fails: without
// randomness there is no release.
func (src *source) uint64() uint64 {
	if src.unread < 8 {
		src.fill()
	}
	v := binary.BigEndian.Uint64(src.buffer[len(src.buffer)-src.unread:])
	src.unread -= 8
	return v
}

func (src *source) fill() {
	reader := src.reader
	if reader == nil {
		reader = rand.Reader
	}
	if _, err := io.ReadFull(reader, src.buffer[:]); err != nil {
		panic("release: no randomness")
	}
	src.unread = len(src.buffer)
}

// wipe overwrites the buffered randomness: it would give the noise away.
func (src *source) wipe() {
	clear(src.buffer[:])
	src.unread = 0
}

// below returns a uniform number in {0..n−1}, by rejection; n ≥ 1.
func (src *source) below(n uint64) uint64 {
	mask := uint64(1)<<bits.Len64(n-1) - 1
	for {
		if v := src.uint64() & mask; v < n {
			return v
		}
	}
}

// bernoulli is true with probability a/b; b ≥ 1.
func (src *source) bernoulli(a, b uint64) bool { return src.below(b) < a }

// bernoulliExp is true with probability e^(−a/b); 0 ≤ a ≤ b, b ≥ 1. K is
// reached with probability (a/b)^(K−1)/(K−1)!, so "K odd" sums to the
// exponential's series.
func (src *source) bernoulliExp(a, b uint64) bool {
	k := uint64(1)
	for src.bernoulli(a, b*k) {
		k++
	}
	return k%2 == 1
}

// discreteLaplace returns z with probability (1−p)/(1+p)·p^|z|, p = e^(−ε),
// ε = s/t.
func (src *source) discreteLaplace(s, t uint64) int64 {
	for {
		u := src.below(t)
		if !src.bernoulliExp(u, t) {
			continue
		}
		v := uint64(0)
		for src.bernoulliExp(1, 1) {
			v++
		}
		y := (u + t*v) / s
		negative := src.below(2) == 1
		if negative && y == 0 {
			continue // 0 has one sign only, or it would come up twice as often
		}
		if negative {
			return -int64(y)
		}
		return int64(y)
	}
}
