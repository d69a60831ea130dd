package ristretto

import "github.com/bwesterb/go-ristretto/edwards25519"

// Here RFC 9496 is written with eight elements for each of its: one line of the
// RFC is one of the code. Where a square root is taken there are two of
// everything, sixteen elements, because a chain of squarings waits for itself.

// eight selects the lanes for all operations on vectors; without it they are
// computed one by one. Tests switch it.
var eight = hasIFMA

// Constants of RFC 9496 §4.1.
var (
	lanesD              = all([5]uint64{0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff})
	lanes2D             = all([5]uint64{0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff})
	lanesSqrtM1         = all([5]uint64{0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e, 0x2b8324804fc1d})
	lanesSqrtADMinusOne = all([5]uint64{0x7f6a0497b2e1b, 0x1836f0a97afd2, 0x7d747f6be7638, 0x456079e7e6498, 0x376931bf2b834})
	lanesInvSqrtAMinusD = all([5]uint64{0x0fdaa805d40ea, 0x2eb482e57d339, 0x007610274bc58, 0x6510b613dc8ff, 0x786c8905cfaff})
	lanesOneMinusDSq    = all([5]uint64{0x409c1945fc176, 0x719abc6a1fc4f, 0x1c37f90b20684, 0x06bccca55eedf, 0x029072a8b2b3e})
	lanesDMinusOneSq    = all([5]uint64{0x55aaa44ed4d20, 0x59603c3332635, 0x26d3baf4a7928, 0x120a66e6997a9, 0x5968b37af66c2})
	lanesTwo            = all([5]uint64{2})
	lanesMinusOne       = all([5]uint64{mask51 - 19, mask51, mask51, mask51, mask51})
)

var identityCached = cached{yPlusX: ones, yMinusX: ones, z2: lanesTwo}

// places returns the eight places from lo on among n. Past the end the last is
// repeated, so that every lane has something to do: the same twice.
func places(lo, n int) (at [width]int64) {
	for l := range at {
		at[l] = int64(min(lo+l, n-1))
	}
	return at
}

// decodeEight is Decode of RFC 9496 §4.3.1, without the identity, on each of
// encoded. It returns the index of the first that failed, or −1.
func decodeEight(p []edwards25519.ExtendedPoint, encoded [][32]byte) (bad int) {
	bad = len(encoded)
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(encoded); lo += 2 * width {
		at := [2][width]int64{places(lo, len(encoded)), places(lo+width, len(encoded))}
		failed := decodeTwo(&w.pair, encoded, &at)
		for h := range at {
			w.pair[h].scatter(p, &at[h])
			for l, i := range at[h] {
				if failed[h][l] != 0 {
					bad = min(bad, int(i))
				}
			}
		}
	}
	if bad == len(encoded) {
		return -1
	}
	return bad
}

func decodeTwo(p *[2]points, encoded [][32]byte, at *[2][width]int64) (failed [2]mask) {
	var s, u1, u2, v, square, one, invsqrt [2]lanes
	for h := range p {
		failed[h] = s[h].setCanonical(encoded, &at[h])
		// ss = s^2
		// u1 = 1 - ss
		// u2 = 1 + ss
		// u2_sqr = u2^2
		var ss, u2sqr lanes
		ss.square(&s[h], 1)
		u1[h].sub(&ones, &ss)
		u2[h].add(&ones, &ss)
		u2sqr.square(&u2[h], 1)
		// v = -(D * u1^2) - u2_sqr
		v[h].square(&u1[h], 1)
		v[h].mul(&v[h], &lanesD)
		v[h].add(&v[h], &u2sqr)
		v[h].sub(&zeros, &v[h])
		one[h] = ones
		square[h].mul(&v[h], &u2sqr)
	}
	// (was_square, invsqrt) = SQRT_RATIO_M1(1, v * u2_sqr)
	wasSquare := sqrtRatioTwo(&invsqrt, &one, &square)
	for h := range p {
		// den_x = invsqrt * u2
		// den_y = invsqrt * den_x * v
		var denX, denY lanes
		denX.mul(&invsqrt[h], &u2[h])
		denY.mul(&invsqrt[h], &denX)
		denY.mul(&denY, &v[h])
		// x = CT_ABS(2 * s * den_x)
		// y = u1 * den_y
		// t = x * y
		q := &p[h]
		q.x.add(&s[h], &s[h])
		q.x.mul(&q.x, &denX)
		q.x.abs(&q.x)
		q.y.mul(&u1[h], &denY)
		q.z = ones
		q.t.mul(&q.x, &q.y)
		// IF was_square is FALSE or IS_NEGATIVE(t) or y == 0
		negative, zero := q.t.isNegative(), q.y.isZero()
		for l := range width {
			failed[h][l] |= ^wasSquare[h][l] | negative[l] | zero[l]
		}
	}
	return failed
}

