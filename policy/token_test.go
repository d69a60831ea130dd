package policy

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func TestTokenLen(t *testing.T) {
	for _, c := range []struct {
		qHat, nHat uint64
		want       int
	}{
		{0, 0, 11}, {1, 1, 11}, {1024, 1024, 11},
		{1 << 24, 1 << 24, 11},   // exactly 88 bits
		{1<<24 + 1, 1 << 24, 12}, // a little more
		{1 << 28, 1 << 28, 12},   // exactly 96
		{1 << 28, 7 << 26, 13},
		{1 << 32, 1 << 32, 13}, // exactly 104
		{1 << 40, 1 << 40, 15},
		{1 << 44, 1 << 44, 16}, // exactly 128: the largest a session table can serve
		{1<<44 + 1, 1 << 44, 17},
		{math.MaxUint64, math.MaxUint64, 21},
	} {
		if got := TokenLen(c.qHat, c.nHat); got != c.want {
			t.Errorf("TokenLen(%d, %d) = %d, want %d", c.qHat, c.nHat, got, c.want)
		}
		if got := TokenLen(c.nHat, c.qHat); got != c.want {
			t.Errorf("TokenLen(%d, %d) = %d, want %d", c.nHat, c.qHat, got, c.want)
		}
	}
}

// The bound itself, 2^(8·len) ≥ 2^40·q̂·n̂, in integers of any size.
func TestTokenLenIsTheBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(9, 9))
	for range 20_000 {
		qHat, nHat := 1+rng.Uint64()>>rng.IntN(64), 1+rng.Uint64()>>rng.IntN(64)
		if qHat == 0 || nHat == 0 {
			continue // 1 + the largest
		}
		need := new(big.Int).Mul(new(big.Int).SetUint64(qHat), new(big.Int).SetUint64(nHat))
		need.Lsh(need, 40)
		enough := func(n int) bool { return new(big.Int).Lsh(big.NewInt(1), uint(8*n)).Cmp(need) >= 0 }
		got := TokenLen(qHat, nHat)
		if !enough(got) || got > minTokenLen && enough(got-1) {
			t.Fatalf("TokenLen(%d, %d) = %d", qHat, nHat, got)
		}
	}
}

func TestCheckTokenLen(t *testing.T) {
	for _, c := range []struct {
		tokenLen   int
		qHat, nHat uint64
		published  bool
		ok         bool
	}{
		{16, 1024, 1024, false, true},
		{15, 1024, 1024, false, false}, // session tables have 16, PROTOCOL.md §9
		{17, 1024, 1024, false, false},
		{32, 1024, 1024, false, false},
		{16, 1 << 44, 1 << 44, false, true},
		{16, 1 << 44, 5 << 42, false, false},
		{10, 1024, 1024, true, false},
		{11, 1024, 1024, true, true},
		{14, 1 << 30, 1 << 30, true, true}, // 10⁹ entries
		{12, 1 << 30, 1 << 30, true, false},
		{13, 1 << 30, 1 << 30, true, true},
		{11, 1 << 24, 1 << 24, true, true},
		{11, 1 << 24, 5 << 22, true, false},
		{32, math.MaxUint64, math.MaxUint64, true, true},
		{20, math.MaxUint64, math.MaxUint64, true, false},
		{33, 1024, 1024, true, false},
		{0, 0, 0, true, false},
		{-16, 1024, 1024, true, false},
		{math.MaxInt, 1024, 1024, true, false},
	} {
		err := CheckTokenLen(c.tokenLen, c.qHat, c.nHat, c.published)
		if ok := err == nil; ok != c.ok || !ok && !errors.Is(err, ErrTokenLen) {
			t.Errorf("CheckTokenLen(%d, %d, %d, %v): %v", c.tokenLen, c.qHat, c.nHat, c.published, err)
		}
	}
}
