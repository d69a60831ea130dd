package ristretto

import "github.com/bwesterb/go-ristretto/edwards25519"

// span is how many elements share an inversion: enough that its cost, some 265
// multiplications, is small for each, and few enough for the stack.
const span = 64

// MulEncode sets dst[i] to the encoding of k·v_i: v.Mul(k).Encode(dst), byte
// for byte, but faster. k is secret. dst has the length of v.
//
// An encoding costs an inverse square root, and those can't be shared between
// elements; but that of 2Q has a closed form, and what remains is an inversion,
// which can. So multiply by k/2 modulo ℓ and encode the double. The order being
// odd, every element has exactly one half.
func (v *Vector) MulEncode(dst [][32]byte, k *Scalar) {
	mustMatch(len(dst), len(v.p))
	half := k.Mul(&oneHalf)
	if eight {
		mulEncodeEight(dst, v.p, &half)
		return
	}
	digits := half.Bytes()
	for lo := 0; lo < len(dst); lo += span {
		hi := min(lo+span, len(dst))
		mulDoubleEncode(dst[lo:hi], v.p[lo:hi], &digits)
	}
}

// mulDoubleEncode sets dst[i] to the encoding of 2·(k·p[i]). There are at most
// span of them.
func mulDoubleEncode(dst [][32]byte, p []edwards25519.ExtendedPoint, k *[32]byte) {
	var twice [span]doubled
	var inverses [span]edwards25519.FieldElement
	var q edwards25519.ExtendedPoint
	for i := range p {
		q.ScalarMult(&p[i], k)
		twice[i].set(&q)
		inverses[i].Mul(&twice[i].eg, &twice[i].fh)
	}
	invertAll(inverses[:len(p)])
	for i := range p {
		twice[i].encode(&dst[i], &inverses[i])
	}
}

// doubled is the point 2Q, as
//
//	(X : Y : Z : T) = (EH : FG : FH : EG)
//
// with the E, F, G and H of doubling on a curve with a = −1.
type doubled struct{ e, f, g, h, eg, fh edwards25519.FieldElement }

// set sets d to 2Q. With X, Y and Z of Q,
//
//	E = 2·X·Y    F = Y² − X²    G = Y² + X²    H = 2·Z² − F
func (d *doubled) set(q *edwards25519.ExtendedPoint) {
	var xx, yy edwards25519.FieldElement
	xx.Square(&q.X)
	yy.Square(&q.Y)
	d.e.Mul(&q.X, &q.Y)
	d.e.Add(&d.e, &d.e)
	d.f.Sub(&yy, &xx)
	d.g.Add(&yy, &xx)
	d.h.DoubledSquare(&q.Z)
	d.h.Sub(&d.h, &d.f)
	d.eg.Mul(&d.e, &d.g)
	d.fh.Mul(&d.f, &d.h)
}

