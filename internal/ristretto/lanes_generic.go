package ristretto

import (
	"math/bits"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// Here is what the assembly must compute, limb for limb, in Go: its
// specification, its test, and the lanes of every other machine when the tests
// ask for them. Bounds are of single limbs.

const mask52 = 1<<52 - 1

// Multiples of p = 2²⁵⁵ − 19 that are added before a subtraction. Limbs of fourP
// are above 2^52, so above a reduced one; those of bigP are above 2^59, so above
// a product's; and those of hugeP are above 2^60.9, so above bigP's and a
// product's together.
var (
	fourP = [5]uint64{(mask51 - 18) << 2, mask51 << 2, mask51 << 2, mask51 << 2, mask51 << 2}
	bigP  = [5]uint64{(mask51 - 18) << 9, mask51 << 9, mask51 << 9, mask51 << 9, mask51 << 9}
	hugeP = [5]uint64{(mask51 - 18) << 10, mask51 << 10, mask51 << 10, mask51 << 10, mask51 << 10}
)

// carry: x below 2^62; z below 2^51 + 19·2^11, less than 2^51 + 2^16.
func (z *lanes) carry(x *loose) {
	for l := range width {
		over := x[4][l] >> 51
		for i := 4; i > 0; i-- { // downwards, as z may be x
			z[i][l] = x[i][l]&mask51 + x[i-1][l]>>51
		}
		z[0][l] = x[0][l]&mask51 + 19*over
	}
}

// mul: x and y below 2^52. Columns of the product are at most
//
//	Σ lo + 2·Σ hi ≤ 5·2^52 + 5·2^51
//
// as lo, the low 52 bits, weigh 1 in their column and hi, below 2^50.01 for
// reduced limbs, weighs 2 in the next. Column 5 is the largest that is folded,
// 19 times, so z is below (1 + 19·6.5)·2^52 < 2^59.
func (z *loose) mul(x, y *lanes) {
	for l := range width {
		var column [10]uint64
		for i := range x {
			for j := range y {
				hi, lo := bits.Mul64(x[i][l]&mask52, y[j][l]&mask52)
				column[i+j] += lo & mask52
				column[i+j+1] += 2 * (hi<<12 | lo>>52)
			}
		}
		for k := range z {
			z[k][l] = column[k] + 19*column[k+5]
		}
	}
}

// add: the bounds are the caller's; a sum is below 2^62 if x and y are below 2^61.
func (z *loose) add(x, y *loose) {
	for i := range z {
		for l := range width {
			z[i][l] = x[i][l] + y[i][l]
		}
	}
}

// sub sets z to x + m − y, where no limb of y exceeds m's.
func (z *loose) sub(x, y *loose, m *[5]uint64) {
	for i := range z {
		for l := range width {
			z[i][l] = x[i][l] + m[i] - y[i][l]
		}
	}
}

func mulGeneric(z, x, y *lanes) {
	var t loose
	t.mul(x, y)
	z.carry(&t)
}

func squareGeneric(z, x *lanes, n int) {
	*z = *x
	for range n {
		mulGeneric(z, z, z)
	}
}

func squareTwoGeneric(z, x *[2]lanes, n int) {
	squareGeneric(&z[0], &x[0], n)
	squareGeneric(&z[1], &x[1], n)
}

func addGeneric(z, x, y *lanes) {
	var t loose
	t.add((*loose)(x), (*loose)(y))
	z.carry(&t)
}

func subGeneric(z, x, y *lanes) {
	var t loose
	t.sub((*loose)(x), (*loose)(y), &fourP)
	z.carry(&t)
}

func chooseGeneric(z, x, y *lanes, m *mask) {
	for i := range z {
		for l := range width {
			z[i][l] = y[i][l] ^ m[l]&(x[i][l]^y[i][l])
		}
	}
}

// canonicalGeneric: x reduced, so below 2p. It is p or more exactly if adding 19
// reaches 2²⁵⁵, and then adding 19 and dropping 2²⁵⁵ subtracts p.
func canonicalGeneric(z, x *lanes) {
	for l := range width {
		q := uint64(19)
		for i := range x {
			q = (x[i][l] + q) >> 51
		}
		q *= 19
		for i := range x {
			q += x[i][l]
			z[i][l] = q & mask51
			q >>= 51
		}
	}
}

// doubleGeneric: products are below 2^59, so F is below 2^59 + 2^60, G below 2^60,
// E below 2^59 + 2^53 and H below 2^60 + 2^61, all uncarried.
func doubleGeneric(p *points, n int) {
	for range n {
		var xx, yy, zz, ss, ff, t loose
		var e, f, g, h lanes
		xx.mul(&p.x, &p.x)
		yy.mul(&p.y, &p.y)
		zz.mul(&p.z, &p.z)
		addGeneric(&e, &p.x, &p.y)
		ss.mul(&e, &e)

		ff.sub(&yy, &xx, &bigP)
		f.carry(&ff)
		t.add(&yy, &xx)
		g.carry(&t)
		t.sub(&ss, (*loose)(&g), &fourP)
		e.carry(&t)
		t.add(&zz, &zz)
		t.sub(&t, &ff, &hugeP)
		h.carry(&t)

		mulGeneric(&p.x, &e, &h)
		mulGeneric(&p.y, &f, &g)
		mulGeneric(&p.z, &f, &h)
		mulGeneric(&p.t, &e, &g)
	}
}

func addCachedGeneric(p *points, q *cached) {
	var zz loose
	zz.mul(&p.z, &q.z2)
	addNiels(p, &q.yPlusX, &q.yMinusX, &q.t2d, &zz)
}

func addAffineGeneric(p *points, q *affine) {
	var zz loose
	zz.add((*loose)(&p.z), (*loose)(&p.z))
	addNiels(p, &q.yPlusX, &q.yMinusX, &q.t2d, &zz)
}

// addNiels: A, B, C and D = zz are below 2^59, so E and F are below 2^59 + 2^60.
func addNiels(p *points, yPlusX, yMinusX, t2d *lanes, zz *loose) {
	var a, b, c, t loose
	var e, f, g, h lanes
	subGeneric(&e, &p.y, &p.x)
	addGeneric(&f, &p.y, &p.x)
	a.mul(&e, yMinusX)
	b.mul(&f, yPlusX)
	c.mul(&p.t, t2d)

	t.sub(&b, &a, &bigP)
	e.carry(&t)
	t.sub(zz, &c, &bigP)
	f.carry(&t)
	t.add(zz, &c)
	g.carry(&t)
	t.add(&b, &a)
	h.carry(&t)

	mulGeneric(&p.x, &e, &f)
	mulGeneric(&p.y, &g, &h)
	mulGeneric(&p.z, &f, &g)
	mulGeneric(&p.t, &e, &h)
}

// digitMasks returns the lanes whose digit is m or −m.
func digitMasks(digits *[width]int64, m int64) (equal mask) {
	for l, d := range digits {
		sign := d >> 63
		differ := uint64((d ^ sign) - sign ^ m) // below 2^63
		equal[l] = -((differ - 1) >> 63)
	}
	return equal
}

func selectCachedGeneric(z *cached, table *[8]cached, digits *[width]int64) {
	m := digitMasks(digits, 0)
	*z = cached{}
	z.or(&identityCached, &m)
	for j := range table {
		m = digitMasks(digits, int64(j+1))
		z.or(&table[j], &m)
	}
	m = signMask(digits)
	negateNiels(&z.yPlusX, &z.yMinusX, &z.t2d, &m)
}

func selectAffineGeneric(z *affine, table *[8]niels, digits *[width]int64) {
	m := digitMasks(digits, 0)
	*z = affine{}
	z.or(&niels{yPlusX: [5]uint64{1}, yMinusX: [5]uint64{1}}, &m)
	for j := range table {
		m = digitMasks(digits, int64(j+1))
		z.or(&table[j], &m)
	}
	m = signMask(digits)
	negateNiels(&z.yPlusX, &z.yMinusX, &z.t2d, &m)
}

func (z *cached) or(x *cached, m *mask) {
	for i := range 5 {
		for l := range width {
			z.yPlusX[i][l] |= x.yPlusX[i][l] & m[l]
			z.yMinusX[i][l] |= x.yMinusX[i][l] & m[l]
			z.t2d[i][l] |= x.t2d[i][l] & m[l]
			z.z2[i][l] |= x.z2[i][l] & m[l]
		}
	}
}

func (z *affine) or(x *niels, m *mask) {
	for i := range 5 {
		for l := range width {
			z.yPlusX[i][l] |= x.yPlusX[i] & m[l]
			z.yMinusX[i][l] |= x.yMinusX[i] & m[l]
			z.t2d[i][l] |= x.t2d[i] & m[l]
		}
	}
}

func signMask(digits *[width]int64) (m mask) {
	for l, d := range digits {
		m[l] = uint64(d >> 63)
	}
	return m
}

func negateAffineGeneric(z, x *affine, m *mask) {
	*z = *x
	negateNiels(&z.yPlusX, &z.yMinusX, &z.t2d, m)
}

// negateNiels negates a point in the lanes of m.
func negateNiels(yPlusX, yMinusX, t2d *lanes, m *mask) {
	plus := *yPlusX
	chooseGeneric(yPlusX, yMinusX, &plus, m)
	chooseGeneric(yMinusX, &plus, yMinusX, m)
	var n lanes
	subGeneric(&n, &zeros, t2d)
	chooseGeneric(t2d, &n, t2d, m)
}

// gatherGeneric: any limbs below 2^62, as go-ristretto's are.
func gatherGeneric(z *points, p []edwards25519.ExtendedPoint, at *[width]int64) {
	for l, i := range at {
		for k := range 5 {
			z.x[k][l] = p[i].X[k]
			z.y[k][l] = p[i].Y[k]
			z.z[k][l] = p[i].Z[k]
			z.t[k][l] = p[i].T[k]
		}
	}
	for _, x := range []*lanes{&z.x, &z.y, &z.z, &z.t} {
		x.carry((*loose)(x))
	}
}

func scatterGeneric(p []edwards25519.ExtendedPoint, at *[width]int64, x *points) {
	for l, i := range at {
		for k := range 5 {
			p[i].X[k] = x.x[k][l]
			p[i].Y[k] = x.y[k][l]
			p[i].Z[k] = x.z[k][l]
			p[i].T[k] = x.t[k][l]
		}
	}
}
