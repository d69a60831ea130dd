package ristretto

import "math/big"

// RFC 9496 again, in big integers and affine coordinates, straight from its
// text: slow and variable-time, but it shares nothing with the package under
// test, not even the formulas for adding. (circl's ristretto255 is no such
// oracle: it is built on go-ristretto too.)

func decimal(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok {
		panic("not a number")
	}
	return n
}

// Constants of RFC 9496 §4.1; p and ℓ.
var (
	refP           = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	refL           = new(big.Int).Add(new(big.Int).Lsh(big.NewInt(1), 252), decimal("27742317777372353535851937790883648493"))
	refD           = decimal("37095705934669439343138083508754565189542113879843219016388785533085940283555")
	refSqrtM1      = decimal("19681161376707505956807079304988542015446066515923890162744021073123829784752")
	refSqrtADM1    = decimal("25063068953384623474111414158702152701244531502492656460079210482610430750235")
	refInvSqrtAD   = decimal("54469307008909316920995813868745141605393597292927456921205312896311721017578")
	refOneMinusDSq = decimal("1159843021668779879193775521855586647937357759715417654439879720876111806838")
	refDMinusOneSq = decimal("40440834346308536858101042469323190826248399146238708352240133220865137265952")
	refOne         = big.NewInt(1)
	refTwo         = big.NewInt(2)

	// √(i·d), which the one-way map sends to the identity: it makes r = −d.
	refSqrtID = new(big.Int).ModSqrt(mul(refSqrtM1, refD), refP)
)

func mod(x *big.Int) *big.Int { return x.Mod(x, refP) }
func add(a, b *big.Int) *big.Int {
	return mod(new(big.Int).Add(a, b))
}
func sub(a, b *big.Int) *big.Int {
	return mod(new(big.Int).Sub(a, b))
}
func neg(a *big.Int) *big.Int { return mod(new(big.Int).Neg(a)) }
func mul(a *big.Int, b ...*big.Int) *big.Int {
	product := new(big.Int).Set(a)
	for _, x := range b {
		mod(product.Mul(product, x))
	}
	return product
}
func inverse(a *big.Int) *big.Int { return new(big.Int).ModInverse(a, refP) }
func isNegative(a *big.Int) bool  { return a.Bit(0) == 1 }
func negateIf(c bool, a *big.Int) *big.Int {
	if c {
		return neg(a)
	}
	return a
}
func abs(a *big.Int) *big.Int { return negateIf(isNegative(a), a) }

// sqrtRatioM1 is SQRT_RATIO_M1 of RFC 9496 §4.2.
func sqrtRatioM1(u, v *big.Int) (wasSquare bool, r *big.Int) {
	e := new(big.Int).Rsh(refP, 3) // (p-5)/8
	v3 := mul(v, v, v)
	r = mul(u, v3, new(big.Int).Exp(mul(u, v3, v3, v), e, refP))
	check := mul(v, r, r)
	correct := check.Cmp(mod(new(big.Int).Set(u))) == 0
	flipped := check.Cmp(neg(u)) == 0
	flippedI := check.Cmp(neg(mul(u, refSqrtM1))) == 0
	if flipped || flippedI {
		r = mul(r, refSqrtM1)
	}
	return correct || flipped, abs(r)
}

// refPoint is (x, y) on −x² + y² = 1 + d·x²·y².
type refPoint struct{ x, y *big.Int }

var refIdentity = refPoint{big.NewInt(0), big.NewInt(1)}

