package release

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// standard is the default policy's release (PROTOCOL.md §15).
var standard = Params{Tau: 100, EpsilonNum: 1, EpsilonDen: 2, Delta: 1e-9, TExtra: 42}

// tail returns the probability that discrete Laplace noise of the given ε is at
// least m, m ≥ 1.
func tail(epsilon float64, m uint64) float64 {
	p := math.Exp(-epsilon)
	return math.Pow(p, float64(m)) / (1 + p)
}

func TestMinTExtra(t *testing.T) {
	for _, c := range []struct {
		s, t  uint64
		delta float64
		want  uint64
	}{
		{1, 2, 1e-9, 42}, // PROTOCOL.md §8.4
		{2, 4, 1e-9, 42},
		{1, 10, 1e-9, 202},
		{1, 1, 1e-9, 22},
		{1, 1000, 1e-18, 40755},
		{1, 1, 1, 1},    // nothing to hide: no margin below 1
		{1, 10, 0.9, 1}, // δ(1+e^(−ε)) > 1
	} {
		if got := MinTExtra(c.s, c.t, c.delta); got != c.want {
			t.Errorf("MinTExtra(%d, %d, %g) = %d, want %d", c.s, c.t, c.delta, got, c.want)
		}
	}
}

// The margin is exactly as large as (ε, δ) needs: with T a raw count of τ gets
// out with probability at most δ, with T−1 more often.
func TestMinTExtraIsTight(t *testing.T) {
	for _, frac := range [][2]uint64{{1, 1000}, {1, 10}, {1, 3}, {1, 2}, {2, 3}, {1, 1}, {7, 3}, {4, 1}} {
		for _, delta := range []float64{1e-18, 3e-12, 1e-9, 7e-7, 1e-6} {
			epsilon := float64(frac[0]) / float64(frac[1])
			margin := MinTExtra(frac[0], frac[1], delta) - 1
			if p := tail(epsilon, margin); p > delta*(1+1e-9) {
				t.Errorf("ε = %d/%d, δ = %g: a count of τ is released with probability %g", frac[0], frac[1], delta, p)
			}
			if p := tail(epsilon, margin-1); p < delta {
				t.Errorf("ε = %d/%d, δ = %g: margin %d is larger than needed", frac[0], frac[1], delta, margin)
			}
		}
	}
}

func TestDefaultLeaksAtThresholdAsStated(t *testing.T) {
	p := tail(0.5, standard.Smallest()-standard.Tau)
	if math.Abs(p-7.78e-10) > 0.01e-10 || p > standard.Delta {
		t.Errorf("P(release | raw = 100) = %g, want 7.78e-10", p)
	}
}

func TestSmallest(t *testing.T) {
	if got := standard.Smallest(); got != 141 {
		t.Errorf("Smallest() = %d, want 141", got)
	}
}

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Params)
		param  string // "" if accepted
	}{
		{"default", func(p *Params) {}, ""},
		{"tau 0", func(p *Params) { p.Tau = 0 }, "tau"},
		{"tau 1", func(p *Params) { p.Tau = 1 }, ""},
		{"tau max", func(p *Params) { p.Tau = MaxTau }, ""},
		{"tau over", func(p *Params) { p.Tau = MaxTau + 1 }, "tau"},
		{"tau huge", func(p *Params) { p.Tau = math.MaxUint64 }, "tau"},
		{"epsilon 0", func(p *Params) { p.EpsilonNum = 0 }, "epsilon"},
		{"epsilon 1/0", func(p *Params) { p.EpsilonDen = 0 }, "epsilon"},
		{"epsilon 4", func(p *Params) { p.EpsilonNum, p.EpsilonDen = 4, 1 }, ""},
		{"epsilon over 4", func(p *Params) { p.EpsilonNum, p.EpsilonDen = 400_001, 100_000 }, "epsilon"},
		{"epsilon 1/1000", func(p *Params) { p.EpsilonNum, p.EpsilonDen, p.TExtra = 1, 1000, 30_000 }, ""},
		{"epsilon under 1/1000", func(p *Params) { p.EpsilonNum, p.EpsilonDen, p.TExtra = 1, 1001, 30_000 }, "epsilon"},
		{"terms max", func(p *Params) { p.EpsilonNum, p.EpsilonDen = MaxEpsilonTerm, MaxEpsilonTerm }, ""},
		{"numerator over", func(p *Params) { p.EpsilonNum, p.EpsilonDen = MaxEpsilonTerm+1, MaxEpsilonTerm }, "epsilon"},
		{"denominator over", func(p *Params) { p.EpsilonNum, p.EpsilonDen = MaxEpsilonTerm, MaxEpsilonTerm+1 }, "epsilon"},
		{"terms overflow", func(p *Params) { p.EpsilonNum, p.EpsilonDen = math.MaxUint64, math.MaxUint64 }, "epsilon"},
		{"delta 0", func(p *Params) { p.Delta = 0 }, "delta"},
		{"delta negative", func(p *Params) { p.Delta = -1e-9 }, "delta"},
		{"delta NaN", func(p *Params) { p.Delta = math.NaN() }, "delta"},
		{"delta infinite", func(p *Params) { p.Delta = math.Inf(1) }, "delta"},
		{"delta min", func(p *Params) { p.Delta, p.TExtra = MinDelta, 100 }, ""},
		{"delta under", func(p *Params) { p.Delta, p.TExtra = MinDelta/2, 100 }, "delta"},
		{"delta max", func(p *Params) { p.Delta = MaxDelta }, ""},
		{"delta over", func(p *Params) { p.Delta = MaxDelta * 2 }, "delta"},
		{"t_extra one less", func(p *Params) { p.TExtra = 41 }, "t_extra"},
		{"t_extra of another epsilon", func(p *Params) { p.EpsilonDen = 10 }, "t_extra"},
		{"t_extra 0", func(p *Params) { p.TExtra = 0 }, "t_extra"},
		{"t_extra max", func(p *Params) { p.TExtra = MaxTExtra }, ""},
		{"t_extra over", func(p *Params) { p.TExtra = MaxTExtra + 1 }, "t_extra"},
	} {
		p := standard
		c.change(&p)
		err := p.Check()
		var refused *ParamError
		switch {
		case c.param == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.param != "" && (!errors.As(err, &refused) || refused.Param != c.param):
			t.Errorf("%s: error %v, want one about %s", c.name, err, c.param)
		}
	}
}

