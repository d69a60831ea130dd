package ristretto

import "encoding/binary"

// width is how many elements are computed at once, one in each lane of a vector
// register. No formula moves anything from one lane to another.
const width = 8

// lanes is eight field elements: lanes[i][l] is limb i, of weight 2^(51·i), of
// element l. Limbs are below 2^51 + 2^16, which every function here expects and
// yields. So they fit the 52 bits that a multiplication reads, but a sum of two
// need not: it is carried before anyone sees it.
type lanes [5][width]uint64

// loose is eight field elements between a multiplication and the carry: limbs are
// below 2^62. It is another type so that it can't be multiplied by mistake.
type loose [5][width]uint64

// mask has all bits set in the lanes where something holds, and none elsewhere.
type mask [width]uint64

// points is eight points of edwards25519 in extended coordinates.
type points struct{ x, y, z, t lanes }

// cached is eight points as the second operand of an addition:
// Y + X, Y − X, 2d·T and 2·Z.
type cached struct{ yPlusX, yMinusX, t2d, z2 lanes }

// affine is cached without the last: Z is 1.
type affine struct{ yPlusX, yMinusX, t2d lanes }

// niels is one point of a table that all lanes share: Y + X, Y − X and 2d·T with
// Z = 1, in limbs below 2^51.
type niels struct{ yPlusX, yMinusX, t2d [5]uint64 }

const mask51 = 1<<51 - 1

// all returns x in every lane.
func all(x [5]uint64) (z lanes) {
	for i := range x {
		for l := range width {
			z[i][l] = x[i]
		}
	}
	return z
}

// setBytes sets lane l of z to the low 255 bits of b, little-endian.
func (z *lanes) setBytes(l int, b *[32]byte) {
	w0, w1 := binary.LittleEndian.Uint64(b[0:]), binary.LittleEndian.Uint64(b[8:])
	w2, w3 := binary.LittleEndian.Uint64(b[16:]), binary.LittleEndian.Uint64(b[24:])
	z[0][l] = w0 & mask51
	z[1][l] = (w0>>51 | w1<<13) & mask51
	z[2][l] = (w1>>38 | w2<<26) & mask51
	z[3][l] = (w2>>25 | w3<<39) & mask51
	z[4][l] = w3 >> 12 & mask51
}

// bytes writes lane l of z, which is canonical, to b.
func (z *lanes) bytes(l int, b *[32]byte) {
	binary.LittleEndian.PutUint64(b[0:], z[0][l]|z[1][l]<<51)
	binary.LittleEndian.PutUint64(b[8:], z[1][l]>>13|z[2][l]<<38)
	binary.LittleEndian.PutUint64(b[16:], z[2][l]>>26|z[3][l]<<25)
	binary.LittleEndian.PutUint64(b[24:], z[3][l]>>39|z[4][l]<<12)
}

// isNegative is IS_NEGATIVE of RFC 9496 §3.1: the least significant bit of the
// canonical element.
func (x *lanes) isNegative() (m mask) {
	var c lanes
	c.canonical(x)
	for l := range m {
		m[l] = -(c[0][l] & 1)
	}
	return m
}

func (x *lanes) isZero() (m mask) {
	var c lanes
	c.canonical(x)
	for l := range m {
		any := c[0][l] | c[1][l] | c[2][l] | c[3][l] | c[4][l] // below 2^51
		m[l] = -((any - 1) >> 63)
	}
	return m
}

func (x *lanes) equal(y *lanes) mask {
	var d lanes
	d.sub(x, y)
	return d.isZero()
}

// negateIf sets z to −x in the lanes of m, and to x in the others.
func (z *lanes) negateIf(x *lanes, m *mask) {
	var n lanes
	n.sub(&zeros, x)
	z.choose(&n, x, m)
}

// abs is CT_ABS of RFC 9496 §3.1.
func (z *lanes) abs(x *lanes) {
	m := x.isNegative()
	z.negateIf(x, &m)
}

func (m *mask) or(a, b *mask) {
	for l := range m {
		m[l] = a[l] | b[l]
	}
}

var (
	zeros lanes
	ones  = all([5]uint64{1})
)
