package table

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"sort"

	"github.com/overlap-psi/overlap/psi"
)

// The functions of this file work on one bucket in memory, that is, on records
// whose tokens share their first bits. They keep no state and touch no file, so
// that the buckets of one set can be worked on in any order and on any machine.
//
// A record is a token and eight bytes more: the next eight of the output (the
// check, which is never sent), a pad's index, or a query's position, big-endian.

const tailLen = 8

// RecordLen returns the length of a record in bytes.
func RecordLen(tokenLen int) int { return tokenLen + tailLen }

// SortBucket writes the records to dst, which has their length and doesn't
// overlap them, in increasing order of their bytes.
//
// Tokens are pseudorandom, so that one distribution by their first bits leaves
// groups of one or two, whatever the bucket's own prefix is.
func SortBucket(dst, records []byte, tokenLen int) {
	size := RecordLen(tokenLen)
	if len(records) == 0 {
		return
	}
	first, differ := head(records), uint64(0)
	for at := 0; at < len(records); at += size {
		differ |= head(records[at:]) ^ first
	}
	shared := bits.LeadingZeros64(differ)
	digit := min(bits.Len(uint(len(records)/size)), maxDigit)
	group := func(at int) uint64 { return head(records[at:]) << shared >> (64 - digit) }

	var ends [1<<maxDigit + 1]uint32 // of groups, in records, once all are written
	for at := 0; at < len(records); at += size {
		ends[group(at)+1]++
	}
	for g := range 1 << digit {
		ends[g+1] += ends[g]
	}
	for at := 0; at < len(records); at += size {
		g := group(at)
		copy(dst[int(ends[g])*size:], records[at:at+size])
		ends[g]++
	}
	start := 0
	for _, end := range ends[:1<<digit] {
		sortGroup(dst[start:int(end)*size], size)
		start = int(end) * size
	}
}

// maxDigit bounds SortBucket's count of groups to 64 KiB of stack.
const maxDigit = 14

// head returns the first bits of a token, in its order.
func head(record []byte) uint64 { return binary.BigEndian.Uint64(record) }

// sortGroup sorts in place, a few records by insertion.
func sortGroup(b []byte, size int) {
	r := records{b, size}
	if r.Len() > 16 {
		sort.Sort(r)
		return
	}
	for i := 1; i < r.Len(); i++ {
		for j := i; j > 0 && r.Less(j, j-1); j-- {
			r.Swap(j, j-1)
		}
	}
}

// records implements sort.Interface.
type records struct {
	b    []byte
	size int
}

func (r records) at(i int) []byte    { return r.b[i*r.size : (i+1)*r.size] }
func (r records) Len() int           { return len(r.b) / r.size }
func (r records) Less(i, j int) bool { return bytes.Compare(r.at(i), r.at(j)) < 0 }

func (r records) Swap(i, j int) {
	var tmp [len(psi.Token{}) + tailLen]byte
	n := copy(tmp[:], r.at(i))
	copy(r.at(i), r.at(j))
	copy(r.at(j), tmp[:n])
}

// Distinct keeps, in place, the records that may enter a table, of sorted ones
// (PROTOCOL.md §7.1). Equal token and check are one identifier more than once,
// of which one stays: the others are repeats. Equal tokens with different checks
// are a collision, of which none stays.
func Distinct(sorted []byte, tokenLen int) (kept []byte, repeats, collided uint64) {
	size := RecordLen(tokenLen)
	once := unique(sorted, size)
	repeats = uint64((len(sorted) - len(once)) / size)
	kept = once[:0]
	for rest := once; len(rest) > 0; {
		n := size
		for n < len(rest) && bytes.Equal(rest[:tokenLen], rest[n:n+tokenLen]) {
			n += size
		}
		if n == size {
			kept = append(kept, rest[:n]...)
		}
		rest = rest[n:]
	}
	return kept, repeats, uint64((len(once) - len(kept)) / size)
}

// unique keeps, in place, one of each of the sorted records.
func unique(sorted []byte, size int) []byte {
	if len(sorted) == 0 {
		return sorted
	}
	once := sorted[:size]
	for rest := sorted[size:]; len(rest) > 0; rest = rest[size:] {
		if !bytes.Equal(once[len(once)-size:], rest[:size]) {
			once = append(once, rest[:size]...)
		}
	}
	return once
}

// MergePads appends to dst the records of run, which Distinct kept, and those of
// pads, which are sorted, in order. It leaves out a pad whose token run has or
// another pad has had (PROTOCOL.md §7.2).
func MergePads(dst, run, pads []byte, tokenLen int) []byte {
	size := RecordLen(tokenLen)
	var before []byte // token of the pad before
	for ; len(pads) > 0; pads = pads[size:] {
		token := pads[:tokenLen]
		n := 0
		for n < len(run) && bytes.Compare(run[n:n+tokenLen], token) < 0 {
			n += size
		}
		dst = append(dst, run[:n]...)
		run = run[n:]
		taken := bytes.Equal(before, token) || len(run) > 0 && bytes.Equal(run[:tokenLen], token)
		if !taken {
			dst = append(dst, pads[:size]...)
		}
		before = token
	}
	return append(dst, run...)
}

// AppendEntries appends the table entries of the records, their tokens, to dst.
func AppendEntries(dst, records []byte, tokenLen int) []byte {
	size := RecordLen(tokenLen)
	for ; len(records) > 0; records = records[size:] {
		dst = append(dst, records[:tokenLen]...)
	}
	return dst
}

// MatchBucket calls match with the position in each record of own whose token
// one of the entries has. Both are sorted; entries strictly increase. It returns
// the records that are above all entries, for a call with the entries after
// these.
func MatchBucket(own, entries []byte, tokenLen, entryLen int, match func(position uint64)) (rest []byte) {
	size := RecordLen(tokenLen)
	for ; len(entries) > 0; entries = entries[entryLen:] {
		token := entries[:tokenLen]
		for len(own) > 0 {
			order := bytes.Compare(own[:tokenLen], token)
			if order > 0 {
				break
			}
			if order == 0 {
				match(binary.BigEndian.Uint64(own[tokenLen:]))
			}
			own = own[size:]
		}
	}
	return own
}
