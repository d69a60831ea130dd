// Command asm writes the assembly of package ristretto: the field and the group
// in eight lanes, for AVX-512 IFMA. Run it as the comment in lanes_amd64.go says.
//
// The files here mirror what they emit: field.go the arithmetic modulo
// 2²⁵⁵ − 19, point.go doubling and addition, table.go the selections and
// transpose.go the way from arrays of points to lanes and back. What each
// function must compute, limb for limb, is its twin in ../lanes_generic.go; the
// bounds are in ../README.md.
package main

import (
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	. "github.com/mmcloughlin/avo/reg"
)

func main() {
	// Without the assembly the package compiles before it is written, too.
	os.Setenv("GOFLAGS", "-tags=purego")
	Package("github.com/overlap-psi/overlap/internal/ristretto")
	ConstraintExpr("!purego")
	field()
	point()
	table()
	transpose()
	Generate()
}

// Sizes in bytes of the types in ../lanes.go.
const (
	row   = 64      // one limb of eight elements
	elem  = 5 * row // lanes
	limbs = 5
)

// fe is a field element in eight lanes: a limb of each in a register.
type fe [limbs]VecVirtual

// function declares an assembly function. Its arguments are pointers to aligned
// or unaligned memory; no two need be different.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, "func("+signature+")")
	Doc(name + " " + doc)
	Pragma("noescape")
}

func argument(name string) Register { return Load(Param(name), GP64()) }

func done() {
	VZEROUPPER()
	RET()
}

// ops is a field element in registers or in memory.
type ops [limbs]Op

func memory(p Register, at int) (x ops) {
	for i := range x {
		x[i] = Mem{Base: p, Disp: at + i*row}
	}
	return x
}

func (x fe) ops() (o ops) {
	for i := range x {
		o[i] = x[i]
	}
	return o
}

func loadFe(p Register, at int) (x fe) {
	for i, m := range memory(p, at) {
		x[i] = ZMM()
		VMOVDQU64(m, x[i])
	}
	return x
}

func (x fe) store(p Register, at int) {
	for i := range x {
		VMOVDQU64(x[i], Mem{Base: p, Disp: at + i*row})
	}
}

// zeroed returns a register with zeros. The processor knows z − z to be 0, and
// so does avo, which doesn't know VPXORQ.
func zeroed() VecVirtual {
	z := ZMM()
	VPSUBQ(z, z, z)
	return z
}

func broadcast(m Op) VecVirtual {
	z := ZMM()
	VPBROADCASTQ(m, z)
	return z
}
