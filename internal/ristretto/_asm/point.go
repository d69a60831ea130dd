package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
)

// Where the coordinates are in points, cached and affine of ../lanes.go.
const (
	atX, atY, atZ, atT                     = 0, elem, 2 * elem, 3 * elem
	atYPlusX, atYMinusX, at2DT, atTwoZ int = 0, elem, 2 * elem, 3 * elem
)

func point() {
	function("doubleIFMA", "p *points, n int", "doubles p n times, n being at least 1.")
	double()
	function("addCachedIFMA", "p *points, q *cached", "sets p to p + q.")
	add(true)
	function("addAffineIFMA", "p *points, q *affine", "sets p to p + q.")
	add(false)
}

// double is dbl-2008-hwcd for a = −1, with the signs of all four factors
// changed where that saves a negation:
//
//	E = (X + Y)² − G    F = Y² − X²    G = Y² + X²    H = 2·Z² − F
//	(X : Y : Z : T) = (EH : FG : FH : EG)
//
// Products are added uncarried and carried as E, F, G and H. T isn't an input,
// so all but the last doubling leave it out. The order keeps few registers busy.
func double() {
	c := loadConsts()
	p, n := argument("p"), argument("n")

	Label("again")
	zz, xx, yy := c.square(loadFe(p, atZ)), c.square(loadFe(p, atX)), c.square(loadFe(p, atY))
	f := difference(yy, xx.ops(), bigP())
	g := c.total(yy, xx.ops())
	for i := range zz {
		VPADDQ(zz[i], zz[i], zz[i])
	}
	h := c.less(zz, f.ops(), hugeP()) // not after f's carry: it would wait
	c.carry(f)
	c.product(f, h.ops()).store(p, atZ)
	s := c.total(loadFe(p, atX), memory(p, atY))
	c.product(f, g.ops()).store(p, atY)
	e := c.less(c.square(s), g.ops(), fourP())
	c.product(h, e.ops()).store(p, atX)
	DECQ(n)
	JNZ(LabelRef("again"))

	c.product(e, g.ops()).store(p, atT)
	done()
}

// add is add-2008-hwcd-3, the second operand being (Y + X, Y − X, 2d·T, 2·Z), or
// the same without the last and with Z = 1:
//
//	A = (Y − X)(Y′ − X′)    B = (Y + X)(Y′ + X′)    C = T·2d·T′    D = Z·2·Z′
//	E = B − A    F = D − C    G = D + C    H = B + A
//	(X : Y : Z : T) = (EF : GH : FG : EH)
func add(projective bool) {
	c := loadConsts()
	p, q := argument("p"), argument("q")

	y := loadFe(p, atY)
	minus := c.less(y, memory(p, atX), fourP())
	plus := c.total(y, memory(p, atX))
	a := c.mul(minus, memory(q, atYMinusX))
	b := c.mul(plus, memory(q, atYPlusX))
	e := c.less(b, a.ops(), bigP())
	h := c.total(b, a.ops())
	t := c.mul(loadFe(p, atT), memory(q, at2DT))
	z := loadFe(p, atZ)
	if projective {
		z = c.mul(z, memory(q, atTwoZ))
	} else {
		for i := range z {
			VPADDQ(z[i], z[i], z[i])
		}
	}
	f := c.less(z, t.ops(), bigP())
	g := c.total(z, t.ops())
	c.product(e, f.ops()).store(p, atX)
	c.product(g, h.ops()).store(p, atY)
	c.product(f, g.ops()).store(p, atZ)
	c.product(e, h.ops()).store(p, atT)
	done()
}