// setCanonical sets z to the elements that at says, and returns the lanes where
// the bytes aren't those of a non-negative number below p, or are all zeros,
// which would be the identity.
func (z *lanes) setCanonical(encoded [][32]byte, at *[width]int64) (failed mask) {
	for l, i := range at {
		z.setBytes(l, &encoded[i])
	}
	var c lanes
	c.canonical(z)
	for l, i := range at {
		any, differ := uint64(0), uint64(encoded[i][31]>>7)
		for k := range z {
			any |= z[k][l]
			differ |= z[k][l] ^ c[k][l]
		}
		failed[l] = -(((any - 1) | -differ) >> 63) | -(z[0][l] & 1)
	}
	return failed
}

// sqrtRatioTwo is SQRT_RATIO_M1 of RFC 9496 §4.2.
func sqrtRatioTwo(r, u, v *[2]lanes) (wasSquare [2]mask) {
	var base, root [2]lanes
	for h := range r {
		// r = (u * v^3) * (u * v^7)^((p-5)/8)
		var v3 lanes
		v3.square(&v[h], 1)
		v3.mul(&v3, &v[h])
		base[h].square(&v3, 1)
		base[h].mul(&base[h], &v[h])
		base[h].mul(&base[h], &u[h])
		r[h].mul(&u[h], &v3)
	}
	pow252(&root, &base)
	for h := range r {
		r[h].mul(&r[h], &root[h])
		// check = v * r^2
		var check, minusU, minusUI, rPrime lanes
		check.square(&r[h], 1)
		check.mul(&check, &v[h])
		// correct_sign_sqrt = CT_EQ(check, u)
		// flipped_sign_sqrt = CT_EQ(check, -u)
		// flipped_sign_sqrt_i = CT_EQ(check, -u*SQRT_M1)
		minusU.sub(&zeros, &u[h])
		minusUI.mul(&minusU, &lanesSqrtM1)
		correct, flipped, flippedI := check.equal(&u[h]), check.equal(&minusU), check.equal(&minusUI)
		// r_prime = SQRT_M1 * r
		// r = CT_SELECT(r_prime IF flipped_sign_sqrt | flipped_sign_sqrt_i ELSE r)
		// r = CT_ABS(r)
		// was_square = correct_sign_sqrt | flipped_sign_sqrt
		flippedI.or(&flippedI, &flipped)
		wasSquare[h].or(&correct, &flipped)
		rPrime.mul(&r[h], &lanesSqrtM1)
		r[h].choose(&rPrime, &r[h], &flippedI)
		r[h].abs(&r[h])
	}
	return wasSquare
}

// pow252 sets z to x^(2^252 − 3); 2^252 − 3 is (p−5)/8.
func pow252(z, x *[2]lanes) {
	x250, _ := pow250(x)
	squareTwo(&x250, &x250, 2)
	mulTwo(z, &x250, x)
}

