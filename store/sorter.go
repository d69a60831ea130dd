package store

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
)

// sorter sorts any number of entries by their bytes, in memory up to a limit and
// beyond it in a private file: sorted runs, which are merged as they are read. What
// is full is sorted and written while more is added, so a sorter may not be copied.
type sorter struct {
	dir   string // of the file
	limit int    // of bytes in memory

	lots    [2]lot     // one is being filled
	filling int        // which
	written chan error // of the other; nil if it has nothing to be written
	file    *os.File
	name    string // to remove at the end, where an open file can't be
	runs    []int64
}

// lot is the entries that are sorted at once.
type lot struct {
	blocks [][]byte // of entries, one after the other; all but the last are full
	refs   []ref
}

// ref is where an entry is, and its first bytes, which tell most apart.
type ref struct {
	prefix uint64
	place  uint64 // of the block ‖ of its first byte there ‖ its length
}

const refLen = 16 // bytes of memory, which of short entries are most

func newRef(entry []byte, block, from int) ref {
	return ref{binary.BigEndian.Uint64(entry), uint64(block)<<(2*placeBits) | uint64(from)<<placeBits | uint64(len(entry))}
}

// sorterMemory is enough for fifty thousand facts without a file, and about what
// reading the ledger takes of memory at most.
const sorterMemory = 24 << 20

// blockLen is the length of blocks: much more than an entry's, so that little is
// left over, and little enough to give a short list little.
const blockLen = 1 << 18

// placeBits is enough for a length up to blockLen.
const placeBits = 20

const minEntry = 8 // bytes

// add adds an entry.
func (s *sorter) add(entry []byte) error {
	l := &s.lots[s.filling]
	if !l.fits(entry) {
		if l.memory() >= s.limit/len(s.lots) {
			if err := s.spill(); err != nil {
				return fmt.Errorf("sorting: %w", err)
			}
			l = &s.lots[s.filling]
		}
		l.grow()
	}
	l.add(entry)
	return nil
}

// spill has what was added written to the file, as one more run, and goes on with
// the other lot once that is written.
func (s *sorter) spill() error {
	full := &s.lots[s.filling]
	if err := s.wait(); err != nil || len(full.refs) == 0 {
		return err
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	written := make(chan error, 1)
	s.runs = append(s.runs, full.runLen())
	s.written = written
	s.filling = 1 - s.filling
	go func() { written <- full.write(s.file) }()
	return nil
}

// wait returns once the lot that is not being filled is written and empty.
func (s *sorter) wait() error {
	if s.written == nil {
		return nil
	}
	err := <-s.written
	s.written = nil
	return err
}

// create makes the file, which loses its name at once where the system allows it,
// so that it is gone with the process, however that ends.
func (s *sorter) create() (err error) {
	if s.file, err = os.CreateTemp(s.dir, ".overlap-sort-*"); err != nil { // 0600
		return err
	}
	if os.Remove(s.file.Name()) != nil {
		s.name = s.file.Name()
	}
	return nil
}

// sorted returns the entries in order, each until the next. Nothing may be added
// after it.
func (s *sorter) sorted() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if s.file != nil {
			if err := s.merge(yield); err != nil {
				yield(nil, fmt.Errorf("sorting: %w", err))
			}
			return
		}
		for e := range s.lots[s.filling].sorted() {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// merge yields the entries of all runs.
func (s *sorter) merge(yield func([]byte, error) bool) error {
	if err := errors.Join(s.spill(), s.wait()); err != nil {
		return err
	}
	var heads runHeap
	var from int64
	for _, length := range s.runs {
		run := &run{r: bufio.NewReaderSize(io.NewSectionReader(s.file, from, length), 1<<16)}
		if err := run.next(); err != nil {
			return err
		}
		heads = append(heads, run)
		from += length
	}
	heap.Init(&heads)
	for len(heads) > 0 {
		first := heads[0]
		if !yield(first.head, nil) {
			return nil
		}
		switch err := first.next(); {
		case err == nil:
			heap.Fix(&heads, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(&heads)
		default:
			return err
		}
	}
	return nil
}

// close forgets the entries, and the file.
func (s *sorter) close() error {
	err := s.wait()
	for i := range s.lots {
		s.lots[i].forget()
	}
	if s.file == nil {
		return err
	}
	err = errors.Join(err, s.file.Close())
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}

// fits reports whether the last block has room for the entry.
func (l *lot) fits(entry []byte) bool {
	last := len(l.blocks) - 1
	return last >= 0 && len(l.blocks[last])+len(entry) <= blockLen
}

// memory returns what the lot takes, in bytes.
func (l *lot) memory() int { return len(l.blocks)*blockLen + len(l.refs)*refLen }

// grow adds an empty block: one that has been written to the file, or a new one.
func (l *lot) grow() {
	if n := len(l.blocks); n < cap(l.blocks) {
		if used := l.blocks[:n+1][n]; used != nil {
			l.blocks = append(l.blocks, used[:0])
			return
		}
	}
	l.blocks = append(l.blocks, make([]byte, 0, blockLen))
}

// add adds an entry to the last block.
func (l *lot) add(entry []byte) {
	last := len(l.blocks) - 1
	if len(l.refs) == cap(l.refs) {
		l.refs = slices.Grow(l.refs, max(1024, len(l.refs))) // append grows by less, and so makes more of what is thrown away
	}
	l.refs = append(l.refs, newRef(entry, last, len(l.blocks[last])))
	l.blocks[last] = append(l.blocks[last], entry...)
}

func (l *lot) entry(r ref) []byte {
	const mask = 1<<placeBits - 1
	from := r.place >> placeBits & mask
	return l.blocks[r.place>>(2*placeBits)][from : from+r.place&mask]
}

// sorted returns the entries in order.
func (l *lot) sorted() iter.Seq[[]byte] {
	slices.SortFunc(l.refs, func(a, b ref) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(l.entry(a), l.entry(b))
	})
	return func(yield func([]byte) bool) {
		for _, r := range l.refs {
			if !yield(l.entry(r)) {
				return
			}
		}
	}
}

// runLen returns the length of the lot as a run, in bytes.
func (l *lot) runLen() (n int64) {
	for _, block := range l.blocks {
		n += int64(len(block))
	}
	return n + 2*int64(len(l.refs))
}

// write writes the lot as a run, and empties it.
func (l *lot) write(file io.Writer) error {
	w := bufio.NewWriterSize(file, 1<<16)
	for entry := range l.sorted() {
		var length [2]byte
		binary.BigEndian.PutUint16(length[:], uint16(len(entry)))
		w.Write(length[:]) // an error stays until Flush
		w.Write(entry)
	}
	l.blocks, l.refs = l.blocks[:0], l.refs[:0]
	return w.Flush()
}

// forget overwrites the entries, which have secrets.
func (l *lot) forget() {
	for _, block := range l.blocks[:cap(l.blocks)] {
		clear(block[:cap(block)])
	}
	*l = lot{}
}

// run is a sorted part of the file, and its first entry that was not yielded yet.
type run struct {
	r    *bufio.Reader
	head []byte
}

// next reads the next entry. At the run's end it is io.EOF; anything else is a file
// that is not what was written.
func (r *run) next() error {
	var length [2]byte
	if _, err := io.ReadFull(r.r, length[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint16(length[:]))
	if n < minEntry {
		return io.ErrUnexpectedEOF
	}
	r.head = slices.Grow(r.head[:0], n)[:n]
	if _, err := io.ReadFull(r.r, r.head); err != nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// runHeap has the run whose head comes first on top.
type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return bytes.Compare(h[i].head, h[j].head) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
