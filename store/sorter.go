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
// beyond it in a private file: sorted runs, which are merged as they are read.
type sorter struct {
	dir   string // of the file
	limit int    // of bytes in memory

	blocks [][]byte // of entries, one after the other; all but the last are full
	refs   []ref
	file   *os.File
	name   string // to remove at the end, where an open file can't be
	runs   []int64
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

// sorterMemory is enough for a hundred thousand facts without a file, and about
// what reading the ledger takes of memory at most.
const sorterMemory = 24 << 20

// blockLen is the length of blocks: much more than an entry's, so that little is
// left over, and little enough to give a short list little.
const blockLen = 1 << 18

// placeBits is enough for a length up to blockLen.
const placeBits = 20

const minEntry = 8 // bytes

// add adds an entry.
func (s *sorter) add(entry []byte) error {
	last := len(s.blocks) - 1
	if last < 0 || len(s.blocks[last])+len(entry) > blockLen {
		if len(s.blocks)*blockLen+len(s.refs)*refLen >= s.limit {
			if err := s.spill(); err != nil {
				return fmt.Errorf("sorting: %w", err)
			}
		}
		s.blocks = append(s.blocks, s.block())
		last = len(s.blocks) - 1
	}
	if len(s.refs) == cap(s.refs) {
		s.refs = slices.Grow(s.refs, max(1024, len(s.refs))) // append grows by less, and so makes more of what is thrown away
	}
	s.refs = append(s.refs, newRef(entry, last, len(s.blocks[last])))
	s.blocks[last] = append(s.blocks[last], entry...)
	return nil
}

// block returns an empty block: one that has been written to the file, or a new one.
func (s *sorter) block() []byte {
	if n := len(s.blocks); n < cap(s.blocks) {
		if used := s.blocks[:n+1][n]; used != nil {
			return used[:0]
		}
	}
	return make([]byte, 0, blockLen)
}

func (s *sorter) entry(r ref) []byte {
	const mask = 1<<placeBits - 1
	from := r.place >> placeBits & mask
	return s.blocks[r.place>>(2*placeBits)][from : from+r.place&mask]
}

func (s *sorter) sort() {
	slices.SortFunc(s.refs, func(a, b ref) int {
		if a.prefix != b.prefix {
			return cmp.Compare(a.prefix, b.prefix)
		}
		return bytes.Compare(s.entry(a), s.entry(b))
	})
}

// spill writes what is in memory to the file, as one more run.
func (s *sorter) spill() error {
	if len(s.refs) == 0 {
		return nil
	}
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	s.sort()
	w := bufio.NewWriterSize(s.file, 1<<16)
	var written int64
	for _, r := range s.refs {
		var length [2]byte
		entry := s.entry(r)
		binary.BigEndian.PutUint16(length[:], uint16(len(entry)))
		w.Write(length[:]) // an error stays until Flush
		w.Write(entry)
		written += 2 + int64(len(entry))
	}
	s.runs = append(s.runs, written)
	s.blocks, s.refs = s.blocks[:0], s.refs[:0]
	return w.Flush()
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
		s.sort()
		for _, r := range s.refs {
			if !yield(s.entry(r), nil) {
				return
			}
		}
	}
}

// merge yields the entries of all runs.
func (s *sorter) merge(yield func([]byte, error) bool) error {
	if err := s.spill(); err != nil {
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
	for _, block := range s.blocks[:cap(s.blocks)] {
		clear(block[:cap(block)]) // secrets
	}
	s.blocks, s.refs = nil, nil
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
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
