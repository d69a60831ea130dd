package ristretto

import (
	"fmt"
	"math/big"
	"testing"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// under runs f with the switches so set.
func under(e, i bool, f func()) {
	defer func(e, i bool) { eight, ifma = e, i }(eight, ifma)
	eight, ifma = e, i
	f()
}

// portably runs f one element at a time, on go-ristretto alone.
func portably(f func()) { under(false, false, f) }

// TestEightIsOne compares every operation on eight elements at a time with the
// same on one, byte for byte.
func TestEightIsOne(t *testing.T) {
	ops := map[string]func(v, w *Vector, b *Base, r []Scalar, u [][64]byte) [][32]byte{
		"FromUniform": func(_, _ *Vector, _ *Base, _ []Scalar, u [][64]byte) [][32]byte { return encode(FromUniform(u)) },
		"Encode":      func(v, _ *Vector, _ *Base, _ []Scalar, _ [][64]byte) [][32]byte { return encode(v) },
		"Add":         func(v, w *Vector, _ *Base, _ []Scalar, _ [][64]byte) [][32]byte { return encode(v.Add(w)) },
		"Mul":         func(v, _ *Vector, _ *Base, r []Scalar, _ [][64]byte) [][32]byte { return encode(v.Mul(&r[0])) },
		"MulEncode": func(v, _ *Vector, _ *Base, r []Scalar, _ [][64]byte) [][32]byte {
			out := make([][32]byte, v.Len())
			v.MulEncode(out, &r[0])
			return out
		},
		"Base.Mul": func(v, _ *Vector, b *Base, r []Scalar, _ [][64]byte) [][32]byte { return encode(b.Mul(r[:v.Len()])) },
		"Generator": func(v, _ *Vector, _ *Base, r []Scalar, _ [][64]byte) [][32]byte {
			return encode(Generator().Mul(r[:v.Len()]))
		},
		"AddMulBase": func(v, _ *Vector, b *Base, r []Scalar, _ [][64]byte) [][32]byte {
			return encode(v.AddMulBase(b, r[:v.Len()]))
		},
		"SubMulBase": func(v, _ *Vector, b *Base, r []Scalar, _ [][64]byte) [][32]byte {
			return encode(v.SubMulBase(b, r[:v.Len()]))
		},
		"AddMulBaseEncode": func(v, _ *Vector, b *Base, r []Scalar, _ [][64]byte) [][32]byte {
			out := make([][32]byte, v.Len())
			v.AddMulBaseEncode(out, b, r[:v.Len()])
			return out
		},
		"SubMulBaseEncode": func(v, _ *Vector, b *Base, r []Scalar, _ [][64]byte) [][32]byte {
			out := make([][32]byte, v.Len())
			v.SubMulBaseEncode(out, b, r[:v.Len()])
			return out
		},
		"SumVartime": func(v, _ *Vector, _ *Base, r []Scalar, _ [][64]byte) [][32]byte {
			return encode(v.SumVartime(r[:v.Len()]))
		},
	}
	check := func(t *testing.T, lengths []int, ifma bool) {
		for _, n := range lengths {
			s := newSource(byte(70 + n))
			var v, w *Vector
			var b *Base
			portably(func() {
				v, w = s.vector(n), s.vector(n)
				b, _ = s.base()
			})
			r, u := s.scalars(n+1), s.uniform(n)
			for name, op := range ops {
				var got, want [][32]byte
				portably(func() { want = op(v, w, b, r, u) })
				under(true, ifma, func() { got = op(v, w, b, r, u) })
				equalBytes(t, fmt.Sprintf("%s of %d", name, n), got, want)
			}
		}
	}
	t.Run("lanes-go", func(t *testing.T) { check(t, []int{0, 1, 7, 8, 9, 17}, false) })
	t.Run("ifma", func(t *testing.T) {
		needIFMA(t)
		check(t, append([]int{64, batch*width - 1, batch * width, batch*width + 1}, lengths...), true)
	})
}

// TestRefusedInEveryLane puts every invalid encoding into every lane, alone and
// with another behind it.
func TestRefusedInEveryLane(t *testing.T) {
	good := encode(FromUniform(newSource(80).uniform(2*width + 1)))
	bad := invalid(t)
	for n := range int64(19) { // all that are p or more
		bad = append(bad, littleEndian(new(big.Int).Add(refP, big.NewInt(n))))
	}
	high, negative := good[0], littleEndian(neg(fromLittleEndian(good[0][:])))
	high[31] |= 0x80
	bad = append(bad, high, negative)
	eachImplementation(t, func(t *testing.T) {
		for _, enc := range bad {
			for at := range good {
				batch := append([][32]byte(nil), good...)
				batch[at] = enc
				checkRefused(t, batch, at)
				checkRefused(t, batch[:at+1], at)
				batch[len(batch)-1] = enc
				checkRefused(t, batch, at)
			}
		}
	})
}

// TestInvert inverts every number of groups, with zeros at any place.
func TestInvert(t *testing.T) {
	for _, i := range []bool{false, true} {
		if i {
			needIFMA(t)
		}
		under(true, i, func() {
			s, w := newSource(81), newScratch()
			for n := 1; n <= batch; n++ {
				x := make([]lanes, n)
				for g := range x {
					if x[g] = s.lanes(); s.pick(4) == 0 {
						x[g] = zeros
					}
					w.inverse[g] = x[g]
				}
				w.invert(n)
				for g := range x {
					for l := range width {
						a, b := x[g].value(l), w.inverse[g].value(l)
						if product := mul(a, b); a.Sign() == 0 && b.Sign() != 0 || a.Sign() != 0 && product.Cmp(refOne) != 0 {
							t.Fatalf("1/%d = %d, in group %d of %d", a, b, g, n)
						}
					}
				}
			}
		})
	}
}

// TestScratchIsCleared: what a call has computed with, the next can't see.
func TestScratchIsCleared(t *testing.T) {
	s := newSource(82)
	v, r, out := s.vector(20), s.scalars(20), make([][32]byte, 20)
	under(true, false, func() {
		for range 4 { // whichever scratch a call gets
			v.MulEncode(out, &r[0])
			v.AddMulBaseEncode(out, Generator(), r)
			w := newScratch()
			if *w != (scratch{}) {
				t.Fatal("a scratch still holds what was computed in it")
			}
			w.digits[3][5] = 1
			w.done()
		}
	})
}

// TestPlaces checks that no point outside of a slice can be asked for.
func TestPlaces(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		v, p := newVector(5).p, new(points)
		for _, i := range []int64{-1, 5, 1 << 40} {
			for name, misuse := range map[string]func(){
				"gather":  func() { p.gather(v, &[width]int64{0, 1, 2, 3, 4, i}) },
				"scatter": func() { p.scatter(v, &[width]int64{0, 1, 2, 3, 4, i}) },
				"empty":   func() { p.gather([]edwards25519.ExtendedPoint(nil), &[width]int64{}) },
			} {
				func() {
					defer func() {
						if recover() == nil {
							t.Errorf("%s of point %d: no panic", name, i)
						}
					}()
					misuse()
				}()
			}
		}
	})
	if at := places(8, 11); at != [width]int64{8, 9, 10, 10, 10, 10, 10, 10} {
		t.Errorf("places(8, 11) = %d", at)
	}
}