// encode is Encode of RFC 9496 §4.3.2 on 2Q, given inv = 1/(EFGH), or 0 if that
// is 0.
//
// Why there is no square root: the curve equation gives H² − G² = (a−d)·E², so
// u1 = Z² − Y² = (a−d)·E²F², and with c = INVSQRT_A_MINUS_D = 1/√(a−d) the
// RFC's values are, up to one common sign that the final CT_ABS removes,
//
//	invsqrt = 1/√(u1·u2²) = c / (EF·EH·FG)
//	den1 = invsqrt·u1 = 1/(c·GH)
//	den2 = invsqrt·u2 = c/(EF)
//	z_inv = den1·den2·T = 1/(FH)
//
// so that s = |c·(H − G)/E| without the rotation and s = |(F − i·E)/G| with it;
// where y is negated, G and i·E change sign. E is 0 exactly for the identity.
// F, G and H are not: F and H are the denominators of complete formulas, and
// G = 0 would make 2Q a point of order four, and Q isn't of order eight, all
// points here being even. Then inv, and with it s, comes out as 0, as it must.
//
// The same identity is in curve25519-dalek, as double_and_compress_batch.
func (d *doubled) encode(dst *[32]byte, inv *edwards25519.FieldElement) {
	var zInv, tInv, tz, xz, a, b, s, negated, ie, fi edwards25519.FieldElement
	zInv.Mul(&d.eg, inv)
	tInv.Mul(&d.fh, inv)
	ie.Mul(&d.e, &sqrtM1)
	fi.Mul(&d.f, &sqrtM1)

	// rotate = IS_NEGATIVE(t0 * z_inv)
	tz.Mul(&d.eg, &zInv)
	rotate := tz.IsNegativeI()

	// x = CT_SELECT(iy0 IF rotate ELSE x0)
	// y = CT_SELECT(ix0 IF rotate ELSE y0)
	// y = CT_SELECT(-y IF IS_NEGATIVE(x * z_inv) ELSE y)
	xz.Mul(
		choose(&a, &fi, &d.h, rotate),
		choose(&b, &d.g, &d.e, rotate))
	xz.Mul(&xz, &zInv)
	choose(&b, &ie, &d.g, rotate)
	negated.Neg(&b)
	b.ConditionalSet(&negated, xz.IsNegativeI())

	// s = CT_ABS(den_inv * (z - y)), where den_inv, less the factors that it
	// has in common with z - y, is c/E = c·G/T or 1/G = E/T.
	choose(&a, &d.f, &d.h, rotate)
	s.Sub(&a, &b)
	s.Mul(&s, choose(&a, &d.e, &d.g, rotate))
	s.Mul(&s, choose(&a, &one, &invSqrtAMinusD, rotate))
	s.Mul(&s, &tInv)
	s.Abs(&s)
	s.BytesInto(dst)
}

// choose sets dst to x if b is 1 and to y if b is 0, and returns it.
func choose(dst, x, y *edwards25519.FieldElement, b int32) *edwards25519.FieldElement {
	dst.Set(y)
	dst.ConditionalSet(x, b)
	return dst
}

// invertAll inverts all of x, at most span of them, with one inversion
// (Montgomery's trick) and in constant time. Zeros stay: each stands aside as a
// one, which leaves the others' product alone.
func invertAll(x []edwards25519.FieldElement) {
	var before [span]edwards25519.FieldElement // the product of all before x[i]
	var isZero [span]int32
	var acc edwards25519.FieldElement
	acc.SetOne()
	for i := range x {
		isZero[i] = 1 - x[i].IsNonZeroI()
		x[i].ConditionalSet(&one, isZero[i])
		before[i].Set(&acc)
		acc.Mul(&acc, &x[i])
	}
	acc.Inverse(&acc)
	for i := len(x) - 1; i >= 0; i-- {
		before[i].Mul(&before[i], &acc)
		acc.Mul(&acc, &x[i])
		x[i].Set(&before[i])
		x[i].ConditionalSet(&zero, isZero[i])
	}
}

// Constants of RFC 9496 §4.1, and the two that need no name there.
var (
	zero   = *new(edwards25519.FieldElement).SetZero()
	one    = *new(edwards25519.FieldElement).SetOne()
	sqrtM1 = *new(edwards25519.FieldElement).SetI() // SQRT_M1

	// INVSQRT_A_MINUS_D, little-endian:
	// 54469307008909316920995813868745141605393597292927456921205312896311721017578
	invSqrtAMinusD = *new(edwards25519.FieldElement).SetBytes(&[32]byte{
		0xea, 0x40, 0x5d, 0x80, 0xaa, 0xfd, 0xc8, 0x99, 0xbe, 0x72, 0x41, 0x5a, 0x17, 0x16, 0x2f, 0x9d,
		0x40, 0xd8, 0x01, 0xfe, 0x91, 0x7b, 0xc2, 0x16, 0xa2, 0xfc, 0xaf, 0xcf, 0x05, 0x89, 0x6c, 0x78,
	})
)
