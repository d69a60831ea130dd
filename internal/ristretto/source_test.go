package ristretto

import (
	"math/big"
	"math/rand/v2"
)

// lengths are the batches that the laws are tested on: the small ones, those
// around the inversion's span and, in eight lanes, around one; and a large one.
var lengths = func() (n []int) {
	for i := range 18 {
		n = append(n, i)
	}
	return append(n, span-1, span, span+1, 300)
}()

// edges are the scalars at which reductions, signed digits and halving have
// their corners.
var edges = func() (s []Scalar) {
	l := func(shift uint, add int64) *big.Int {
		n := new(big.Int).Add(refL, big.NewInt(add))
		return n.Rsh(n, shift)
	}
	for _, n := range []*big.Int{
		big.NewInt(0), big.NewInt(1), big.NewInt(2), big.NewInt(8), big.NewInt(9),
		l(0, -1), l(0, -2), l(1, -1), l(1, 1), // −1, −2, (ℓ−1)/2, (ℓ+1)/2
		new(big.Int).Lsh(refOne, 252),
		new(big.Int).Sub(new(big.Int).Lsh(refOne, 252), refOne),
		new(big.Int).Lsh(refOne, 128),
	} {
		s = append(s, fromBig(n))
	}
	for _, b := range []byte{0xff, 0x88, 0x77, 0x0f, 0xf0, 0xaa, 0x55, 0x08} {
		var wide [64]byte
		for i := range wide {
			wide[i] = b
		}
		s = append(s, ScalarFromUniform(&wide)) // reduced from 512 bits
		clear(wide[31:])
		s = append(s, ScalarFromUniform(&wide)) // the pattern itself, in 248 bits
	}
	return s
}()

func fromBig(n *big.Int) Scalar {
	b := littleEndian(new(big.Int).Mod(n, refL))
	s, err := ScalarFromCanonical(&b)
	if err != nil {
		panic(err)
	}
	return s
}

// source makes test values, half of them from the edges, the same in every run.
type source struct{ r *rand.ChaCha8 }

func newSource(seed byte) source { return source{rand.NewChaCha8([32]byte{seed})} }

// pick returns a number below n.
func (s source) pick(n int) int { return int(s.r.Uint64() % uint64(n)) }

func (s source) uniform(n int) [][64]byte {
	u := make([][64]byte, n)
	for i := range u {
		s.r.Read(u[i][:])
	}
	return u
}

func (s source) scalar() Scalar { return s.scalars(1)[0] }

func (s source) scalars(n int) []Scalar {
	out := make([]Scalar, n)
	for i, u := range s.uniform(n) {
		out[i] = ScalarFromUniform(&u)
		if s.pick(2) == 0 {
			out[i] = edges[s.pick(len(edges))]
		}
	}
	return out
}

// vector returns n elements: random ones and, one time in four, a multiple of
// the generator by an edge scalar, so that the identity, ±G and repetitions are
// among them.
func (s source) vector(n int) *Vector {
	v := new(Vector)
	for _, u := range s.uniform(n) {
		if s.pick(4) == 0 {
			v.Append(Generator().Mul(edges[s.pick(len(edges)):][:1]))
		} else {
			v.Append(FromUniform([][64]byte{u}))
		}
	}
	return v
}

// base returns the table of a random element.
func (s source) base() (*Base, [32]byte) {
	enc := encode(FromUniform(s.uniform(1)))[0]
	b, err := NewBase(&enc)
	if err != nil {
		panic(err)
	}
	return b, enc
}
