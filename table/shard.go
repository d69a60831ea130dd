package table

import (
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/overlap-psi/overlap/psi"
)

// A published table travels as 65 536 shards, by the first 16 bits of its tokens
// (PROTOCOL.md §7.4). Sorted tokens being close together, a shard holds the Rice
// codes of their differences:
//
//	shard  I2OSP(count,4) ‖ I2OSP(ρ,1) ‖ codes ‖ count × label_ct
//	body   I2OSP(first shard,2) ‖ I2OSP(m,4) ‖ m × I2OSP(length,4) ‖ shard
//
// The root is over the entries, not over this coding, so that any coding of the
// right entries is the table.
const (
	Shards     = 1 << 16
	shardBits  = 16
	shardBytes = shardBits / 8
	shardHead  = 4 + 1
	bodyHead   = 2 + 4

	// MaxShards is the longest body of shards, in bytes: below a message of 1 MiB.
	MaxShards = 1<<20 - 1024
)

// Errors of a table's shards.
var (
	ErrShards = errors.New("table: shards are malformed") // what a decoder finds wrong wraps it
	errLarge  = errors.New("table: a shard is too large to be published")
)

func malformed(what string) error { return fmt.Errorf("%w: %s", ErrShards, what) }

// shape is what entries look like.
type shape struct{ tokenLen, entryLen int }

func (o *Options) shape() shape { return shape{o.TokenLen, o.entryLen()} }

// width is the number of bits of a token after its shard's number.
func (s shape) width() int { return 8 * (s.tokenLen - shardBytes) }

// appendShard appends the shard of the given entries, whose tokens share their
// first 16 bits and strictly increase.
func (s shape) appendShard(dst, entries []byte) []byte {
	n := len(entries) / s.entryLen
	rho := s.bestRho(entries)
	dst = binary.BigEndian.AppendUint32(dst, uint32(n))
	dst = append(dst, byte(rho))
	w := bitWriter{b: dst}
	s.gaps(entries, func(gap wide) { w.rice(gap, rho) })
	for ; len(entries) > 0; entries = entries[s.entryLen:] {
		w.b = append(w.b, entries[s.tokenLen:s.entryLen]...)
	}
	return w.b
}

// gaps calls yield with v_0, and then v_i − v_{i−1} − 1.
func (s shape) gaps(entries []byte, yield func(wide)) {
	before, first := wide{}, true
	for ; len(entries) > 0; entries = entries[s.entryLen:] {
		v := readWide(entries[shardBytes:s.tokenLen])
		if first {
			yield(v)
		} else {
			yield(v.minus(before, 1))
		}
		before, first = v, false
	}
}

// bestRho returns the parameter whose codes are shortest and have no quotient
// above maxQuotient. Tokens are uniform, so it is near the logarithm of the mean
// gap times ln 2; the neighbours are tried too.
func (s shape) bestRho(entries []byte) int {
	n := len(entries) / s.entryLen
	if n == 0 {
		return 0
	}
	guess := s.width() - int(math.Round(math.Log2(float64(n)/math.Ln2)))
	best, least := s.width(), uint64(math.MaxUint64)
	for rho := max(0, guess-1); rho <= s.width(); rho++ {
		bits, largest := uint64(n)*uint64(rho+1), uint64(0)
		s.gaps(entries, func(gap wide) {
			q := gap.right(rho).small()
			largest = max(largest, q)
			bits += min(q, maxQuotient+1)
		})
		switch {
		case largest > maxQuotient:
			continue
		case bits >= least:
			return best // they only get longer from here
		}
		best, least = rho, bits
	}
	return best
}

// appendEntries decodes a shard of at most most entries and appends them.
func (s shape) appendEntries(dst, shard []byte, number uint16, most uint64) ([]byte, error) {
	if len(shard) < shardHead {
		return nil, malformed("a shard is cut short")
	}
	n, rho := uint64(binary.BigEndian.Uint32(shard)), int(shard[4])
	// A code has at least ρ + 1 bits: nothing is allocated for what can't be there.
	if n > most || rho > s.width() || n*uint64(rho+1) > 8*uint64(len(shard)-shardHead) {
		return nil, malformed("a shard declares more than it holds")
	}
	r := bitReader{b: shard[shardHead:]}
	first := len(dst)
	var before wide
	for i := range n {
		gap, ok := r.rice(rho)
		if !ok {
			return nil, malformed("a code cannot be read")
		}
		v := gap
		if i > 0 {
			v = before.plus(gap, 1)
		}
		if v.right(s.width()) != (wide{}) {
			return nil, malformed("tokens leave their shard")
		}
		dst = binary.BigEndian.AppendUint16(dst, number)
		dst = append(dst, make([]byte, s.entryLen-shardBytes)...)
		v.put(dst[len(dst)-s.entryLen+shardBytes : len(dst)-s.entryLen+s.tokenLen])
		before = v
	}
	labels, ok := r.padding()
	label := s.entryLen - s.tokenLen
	if !ok || uint64(len(labels)) != n*uint64(label) {
		return nil, malformed("a shard has another length than its entries")
	}
	for at := first; label > 0 && at < len(dst); at += s.entryLen {
		copy(dst[at+s.tokenLen:at+s.entryLen], labels)
		labels = labels[label:]
	}
	return dst, nil
}