func TestCheckNamesTheMarginNeeded(t *testing.T) {
	p := standard
	p.EpsilonDen = 10
	const want = "release: t_extra must be an integer from 202, for this epsilon and delta, to 1000000000"
	if err := p.Check(); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// With the noise dictated, the decision is exact at every edge.
func TestDecision(t *testing.T) {
	for _, c := range []struct {
		accounts uint64
		noise    int64
		want     Count
	}{
		{100, 40, Count{}},
		{100, 41, Count{141, true}},
		{100, 42, Count{142, true}},
		{141, 0, Count{141, true}},
		{141, -1, Count{}},
		{142, -1, Count{141, true}},
		{5000, -7, Count{4993, true}},
		{99, 42, Count{}}, // below τ nothing helps
		{99, 20_000, Count{}},
		{0, 20_000, Count{}},
		{0, -3, Count{}}, // no wrap below 0
		{100, -101, Count{}},
		{math.MaxUint64, 0, Count{math.MaxUint64, true}},
		{math.MaxUint64, 5, Count{math.MaxUint64, true}}, // no wrap past 2^64
		{math.MaxUint64, -5, Count{math.MaxUint64 - 5, true}},
	} {
		src := script(t, wordsFor(c.noise)...)
		if got := standard.apply(c.accounts, src); got != c.want {
			t.Errorf("%d accounts, noise %d: %+v, want %+v", c.accounts, c.noise, got, c.want)
		}
		allRead(t, src)
	}
}

// Nothing below 141 gets out, and nothing at all from a raw count below τ.
func TestNothingSmallIsReleased(t *testing.T) {
	src := seeded(1)
	released := 0
	for i := range uint64(100_000) {
		accounts := i % 301
		switch c := standard.apply(accounts, src); {
		case !c.Released && c.N != 0:
			t.Fatal("a suppressed count has a value")
		case c.Released && (accounts < 100 || c.N < 141):
			t.Fatalf("raw count %d was released as %d", accounts, c.N)
		case c.Released:
			released++
		}
	}
	if released < 50_000 || released > 56_000 { // 160 of 301 raw counts are above 140
		t.Errorf("%d of 100000 released: the test saw something else than it meant to", released)
	}
}

// At raw count τ the share released is the tail beyond the margin; δ is made
// large here so that the tail is seen.
func TestReleasedAtThreshold(t *testing.T) {
	const draws, delta = 400_000, 0.01
	p := Params{Tau: 100, EpsilonNum: 1, EpsilonDen: 2, Delta: delta, TExtra: MinTExtra(1, 2, delta)}
	src := seeded(2)
	released := 0
	for range draws {
		if p.apply(100, src).Released {
			released++
		}
	}
	want := draws * tail(0.5, p.TExtra-1)
	if off := math.Abs(float64(released) - want); off > 5*math.Sqrt(want) {
		t.Errorf("%d of %d released at raw count τ, want about %.0f", released, draws, want)
	}
	if float64(released) > draws*delta {
		t.Errorf("%d of %d released at raw count τ: more than δ", released, draws)
	}
}

func TestApply(t *testing.T) {
	for range 1000 {
		if c := standard.Apply(99); c != (Count{}) {
			t.Fatalf("99 accounts gave %+v", c)
		}
		// Noise of ±100 has probability 2e-22.
		if c := standard.Apply(1000); !c.Released || c.N < 900 || c.N > 1100 {
			t.Fatalf("1000 accounts gave %+v", c)
		}
	}
}

func TestApplyDrawsFreshNoise(t *testing.T) {
	seen := map[uint64]bool{}
	for range 200 {
		seen[standard.Apply(1000).N] = true
	}
	if len(seen) < 5 {
		t.Errorf("200 releases of one count gave only %d values", len(seen))
	}
}

func TestApplyPanicsUnchecked(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the zero Params were applied")
		}
	}()
	Params{}.Apply(1000)
}

// The same draws, whatever the raw count: otherwise time and stream would tell
// whether it reached τ.
func TestDrawsDoNotDependOnCount(t *testing.T) {
	few, many := seeded(3), seeded(3)
	for range 1000 {
		standard.apply(3, few)
		standard.apply(100_000, many)
	}
	if few.uint64() != many.uint64() {
		t.Error("a suppressed release read another amount of randomness")
	}
}

func BenchmarkApply(b *testing.B) {
	for b.Loop() {
		standard.Apply(12_345)
	}
}

// seeded returns a source whose stream is the same in every run.
func seeded(seed byte) *source {
	return &source{reader: rand.NewChaCha8([32]byte{seed})}
}
