package release

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
)

// script returns a source that yields the given words and fails after them.
func script(t *testing.T, words ...uint64) *source {
	t.Helper()
	src := new(source)
	var stream []byte
	for _, w := range words {
		stream = binary.BigEndian.AppendUint64(stream, w)
	}
	// Whole buffers, the first of them already partly read.
	first := len(stream) % len(src.buffer)
	copy(src.buffer[len(src.buffer)-first:], stream)
	src.unread = first
	src.reader = bytes.NewReader(stream[first:])
	return src
}

// allRead fails the test if src has words left.
func allRead(t *testing.T, src *source) {
	t.Helper()
	if left := src.unread + src.reader.(*bytes.Reader).Len(); left != 0 {
		t.Errorf("%d bytes of the script were not read", left)
	}
}

// Words that make Bern(e^−1) true and false: K = 1 always goes on, K = 2 goes on
// with 0, K = 3 stops with 1.
var (
	expTrue  = []uint64{0, 0, 1}
	expFalse = []uint64{0, 1}
)

// wordsFor returns the words with which discreteLaplace(1, 2) yields z.
func wordsFor(z int64) []uint64 {
	y, sign := uint64(z), uint64(0)
	if z < 0 {
		y, sign = -uint64(z), 1
	}
	words := []uint64{y % 2, 1} // U, kept: K = 1 stops
	for range y / 2 {
		words = append(words, expTrue...)
	}
	return append(append(words, expFalse...), sign)
}

func TestBelowIsUniform(t *testing.T) {
	for n := uint64(1); n <= 70; n++ {
		// Every masked word once: each value must come once, in order.
		words := make([]uint64, 128)
		for i := range words {
			words[i] = uint64(i) | 0xABCD<<40 // high bits are masked off
		}
		src := script(t, words...)
		for want := range n {
			if got := src.below(n); got != want {
				t.Fatalf("below(%d) = %d, want %d", n, got, want)
			}
		}
	}
}

func TestBelowRejects(t *testing.T) {
	for _, c := range []struct {
		n     uint64
		words []uint64
		want  uint64
	}{
		{1, []uint64{math.MaxUint64}, 0},
		{2, []uint64{math.MaxUint64}, 1},
		{3, []uint64{3, 3, 7, 2}, 2}, // 3 of {0..3} is refused
		{4, []uint64{7}, 3},          // a power of two never refuses
		{5, []uint64{5, 6, 7, 4}, 4},
		{1 << 40, []uint64{math.MaxUint64}, 1<<40 - 1},
		{1<<40 + 1, []uint64{1<<41 - 1, 1<<40 + 1, 1 << 40}, 1 << 40},
		{math.MaxUint64, []uint64{math.MaxUint64, math.MaxUint64 - 1}, math.MaxUint64 - 1},
	} {
		src := script(t, c.words...)
		if got := src.below(c.n); got != c.want {
			t.Errorf("below(%d) = %d, want %d", c.n, got, c.want)
		}
		allRead(t, src)
	}
}

func TestBernoulliExpSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		a, b  uint64
		words []uint64
		want  bool
	}{
		{"a = 0 stops at K = 1 whatever comes", 0, 2, []uint64{0}, true},
		{"K = 1", 1, 2, []uint64{1}, true},
		{"K = 2", 1, 2, []uint64{0, 3}, false},
		{"K = 3", 1, 2, []uint64{0, 0, 5}, true},
		{"K = 3, after a rejection", 1, 2, []uint64{0, 0, 7, 6, 5}, true},
		{"K = 4", 1, 2, []uint64{0, 0, 0, 1}, false},
		{"a = b", 1, 1, expFalse, false},
		{"a = b, K = 3", 1, 1, expTrue, true},
	} {
		src := script(t, c.words...)
		if got := src.bernoulliExp(c.a, c.b); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		allRead(t, src)
	}
}

func TestDiscreteLaplaceSteps(t *testing.T) {
	for _, c := range []struct {
		name  string
		s, t  uint64
		words [][]uint64
		want  int64
	}{
		{"U = 0 is always kept; V = 0", 1, 2, [][]uint64{{0, 0}, expFalse, {0}}, 0},
		{"minus 0 is drawn again", 1, 2, [][]uint64{{0, 0}, expFalse, {1}, {1, 1}, expFalse, {1}}, -1},
		{"minus 0 from flooring is drawn again", 3, 2, [][]uint64{{1, 1}, expFalse, {1}, {0, 0}, expTrue, expTrue, expFalse, {1}}, -1},
		{"U = 1 refused, then kept", 1, 2, [][]uint64{{1, 0, 3}, {1, 1}, expFalse, {0}}, 1},
		{"V counts", 1, 2, [][]uint64{{1, 1}, expTrue, expTrue, expTrue, expFalse, {0}}, 7},
		{"t = 1 has U = 0 only", 1, 1, [][]uint64{{5, 0}, expTrue, expFalse, {1}}, -1},
		{"floor(5/3)", 3, 2, [][]uint64{{1, 1}, expTrue, expTrue, expFalse, {0}}, 1},
	} {
		src := script(t, slices.Concat(c.words...)...)
		if got := src.discreteLaplace(c.s, c.t); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		allRead(t, src)
	}
}