// pow250 returns x^(2^250 − 1) and x^11, as curve25519's reference code does.
func pow250(x *[2]lanes) (t, x11 [2]lanes) {
	var a, b, c [2]lanes
	// next sets z to x^(2^(m+n) − 1), with x^(2^m − 1) and x^(2^n − 1).
	next := func(z, m, n *[2]lanes, count int) {
		squareTwo(&t, m, count)
		mulTwo(z, &t, n)
	}
	squareTwo(&a, x, 1) // 2
	squareTwo(&b, &a, 2)
	mulTwo(&b, &b, x)    // 9
	mulTwo(&x11, &a, &b) // 11
	squareTwo(&a, &x11, 1)
	mulTwo(&a, &a, &b)    // 2^5 − 1
	next(&a, &a, &a, 5)   // 2^10 − 1
	next(&b, &a, &a, 10)  // 2^20 − 1
	next(&c, &b, &b, 20)  // 2^40 − 1
	next(&a, &c, &a, 10)  // 2^50 − 1
	next(&b, &a, &a, 50)  // 2^100 − 1
	next(&c, &b, &b, 100) // 2^200 − 1
	next(&t, &c, &a, 50)  // 2^250 − 1
	return t, x11
}

func mulTwo(z, x, y *[2]lanes) {
	z[0].mul(&x[0], &y[0])
	z[1].mul(&x[1], &y[1])
}

// encodeEight is Encode of RFC 9496 §4.3.2 on each of p.
func encodeEight(dst [][32]byte, p []edwards25519.ExtendedPoint) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(p); lo += 2 * width {
		at := [2][width]int64{places(lo, len(p)), places(lo+width, len(p))}
		w.pair[0].gather(p, &at[0])
		w.pair[1].gather(p, &at[1])
		encodeTwo(dst, &w.pair, &at)
	}
}

func encodeTwo(dst [][32]byte, p *[2]points, at *[2][width]int64) {
	var u1, u2, square, one, invsqrt [2]lanes
	for h := range p {
		// u1 = (z0 + y0) * (z0 - y0)
		// u2 = x0 * y0
		var minus lanes
		u1[h].add(&p[h].z, &p[h].y)
		minus.sub(&p[h].z, &p[h].y)
		u1[h].mul(&u1[h], &minus)
		u2[h].mul(&p[h].x, &p[h].y)
		square[h].square(&u2[h], 1)
		square[h].mul(&square[h], &u1[h])
		one[h] = ones
	}
	// (_, invsqrt) = SQRT_RATIO_M1(1, u1 * u2^2)
	sqrtRatioTwo(&invsqrt, &one, &square)
	for h := range p {
		// den1 = invsqrt * u1
		// den2 = invsqrt * u2
		// z_inv = den1 * den2 * t0
		var den1, den2, zInv, ix, iy, enchanted, x, y lanes
		den1.mul(&invsqrt[h], &u1[h])
		den2.mul(&invsqrt[h], &u2[h])
		zInv.mul(&den1, &den2)
		zInv.mul(&zInv, &p[h].t)
		// ix0 = x0 * SQRT_M1
		// iy0 = y0 * SQRT_M1
		// enchanted_denominator = den1 * INVSQRT_A_MINUS_D
		ix.mul(&p[h].x, &lanesSqrtM1)
		iy.mul(&p[h].y, &lanesSqrtM1)
		enchanted.mul(&den1, &lanesInvSqrtAMinusD)
		// rotate = IS_NEGATIVE(t0 * z_inv)
		x.mul(&p[h].t, &zInv)
		rotate := x.isNegative()
		// x = CT_SELECT(iy0 IF rotate ELSE x0)
		// y = CT_SELECT(ix0 IF rotate ELSE y0)
		// z = z0
		// den_inv = CT_SELECT(enchanted_denominator IF rotate ELSE den2)
		x.choose(&iy, &p[h].x, &rotate)
		y.choose(&ix, &p[h].y, &rotate)
		den2.choose(&enchanted, &den2, &rotate)
		// y = CT_SELECT(-y IF IS_NEGATIVE(x * z_inv) ELSE y)
		x.mul(&x, &zInv)
		negative := x.isNegative()
		y.negateIf(&y, &negative)
		// s = CT_ABS(den_inv * (z - y))
		y.sub(&p[h].z, &y)
		y.mul(&y, &den2)
		y.abs(&y)
		y.encode(dst, &at[h])
	}
}

