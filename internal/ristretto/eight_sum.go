package ristretto

import (
	"slices"
	"sync"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// summing is Pippenger's method, as in sum.go, eight times side by side: lane l
// has every eighth element from l on, and buckets of its own. Nothing here is
// secret; addresses depend on the digits.
type summing struct {
	scratch *scratch
	p       []affine // element 8·i + l in lane l of p[i]
	z2      []lanes  // and 2·Z of it; empty if every Z is 1, as in what was decoded
	d       []Scalar
	w       int // bits of a window
	// Bucket m of lane l is buckets[8·m + l]. Those of digit 0 take what doesn't
	// count.
	buckets []edwards25519.ExtendedPoint
	sum     points
}

// summings are taken in turns, as scratches are: a chunk's elements are megabytes.
var summings = sync.Pool{New: func() any { return new(summing) }}

func newSumming() *summing {
	s := summings.Get().(*summing)
	s.scratch = newScratch()
	return s
}

// done ends the use of s. Nothing in it is secret.
func (s *summing) done() {
	s.scratch.done()
	s.scratch, s.d = nil, nil
	summings.Put(s)
}

// sumEight adds a part of Σ d[i]·p[i] to sum.
func sumEight(sum *edwards25519.ExtendedPoint, p []edwards25519.ExtendedPoint, d []Scalar, part, parts int) {
	if len(p) == 0 {
		return
	}
	s := newSumming()
	defer s.done()
	groups := (len(p) + width - 1) / width
	s.d, s.w = d, window(groups)
	s.p, s.z2 = slices.Grow(s.p[:0], groups)[:groups], s.z2[:0]
	buckets := width * (1 + 1<<(s.w-1))
	s.buckets = slices.Grow(s.buckets[:0], buckets)[:buckets]
	s.load(p)
	s.sum.setIdentity()
	top, end := share(windows(s.w), part, parts)
	for pos := s.w * (top - 1); pos >= s.w*end; pos -= s.w {
		s.sum.double(s.w)
		s.fill(pos)
		s.addWeighted()
	}
	if end > 0 {
		s.sum.double(s.w * end)
	}
	lanes := newVector(width).p
	at := places(0, width)
	s.sum.scatter(lanes, &at)
	for l := range lanes {
		sum.Add(sum, &lanes[l])
	}
}

// load sets the elements. Adding one whose Z is 1 saves a multiplication in nine,
// and a fifth of the memory.
func (s *summing) load(p []edwards25519.ExtendedPoint) {
	q := &s.scratch.pair[0]
	decoded := true
	for i := range s.p {
		at := places(i*width, len(p))
		q.gather(p, &at)
		s.p[i].set(q)
		decoded = decoded && q.z == ones
	}
	if decoded {
		return
	}
	s.z2 = slices.Grow(s.z2, len(s.p))[:len(s.p)]
	for i := range s.z2 {
		at := places(i*width, len(p))
		q.gather(p, &at)
		s.z2[i].add(&q.z, &q.z)
	}
}

// add adds the elements of a group to the buckets that at says, negated in the
// lanes of negative.
func (s *summing) add(group int, negative *mask, at *[width]int64) {
	bucket, q := &s.scratch.pair[0], &s.scratch.affine
	q.negateIf(&s.p[group], negative)
	bucket.gather(s.buckets, at)
	if len(s.z2) == 0 {
		bucket.addAffine(q)
	} else {
		s.scratch.cached = cached{q.yPlusX, q.yMinusX, q.t2d, s.z2[group]}
		bucket.add(&s.scratch.cached)
	}
	bucket.scatter(s.buckets, at)
}

// fill adds every element to the bucket of its digit.
func (s *summing) fill(pos int) {
	for m := range s.buckets {
		s.buckets[m].SetZero()
	}
	for i := range s.p {
		var at [width]int64
		var negative mask
		for l := range min(width, len(s.d)-i*width) {
			m := int64(s.d[i*width+l].digit(pos, s.w))
			sign := m >> 63
			negative[l] = uint64(sign)
			at[l] = (m ^ sign) - sign
		}
		for l := range at {
			at[l] = width*at[l] + int64(l)
		}
		s.add(i, &negative, &at)
	}
}

// addWeighted adds Σ m·bucket m to the sum, in each lane.
func (s *summing) addWeighted() {
	partial, bucket, c := &s.scratch.pair[0], &s.scratch.pair[1], &s.scratch.cached
	partial.setIdentity()
	for m := len(s.buckets)/width - 1; m > 0; m-- {
		at := places(m*width, len(s.buckets))
		bucket.gather(s.buckets, &at)
		c.set(bucket)
		partial.add(c)
		c.set(partial)
		s.sum.add(c)
	}
}
