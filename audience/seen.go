package audience

import (
	"encoding/binary"
	"math/bits"

	"github.com/overlap-psi/overlap/identifier"
)

// seen is a set of identifiers, such as those already kept: exact but for 96 bits of
// SHA-256, at which a list of ten million has one chance in 10^15 of a false
// repeat, and a list of a billion one in 10^11. Who makes two addresses that agree
// in so much has one of them left out.
//
// It is 256 open-addressing tables, one for each first byte, so that growing one
// of them copies a 256th of the set. A table grows when it is five sixths full: to
// twice its size while that is little, then by a quarter, so an identifier of a
// long list takes 14 to 21 bytes.
type seen [256]slots

type slots struct {
	table []slot
	used  int
}

// slot is 11 bytes of a sum, the first after that which chose the table, and the
// class, which is never zero: an e-mail and a phone number can't be one, and the
// zero slot is a free one.
type slot [12]byte

func newSlot(c identifier.Class, sum *[32]byte) (key slot) {
	copy(key[:11], sum[1:])
	key[11] = byte(c)
	return key
}

// add adds an identifier and reports whether it is new.
func (s *seen) add(c identifier.Class, sum *[32]byte) bool {
	key := newSlot(c, sum)
	t := &s[sum[0]]
	if 6*(t.used+1) > 5*len(t.table) {
		t.grow()
	}
	i := find(t.table, &key)
	if t.table[i] == key {
		return false
	}
	t.table[i] = key
	t.used++
	return true
}

// has reports whether the set has an identifier.
func (s *seen) has(c identifier.Class, sum *[32]byte) bool {
	key := newSlot(c, sum)
	t := &s[sum[0]]
	return len(t.table) > 0 && t.table[find(t.table, &key)] == key
}

// find returns the place of key in a table that has a free slot: where it is,
// or where it would be. Sums are uniform, so their bytes are the hash.
func find(table []slot, key *slot) int {
	h, _ := bits.Mul64(binary.LittleEndian.Uint64(key[:8]), uint64(len(table)))
	i := int(h)
	for table[i] != *key && table[i] != (slot{}) {
		if i++; i == len(table) {
			i = 0
		}
	}
	return i
}

// doubled is the number of slots up to which a table is doubled.
const doubled = 1024

func (t *slots) grow() {
	old := t.table
	size := max(8, len(old)+len(old)/4)
	if len(old) > 0 && len(old) < doubled {
		size = 2 * len(old)
	}
	t.table = make([]slot, size)
	for i := range old {
		if old[i] != (slot{}) {
			t.table[find(t.table, &old[i])] = old[i]
		}
	}
}
