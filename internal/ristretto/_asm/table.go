package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

// entries are the positive multiples in a table.
const entries = 8

// aOrBAndC is A | B & C, as a truth table for VPTERNLOGQ.
const aOrBAndC = 0xf8

func table() {
	function("selectCachedIFMA", "z *cached, table *[8]cached, digits *[8]int64",
		"sets lane l of z to digits[l] times the point of table, whose entry j is its multiple by j + 1. Digits are between −8 and 8.")
	selectEntry(4, func(t Register, j, limb int, m, acc VecVirtual) {
		VPTERNLOGQ(Imm(aOrBAndC), Mem{Base: t, Disp: (j*4*limbs + limb) * row}, m, acc)
	})
	function("selectAffineIFMA", "z *affine, table *[8]niels, digits *[8]int64",
		"is selectCachedIFMA for a table that all lanes share.")
	selectEntry(3, func(t Register, j, limb int, m, acc VecVirtual) {
		VPTERNLOGQ_BCST(Imm(aOrBAndC), Mem{Base: t, Disp: (j*3*limbs + limb) * 8}, m, acc)
	})
	function("negateAffineIFMA", "z, x *affine, m *mask", "sets z to −x in the lanes of m, and to x in the others.")
	negateAffine()
}

// negateAffine needs all of the second operand in registers, so that both may be
// the same.
func negateAffine() {
	x, out, m := argument("x"), argument("z"), ZMM()
	VMOVDQU64(Mem{Base: argument("m")}, m)
	var all []VecVirtual
	for i := range 3 {
		f := loadFe(x, i*elem)
		all = append(all, f[:]...)
	}
	negate(m, all, out)
	done()
}

// selectEntry reads the whole table, whatever the digits: or adds limb of entry
// j to acc where m is set.
func selectEntry(coordinates int, or func(t Register, j, limb int, m, acc VecVirtual)) {
	t, out := argument("table"), argument("z")
	digit := ZMM()
	VMOVDQU64(Mem{Base: argument("digits")}, digit)
	magnitude, one := ZMM(), broadcast(word("one", 1))
	VPABSQ(digit, magnitude)

	all := make([]VecVirtual, coordinates*limbs)
	for i := range all {
		all[i] = zeroed()
	}
	// Entry 0 is the identity: Y + X = Y − X = 1, 2d·T = 0 and 2·Z = 2.
	wanted, k, m := zeroed(), K(), ZMM()
	equals := func() {
		VPCMPEQQ(wanted, magnitude, k)
		VPMOVM2Q(k, m)
	}
	equals()
	VPANDQ(one, m, all[0])
	VPANDQ(one, m, all[limbs])
	if coordinates == 4 {
		VPADDQ(all[0], all[0], all[3*limbs])
	}
	for j := range entries {
		VPADDQ(one, wanted, wanted)
		equals()
		for i := range all {
			or(t, j, i, m, all[i])
		}
	}

	VPSRAQ(Imm(63), digit, digit)
	negate(digit, all, out)
	done()
}

// negate negates a point in the lanes of m, swapping Y + X and Y − X and negating
// 2d·T, and stores it.
func negate(m VecVirtual, all []VecVirtual, out Register) {
	c := loadConsts()
	for i := range limbs {
		plus, minus, d := all[i], all[limbs+i], ZMM()
		VPXORQ(plus, minus, d)
		VPANDQ(m, d, d)
		VPXORQ(d, plus, plus)
		VPXORQ(d, minus, minus)
	}
	store := func(from, to int) {
		for i := from; i < to; i++ {
			VMOVDQU64(all[i], Mem{Base: out, Disp: i * row})
		}
	}
	store(0, 2*limbs) // early, to free their registers
	zero := zeroed()
	negative := c.less(fe{zero, zero, zero, zero, zero}, fe(all[2*limbs:3*limbs]).ops(), fourP())
	for i := range limbs {
		all[2*limbs+i] = chosen(m, negative[i], all[2*limbs+i])
	}
	store(2*limbs, len(all))
}
