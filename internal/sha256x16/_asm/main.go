// Command asm writes lanes_amd64.s and its stubs: the compression function of
// SHA-256 (FIPS 180-4 §6.2.2) for sixteen messages, one in each 32-bit lane of
// AVX-512 registers.
//
//	go run main.go -out ../lanes_amd64.s -stubs ../lanes_amd64.go -pkg sha256x16
//
// A register holds one word of the sixteen messages or states: no instruction of
// the rounds moves data across lanes, so they read as the standard's. A message's
// bytes lie together, and so do a digest's, so words are gathered into registers
// and scattered again by transposing matrices of words.
package main

import (
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const lanes = 16

func main() {
	ConstraintExpr("amd64,!purego")
	k, order := constants(), byteOrder()
	block(k, order)
	digests(order)
	Generate()
}

// block adds one block of each message to h.
func block(k, order Mem) {
	TEXT("block", NOSPLIT, "func(h *[8][16]uint32, msgs []byte, offset *[16]int, mask uint64, pad *[64]byte)")
	Pragma("noescape")
	Doc("block updates the states h, word by word and a lane for each message, with",
		"the block of each message that starts at its offset in msgs. Of it only the",
		"bytes that mask admits are read; pad has the others.")
	w := loadBlock(order)
	h := Load(Param("h"), GP64())

	var v [8]reg.VecVirtual
	for i := range v {
		v[i] = ZMM()
		VMOVDQU32(Mem{Base: h}.Offset(64*i), v[i])
	}
	key := GP64()
	LEAQ(k, key)
	left := GP64()
	MOVQ(U32(3), left)
	Label("rounds")
	a := func() {}
	for i := range 16 {
		a = round(&v, w[i], Mem{Base: key}.Offset(4*i), a)
		schedule(&w, i)
	}
	a()
	ADDQ(U32(16*4), key)
	DECQ(left)
	JNZ(LabelRef("rounds"))
	a = func() {}
	for i := range 16 { // nothing is left to schedule
		a = round(&v, w[i], Mem{Base: key}.Offset(4*i), a)
	}
	a()
	for i := range v {
		VPADDD(Mem{Base: h}.Offset(64*i), v[i], v[i])
		VMOVDQU32(v[i], Mem{Base: h}.Offset(64*i))
	}
	VZEROUPPER()
	RET()
}

// loadBlock returns the sixteen words of a block of every message.
func loadBlock(order Mem) [16]reg.VecVirtual {
	msgs := Load(Param("msgs").Base(), GP64())
	offset := Load(Param("offset"), GP64())
	pad := Mem{Base: Load(Param("pad"), GP64())}
	bits := Load(Param("mask"), GP64())
	mask := K()
	KMOVQ(bits, mask)
	var row [lanes]reg.VecVirtual
	for l := range row {
		start := GP64()
		MOVQ(Mem{Base: offset}.Offset(8*l), start)
		row[l] = ZMM()
		VMOVDQU8_Z(Mem{Base: msgs, Index: start, Scale: 1}, mask, row[l])
		VPORD(pad, row[l], row[l])
		VPSHUFB(order, row[l], row[l])
	}
	return transpose(row)
}

// digests writes the states out.
func digests(order Mem) {
	TEXT("digests", NOSPLIT, "func(dst *[512]byte, h *[8][16]uint32)")
	Pragma("noescape")
	Doc("digests writes each lane of h as the digest it is.")
	dst := Mem{Base: Load(Param("dst"), GP64())}
	h := Mem{Base: Load(Param("h"), GP64())}
	swap := ZMM()
	VMOVDQU64(order, swap)
	for half := range 2 {
		var word [4]reg.VecVirtual
		for i := range word {
			word[i] = ZMM()
			VMOVDQU32(h.Offset(64*(4*half+i)), word[i])
			VPSHUFB(swap, word[i], word[i])
		}
		for i, quarters := range transposeParts(word) { // part j is of lane 4j+i
			for j := range uint8(4) {
				VEXTRACTI32X4(U8(j), quarters, dst.Offset(32*(4*int(j)+i)+16*half))
			}
		}
	}
	VZEROUPPER()
	RET()
}

// round is step 3 of FIPS 180-4 §6.2.2 up to the new e, and returns what emits
// the new a: the next round emits it, behind its own e. From e to e is the
// longest path, four instructions if the sum d + T1 takes its parts as they
// become ready, and its rotations must not queue behind those of an a that
// nothing waits for. T1 for a is e - d.
func round(v *[8]reg.VecVirtual, w reg.VecVirtual, k Mem, before func()) (after func()) {
	a, b, c, d, e, f, g, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	kw := ZMM()
	VPADDD_BCST(k, w, kw)
	VPADDD(kw, h, h)
	VPADDD(d, h, h)
	VPADDD(ternary(choose, e, f, g), h, h)
	VPADDD(sigma(e, 6, 11, 25, VPRORD), h, h) // d + T1
	before()
	*v = [8]reg.VecVirtual{d, a, b, c, h, e, f, g}
	return func() {
		VPSUBD(d, h, d)
		VPADDD(ternary(majority, a, b, c), d, d)
		VPADDD(sigma(a, 2, 13, 22, VPRORD), d, d) // T1 + T2
	}
}

// schedule replaces W(t) by W(t+16), step 1 of FIPS 180-4 §6.2.2; w is a ring.
func schedule(w *[16]reg.VecVirtual, t int) {
	at := func(i int) reg.VecVirtual { return w[(t+i)%16] }
	VPADDD(at(9), at(0), at(0))
	VPADDD(sigma(at(1), 7, 18, 3, VPSRLD), at(0), at(0))
	VPADDD(sigma(at(14), 17, 19, 10, VPSRLD), at(0), at(0))
}

// sigma returns x rotated by r1, by r2, and rotated or shifted by r3, added
// modulo 2 (FIPS 180-4 §4.1.2).
func sigma(x reg.VecVirtual, r1, r2, r3 uint8, third func(...Op)) reg.VecVirtual {
	s, t, u := ZMM(), ZMM(), ZMM()
	VPRORD(U8(r1), x, s)
	VPRORD(U8(r2), x, t)
	third(U8(r3), x, u)
	VPTERNLOGD(U8(xor), u, t, s)
	return s
}

// The functions of FIPS 180-4 §4.1.2 as truth tables: bit 4x+2y+z is f(x, y, z).
const (
	xor      = 0x96
	choose   = 0xca
	majority = 0xe8
)

func ternary(f uint8, x, y, z reg.VecVirtual) reg.VecVirtual {
	r := ZMM()
	VMOVDQA32(x, r)
	VPTERNLOGD(U8(f), z, y, r)
	return r
}

// transpose returns the columns of a 16×16 matrix of 32-bit words.
func transpose(row [16]reg.VecVirtual) (column [16]reg.VecVirtual) {
	const even, odd = 0x88, 0xdd // of four 128-bit parts of one register, then of another
	var quad [4][4]reg.VecVirtual
	for q := range quad {
		quad[q] = transposeParts([4]reg.VecVirtual(row[4*q:])) // part j of [q][i]: word 4j+i of rows 4q to 4q+3
	}
	for i := range 4 {
		for j, parts := range []uint8{even, odd} {
			upper, lower := ZMM(), ZMM() // words 4j+i and 4j+8+i of eight rows each
			VSHUFI32X4(U8(parts), quad[1][i], quad[0][i], upper)
			VSHUFI32X4(U8(parts), quad[3][i], quad[2][i], lower)
			for half, parts := range []uint8{even, odd} {
				c := ZMM()
				VSHUFI32X4(U8(parts), lower, upper, c)
				column[8*half+4*j+i] = c
			}
		}
	}
	return column
}

// transposeParts transposes the 4×4 matrix of 32-bit words that the same 128-bit
// part of four registers is, for each of the four parts.
func transposeParts(row [4]reg.VecVirtual) (column [4]reg.VecVirtual) {
	var low, high [2]reg.VecVirtual // words 0 and 1, words 2 and 3, of rows 2i and 2i+1 in turn
	for i := range 2 {
		low[i], high[i] = ZMM(), ZMM()
		VPUNPCKLDQ(row[2*i+1], row[2*i], low[i])
		VPUNPCKHDQ(row[2*i+1], row[2*i], high[i])
	}
	for i := range column {
		column[i] = ZMM()
	}
	VPUNPCKLQDQ(low[1], low[0], column[0])
	VPUNPCKHQDQ(low[1], low[0], column[1])
	VPUNPCKLQDQ(high[1], high[0], column[2])
	VPUNPCKHQDQ(high[1], high[0], column[3])
	return column
}

// byteOrder is the shuffle that turns big-endian words into the machine's.
func byteOrder() Mem {
	m := GLOBL("byteOrder", RODATA|NOPTR)
	for i := range lanes {
		DATA(4*i, U32(0x00010203+0x04040404*uint32(i%4)))
	}
	return m
}

// constants are K of FIPS 180-4 §4.2.2.
func constants() Mem {
	m := GLOBL("roundConstants", RODATA|NOPTR)
	for i, k := range k256() {
		DATA(4*i, U32(k))
	}
	return m
}

// k256 computes K from its definition: the first 32 bits of the fractional parts
// of the cube roots of the first 64 primes.
func k256() (k [64]uint32) {
	i := 0
	for p := int64(2); i < len(k); p++ {
		if !big.NewInt(p).ProbablyPrime(0) { // certain below 2⁶⁴
			continue
		}
		k[i] = uint32(cubeRoot(new(big.Int).Lsh(big.NewInt(p), 3*32)).Uint64())
		i++
	}
	return k
}

// cubeRoot returns ⌊∛n⌋, by bisection: its low 32 bits are the fraction if n has
// been scaled by 2^(3·32).
func cubeRoot(n *big.Int) *big.Int {
	root := new(big.Int)
	for bit := 34; bit >= 0; bit-- { // ∛311 < 2³, and 32 bits of fraction
		root.SetBit(root, bit, 1)
		cube := new(big.Int).Mul(root, root)
		if cube.Mul(cube, root).Cmp(n) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	return root
}
