package table

import (
	"fmt"
	"slices"
)

// buckets is the number of buckets of a partition: one for each first byte.
const buckets = 256

// partition holds the records of a set by the first byte of their tokens, in
// memory up to a bound and beyond it in one file.
type partition struct {
	tokenLen, recordLen int
	dir                 string
	once                bool   // equal records are one: repeats may be dropped at any time
	dropped             uint64 // records dropped as repeats

	bucket   [buckets]bucket
	free     [][]byte // empty pages
	pageLen  int      // bytes, whole records
	unmade   int      // pages that may still be allocated
	maxShare int      // bytes that a spilled bucket of distinct records is far below

	spilled *file // nil until memory is full
	end     int64
	scratch [2][]byte // of spill
	err     error     // the first failure, or errClosed; it ends everything
}

// bucket is a sequence of records: extents in order, then pages in order.
type bucket struct {
	extents []extent
	pages   [][]byte // all but the last are full
}

// extent is a part of the spill file, in bytes.
type extent struct {
	off int64
	len int
}

func newPartition(o *Options, once bool) *partition {
	p := &partition{tokenLen: o.TokenLen, recordLen: RecordLen(o.TokenLen), dir: o.Dir, once: once}
	perPage := max(1, min(4096, o.Memory/(4*buckets))/p.recordLen)
	p.pageLen = perPage * p.recordLen
	p.unmade = max(1, o.Memory/p.pageLen)
	p.maxShare = max(o.Memory/16, 16*p.recordLen)
	return p
}

// add adds a copy of a record.
func (p *partition) add(record []byte) error {
	b := &p.bucket[record[0]]
	if n := len(b.pages); n > 0 && len(b.pages[n-1]) < p.pageLen {
		b.pages[n-1] = append(b.pages[n-1], record...)
		return p.err
	}
	page, err := p.page()
	if err != nil {
		return err
	}
	b.pages = append(b.pages, append(page, record...))
	return nil
}

// page returns an empty page, after a spill if that is what it takes.
func (p *partition) page() ([]byte, error) {
	if p.err != nil {
		return nil, p.err
	}
	if len(p.free) == 0 && p.unmade == 0 {
		if err := p.spill(); err != nil {
			return nil, err
		}
	}
	if n := len(p.free); n > 0 {
		page := p.free[n-1]
		p.free = p.free[:n-1]
		return page, nil
	}
	p.unmade--
	return make([]byte, 0, p.pageLen), nil
}

// spill moves all pages to the file, an extent for each bucket.
func (p *partition) spill() error {
	if p.spilled == nil {
		if p.spilled, p.err = newScratch(p.dir); p.err != nil {
			return p.err
		}
	}
	for i := range p.bucket {
		b := &p.bucket[i]
		if len(b.pages) == 0 {
			continue
		}
		records := p.scratch[0][:0]
		for _, page := range b.pages {
			records = append(records, page...)
		}
		p.scratch[0] = records
		if p.once && len(records) > p.maxShare {
			records = p.dropRepeats(records)
		}
		if _, err := p.spilled.WriteAt(records, p.end); err != nil {
			return p.fail("write spilled tokens", err)
		}
		b.extents = append(b.extents, extent{p.end, len(records)})
		p.end += int64(len(records))
		p.release(b, 0)
	}
	return nil
}

// dropRepeats returns one of each of the records. So many in one bucket can only
// be repeats, of which a long run would otherwise fill that bucket alone.
func (p *partition) dropRepeats(records []byte) []byte {
	p.scratch[1] = resize(p.scratch[1], len(records))
	SortBucket(p.scratch[1], records, p.tokenLen)
	once := unique(p.scratch[1], p.recordLen)
	p.dropped += uint64((len(records) - len(once)) / p.recordLen)
	return once
}

// release empties all pages of b from the n-th on.
func (p *partition) release(b *bucket, n int) {
	for _, page := range b.pages[n:] {
		p.free = append(p.free, page[:0])
	}
	b.pages = b.pages[:n]
}

// load returns the records of bucket i in the order of their coming, in buf's
// memory if there is enough.
func (p *partition) load(buf []byte, i int) ([]byte, error) {
	if p.err != nil {
		return buf, p.err
	}
	b := &p.bucket[i]
	n := 0
	for _, e := range b.extents {
		n += e.len
	}
	buf = resize(buf, n)
	at := 0
	for _, e := range b.extents {
		if err := readAt(p.spilled, buf[at:at+e.len], e.off); err != nil {
			return buf, p.fail("read spilled tokens", err)
		}
		at += e.len
	}
	for _, page := range b.pages {
		buf = append(buf, page...)
	}
	return buf, nil
}

// replace makes records, no more than there were, the content of bucket i. It
// needs no space but theirs.
func (p *partition) replace(i int, records []byte) error {
	b := &p.bucket[i]
	for j := range b.extents {
		e := &b.extents[j]
		e.len = min(e.len, len(records))
		if _, err := p.spilled.WriteAt(records[:e.len], e.off); err != nil {
			return p.fail("write spilled tokens", err)
		}
		records = records[e.len:]
	}
	used := 0
	for len(records) > 0 {
		n := min(p.pageLen, len(records))
		b.pages[used] = append(b.pages[used][:0], records[:n]...)
		records = records[n:]
		used++
	}
	p.release(b, used)
	return nil
}

func (p *partition) fail(doing string, err error) error {
	p.err = fmt.Errorf("table: %s: %w", doing, err)
	return p.err
}

// inMemory reports whether no record has been written to a file.
func (p *partition) inMemory() bool { return p.spilled == nil }

// close removes the file and overwrites the pages. It may be called again.
func (p *partition) close() error {
	for i := range p.bucket {
		p.release(&p.bucket[i], 0)
		p.bucket[i] = bucket{}
	}
	for _, page := range append(p.free, p.scratch[:]...) {
		clear(page[:cap(page)])
	}
	p.free, p.scratch = nil, [2][]byte{}
	if p.err == nil {
		p.err = errClosed
	}
	if p.spilled == nil {
		return nil
	}
	err := p.spilled.Close()
	p.spilled = nil
	if err != nil {
		return fmt.Errorf("table: remove spilled tokens: %w", err)
	}
	return nil
}

// resize returns a slice of n bytes, in buf's memory if there is enough.
func resize(buf []byte, n int) []byte { return slices.Grow(buf[:0], n)[:n] }
