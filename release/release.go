// Package release decides which count of matched accounts may leave the
// platform, and with how much noise (PROTOCOL.md §8.4).
//
// A count is released only if the true count reaches a threshold and the noised
// count clears a margin above it. Together with noise from the discrete Laplace
// law this makes one release (ε, δ)-differentially private per account. Several
// releases add up: the caller keeps the ledger and charges it first.
package release

import (
	"fmt"
	"math"
	"math/bits"
)

// Bounds of Params. They leave the exact integers of the sampler far from
// overflow and refuse settings that would only look like protection.
const (
	MaxTau         = 1_000_000_000 // accounts
	MaxTExtra      = 1_000_000_000 // accounts
	MaxEpsilonTerm = 1_000_000     // numerator and denominator of ε
	MaxEpsilon     = 4             // at 4 one release lifts even odds about a person to 98 %
	MinEpsilonDiv  = 1000          // ε is at least 1/1000: below that no audience clears the margin
	MinDelta       = 1e-18
	MaxDelta       = 1e-6
)

// Params are a policy's settings for a release.
type Params struct {
	Tau        uint64  // accounts below which nothing is ever released, 1 to MaxTau
	EpsilonNum uint64  // s of ε = s/t, 1 to MaxEpsilonTerm
	EpsilonDen uint64  // t of ε = s/t, 1 to MaxEpsilonTerm
	Delta      float64 // chance that a count of exactly Tau is released, MinDelta to MaxDelta
	TExtra     uint64  // T of PROTOCOL.md §8.4, accounts: MinTExtra to MaxTExtra
}

// A ParamError says which parameter Check refused, and what is allowed.
type ParamError struct {
	Param string // as the policy spells it: tau, epsilon, delta, t_extra
	Want  string // completes "must be …"
}

func (e *ParamError) Error() string { return "release: " + e.Param + " must be " + e.Want }

// Check returns a *ParamError for the first parameter out of range.
func (p Params) Check() error {
	switch {
	case p.Tau < 1 || p.Tau > MaxTau:
		return &ParamError{"tau", fmt.Sprintf("an integer from 1 to %d", MaxTau)}
	case !p.epsilonInRange():
		return &ParamError{"epsilon", fmt.Sprintf("from 1/%d to %d, in whole numbers of at most %d", MinEpsilonDiv, MaxEpsilon, MaxEpsilonTerm)}
	case !(p.Delta >= MinDelta && p.Delta <= MaxDelta): // this way round it refuses NaN
		return &ParamError{"delta", fmt.Sprintf("from %g to %g", MinDelta, MaxDelta)}
	}
	if least := MinTExtra(p.EpsilonNum, p.EpsilonDen, p.Delta); p.TExtra < least || p.TExtra > MaxTExtra {
		return &ParamError{"t_extra", fmt.Sprintf("an integer from %d, for this epsilon and delta, to %d", least, MaxTExtra)}
	}
	return nil
}

func (p Params) epsilonInRange() bool {
	s, t := p.EpsilonNum, p.EpsilonDen
	return s >= 1 && s <= MaxEpsilonTerm && t >= 1 && t <= MaxEpsilonTerm &&
		s <= MaxEpsilon*t && s*MinEpsilonDiv >= t
}

// MinTExtra returns T = 1 + ⌈ln(1/(δ·(1+e^(−ε))))/ε⌉, ε = s/t: the smallest
// margin, in accounts, with which a count of exactly τ is released with
// probability at most δ. It is the discrete law's margin; 1 − ln(2δ)/ε, known
// from Google's differential privacy library, belongs to the continuous law and
// to another sampler, and the two must not be mixed.
//
// s, t and delta must be in the ranges of Params.
func MinTExtra(s, t uint64, delta float64) uint64 {
	epsilon := float64(s) / float64(t)
	margin := (-math.Log(delta) - math.Log1p(math.Exp(-epsilon))) / epsilon
	return 1 + uint64(math.Ceil(max(margin, 0)))
}

// Smallest returns the smallest count that can ever be released: 141 under the
// default policy.
func (p Params) Smallest() uint64 { return p.Tau + p.TExtra - 1 }

// A Count is what leaves the platform. The zero Count is "suppressed".
type Count struct {
	N        uint64 // accounts, noised; 0 if suppressed
	Released bool
}

// Apply draws the noise for the number of distinct matched accounts and returns
// what may be told to the advertiser.
//
// Charge the ledger durably BEFORE calling Apply, also for what turns out to be
// suppressed, and call it once per session: store the Count and send the stored
// one again on resume, because a second draw would average the noise away.
//
// Apply panics if p does not pass Check. Its running time depends on the noise;
// the sending time must not (PROTOCOL.md §8.5).
func (p Params) Apply(accounts uint64) Count {
	if err := p.Check(); err != nil {
		panic(err)
	}
	var src source
	defer src.wipe()
	return p.apply(accounts, &src)
}

func (p Params) apply(accounts uint64, src *source) Count {
	noised := addNoise(accounts, src.discreteLaplace(p.EpsilonNum, p.EpsilonDen))
	if accounts < p.Tau || noised < p.Smallest() {
		return Count{}
	}
	return Count{N: noised, Released: true}
}

// addNoise returns accounts + noise, kept within uint64. Clamping looks at the
// noised value only, so it costs no privacy.
func addNoise(accounts uint64, noise int64) uint64 {
	if noise < 0 {
		less, borrow := bits.Sub64(accounts, -uint64(noise), 0)
		if borrow == 1 {
			return 0
		}
		return less
	}
	more, carry := bits.Add64(accounts, uint64(noise), 0)
	if carry == 1 {
		return math.MaxUint64
	}
	return more
}
