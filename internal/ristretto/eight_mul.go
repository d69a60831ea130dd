package ristretto

import (
	"sync"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// batch is how many groups of eight share an inversion.
const batch = 16

// scratch is what one call works in: on the heap, where Go aligns it to cache
// lines. Calls take it in turns, so that they leave nothing for the garbage
// collector, and clear it, since it held secrets.
type scratch struct {
	pair    [2]points
	term    points
	cached  cached
	table   [8]cached
	affine  affine
	digits  [64][width]int64
	twice   [batch]doubledEight
	inverse [batch]lanes
	before  [batch]lanes
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func newScratch() *scratch { return scratches.Get().(*scratch) }

// done ends the use of w.
func (w *scratch) done() {
	*w = scratch{}
	scratches.Put(w)
}

// set sets c to p: one multiplication.
func (c *cached) set(p *points) {
	c.yPlusX.add(&p.y, &p.x)
	c.yMinusX.sub(&p.y, &p.x)
	c.t2d.mul(&p.t, &lanes2D)
	c.z2.add(&p.z, &p.z)
}

// set sets a to p, but for Z.
func (a *affine) set(p *points) {
	a.yPlusX.add(&p.y, &p.x)
	a.yMinusX.sub(&p.y, &p.x)
	a.t2d.mul(&p.t, &lanes2D)
}

func (p *points) setIdentity() { *p = points{x: zeros, y: ones, z: ones, t: zeros} }

// recode sets the digits of lane l to those of s: s = Σ 16^i·digits[i], each
// between −8 and 7 but the last, which is between 0 and 2.
func (w *scratch) recode(l int, s *Scalar) {
	b := s.Bytes()
	carry := int64(0)
	for i := range w.digits {
		d := int64(b[i/2]>>(4*(i%2))&15) + carry
		if i == len(w.digits)-1 {
			w.digits[i][l] = d
			return
		}
		carry = (d + 8) >> 4
		w.digits[i][l] = d - carry<<4
	}
}

func (w *scratch) recodeAll(s *Scalar) {
	for l := range width {
		w.recode(l, s)
	}
}

// ladder multiplies p by the scalars whose digits are in w: 252 doublings, and
// an addition for each of the 64 digits.
func (w *scratch) ladder(p *points) {
	multiple := &w.pair[1]
	*multiple = *p
	w.table[0].set(p)
	for j := 1; j < len(w.table); j++ {
		multiple.add(&w.table[0])
		w.table[j].set(multiple)
	}
	p.setIdentity()
	for i := len(w.digits) - 1; ; i-- {
		w.cached.pick(&w.table, &w.digits[i])
		p.add(&w.cached)
		if i == 0 {
			return
		}
		p.double(4)
	}
}

// mulEight sets product[i] to k·p[i].
func mulEight(product, p []edwards25519.ExtendedPoint, k *Scalar) {
	w := newScratch()
	defer w.done()
	w.recodeAll(k)
	for lo := 0; lo < len(p); lo += width {
		at := places(lo, len(p))
		w.pair[0].gather(p, &at)
		w.ladder(&w.pair[0])
		w.pair[0].scatter(product, &at)
	}
}

// addEight sets sum[i] to p[i] + q[i].
func addEight(sum, p, q []edwards25519.ExtendedPoint) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(p); lo += width {
		at := places(lo, len(p))
		w.pair[0].gather(p, &at)
		w.pair[1].gather(q, &at)
		w.cached.set(&w.pair[1])
		w.pair[0].add(&w.cached)
		w.pair[0].scatter(sum, &at)
	}
}

// mulBaseEight sets product[i] to r[i]·B.
func mulBaseEight(product []edwards25519.ExtendedPoint, b *Base, r []Scalar) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(r); lo += width {
		at := places(lo, len(r))
		w.mulBase(&w.pair[0], b, r, &at)
		w.pair[0].scatter(product, &at)
	}
}

// A signed tells whether multiples of a base are added or subtracted.
type signed bool

const (
	plus  signed = false
	minus signed = true
)

// addMulBaseEight sets sum[i] to p[i] ± r[i]·B.
func addMulBaseEight(sum, p []edwards25519.ExtendedPoint, sign signed, b *Base, r []Scalar) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(r); lo += width {
		at := places(lo, len(r))
		w.addMulBase(&w.pair[0], p, sign, b, r, &at)
		w.pair[0].scatter(sum, &at)
	}
}

// addMulBaseEncodeEight sets dst[i] to the encoding of p[i] ± r[i]·B.
func addMulBaseEncodeEight(dst [][32]byte, p []edwards25519.ExtendedPoint, sign signed, b *Base, r []Scalar) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(r); lo += 2 * width {
		at := [2][width]int64{places(lo, len(r)), places(lo+width, len(r))}
		for h := range at {
			w.addMulBase(&w.pair[h], p, sign, b, r, &at[h])
		}
		encodeTwo(dst, &w.pair, &at)
	}
}

// addMulBase sets z to p[at[l]] ± r[at[l]]·B.
func (w *scratch) addMulBase(z *points, p []edwards25519.ExtendedPoint, sign signed, b *Base, r []Scalar, at *[width]int64) {
	w.mulBase(z, b, r, at)
	if sign == minus {
		z.negate()
	}
	w.term.gather(p, at)
	w.cached.set(&w.term)
	z.add(&w.cached)
}

