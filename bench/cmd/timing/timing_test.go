package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestWelch against values computed by hand: means 2 and 5, variances 1 and 4.
func TestWelch(t *testing.T) {
	var a, b moments
	for _, x := range []float64{1, 2, 3} {
		a.add(x)
	}
	for _, x := range []float64{3, 3, 7, 7, 5} {
		b.add(x)
	}
	if got, want := welch(&a, &b), -3/math.Sqrt(1./3+4./5); math.Abs(got-want) > 1e-12 {
		t.Errorf("t = %v, want %v", got, want)
	}
	if got := welch(&a, &a); got != 0 {
		t.Errorf("t of the same = %v", got)
	}
	if got := welch(&a, &moments{}); got != 0 {
		t.Errorf("t of nothing = %v", got)
	}
	one, two := moments{2, 1, 0}, moments{2, 2, 0}
	if got := welch(&two, &one); !math.IsInf(got, 1) {
		t.Errorf("t of constants that differ = %v", got)
	}
}

// timings draws timings with long tails, of which the fixed kind's are longer by
// so many nanoseconds.
func timings(longer float64) []sample {
	rng := rand.New(rand.NewPCG(1, 2))
	s := make([]sample, 20_000)
	for i := range s {
		fixed := rng.IntN(2) == 0
		ns := 1000 + 10*rng.NormFloat64()
		if rng.IntN(100) == 0 { // an interrupt
			ns += 100_000 * rng.ExpFloat64()
		}
		if fixed {
			ns += longer
		}
		s[i] = sample{fixed, ns}
	}
	return s
}

// TestJudge: a difference much smaller than an interrupt is found when those are
// cut off, and no other is.
func TestJudge(t *testing.T) {
	for longer, want := range map[float64]string{0: "none found", 2: "DIFFERENT", -2: "DIFFERENT"} {
		m := judge(timings(longer))
		if verdict(m.max) != want {
			t.Errorf("longer by %v: max |t| = %v, want %s", longer, m.max, want)
		}
		if math.Abs(m.t) > silent {
			t.Errorf("longer by %v: t of all = %v: the tail should hide it", longer, m.t)
		}
		if m.visible < 0.5 || m.visible > 2 { // 10·√(2·10²/10⁴), and less for what is cut off
			t.Errorf("longer by %v: %v ns would be visible", longer, m.visible)
		}
		if m.fixed+m.random != 20_000 || m.fixed < 9_000 || m.random < 9_000 {
			t.Errorf("%d + %d samples", m.fixed, m.random)
		}
	}
	if m := judge(nil); m.max != 0 {
		t.Errorf("max |t| of nothing = %v", m.max)
	}
}

// TestControls: the harness sees time that depends on a secret.
func TestControls(t *testing.T) {
	for _, o := range controls() {
		if !o.variable {
			continue
		}
		m := measure(o, 2000, rand.New(rand.NewPCG(3, 4)))
		if line, bad := m.line("", o); bad {
			t.Error(line)
		}
	}
}

// TestOperations: each runs, with either kind, and has what it says to compare.
func TestOperations(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range operations() {
		if name := o.name + ", " + o.fixed; seen[name] {
			t.Errorf("%s is there twice", name)
		} else {
			seen[name] = true
		}
		trial := o.prepare(rand.New(rand.NewPCG(5, 6)))
		for i, fixed := range []bool{true, false} {
			trial.set(i, fixed)
			trial.run(i)
		}
	}
}
