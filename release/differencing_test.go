package release

import (
	"fmt"
	"math"
	"testing"
)

// TestAttackDifferencing: two lists that differ by one person, counted again and
// again. Whoever sees k released counts tells the lists apart no better than
// (ε, δ) promises: for any rule of guessing, the chance to say "with" rightly
// exceeds that to say it wrongly by at most (e^(kε) − 1 + 2kδ)/(e^(kε) + 1), and
// each of them is at most e^(kε) times the other, and kδ.
//
// The rule tried is every threshold on the sum of the counts, a suppressed one
// being 0: the best there is where all are released.
func TestAttackDifferencing(t *testing.T) {
	const runs = 10_000
	seed := byte(60)
	for _, k := range []int{1, 4} {
		for _, with := range []uint64{1, 99, 100, 101, 120, 141, 142, 200, 5000} {
			seed += 2
			a := attackSums(standard, with, k, runs, seed)
			b := attackSums(standard, with-1, k, runs, seed+1)
			if problem := beyond(a, b, runs, float64(k)*standard.epsilon(), float64(k)*standard.Delta); problem != "" {
				t.Errorf("%d against %d accounts, %d counts: %s", with, with-1, k, problem)
			}
		}
	}
	// The test would see a release that keeps less than it promises.
	loose := standard
	loose.EpsilonNum, loose.EpsilonDen = 2, 1
	a, b := attackSums(loose, 200, 1, runs, 1), attackSums(loose, 199, 1, runs, 2)
	if beyond(a, b, runs, standard.epsilon(), standard.Delta) == "" {
		t.Error("a release with ε = 2 passes for one with ε = 1/2")
	}
	if problem := beyond(a, b, runs, loose.epsilon(), loose.Delta); problem != "" {
		t.Errorf("ε = 2: %s", problem)
	}
}

func (p Params) epsilon() float64 { return float64(p.EpsilonNum) / float64(p.EpsilonDen) }

// attackSums returns how often the sum of k counts of so many accounts is which.
func attackSums(p Params, accounts uint64, k, runs int, seed byte) map[uint64]int {
	src, sums := seeded(seed), map[uint64]int{}
	for range runs {
		sum := uint64(0)
		for range k {
			sum += p.apply(accounts, src).N
		}
		sums[sum]++
	}
	return sums
}

// beyond says which threshold tells a from b better than (ε, δ) allows, or "". The
// margin is for the runs: of the empirical law of n draws no threshold is off by
// √(ln(2/α)/2n) but with probability α, here 10⁻⁹ (Dvoretzky, Kiefer, Wolfowitz;
// Massart's constant).
func beyond(a, b map[uint64]int, runs int, epsilon, delta float64) string {
	margin := math.Sqrt(math.Log(2/1e-9) / (2 * float64(runs)))
	grown := math.Exp(epsilon)
	advantage := (grown - 1 + 2*delta) / (grown + 1)
	for _, thresholds := range []map[uint64]int{a, b} {
		for at := range thresholds {
			x, y := above(a, at, runs), above(b, at, runs)
			if math.Abs(x-y) > advantage+2*margin {
				return fmt.Sprintf("from %d on: an advantage of %.3f, allowed are %.3f", at, math.Abs(x-y), advantage)
			}
			for _, pair := range [][2]float64{{x, y}, {y, x}, {1 - x, 1 - y}, {1 - y, 1 - x}} {
				if pair[0] > grown*pair[1]+delta+(1+grown)*margin {
					return fmt.Sprintf("from %d on: probabilities %.3f and %.3f", at, pair[0], pair[1])
				}
			}
		}
	}
	return ""
}

// above is how often a sum is at least at.
func above(sums map[uint64]int, at uint64, runs int) float64 {
	n := 0
	for sum, times := range sums {
		if sum >= at {
			n += times
		}
	}
	return float64(n) / float64(runs)
}
