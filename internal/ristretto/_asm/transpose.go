package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const (
	lanes   = 8
	oneSize = 4 * limbs * 8 // a go-ristretto point
)

func transpose() {
	function("gatherIFMA", "z *points, first *uint64, at *[8]int64",
		"sets lane l of z to the point at[l] of those that begin at first, carried.")
	gather()
	function("scatterIFMA", "first *uint64, at *[8]int64, x *points",
		"sets the point at[l] of those that begin at first to lane l of x. Where at has the same place twice, the later lane stays.")
	scatter()
}

// places returns where the eight points begin.
func places() (p [lanes]Register) {
	first, at := argument("first"), argument("at")
	for l := range p {
		i := GP64()
		MOVQ(Mem{Base: at, Disp: l * 8}, i)
		IMUL3Q(I32(oneSize), i, i)
		ADDQ(first, i)
		p[l] = i
	}
	return p
}

func gather() {
	p, z := places(), argument("z")
	for _, column := range []int{0, 8} {
		var r [lanes]VecVirtual
		for l := range r {
			r[l] = ZMM()
			VMOVDQU64(Mem{Base: p[l], Disp: column * 8}, r[l])
		}
		for i, v := range transposed(r) {
			VMOVDQU64(v, Mem{Base: z, Disp: (column + i) * row})
		}
	}
	var r [lanes]VecVirtual
	for l := range r {
		r[l] = ZMM()
		VMOVDQU64(Mem{Base: p[l], Disp: 16 * 8}, r[l].AsY())
	}
	last := transposed(r)
	for i := range 4 {
		VMOVDQU64(last[i], Mem{Base: z, Disp: (16 + i) * row})
	}
	c := loadConsts()
	for i := range 4 {
		x := loadFe(z, i*elem)
		c.carry(x)
		x.store(z, i*elem)
	}
	done()
}

func scatter() {
	p, x := places(), argument("x")
	for _, column := range []int{0, 8} {
		var r [lanes]VecVirtual
		for i := range r {
			r[i] = ZMM()
			VMOVDQU64(Mem{Base: x, Disp: (column + i) * row}, r[i])
		}
		for l, v := range transposed(r) {
			VMOVDQU64(v, Mem{Base: p[l], Disp: column * 8})
		}
	}
	var r [lanes]VecVirtual
	for i := range r {
		if i < 4 {
			r[i] = ZMM()
			VMOVDQU64(Mem{Base: x, Disp: (16 + i) * row}, r[i])
		} else {
			r[i] = zeroed()
		}
	}
	for l, v := range transposed(r) {
		VMOVDQU64(v.AsY(), Mem{Base: p[l], Disp: 16 * 8})
	}
	done()
}

// transposed returns the transpose of an 8×8 matrix of words, in three steps:
// words between neighbours, pairs between next neighbours, and halves.
func transposed(r [lanes]VecVirtual) [lanes]VecVirtual {
	pairs := func(i, j int, op func(...Op), imm ...Op) VecVirtual {
		z := ZMM()
		op(append(imm, r[j], r[i], z)...)
		return z
	}
	// Row 2i has columns 0, 2, 4 and 6 of rows 2i and 2i+1, row 2i+1 the others.
	var t [lanes]VecVirtual
	for i := 0; i < lanes; i += 2 {
		t[i], t[i+1] = pairs(i, i+1, VPUNPCKLQDQ), pairs(i, i+1, VPUNPCKHQDQ)
	}
	r = t
	// Of quarters a b c d and e f g h: a c e g and b d f h.
	var u [lanes]VecVirtual
	for i := 0; i < 2; i++ {
		for _, half := range []int{0, 4} {
			u[half+i] = pairs(half+i, half+i+2, VSHUFI64X2, Imm(0x88))
			u[half+i+2] = pairs(half+i, half+i+2, VSHUFI64X2, Imm(0xdd))
		}
	}
	r = u
	for i := range 4 {
		t[i] = pairs(i, i+4, VSHUFI64X2, Imm(0x88))
		t[i+4] = pairs(i, i+4, VSHUFI64X2, Imm(0xdd))
	}
	return t
}
