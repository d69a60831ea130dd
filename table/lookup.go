package table

import (
	"bytes"
	"encoding/binary"

	"github.com/overlap-psi/overlap/psi"
)

// Lookup finds what a Holder's entries are made of: it has its own outputs as
// Queries, by the position of whatever they come from, and is asked for tokens
// that somebody claims. Memory is one bucket and a bit for each position.
type Lookup struct {
	redacted
	q       *Queries
	size    int // of a record
	bucket  int // the one in sorted, -1 at first
	sorted  []byte
	own     []byte // of sorted, what is not below the tokens so far
	matches *Matches
}

// Lookup returns a Lookup of the outputs added so far. Close it before q.
func (q *Queries) Lookup() *Lookup {
	return &Lookup{q: q, size: q.p.recordLen, bucket: -1, matches: newMatches(q.size)}
}

// Find returns the lowest position with the token and notes all of them for
// Matches. Tokens come in increasing order; one that comes too late isn't found.
func (l *Lookup) Find(token psi.Token) (position uint64, found bool, err error) {
	err = l.each(token, func(p uint64) bool {
		if !found {
			position, found = p, true
		}
		l.matches.add(p)
		return true
	})
	return position, found, err
}

// each calls do for the positions with the token in order, while it returns true.
func (l *Lookup) each(token psi.Token, do func(position uint64) bool) error {
	switch i := int(token[0]); {
	case i < l.bucket:
		return nil
	case i > l.bucket:
		if err := l.load(i); err != nil {
			return err
		}
	}
	n := l.q.o.TokenLen
	for ; len(l.own) > 0; l.own = l.own[l.size:] {
		order := bytes.Compare(l.own[:n], token[:n])
		if order > 0 || order == 0 && !do(l.position()) {
			return nil
		}
	}
	return nil
}

// Matches are the positions of all tokens found.
func (l *Lookup) Matches() *Matches { return l.matches }

// position is that of the first record of own.
func (l *Lookup) position() uint64 { return binary.BigEndian.Uint64(l.own[l.q.o.TokenLen:]) }

// load sorts bucket i.
func (l *Lookup) load(i int) (err error) {
	if l.q.in, err = l.q.p.load(l.q.in, i); err != nil {
		return err
	}
	l.sorted = resize(l.sorted, len(l.q.in))
	SortBucket(l.sorted, l.q.in, l.q.o.TokenLen)
	l.bucket, l.own = i, l.sorted
	return nil
}

// Close overwrites what l has read. Matches stay.
func (l *Lookup) Close() { clear(l.sorted[:cap(l.sorted)]) }