func (p *points) negate() {
	p.x.sub(&zeros, &p.x)
	p.t.sub(&zeros, &p.t)
}

// mulBase sets p to r[at[l]]·B, in the order of go-ristretto's table:
// r = 16·Σ 256^j·odd_j + Σ 256^j·even_j.
func (w *scratch) mulBase(p *points, b *Base, r []Scalar, at *[width]int64) {
	for l, i := range at {
		w.recode(l, &r[i])
	}
	p.setIdentity()
	for j := range b.rows {
		w.affine.pick(&b.rows[j], &w.digits[2*j+1])
		p.addAffine(&w.affine)
	}
	p.double(4)
	for j := range b.rows {
		w.affine.pick(&b.rows[j], &w.digits[2*j])
		p.addAffine(&w.affine)
	}
}

// mulEncodeEight sets dst[i] to the encoding of 2·(k·p[i]): encode.go says why.
func mulEncodeEight(dst [][32]byte, p []edwards25519.ExtendedPoint, k *Scalar) {
	w := newScratch()
	defer w.done()
	w.recodeAll(k)
	for lo := 0; lo < len(p); lo += batch * width {
		n := min((len(p)-lo+width-1)/width, batch)
		for g := range n {
			at := places(lo+g*width, len(p))
			w.pair[0].gather(p, &at)
			w.ladder(&w.pair[0])
			w.twice[g].set(&w.pair[0])
			w.inverse[g].mul(&w.twice[g].eg, &w.twice[g].fh)
		}
		w.invert(n)
		for g := range n {
			at := places(lo+g*width, len(p))
			w.twice[g].encode(dst, &w.inverse[g], &at)
		}
	}
}

// invert inverts the first n of w.inverse with one inversion (Montgomery's
// trick), each lane on its own. Zeros stay: each stands aside as a one.
func (w *scratch) invert(n int) {
	var isZero [batch]mask
	acc := ones
	for g := range n {
		x := &w.inverse[g]
		isZero[g] = x.isZero()
		x.choose(&ones, x, &isZero[g])
		w.before[g] = acc
		acc.mul(&acc, x)
	}
	acc.invert(&acc)
	for g := n - 1; g >= 0; g-- {
		x := &w.inverse[g]
		w.before[g].mul(&w.before[g], &acc)
		acc.mul(&acc, x)
		x.choose(&zeros, &w.before[g], &isZero[g])
	}
}

// invert sets z to x^(p − 2); p − 2 is 2^5·(2^250 − 1) + 11.
func (z *lanes) invert(x *lanes) {
	t, x11 := pow250(&[2]lanes{*x, ones})
	t[0].square(&t[0], 5)
	z.mul(&t[0], &x11[0])
}

// doubledEight is doubled of encode.go in lanes.
type doubledEight struct{ e, f, g, h, eg, fh lanes }

// set sets d to 2Q:
//
//	E = 2·X·Y    F = Y² − X²    G = Y² + X²    H = 2·Z² − F
func (d *doubledEight) set(q *points) {
	var xx, yy lanes
	xx.square(&q.x, 1)
	yy.square(&q.y, 1)
	d.e.mul(&q.x, &q.y)
	d.e.add(&d.e, &d.e)
	d.f.sub(&yy, &xx)
	d.g.add(&yy, &xx)
	d.h.square(&q.z, 1)
	d.h.add(&d.h, &d.h)
	d.h.sub(&d.h, &d.f)
	d.eg.mul(&d.e, &d.g)
	d.fh.mul(&d.f, &d.h)
}

// encode is doubled.encode of encode.go, which proves it, line for line.
func (d *doubledEight) encode(dst [][32]byte, inv *lanes, at *[width]int64) {
	var zInv, tInv, tz, xz, a, b, ie, s lanes
	zInv.mul(&d.eg, inv)
	tInv.mul(&d.fh, inv)
	ie.mul(&d.e, &lanesSqrtM1)
	s.mul(&d.f, &lanesSqrtM1)

	// rotate = IS_NEGATIVE(t0 * z_inv)
	tz.mul(&d.eg, &zInv)
	rotate := tz.isNegative()

	// x = CT_SELECT(iy0 IF rotate ELSE x0)
	// y = CT_SELECT(ix0 IF rotate ELSE y0)
	// y = CT_SELECT(-y IF IS_NEGATIVE(x * z_inv) ELSE y)
	a.choose(&s, &d.h, &rotate)
	b.choose(&d.g, &d.e, &rotate)
	xz.mul(&a, &b)
	xz.mul(&xz, &zInv)
	negative := xz.isNegative()
	b.choose(&ie, &d.g, &rotate)
	b.negateIf(&b, &negative)

	// s = CT_ABS(den_inv * (z - y))
	a.choose(&d.f, &d.h, &rotate)
	s.sub(&a, &b)
	a.choose(&d.e, &d.g, &rotate)
	s.mul(&s, &a)
	a.choose(&ones, &lanesInvSqrtAMinusD, &rotate)
	s.mul(&s, &a)
	s.mul(&s, &tInv)
	s.abs(&s)
	s.encode(dst, at)
}
