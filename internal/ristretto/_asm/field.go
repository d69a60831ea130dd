package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

const mask51 = 1<<51 - 1

// words are 64-bit constants in memory, each made when first asked for.
var words = map[string]Mem{}

func word(name string, value uint64) Mem {
	if _, ok := words[name]; !ok {
		words[name] = ConstData(name, U64(value))
	}
	return words[name]
}

// multiple is a multiple of p = 2²⁵⁵ − 19 by a power of two, in limbs, to be
// added before a subtraction so that no limb becomes negative.
type multiple [limbs]Mem

func multipleOfP(name string, shift uint) (m multiple) {
	low, other := word(name+"_0", (mask51-18)<<shift), word(name+"_1", mask51<<shift)
	return multiple{low, other, other, other, other}
}

// Limbs of fourP exceed reduced ones, of bigP uncarried products, and of hugeP
// differences of those.
func fourP() multiple { return multipleOfP("four_p", 2) }
func bigP() multiple  { return multipleOfP("big_p", 9) }
func hugeP() multiple { return multipleOfP("huge_p", 10) }

// consts are the constants that every function keeps in registers.
type consts struct{ mask, nineteen VecVirtual }

func loadConsts() consts {
	return consts{broadcast(word("mask_51", mask51)), broadcast(word("nineteen", 19))}
}

// carry carries every limb into the next once, in place, the last into the first
// times 19.
func (c consts) carry(t fe) {
	over := func(i int) VecVirtual {
		z := ZMM()
		VPSRLQ(Imm(51), t[i], z)
		return z
	}
	top := over(limbs - 1)
	for i := limbs - 1; i > 0; i-- {
		VPANDQ(c.mask, t[i], t[i])
		VPADDQ(over(i-1), t[i], t[i])
	}
	VPANDQ(c.mask, t[0], t[0])
	VPMADD52LUQ(c.nineteen, top, t[0])
}

// mul returns the product of x and y, uncarried.
func (c consts) mul(x fe, y ops) (t fe) {
	column := func(k int, madd func(...Op), acc VecVirtual) {
		for i := range x {
			if j := k - i; j >= 0 && j < limbs {
				madd(y[j], x[i], acc)
			}
		}
	}
	return c.columns(func(k int, t VecVirtual) {
		column(k, VPMADD52LUQ, t)
		if k > 0 {
			high := zeroed()
			column(k-1, VPMADD52HUQ, high)
			VPADDQ(high, t, t)
			VPADDQ(high, t, t)
		}
	})
}

// square returns the square of x, uncarried. Products of different limbs are
// computed once and count twice, high halves twice more.
func (c consts) square(x fe) fe {
	cross := func(k int, madd func(...Op), acc VecVirtual) (some bool) {
		for i := range x {
			if j := k - i; j > i && j < limbs {
				madd(x[j], x[i], acc)
				some = true
			}
		}
		return some
	}
	diagonal := func(k int, madd func(...Op), acc VecVirtual) (some bool) {
		if k%2 == 0 && k < 2*limbs-1 {
			madd(x[k/2], x[k/2], acc)
			return true
		}
		return false
	}
	return c.columns(func(k int, t VecVirtual) {
		twice := zeroed()
		high := cross(k-1, VPMADD52HUQ, twice)
		if high {
			VPADDQ(twice, twice, twice)
		}
		low := cross(k, VPMADD52LUQ, twice)
		if diagonal(k-1, VPMADD52HUQ, twice) || low || high {
			VPADDQ(twice, t, t)
			VPADDQ(twice, t, t)
		}
		diagonal(k, VPMADD52LUQ, t)
	})
}

// columns sums a product's columns: add adds column k, which is the low halves of
// weight 2^(51·k) and the high ones of the column before, twice, since a high
// half weighs 2^52. Column k + 5 counts 19 times in column k.
func (c consts) columns(add func(k int, t VecVirtual)) (t fe) {
	for k := range t {
		t[k] = zeroed()
		add(k+limbs, t[k])
		VPMULLQ(c.nineteen, t[k], t[k])
	}
	for k := range t {
		add(k, t[k])
	}
	return t
}

