package table

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"

	"github.com/overlap-psi/overlap/psi"
)

// WriteIndex writes what has been added as records of token ‖ I2OSP(position, 8)
// in increasing order, for an Index: a table that outlives its sessions keeps it
// beside its key.
func (q *Queries) WriteIndex(ctx context.Context, w io.Writer) error {
	j := join{q: q, bucket: -1}
	defer j.clear()
	for i := range buckets {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("table: write index: %w", err)
		}
		if err := j.load(i); err != nil {
			return err
		}
		if _, err := w.Write(j.sorted); err != nil {
			return fmt.Errorf("table: write index: %w", err)
		}
	}
	return nil
}

// Index finds the positions behind a token in what WriteIndex has written. It may
// be used by several goroutines if its reader may.
type Index struct {
	redacted
	r        io.ReaderAt
	tokenLen int
	records  int64
}

// NewIndex returns the index that is the first size bytes of r.
func NewIndex(r io.ReaderAt, size int64, tokenLen int) (*Index, error) {
	n := int64(RecordLen(tokenLen))
	if tokenLen < 1 || tokenLen > len(psi.Token{}) || size%n != 0 {
		return nil, errors.New("table: index is not a whole number of records")
	}
	return &Index{r: r, tokenLen: tokenLen, records: size / n}, nil
}

// nearby is how many records are read at once when a search has come that close.
const nearby = 128

// each calls do for the positions with the token in increasing order.
func (x *Index) each(token *psi.Token, do func(position uint64)) error {
	n := int64(RecordLen(x.tokenLen))
	below := func(record []byte) bool { return bytes.Compare(record[:x.tokenLen], token[:x.tokenLen]) < 0 }
	record := make([]byte, n)
	lo, hi := int64(0), x.records // the first with the token, or above it, is in lo … hi
	for hi-lo > nearby {
		mid := (lo + hi) / 2
		if err := readAt(x.r, record, mid*n); err != nil {
			return fmt.Errorf("table: read index: %w", err)
		}
		if below(record) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	block := make([]byte, (hi-lo)*n)
	if err := readAt(x.r, block, lo*n); err != nil {
		return fmt.Errorf("table: read index: %w", err)
	}
	lo += int64(sort.Search(int(hi-lo), func(i int) bool { return !below(block[int64(i)*n:]) }))
	for ; lo < x.records; lo++ {
		if err := readAt(x.r, record, lo*n); err != nil {
			return fmt.Errorf("table: read index: %w", err)
		}
		if !bytes.Equal(record[:x.tokenLen], token[:x.tokenLen]) {
			return nil
		}
		do(binary.BigEndian.Uint64(record[x.tokenLen:]))
	}
	return nil
}

// Search is a Lookup in an Index: of one session, over so many positions.
type Search struct {
	redacted
	x       *Index
	size    uint64
	matches *Matches
}

// Search returns a Search of positions below size.
func (x *Index) Search(size uint64) *Search {
	return &Search{x: x, size: size, matches: newMatches(size)}
}

// Find returns the lowest position with the token and notes all of them for
// Matches.
func (s *Search) Find(token psi.Token) (position uint64, found bool, err error) {
	outside := false
	err = s.x.each(&token, func(p uint64) {
		if p >= s.size {
			outside = true
			return
		}
		if !found {
			position, found = p, true
		}
		s.matches.add(p)
	})
	if outside {
		return 0, false, errors.New("table: index has a position that the set has not")
	}
	return position, found, err
}

// Close ends the search. Matches stay.
func (*Search) Close() {}

// Matches are the positions of all tokens found.
func (s *Search) Matches() *Matches { return s.matches }
