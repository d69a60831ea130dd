package table

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"sort"

	"github.com/overlap-psi/overlap/psi"
)

// Queries are a Querier's outputs, each with its position in the session. Add
// them, Match once or more, and Close in any case.
type Queries struct {
	redacted
	o    Options
	p    *partition
	size uint64    // one above the highest position
	pad  psi.Token // but for its first byte what stands for a pad; nobody knows it
	in   []byte    // a bucket as it came
}

// NewQueries returns an empty set.
func NewQueries(o Options) (*Queries, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	q := &Queries{o: o, p: newPartition(&o, false)}
	rand.Read(q.pad[:])
	return q, nil
}

// Add adds the outputs of the positions from first on. A zero Output, a pad's,
// takes a position and never matches. Equal outputs stay apart: an identifier
// of two accounts is asked twice (PROTOCOL.md §3).
//
// It is called between an answer and the next question, so it does the same for a
// pad as for any other: the peer would learn how many there are.
func (q *Queries) Add(outs []psi.Output, first uint64) error {
	for i := range outs {
		position := first + uint64(i)
		token := outs[i].Token(q.o.TokenLen)
		if outs[i].IsZero() {
			token = q.pad // at least 80 bits, which no entry has but by guessing
			token[0] = byte(position * scatter >> 56)
		}
		if err := addRecord(q.p, &token, position); err != nil {
			return err
		}
	}
	q.size = max(q.size, first+uint64(len(outs)))
	return nil
}

// scatter spreads pads over the buckets in no order that a processor foresees, as
// tokens are (Fibonacci hashing, Knuth, TAOCP 6.4).
const scatter = 0x9e3779b97f4a7c15

// addRecord adds token ‖ I2OSP(tail, 8).
func addRecord(p *partition, token *psi.Token, tail uint64) error {
	var record [len(psi.Token{}) + tailLen]byte
	n := copy(record[:], token[:p.tokenLen])
	binary.BigEndian.PutUint64(record[n:], tail)
	return p.add(record[:p.recordLen])
}

// Match joins the queries with a table's entries, which come in chunks of whole
// entries and strictly increase. It looks at ctx once a chunk.
//
// The time it takes depends on the matches. The entries must therefore be a
// table that has been received and verified to its end, as from a Spool, and not
// frames as they arrive (PROTOCOL.md §7.4).
func (q *Queries) Match(ctx context.Context, entries iter.Seq2[[]byte, error]) (*Matches, error) {
	if q.p.err != nil {
		return nil, q.p.err
	}
	j := join{q: q, matches: newMatches(q.size), bucket: -1}
	defer j.clear()
	for chunk, err := range entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, fmt.Errorf("table: match: %w", err)
		}
		if err := j.add(chunk); err != nil {
			return nil, err
		}
	}
	return j.matches, nil
}

// Close removes what has been added. It may be called again.
func (q *Queries) Close() error {
	clear(q.in[:cap(q.in)])
	q.in = nil
	return q.p.close()
}

// join is one Match under way.
type join struct {
	q       *Queries
	matches *Matches
	last    []byte // token of the entry before
	bucket  int    // the one in sorted
	sorted  []byte
	own     []byte // of sorted, what is above all entries so far
}

// add joins the next chunk, bucket by bucket.
func (j *join) add(chunk []byte) error {
	if err := j.check(chunk); err != nil {
		return err
	}
	tokenLen, entryLen := j.q.o.TokenLen, j.q.o.entryLen()
	for len(chunk) > 0 {
		first := chunk[0]
		if err := j.load(int(first)); err != nil {
			return err
		}
		n := sort.Search(len(chunk)/entryLen, func(i int) bool { return chunk[i*entryLen] > first })
		j.own = MatchBucket(j.own, chunk[:n*entryLen], tokenLen, entryLen, j.matches.add)
		chunk = chunk[n*entryLen:]
	}
	return nil
}

// check refuses entries that a join would get wrong without a word.
func (j *join) check(chunk []byte) error {
	tokenLen, entryLen := j.q.o.TokenLen, j.q.o.entryLen()
	if len(chunk)%entryLen != 0 {
		return errors.New("table: match: not a whole number of entries")
	}
	for ; len(chunk) > 0; chunk = chunk[entryLen:] {
		if bytes.Compare(j.last, chunk[:tokenLen]) >= 0 {
			return errors.New("table: match: entries don't strictly increase")
		}
		j.last = chunk[:tokenLen]
	}
	j.last = bytes.Clone(j.last) // the chunk is overwritten
	return nil
}

// load sorts bucket i, unless it is the one at hand.
func (j *join) load(i int) (err error) {
	if i == j.bucket {
		return nil
	}
	if j.q.in, err = j.q.p.load(j.q.in, i); err != nil {
		return err
	}
	j.sorted = resize(j.sorted, len(j.q.in))
	SortBucket(j.sorted, j.q.in, j.q.o.TokenLen)
	j.bucket, j.own = i, j.sorted
	return nil
}

func (j *join) clear() { clear(j.sorted[:cap(j.sorted)]) }
