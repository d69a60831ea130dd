package table

import (
	"iter"
	"math/bits"
)

// Matches are the positions of the queries that a table has, one bit each.
type Matches struct {
	redacted
	words []uint64
}

func newMatches(size uint64) *Matches { return &Matches{words: make([]uint64, (size+63)/64)} }

func (m *Matches) add(position uint64) { m.words[position/64] |= 1 << (position % 64) }

// Count returns the number of positions that matched.
func (m *Matches) Count() uint64 {
	n := 0
	for _, w := range m.words {
		n += bits.OnesCount64(w)
	}
	return uint64(n)
}

// Has reports whether the position matched.
func (m *Matches) Has(position uint64) bool {
	i := position / 64
	return i < uint64(len(m.words)) && m.words[i]>>(position%64)&1 == 1
}

// All returns the positions that matched, in increasing order.
func (m *Matches) All() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i, w := range m.words {
			for ; w != 0; w &= w - 1 {
				if !yield(uint64(i)*64 + uint64(bits.TrailingZeros64(w))) {
					return
				}
			}
		}
	}
}

// Keep returns those of the matches that keep says to keep, which is asked about
// each, in increasing order.
func (m *Matches) Keep(keep func(position uint64) (bool, error)) (*Matches, error) {
	kept := &Matches{words: make([]uint64, len(m.words))}
	for position := range m.All() {
		ok, err := keep(position)
		if err != nil {
			return nil, err
		}
		if ok {
			kept.add(position)
		}
	}
	return kept, nil
}