// Shards returns the table as bodies of consecutive shards, in order, each shard
// once. A body is at most MaxShards long and is overwritten by the next.
func (t *Table) Shards(o Options) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		p := packer{s: o.shape(), yield: yield}
		err := p.pack(t.Chunks(psi.TableChunk(t.entryLen)))
		if err == nil {
			err = p.finish()
		}
		if err != nil && err != errStopped {
			yield(nil, err)
		}
	}
}

var errStopped = errors.New("table: the caller wants no more")

// packer cuts entries into shards and packs those into bodies.
type packer struct {
	s       shape
	yield   func([]byte, error) bool
	entries []byte // of the shard that is not complete
	number  int    // of that shard
	shard   []byte // reused
	body    []byte
	first   int // shard of the body
}

func (p *packer) pack(chunks iter.Seq2[[]byte, error]) error {
	for chunk, err := range chunks {
		if err != nil {
			return err
		}
		for ; len(chunk) > 0; chunk = chunk[p.s.entryLen:] {
			if err := p.reach(int(binary.BigEndian.Uint16(chunk))); err != nil {
				return err
			}
			p.entries = append(p.entries, chunk[:p.s.entryLen]...)
		}
	}
	return nil
}

// reach completes every shard below the given one.
func (p *packer) reach(number int) error {
	for ; p.number < number; p.number++ {
		p.shard = p.s.appendShard(p.shard[:0], p.entries)
		p.entries = p.entries[:0]
		if err := p.add(p.shard); err != nil {
			return err
		}
	}
	return nil
}

func (p *packer) add(shard []byte) error {
	need := 4 + len(shard)
	if bodyHead+need > MaxShards {
		return errLarge
	}
	if len(p.body) > 0 && len(p.body)+need > MaxShards {
		if err := p.flush(); err != nil {
			return err
		}
	}
	if len(p.body) == 0 {
		p.first = p.number
		p.body = append(p.body, make([]byte, bodyHead)...)
	}
	p.body = binary.BigEndian.AppendUint32(p.body, uint32(len(shard)))
	p.body = append(p.body, shard...)
	return nil
}

// flush hands out the body, whose last shard is the one before p.number.
func (p *packer) flush() error {
	binary.BigEndian.PutUint16(p.body, uint16(p.first))
	binary.BigEndian.PutUint32(p.body[2:], uint32(p.number-p.first))
	ok := p.yield(p.body, nil)
	p.body = p.body[:0]
	if !ok {
		return errStopped
	}
	return nil
}

func (p *packer) finish() error {
	if err := p.reach(Shards); err != nil {
		return err
	}
	return p.flush()
}

// ShardsEnd returns the shard after the last of a body, as Shards makes it.
func ShardsEnd(body []byte) int {
	return int(binary.BigEndian.Uint16(body)) + int(binary.BigEndian.Uint32(body[2:]))
}

// ShardReader decodes a published table, body by body, as a peer or a file gives
// them. It refuses what is out of order, and more entries than were declared.
// The order of tokens and the root are psi.TableHash's to check.
type ShardReader struct {
	s    shape
	next int    // shard
	left uint64 // entries
}

// NewShardReader reads a table of n entries.
func NewShardReader(o Options, n uint64) *ShardReader { return &ShardReader{s: o.shape(), left: n} }

// Append appends the entries of the next body to dst. An error wraps ErrShards.
func (r *ShardReader) Append(dst, body []byte) ([]byte, error) {
	if len(body) < bodyHead || len(body) > MaxShards {
		return nil, malformed("a body has an impossible length")
	}
	first, m := int(binary.BigEndian.Uint16(body)), int64(binary.BigEndian.Uint32(body[2:]))
	if first != r.next || m < 1 || m > int64(Shards-first) || r.next >= Shards {
		return nil, malformed("a body is out of order")
	}
	body = body[bodyHead:]
	for range m {
		if len(body) < 4 || uint64(binary.BigEndian.Uint32(body)) > uint64(len(body)-4) {
			return nil, malformed("a body is cut short")
		}
		n := 4 + int(binary.BigEndian.Uint32(body))
		before := len(dst)
		var err error
		if dst, err = r.s.appendEntries(dst, body[4:n], uint16(r.next), r.left); err != nil {
			return nil, err
		}
		r.left -= uint64((len(dst) - before) / r.s.entryLen)
		r.next++
		body = body[n:]
	}
	if len(body) > 0 {
		return nil, malformed("a body goes on after its end")
	}
	return dst, nil
}

// Next returns the first shard that is missing: where a broken download goes on.
func (r *ShardReader) Next() int { return r.next }

// Complete returns nil once every shard and every entry has come.
func (r *ShardReader) Complete() error {
	if r.next != Shards || r.left != 0 {
		return malformed("the table is not complete")
	}
	return nil
}