// The frequencies are those of (1−p)/(1+p)·p^|z| (chi-square, fixed stream).
func TestDiscreteLaplaceFrequencies(t *testing.T) {
	const draws = 300_000
	for i, frac := range [][2]uint64{{1, 2}, {1, 10}, {1, 1}, {3, 2}, {7, 3}, {2, 4}, {999_999, 1_000_000}} {
		s, den := frac[0], frac[1]
		p := math.Exp(-float64(s) / float64(den))
		src := seeded(byte(10 + i))
		seen := map[int64]int{}
		for range draws {
			seen[src.discreteLaplace(s, den)]++
		}
		checkFrequencies(t, s, den, seen, draws, func(z int64) float64 {
			return (1 - p) / (1 + p) * math.Pow(p, math.Abs(float64(z)))
		})
	}
}

// checkFrequencies compares counts with a law on the integers. Values expected
// fewer than 20 times go into one common cell.
func checkFrequencies(t *testing.T, s, den uint64, seen map[int64]int, draws float64, law func(int64) float64) {
	t.Helper()
	last := int64(0)
	for draws*law(last+1) >= 20 {
		last++
	}
	chi2, restSeen, restWant := 0.0, draws, draws
	for z := -last; z <= last; z++ {
		got, want := float64(seen[z]), draws*law(z)
		chi2 += (got - want) * (got - want) / want
		restSeen -= got
		restWant -= want
	}
	chi2 += (restSeen - restWant) * (restSeen - restWant) / restWant
	freedom := float64(2*last + 1)
	if chi2 > freedom+5*math.Sqrt(2*freedom) {
		t.Errorf("ε = %d/%d: chi-square %.1f with %.0f degrees of freedom", s, den, chi2, freedom)
	}
}

func TestBernoulliExpFrequencies(t *testing.T) {
	const draws = 200_000
	for i, frac := range [][2]uint64{{0, 1}, {1, 1000}, {1, 2}, {2, 3}, {99, 100}, {1, 1}} {
		src := seeded(byte(30 + i))
		hits := 0.0
		for range draws {
			if src.bernoulliExp(frac[0], frac[1]) {
				hits++
			}
		}
		p := math.Exp(-float64(frac[0]) / float64(frac[1]))
		if off := math.Abs(hits - draws*p); off > 5*math.Sqrt(draws*p*(1-p)) {
			t.Errorf("e^(−%d/%d): %.0f of %d, want about %.0f", frac[0], frac[1], hits, draws, draws*p)
		}
	}
}

func TestSourceBuffersInOrder(t *testing.T) {
	words := make([]uint64, 200) // three buffers
	for i := range words {
		words[i] = uint64(i) * 0x0101010101010101
	}
	src := script(t, words...)
	for i, want := range words {
		if got := src.uint64(); got != want {
			t.Fatalf("word %d is %x, want %x", i, got, want)
		}
	}
	allRead(t, src)
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestNoRandomnessPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("drew noise without randomness")
		}
	}()
	(&source{reader: brokenReader{}}).discreteLaplace(1, 2)
}

func TestWipe(t *testing.T) {
	src := seeded(4)
	src.uint64()
	src.wipe()
	if src.buffer != [512]byte{} || src.unread != 0 {
		t.Error("randomness is left in the buffer")
	}
}

// Whatever the random bytes, the raw count and ε: a release is never below the
// smallest, never from below τ, and a suppressed count has no value.
func FuzzApply(f *testing.F) {
	f.Add([]byte{}, uint64(0), uint64(1), uint64(2))
	f.Add(bytes.Repeat([]byte{0, 1, 0xFF}, 100), uint64(141), uint64(1), uint64(10))
	f.Add(bytes.Repeat([]byte{0x80}, 2000), uint64(math.MaxUint64), uint64(7), uint64(3))
	f.Fuzz(func(t *testing.T, stream []byte, accounts, s, den uint64) {
		p := Params{Tau: 100, EpsilonNum: s, EpsilonDen: den, Delta: 1e-9}
		if !p.epsilonInRange() {
			return
		}
		p.TExtra = MinTExtra(s, den, p.Delta)
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		src := seeded(5)
		src.unread = copy(src.buffer[:], stream) &^ 7
		copy(src.buffer[len(src.buffer)-src.unread:], src.buffer[:src.unread])
		if c := p.apply(accounts, src); c.Released && (accounts < p.Tau || c.N < p.Smallest()) || !c.Released && c.N != 0 {
			t.Errorf("%d accounts gave %+v", accounts, c)
		}
	})
}
