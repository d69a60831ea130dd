package ristretto

import (
	"slices"
	"sync"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// SumVartime returns the one element Σ d_i·v_i, or the identity if there are no
// elements. d has the length of v. Its time depends on both, so both must be
// public, as they are in the composites of a proof (RFC 9497 §2.2.1).
//
// This is Pippenger's bucket method. For each window of w bits, from the top,
// element i goes into the bucket of its digit, and the sum of the buckets, each
// times its digit, is found by two running sums.
func (v *Vector) SumVartime(d []Scalar) *Vector { return v.SumPartVartime(d, 0, 1) }

// SumPartVartime returns one of so many parts, counted from 0, of what SumVartime
// returns: the parts' sum. Each is about as much work and has its share of the
// windows, because sums over fewer elements would take more work for each.
func (v *Vector) SumPartVartime(d []Scalar, part, parts int) *Vector {
	mustMatch(len(v.p), len(d))
	result := newVector(1)
	sum := result.p[0].SetZero()
	if eight {
		sumEight(sum, v.p, d, part, parts)
		return result
	}
	w := window(len(d))
	kept := bucketsKept.Get().(*[]edwards25519.ExtendedPoint)
	defer bucketsKept.Put(kept)
	*kept = slices.Grow((*kept)[:0], 1<<(w-1))[:1<<(w-1)]
	buckets := *kept
	top, end := share(windows(w), part, parts)
	for pos := w * (top - 1); pos >= w*end; pos -= w {
		for range w {
			sum.Double(sum)
		}
		fill(buckets, v.p, d, pos, w)
		addWeighted(sum, buckets)
	}
	for range w * end {
		sum.Double(sum)
	}
	return result
}

// bucketsKept are buckets to be used again. Nothing in them is secret.
var bucketsKept = sync.Pool{New: func() any { return new([]edwards25519.ExtendedPoint) }}

// share returns which of n windows a part has: those below top, down to end.
func share(n, part, parts int) (top, end int) { return n - part*n/parts, n - (part+1)*n/parts }

// fill sets buckets[m−1] to the sum of the elements whose digit is m, less those
// whose digit is −m.
func fill(buckets, p []edwards25519.ExtendedPoint, d []Scalar, pos, w int) {
	for m := range buckets {
		buckets[m].SetZero()
	}
	for i := range p {
		switch m := d[i].digit(pos, w); {
		case m > 0:
			buckets[m-1].Add(&buckets[m-1], &p[i])
		case m < 0:
			buckets[-m-1].Sub(&buckets[-m-1], &p[i])
		}
	}
}

// addWeighted adds Σ m·buckets[m−1] to sum: bucket m is in the last m of the
// partial sums from the top.
func addWeighted(sum *edwards25519.ExtendedPoint, buckets []edwards25519.ExtendedPoint) {
	var partial edwards25519.ExtendedPoint
	partial.SetZero()
	for m := len(buckets) - 1; m >= 0; m-- {
		partial.Add(&partial, &buckets[m])
		sum.Add(sum, &partial)
	}
}

// digit returns the signed digit of s for the w bits from pos: by Booth's
// recoding, with bit j of s as b_j,
//
//	−2^(w−1)·b_(pos+w−1) + Σ 2^t·b_(pos+t) + b_(pos−1),   t from 0 to w−2
//
// so it is between −2^(w−1) and 2^(w−1), and needs no carry from other windows.
func (s *Scalar) digit(pos, w int) int {
	bits := uint64(s.s[0]) << 1 // from b_(pos−1) up; b_(−1) is 0
	if pos > 0 {
		word, shift := (pos-1)/32, (pos-1)%32
		bits = uint64(s.s[word])
		if word+1 < len(s.s) {
			bits |= uint64(s.s[word+1]) << 32
		}
		bits >>= shift
	}
	bits &= 1<<(w+1) - 1
	return int(bits+1)>>1 - int(bits>>w)<<w
}

// windows returns how many windows of w bits a scalar has. It is below 2^253,
// and the bit above must be in the top window for its digit not to be negative.
func windows(w int) int { return (254 + w - 1) / w }

// window returns the w that takes the fewest additions for n elements: in every
// window, one for each element and two for each bucket.
func window(n int) int {
	best := 2
	for w := 3; w <= 15; w++ {
		if windows(w)*(n+1<<w) < windows(best)*(n+1<<best) {
			best = w
		}
	}
	return best
}