// encode writes the canonical bytes of x to the places that at says.
func (x *lanes) encode(dst [][32]byte, at *[width]int64) {
	var c lanes
	c.canonical(x)
	for l, i := range at {
		c.bytes(l, &dst[i])
	}
}

// fromUniformEight is the one-way map of RFC 9496 §4.3.4 on each of u.
func fromUniformEight(p []edwards25519.ExtendedPoint, u [][64]byte) {
	w := newScratch()
	defer w.done()
	for lo := 0; lo < len(u); lo += width {
		at := places(lo, len(u))
		var t [2]lanes
		for l, i := range at {
			t[0].setBytes(l, (*[32]byte)(u[i][:32]))
			t[1].setBytes(l, (*[32]byte)(u[i][32:]))
		}
		elligatorTwo(&w.pair, &t)
		w.cached.set(&w.pair[1])
		w.pair[0].add(&w.cached)
		w.pair[0].scatter(p, &at)
	}
}

// elligatorTwo is MAP of RFC 9496 §4.3.4.
func elligatorTwo(p *[2]points, t *[2]lanes) {
	var r, u, v, s [2]lanes
	for h := range p {
		// r = SQRT_M1 * t^2
		// u = (r + 1) * ONE_MINUS_D_SQ
		// v = (-1 - r*D) * (r + D)
		var a lanes
		r[h].square(&t[h], 1)
		r[h].mul(&r[h], &lanesSqrtM1)
		u[h].add(&r[h], &ones)
		u[h].mul(&u[h], &lanesOneMinusDSq)
		a.mul(&r[h], &lanesD)
		a.sub(&lanesMinusOne, &a)
		v[h].add(&r[h], &lanesD)
		v[h].mul(&v[h], &a)
	}
	// (was_square, s) = SQRT_RATIO_M1(u, v)
	wasSquare := sqrtRatioTwo(&s, &u, &v)
	for h := range p {
		// s_prime = -CT_ABS(s*t)
		// s = CT_SELECT(s IF was_square ELSE s_prime)
		// c = CT_SELECT(-1 IF was_square ELSE r)
		var sPrime, c, n, w0, w1, w2, w3 lanes
		sPrime.mul(&s[h], &t[h])
		sPrime.abs(&sPrime)
		sPrime.sub(&zeros, &sPrime)
		s[h].choose(&s[h], &sPrime, &wasSquare[h])
		c.choose(&lanesMinusOne, &r[h], &wasSquare[h])
		// N = c * (r - 1) * D_MINUS_ONE_SQ - v
		n.sub(&r[h], &ones)
		n.mul(&n, &c)
		n.mul(&n, &lanesDMinusOneSq)
		n.sub(&n, &v[h])
		// w0 = 2 * s * v
		// w1 = N * SQRT_AD_MINUS_ONE
		// w2 = 1 - s^2
		// w3 = 1 + s^2
		w0.add(&s[h], &s[h])
		w0.mul(&w0, &v[h])
		w1.mul(&n, &lanesSqrtADMinusOne)
		c.square(&s[h], 1)
		w2.sub(&ones, &c)
		w3.add(&ones, &c)
		// return (w0*w3, w2*w1, w1*w3, w0*w2)
		p[h].x.mul(&w0, &w3)
		p[h].y.mul(&w2, &w1)
		p[h].z.mul(&w1, &w3)
		p[h].t.mul(&w0, &w2)
	}
}
