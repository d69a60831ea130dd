package signal

const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// sextets has the six bits of each character of base64url, and -1 for others.
var sextets = func() (t [256]int8) {
	for c := range t {
		t[c] = -1
	}
	for i, c := range []byte(alphabet) {
		t[c] = int8(i)
	}
	return t
}()

// encoded reports whether a segment has only characters of base64url. Padding
// is not among them.
func encoded(s string) bool {
	for i := range len(s) {
		if sextets[s[i]] < 0 {
			return false
		}
	}
	return true
}

// bits reads a segment that is encoded, most significant bit first. What is read
// after its end is zero, and remembered in short; loops over counts that the
// segment claims must stop there.
type bits struct {
	chars string
	at    int // of bits
	short bool
}

// left returns how many bits have not been read.
func (b *bits) left() int { return 6*len(b.chars) - b.at }

// uint reads a number of n bits.
func (b *bits) uint(n int) (v uint64) {
	if n > b.left() {
		b.at, b.short = 6*len(b.chars), true
		return 0
	}
	for n > 0 {
		take := min(n, 6-b.at%6)
		sextet := uint64(sextets[b.chars[b.at/6]])
		v = v<<take | sextet>>(6-b.at%6-take)&(1<<take-1)
		b.at += take
		n -= take
	}
	return v
}

func (b *bits) int(n int) int { return int(b.uint(n)) }

func (b *bits) bool() bool { return b.uint(1) == 1 }

// skip passes over n bits.
func (b *bits) skip(n int) {
	if n > b.left() {
		n, b.short = b.left(), true
	}
	b.at += n
}

// zero reports whether nothing is left but zeros.
func (b *bits) zero() bool {
	for b.left() > 0 {
		if b.bool() {
			return false
		}
	}
	return true
}

// fibonacci reads a number in Fibonacci coding: bit i stands for the i-th of
// 1, 2, 3, 5, 8, …, and a second 1 in a row ends it. A number above most, or one
// that doesn't end, is 0, which no code stands for.
func (b *bits) fibonacci(most int) int {
	sum, last := 0, false
	for f, next := 1, 2; !b.short; f, next = next, f+next {
		bit := b.bool()
		switch {
		case bit && last:
			return sum
		case bit && f > most-sum:
			return 0
		case bit:
			sum += f
		case f > most: // whatever comes, it comes with more
			return 0
		}
		last = bit
	}
	return 0
}
