package psi

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/internal/merkle"
)

// ChunkElems is the number of elements in a full BLINDED or EVALUATED frame
// (PROTOCOL.md §5.4).
const ChunkElems = 16384

// maxChunkBody is the length in bytes of the largest BLINDED, TABLE or CLAIMS body,
// and of the elements of the largest EVALUATED.
const maxChunkBody = 524288

// EntryLen returns the length in bytes of a table entry: a token, and a label
// with its authenticator if labels are used (PROTOCOL.md §5.4).
func EntryLen(tokenLen, labelLen int) int {
	if labelLen > 0 {
		return tokenLen + labelLen + 16
	}
	return tokenLen
}

// TableChunk returns the number of entries in a full TABLE frame.
func TableChunk(entryLen int) int { return min(ChunkElems, maxChunkBody/entryLen) }

// PadSize returns pad(n) of PROTOCOL.md §7.2, the public size of a set of n:
// the smallest f·2^e ≥ max(n, 1024) with f in {4,5,6,7} and e ≥ 8. It grows n
// by less than a quarter from 1024 on. It panics for n > 7·2⁶¹.
func PadSize(n uint64) uint64 {
	n = max(n, 1024)
	e := bits.Len64(n-1) - 3 // so that 4·2^e ≤ n−1 < 8·2^e
	step := uint64(1) << e
	size := (n + step - 1) &^ (step - 1)
	if size < n {
		panic("psi: size out of range")
	}
	return max(size, 1024)
}

// PadToken returns the token of table pad i (PROTOCOL.md §7.2).
func PadToken(seed *Seed, i uint64, tokenLen int) Token {
	var scratch [96]byte
	b := lv(scratch[:0], "AMPSI-V01-pad")
	b = lv(b, seed[:])
	b = binary.BigEndian.AppendUint64(b, i)
	out := Output(sha512.Sum512(b))
	return out.Token(tokenLen)
}

// TableHash checks a table's order and commits to it (PROTOCOL.md §7.1). Its
// memory is logarithmic in the table's size.
type TableHash struct {
	tokenLen, entryLen int
	last               []byte
	tree               merkle.Range
}

// NewTableHash returns the hash of an empty table. tokenLen is 11 to 32, or less
// in known answers; labelLen is 0 without labels.
func NewTableHash(tokenLen, labelLen int) *TableHash {
	return &TableHash{tokenLen: tokenLen, entryLen: EntryLen(tokenLen, labelLen)}
}

// Write adds whole entries. It refuses, with an error that wraps AbortTable and
// without adding anything more, an entry whose token is not above the one
// before it: so a table has neither duplicates nor a second order.
func (h *TableHash) Write(entries []byte) error {
	if len(entries)%h.entryLen != 0 {
		return fmt.Errorf("psi: table is not a whole number of entries: %w", AbortMalformed)
	}
	ordered := h.ordered(entries)
	h.tree.AppendLeaves(entries[:ordered], h.entryLen)
	if ordered < len(entries) {
		return fmt.Errorf("psi: table entry %d is not above the one before it: %w", h.tree.Size(), AbortTable)
	}
	return nil
}

// ordered returns how many bytes of entries come before the first one that is not
// above the one before it.
func (h *TableHash) ordered(entries []byte) (n int) {
	last := h.last // of no bytes before the first entry: below every token
	for ; n < len(entries); n += h.entryLen {
		token := entries[n:][:h.tokenLen]
		if bytes.Compare(last, token) >= 0 {
			break
		}
		last = token
	}
	h.last = append(h.last[:0], last...)
	return n
}

// Root returns the RFC 6962 tree hash over the entries so far, and their number.
func (h *TableHash) Root() (tlog.Hash, uint64) { return h.tree.Root(), h.tree.Size() }
