//go:build !purego

package ristretto

import (
	"github.com/bwesterb/go-ristretto/edwards25519"
	"golang.org/x/sys/cpu"
)

// Each function here is its twin in lanes_generic.go or its assembly, which
// gives the same limbs.
//
//go:generate -command asm go run -C _asm . -pkg ristretto
//go:generate asm -out ../lanes_ifma_amd64.s -stubs ../lanes_ifma_amd64.go

// hasIFMA says whether the assembly can run here.
var hasIFMA = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512IFMA

// ifma selects the assembly; tests switch it.
var ifma = hasIFMA

// mul sets z to x·y.
func (z *lanes) mul(x, y *lanes) {
	if ifma {
		mulIFMA(z, x, y)
	} else {
		mulGeneric(z, x, y)
	}
}

// square sets z to x squared n times, n being at least 1.
func (z *lanes) square(x *lanes, n int) {
	if ifma {
		squareIFMA(z, x, n)
	} else {
		squareGeneric(z, x, n)
	}
}

// squareTwo is square for two at once, which hardly takes longer than for one.
func squareTwo(z, x *[2]lanes, n int) {
	if ifma {
		squareTwoIFMA(z, x, n)
	} else {
		squareTwoGeneric(z, x, n)
	}
}

// add sets z to x + y.
func (z *lanes) add(x, y *lanes) {
	if ifma {
		addIFMA(z, x, y)
	} else {
		addGeneric(z, x, y)
	}
}

// sub sets z to x − y.
func (z *lanes) sub(x, y *lanes) {
	if ifma {
		subIFMA(z, x, y)
	} else {
		subGeneric(z, x, y)
	}
}

// choose sets z to x in the lanes of m, and to y in the others.
func (z *lanes) choose(x, y *lanes, m *mask) {
	if ifma {
		chooseIFMA(z, x, y, m)
	} else {
		chooseGeneric(z, x, y, m)
	}
}

// canonical sets z to x in limbs below 2^51, together below p.
func (z *lanes) canonical(x *lanes) {
	if ifma {
		canonicalIFMA(z, x)
	} else {
		canonicalGeneric(z, x)
	}
}

// double doubles p n times, n being at least 1.
func (p *points) double(n int) {
	if ifma {
		doubleIFMA(p, n)
	} else {
		doubleGeneric(p, n)
	}
}

// add sets p to p + q.
func (p *points) add(q *cached) {
	if ifma {
		addCachedIFMA(p, q)
	} else {
		addCachedGeneric(p, q)
	}
}

// addAffine sets p to p + q.
func (p *points) addAffine(q *affine) {
	if ifma {
		addAffineIFMA(p, q)
	} else {
		addAffineGeneric(p, q)
	}
}

// pick sets lane l of z to digits[l] times the point of table, whose entry j is
// its multiple by j + 1. Digits are between −8 and 8. It reads the whole table.
func (z *cached) pick(table *[8]cached, digits *[width]int64) {
	if ifma {
		selectCachedIFMA(z, table, digits)
	} else {
		selectCachedGeneric(z, table, digits)
	}
}

// pick does the same with a table that all lanes share.
func (z *affine) pick(table *[8]niels, digits *[width]int64) {
	if ifma {
		selectAffineIFMA(z, table, digits)
	} else {
		selectAffineGeneric(z, table, digits)
	}
}

// negateIf sets z to −x in the lanes of m, and to x in the others.
func (z *affine) negateIf(x *affine, m *mask) {
	if ifma {
		negateAffineIFMA(z, x, m)
	} else {
		negateAffineGeneric(z, x, m)
	}
}

// gather sets lane l of z to p[at[l]].
func (z *points) gather(p []edwards25519.ExtendedPoint, at *[width]int64) {
	mustBeIn(len(p), at)
	if ifma {
		gatherIFMA(z, &p[0].X[0], at)
	} else {
		gatherGeneric(z, p, at)
	}
}

// scatter sets p[at[l]] to lane l of x, in the order of the lanes.
func (x *points) scatter(p []edwards25519.ExtendedPoint, at *[width]int64) {
	mustBeIn(len(p), at)
	if ifma {
		scatterIFMA(&p[0].X[0], at, x)
	} else {
		scatterGeneric(p, at, x)
	}
}

// mustBeIn keeps the assembly, which checks nothing, inside its slice.
func mustBeIn(n int, at *[width]int64) {
	for _, i := range at {
		if uint64(i) >= uint64(n) {
			panic("ristretto: no such point")
		}
	}
}