func sum(x fe, y ops) (z fe) {
	for i := range z {
		z[i] = ZMM()
		VPADDQ(y[i], x[i], z[i])
	}
	return z
}

// difference returns x + m − y.
func difference(x fe, y ops, m multiple) (z fe) {
	for i := range z {
		z[i] = ZMM()
		VPADDQ_BCST(m[i], x[i], z[i])
		VPSUBQ(y[i], z[i], z[i])
	}
	return z
}

// product, squared, total and less are mul, square, sum and difference, carried.
func (c consts) product(x fe, y ops) fe {
	t := c.mul(x, y)
	c.carry(t)
	return t
}

func (c consts) squared(x fe) fe {
	t := c.square(x)
	c.carry(t)
	return t
}

func (c consts) total(x fe, y ops) fe {
	t := sum(x, y)
	c.carry(t)
	return t
}

func (c consts) less(x fe, y ops, m multiple) fe {
	t := difference(x, y, m)
	c.carry(t)
	return t
}

func field() {
	const three = "z, x, y *lanes"

	function("mulIFMA", three, "sets z to x·y.")
	c := loadConsts()
	z := argument("z")
	c.product(loadFe(argument("x"), 0), memory(argument("y"), 0)).store(z, 0)
	done()

	function("squareIFMA", "z, x *lanes, n int", "sets z to x squared n times, n being at least 1.")
	squareRuns(1)
	function("squareTwoIFMA", "z, x *[2]lanes, n int", "is squareIFMA for two at once, which takes hardly longer than one: squaring waits for itself.")
	squareRuns(2)

	function("addIFMA", three, "sets z to x + y.")
	c = loadConsts()
	c.total(loadFe(argument("x"), 0), memory(argument("y"), 0)).store(argument("z"), 0)
	done()

	function("subIFMA", three, "sets z to x − y.")
	c = loadConsts()
	c.less(loadFe(argument("x"), 0), memory(argument("y"), 0), fourP()).store(argument("z"), 0)
	done()

	function("chooseIFMA", "z, x, y *lanes, m *mask", "sets z to x in the lanes of m, and to y in the others.")
	m := ZMM()
	VMOVDQU64(Mem{Base: argument("m")}, m)
	x, y := loadFe(argument("x"), 0), loadFe(argument("y"), 0)
	for i := range y {
		y[i] = chosen(m, x[i], y[i])
	}
	y.store(argument("z"), 0)
	done()

	function("canonicalIFMA", "z, x *lanes", "sets z to x in limbs below 2^51, together below p.")
	canonical()
}

// chosen returns x where m is set and y where it isn't: A ? B : C, as a truth
// table for VPTERNLOGQ.
func chosen(m, x, y VecVirtual) VecVirtual {
	z := ZMM()
	VMOVDQA64(m, z)
	VPTERNLOGQ(Imm(0xca), y, x, z)
	return z
}

func squareRuns(n int) {
	c := loadConsts()
	p, z, count := argument("x"), argument("z"), argument("n")
	x := make([]fe, n)
	for i := range x {
		x[i] = loadFe(p, i*elem)
	}
	Label("again")
	for i := range x {
		y := c.squared(x[i])
		for j := range y {
			VMOVDQA64(y[j], x[i][j])
		}
	}
	DECQ(count)
	JNZ(LabelRef("again"))
	for i := range x {
		x[i].store(z, i*elem)
	}
	done()
}

// canonical subtracts p if x ≥ p, that is if x + 19 reaches 2²⁵⁵. Being reduced,
// x is below 2p.
func canonical() {
	c := loadConsts()
	x := loadFe(argument("x"), 0)
	q := ZMM()
	VPADDQ(c.nineteen, x[0], q)
	for i := 1; i < limbs; i++ {
		VPSRLQ(Imm(51), q, q)
		VPADDQ(x[i], q, q)
	}
	VPSRLQ(Imm(51), q, q)
	VPMADD52LUQ(c.nineteen, q, x[0])
	over := ZMM()
	for i := range limbs {
		if i+1 < limbs {
			VPSRLQ(Imm(51), x[i], over)
			VPADDQ(over, x[i+1], x[i+1])
		}
		VPANDQ(c.mask, x[i], x[i])
	}
	x.store(argument("z"), 0)
	done()
}