// refDecode is RFC 9496 §4.3.1. Unlike Decode it accepts the identity.
func refDecode(b [32]byte) (refPoint, bool) {
	s := fromLittleEndian(b[:])
	if s.Cmp(refP) >= 0 || isNegative(s) {
		return refPoint{}, false
	}
	ss := mul(s, s)
	u1, u2 := sub(refOne, ss), add(refOne, ss)
	v := sub(neg(mul(refD, u1, u1)), mul(u2, u2))
	wasSquare, invsqrt := sqrtRatioM1(refOne, mul(v, u2, u2))
	denX := mul(invsqrt, u2)
	denY := mul(invsqrt, denX, v)
	x := abs(mul(refTwo, s, denX))
	y := mul(u1, denY)
	if !wasSquare || isNegative(mul(x, y)) || y.Sign() == 0 {
		return refPoint{}, false
	}
	return refPoint{x, y}, true
}

// encode is RFC 9496 §4.3.2 with z0 = 1.
func (p refPoint) encode() [32]byte {
	t0 := mul(p.x, p.y)
	u1 := mul(add(refOne, p.y), sub(refOne, p.y))
	u2 := mul(p.x, p.y)
	_, invsqrt := sqrtRatioM1(refOne, mul(u1, u2, u2))
	den1, den2 := mul(invsqrt, u1), mul(invsqrt, u2)
	zInv := mul(den1, den2, t0)
	x, y, denInv := p.x, p.y, den2
	if isNegative(mul(t0, zInv)) {
		x, y, denInv = mul(p.y, refSqrtM1), mul(p.x, refSqrtM1), mul(den1, refInvSqrtAD)
	}
	y = negateIf(isNegative(mul(x, zInv)), y)
	return littleEndian(abs(mul(denInv, sub(refOne, y))))
}

// refMap is MAP of RFC 9496 §4.3.4 for half of its input.
func refMap(b []byte) refPoint {
	t := fromLittleEndian(b)
	t = mod(t.SetBit(t, 255, 0))
	r := mul(refSqrtM1, t, t)
	u := mul(add(r, refOne), refOneMinusDSq)
	v := mul(sub(neg(refOne), mul(r, refD)), add(r, refD))
	wasSquare, s := sqrtRatioM1(u, v)
	c := neg(refOne)
	if !wasSquare {
		s, c = neg(abs(mul(s, t))), r
	}
	n := sub(mul(c, sub(r, refOne), refDMinusOneSq), v)
	w0, w1 := mul(refTwo, s, v), mul(n, refSqrtADM1)
	w2, w3 := sub(refOne, mul(s, s)), add(refOne, mul(s, s))
	zInv := inverse(mul(w1, w3))
	return refPoint{mul(w0, w3, zInv), mul(w2, w1, zInv)}
}

func refFromUniform(u [64]byte) refPoint { return refMap(u[:32]).add(refMap(u[32:])) }

func (p refPoint) add(q refPoint) refPoint {
	x1y2, x2y1, x1x2, y1y2 := mul(p.x, q.y), mul(q.x, p.y), mul(p.x, q.x), mul(p.y, q.y)
	dxy := mul(refD, x1x2, y1y2)
	return refPoint{
		mul(add(x1y2, x2y1), inverse(add(refOne, dxy))),
		mul(add(y1y2, x1x2), inverse(sub(refOne, dxy))),
	}
}

func (p refPoint) neg() refPoint { return refPoint{neg(p.x), p.y} }

func (p refPoint) mul(k *big.Int) refPoint {
	product := refIdentity
	for i := k.BitLen() - 1; i >= 0; i-- {
		product = product.add(product)
		if k.Bit(i) == 1 {
			product = product.add(p)
		}
	}
	return product
}

func fromLittleEndian(b []byte) *big.Int {
	reversed := make([]byte, len(b))
	for i := range b {
		reversed[len(b)-1-i] = b[i]
	}
	return new(big.Int).SetBytes(reversed)
}

func littleEndian(n *big.Int) (b [32]byte) {
	n.FillBytes(b[:])
	for i := range 16 {
		b[i], b[31-i] = b[31-i], b[i]
	}
	return b
}

func (s *Scalar) big() *big.Int {
	b := s.Bytes()
	return fromLittleEndian(b[:])
}
