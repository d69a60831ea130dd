// Command asm writes lanes_amd64.s and its stubs: the compression function of
// SHA-512 (FIPS 180-4 §6.4.2) for eight messages, one in each 64-bit lane of
// AVX-512 registers.
//
//	go run main.go -out ../lanes_amd64.s -stubs ../lanes_amd64.go -pkg sha512x8
//
// A register holds one word of the eight messages or states: no instruction of
// the rounds moves data across lanes, so they read as the standard's. Messages
// and digests lie one after the other, so words are gathered into registers and
// scattered again by transposing an 8×8 matrix.
package main

import (
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

const lanes = 8

func main() {
	ConstraintExpr("amd64,!purego")
	k, order := constants(), byteOrder()
	block(k, order)
	digests(order)
	Generate()
}

// block adds one block of each message to h.
func block(k, order Mem) {
	TEXT("block", NOSPLIT, "func(h *[8][8]uint64, msgs []byte, offset *[8]int, mask *[2]uint64, pad *[128]byte)")
	Pragma("noescape")
	Doc("block updates the states h, word by word and a lane for each message, with",
		"the block of each message that starts at its offset in msgs. Of it only the",
		"bytes that mask admits are read; pad has the others.")
	h := Load(Param("h"), GP64())
	w := loadBlock(order)

	var v [8]reg.VecVirtual
	for i := range v {
		v[i] = ZMM()
		VMOVDQU64(Mem{Base: h}.Offset(64*i), v[i])
	}
	key := GP64()
	LEAQ(k, key)
	left := GP64()
	MOVQ(U32(4), left)
	Label("rounds")
	a := func() {}
	for i := range 16 {
		a = round(&v, w[i], Mem{Base: key}.Offset(8*i), a)
		schedule(&w, i)
	}
	a()
	ADDQ(U32(16*8), key)
	DECQ(left)
	JNZ(LabelRef("rounds"))
	a = func() {}
	for i := range 16 { // nothing is left to schedule
		a = round(&v, w[i], Mem{Base: key}.Offset(8*i), a)
	}
	a()
	for i := range v {
		VPADDQ(Mem{Base: h}.Offset(64*i), v[i], v[i])
		VMOVDQU64(v[i], Mem{Base: h}.Offset(64*i))
	}
	VZEROUPPER()
	RET()
}

// loadBlock returns the sixteen words of a block of every message.
func loadBlock(order Mem) (w [16]reg.VecVirtual) {
	msgs := Load(Param("msgs").Base(), GP64())
	offset := Load(Param("offset"), GP64())
	masks := Mem{Base: Load(Param("mask"), GP64())}
	pads := Mem{Base: Load(Param("pad"), GP64())}
	var start [lanes]reg.GPVirtual
	swap := ZMM()
	VMOVDQU64(order, swap)
	for half := range 2 {
		mask := K()
		KMOVQ(masks.Offset(8*half), mask)
		pad := ZMM()
		VMOVDQU64(pads.Offset(64*half), pad)
		var row [lanes]reg.VecVirtual
		for l := range row {
			if half == 0 {
				start[l] = GP64()
				MOVQ(Mem{Base: offset}.Offset(8*l), start[l])
			}
			row[l] = ZMM()
			VMOVDQU8_Z(Mem{Base: msgs, Index: start[l], Scale: 1}.Offset(64*half), mask, row[l])
			VPORQ(pad, row[l], row[l])
			VPSHUFB(swap, row[l], row[l])
		}
		words := transpose(row)
		copy(w[8*half:], words[:])
	}
	return w
}

// digests writes the states out.
func digests(order Mem) {
	TEXT("digests", NOSPLIT, "func(dst *[8][64]byte, h *[8][8]uint64)")
	Pragma("noescape")
	Doc("digests writes each lane of h as the digest it is.")
	dst := Mem{Base: Load(Param("dst"), GP64())}
	h := Mem{Base: Load(Param("h"), GP64())}
	swap := ZMM()
	VMOVDQU64(order, swap)
	var word [8]reg.VecVirtual
	for i := range word {
		word[i] = ZMM()
		VMOVDQU64(h.Offset(64*i), word[i])
	}
	for l, digest := range transpose(word) {
		VPSHUFB(swap, digest, digest)
		VMOVDQU64(digest, dst.Offset(64*l))
	}
	VZEROUPPER()
	RET()
}

// round is step 3 of FIPS 180-4 §6.4.2 up to the new e, and returns what emits
// the new a: the next round emits it, behind its own e. From e to e is the
// longest path, four instructions if the sum d + T1 takes its parts as they
// become ready, and its rotations must not queue behind those of an a that
// nothing waits for. T1 for a is e - d.
func round(v *[8]reg.VecVirtual, w reg.VecVirtual, k Mem, before func()) (after func()) {
	a, b, c, d, e, f, g, h := v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	kw := ZMM()
	VPADDQ_BCST(k, w, kw)
	VPADDQ(kw, h, h)
	VPADDQ(d, h, h)
	VPADDQ(ternary(choose, e, f, g), h, h)
	VPADDQ(sigma(e, 14, 18, 41, VPRORQ), h, h) // d + T1
	before()
	*v = [8]reg.VecVirtual{d, a, b, c, h, e, f, g}
	return func() {
		VPSUBQ(d, h, d)
		VPADDQ(ternary(majority, a, b, c), d, d)
		VPADDQ(sigma(a, 28, 34, 39, VPRORQ), d, d) // T1 + T2
	}
}

// schedule replaces W(t) by W(t+16), step 1 of FIPS 180-4 §6.4.2; w is a ring.
func schedule(w *[16]reg.VecVirtual, t int) {
	at := func(i int) reg.VecVirtual { return w[(t+i)%16] }
	VPADDQ(at(9), at(0), at(0))
	VPADDQ(sigma(at(1), 1, 8, 7, VPSRLQ), at(0), at(0))
	VPADDQ(sigma(at(14), 19, 61, 6, VPSRLQ), at(0), at(0))
}

// sigma returns x rotated by r1, by r2, and rotated or shifted by r3, added
// modulo 2 (FIPS 180-4 §4.1.3).
func sigma(x reg.VecVirtual, r1, r2, r3 uint8, third func(...Op)) reg.VecVirtual {
	s, t, u := ZMM(), ZMM(), ZMM()
	VPRORQ(U8(r1), x, s)
	VPRORQ(U8(r2), x, t)
	third(U8(r3), x, u)
	VPTERNLOGQ(U8(xor), u, t, s)
	return s
}

// The functions of FIPS 180-4 §4.1.3 as truth tables: bit 4x+2y+z is f(x, y, z).
const (
	xor      = 0x96
	choose   = 0xca
	majority = 0xe8
)

func ternary(f uint8, x, y, z reg.VecVirtual) reg.VecVirtual {
	r := ZMM()
	VMOVDQA64(x, r)
	VPTERNLOGQ(U8(f), z, y, r)
	return r
}

// transpose returns the columns of an 8×8 matrix of 64-bit words.
func transpose(row [8]reg.VecVirtual) (column [8]reg.VecVirtual) {
	const even, odd = 0x88, 0xdd // of four 128-bit parts of one register, then of another
	for parity := range 2 {
		unpack := VPUNPCKLQDQ
		if parity == 1 {
			unpack = VPUNPCKHQDQ
		}
		var pair [4]reg.VecVirtual // part j of pair i: word 2j+parity of rows 2i and 2i+1
		for i := range pair {
			pair[i] = ZMM()
			unpack(row[2*i+1], row[2*i], pair[i])
		}
		for j, parts := range []uint8{even, odd} {
			upper, lower := ZMM(), ZMM() // words 2j+parity and 2j+4+parity of four rows each
			VSHUFI64X2(U8(parts), pair[1], pair[0], upper)
			VSHUFI64X2(U8(parts), pair[3], pair[2], lower)
			for half, parts := range []uint8{even, odd} {
				c := ZMM()
				VSHUFI64X2(U8(parts), lower, upper, c)
				column[4*half+2*j+parity] = c
			}
		}
	}
	return column
}

// byteOrder is the shuffle that turns big-endian words into the machine's.
func byteOrder() Mem {
	m := GLOBL("byteOrder", RODATA|NOPTR)
	for i := range lanes {
		DATA(8*i, U64(0x0001020304050607+0x0808080808080808*uint64(i%2)))
	}
	return m
}

// constants are K of FIPS 180-4 §4.2.3.
func constants() Mem {
	m := GLOBL("roundConstants", RODATA|NOPTR)
	for i, k := range k512() {
		DATA(8*i, U64(k))
	}
	return m
}

// k512 computes K from its definition: the first 64 bits of the fractional parts
// of the cube roots of the first 80 primes.
func k512() (k [80]uint64) {
	i := 0
	for p := int64(2); i < len(k); p++ {
		if !big.NewInt(p).ProbablyPrime(0) { // certain below 2⁶⁴
			continue
		}
		k[i] = cubeRoot(new(big.Int).Lsh(big.NewInt(p), 3*64)).Uint64()
		i++
	}
	return k
}

// cubeRoot returns ⌊∛n⌋ modulo 2⁶⁴, by bisection: the low 64 bits are the
// fraction if n has been scaled by 2^(3·64).
func cubeRoot(n *big.Int) *big.Int {
	root := new(big.Int)
	for bit := 70; bit >= 0; bit-- { // ∛409 < 2³, and 64 bits of fraction
		root.SetBit(root, bit, 1)
		cube := new(big.Int).Mul(root, root)
		if cube.Mul(cube, root).Cmp(n) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	return root.And(root, new(big.Int).SetUint64(1<<64-1))
}
