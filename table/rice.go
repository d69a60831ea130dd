package table

import (
	"encoding/binary"
	"math/bits"
)

// wide is an unsigned integer of 256 bits, most significant word first: what a
// token says after its shard's number.
type wide [4]uint64

// readWide reads at most 32 bytes, big-endian.
func readWide(b []byte) (w wide) {
	var full [32]byte
	copy(full[32-len(b):], b)
	for i := range w {
		w[i] = binary.BigEndian.Uint64(full[8*i:])
	}
	return w
}

// put writes the low bytes of w over all of b.
func (w wide) put(b []byte) {
	var full [32]byte
	for i := range w {
		binary.BigEndian.PutUint64(full[8*i:], w[i])
	}
	copy(b, full[32-len(b):])
}

// plus returns w + v + c.
func (w wide) plus(v wide, c uint64) (sum wide) {
	for i := 3; i >= 0; i-- {
		sum[i], c = bits.Add64(w[i], v[i], c)
	}
	return sum
}

// minus returns w - v - c, for which that is not negative.
func (w wide) minus(v wide, c uint64) (difference wide) {
	for i := 3; i >= 0; i-- {
		difference[i], c = bits.Sub64(w[i], v[i], c)
	}
	return difference
}

// right returns w >> n, n being below 256.
func (w wide) right(n int) (shifted wide) {
	words, n := n/64, n%64
	for i := 3; i >= words; i-- {
		shifted[i] = w[i-words] >> n
		if n > 0 && i > words {
			shifted[i] |= w[i-words-1] << (64 - n)
		}
	}
	return shifted
}

// left returns w << n, n being below 256.
func (w wide) left(n int) (shifted wide) {
	words, n := n/64, n%64
	for i := 0; i < 4-words; i++ {
		shifted[i] = w[i+words] << n
		if n > 0 && i+words < 3 {
			shifted[i] |= w[i+words+1] >> (64 - n)
		}
	}
	return shifted
}

// small returns w if it fits in 64 bits, and the largest number there is if not.
func (w wide) small() uint64 {
	if w[0]|w[1]|w[2] != 0 {
		return 1<<64 - 1
	}
	return w[3]
}

// bitWriter appends bits to bytes, most significant first.
type bitWriter struct {
	b    []byte
	room int // free low bits of the last byte
}

// write appends the low n bits of v, n being at most 64.
func (w *bitWriter) write(v uint64, n int) {
	for n > 0 {
		if w.room == 0 {
			w.b, w.room = append(w.b, 0), 8
		}
		k := min(n, w.room)
		w.b[len(w.b)-1] |= byte(v >> (n - k) & (1<<k - 1) << (w.room - k))
		w.room -= k
		n -= k
	}
}

// rice appends the Rice code of v: v >> rho as that many ones and a zero, then
// the low rho bits of v.
func (w *bitWriter) rice(v wide, rho int) {
	for q := v.right(rho).small(); q > 0; {
		k := min(q, 64)
		w.write(1<<64-1, int(k))
		q -= k
	}
	w.write(0, 1)
	for i := range v {
		if n := min(64, rho-64*(3-i)); n > 0 {
			w.write(v[i], n)
		}
	}
}

// bitReader reads bits from bytes, most significant first.
type bitReader struct {
	b  []byte
	at int // of the next bit
}

// read returns the next n bits, n being at most 64.
func (r *bitReader) read(n int) (v uint64, ok bool) {
	if n > 8*len(r.b)-r.at {
		return 0, false
	}
	for n > 0 {
		k := min(n, 8-r.at%8)
		rest := uint64(r.b[r.at/8]) << (r.at % 8) & 0xff
		v = v<<k | rest>>(8-k)
		r.at += k
		n -= k
	}
	return v, true
}

// maxQuotient is the most ones of a code that a decoder reads (PROTOCOL.md §7.4).
const maxQuotient = 64

// rice reads what bitWriter.rice wrote. It refuses quotients above maxQuotient.
func (r *bitReader) rice(rho int) (v wide, ok bool) {
	var q uint64
	for {
		bit, ok := r.read(1)
		if !ok || q > maxQuotient {
			return wide{}, false
		}
		if bit == 0 {
			break
		}
		q++
	}
	if q > maxQuotient {
		return wide{}, false
	}
	v = wide{3: q}.left(rho)
	for i := range v {
		if n := min(64, rho-64*(3-i)); n > 0 {
			low, ok := r.read(n)
			if !ok {
				return wide{}, false
			}
			v[i] |= low
		}
	}
	return v, true
}

// padding reports whether nothing but zeros is left of the current byte, and
// returns the bytes after it.
func (r *bitReader) padding() (rest []byte, ok bool) {
	v, _ := r.read((8 - r.at%8) % 8)
	return r.b[r.at/8:], v == 0
}
