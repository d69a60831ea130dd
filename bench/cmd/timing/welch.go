package main

import (
	"math"
	"slices"
)

// sample is one timing, in nanoseconds.
type sample struct {
	fixed bool
	ns    float64
}

// moments accumulates a mean and a variance (Welford).
type moments struct{ n, mean, m2 float64 }

func (m *moments) add(x float64) {
	m.n++
	d := x - m.mean
	m.mean += d / m.n
	m.m2 += d * (x - m.mean)
}

func (m *moments) variance() float64 { return m.m2 / (m.n - 1) }

// spread returns the standard error of the difference of two means.
func spread(a, b *moments) float64 { return math.Sqrt(a.variance()/a.n + b.variance()/b.n) }

// welch returns t for the hypothesis that both have one mean, or 0 if there are
// too few to say. It is infinite if each kind is constant and they differ.
func welch(a, b *moments) float64 {
	if a.n < 2 || b.n < 2 || a.mean == b.mean {
		return 0
	}
	return (a.mean - b.mean) / spread(a, b)
}

// split returns the moments of both kinds, of the samples up to a limit.
func split(s []sample, limit float64) (fixed, random moments) {
	for _, x := range s {
		switch {
		case x.ns > limit:
		case x.fixed:
			fixed.add(x.ns)
		default:
			random.add(x.ns)
		}
	}
	return fixed, random
}

// measurement is what the test says of an operation.
type measurement struct {
	fixed, random         int     // samples
	meanFixed, meanRandom float64 // of the samples of the limit where max is
	t, max                float64 // of all samples; the largest |t| of any limit
	visible               float64 // nanoseconds: a difference that would be evident
}

// crops is at how many limits the slowest samples are cut off.
const crops = 20

// judge computes t of all samples, and of those up to each limit. The limits are
// dudect's: the share kept, 1 − 2^(−10·i/crops), is of both kinds together, so that
// cutting favours neither.
func judge(s []sample) measurement {
	fixed, random := split(s, math.Inf(1))
	m := measurement{fixed: int(fixed.n), random: int(random.n), t: welch(&fixed, &random)}
	m.max, m.meanFixed, m.meanRandom = math.Abs(m.t), fixed.mean, random.mean
	m.visible = leak * spread(&fixed, &random)
	sorted := make([]float64, len(s))
	for i := range s {
		sorted[i] = s[i].ns
	}
	slices.Sort(sorted)
	for i := 1; i <= crops && len(s) > 0; i++ {
		kept := 1 - math.Exp2(-10*float64(i)/crops)
		fixed, random := split(s, sorted[int(kept*float64(len(s)))])
		if t := math.Abs(welch(&fixed, &random)); t > m.max {
			m.max, m.meanFixed, m.meanRandom = t, fixed.mean, random.mean
		}
		if kept > 0.5 { // less would cut off the difference, too
			m.visible = min(m.visible, leak*spread(&fixed, &random))
		}
	}
	return m
}
