package consent

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"iter"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/internal/merkle"
)

// WriteSnapshot admits the ledger's records under the rule at the given moment
// and writes those that pass, one leaf each, then pads up to pad(leaves), the
// size that the tree has in public (PROTOCOL.md §7.2, §10). It returns the tree's
// root, the number of leaves and the size with pads. Memory does not grow with
// the ledger, which is read on while what it yielded is hashed and written.
//
// The ledger comes ordered by account, class and hash; two admitted records with
// the same three, or out of order, are an error, as is a record without account
// or secret. An error of the ledger ends the snapshot; what was written by then
// is none.
//
// The id is 32 fresh random bytes, and it stays as secret as the snapshot: it
// separates this snapshot's salts from any other's, and whoever has it can tell
// the pads from the leaves. The output holds hashed identifiers and salts, so a
// file of it is readable by its owner only and is removed when its last session
// is over. With the same ledger, moment and id it can be written again, but for
// the records that have been erased since.
func WriteSnapshot(w io.Writer, id *[32]byte, rule Rule, at time.Time, pad func(leaves uint64) uint64, ledger iter.Seq2[Record, error]) (root tlog.Hash, leaves, size uint64, err error) {
	out := newSealer(w)
	defer out.close()
	out.writeHeader(id, at)
	s := &snapshotWriter{sealer: out, id: id, batch: <-out.free}
	if leaves, err = s.writeLeaves(rule, at, ledger); err != nil {
		return tlog.Hash{}, 0, 0, err
	}
	if size = pad(leaves); size < leaves {
		return tlog.Hash{}, 0, 0, errPadded
	}
	s.writePads(leaves, size)
	out.close()
	root = out.tree.Root()
	out.writeTrailer(leaves, size, root)
	if err := out.w.Flush(); err != nil {
		return tlog.Hash{}, 0, 0, fmt.Errorf("consent: writing the snapshot: %w", err)
	}
	return root, leaves, size, nil
}

// snapshotWriter makes lines.
type snapshotWriter struct {
	*sealer
	id    *[32]byte
	batch *batch // being filled
	last  line   // the last leaf; at first zeros, which come before any
}

// writeLeaves returns how many there are.
func (s *snapshotWriter) writeLeaves(rule Rule, at time.Time, ledger iter.Seq2[Record, error]) (leaves uint64, err error) {
	for rec, err := range ledger {
		if err != nil {
			return 0, fmt.Errorf("consent: reading the ledger: %w", err)
		}
		if _, err := rule.Admit(&rec, at); err != nil {
			continue // the Refusal is the ledger's to report: here only what passes counts
		}
		if err := s.writeLeaf(&rec); err != nil {
			return 0, err
		}
		leaves++
	}
	s.pass()
	return leaves, nil
}

func (s *snapshotWriter) writeLeaf(rec *Record) error {
	switch {
	case rec.Account == Handle{}:
		return errAccount
	case rec.Secret == [32]byte{}:
		return errSecret
	}
	leaf := s.batch.addLeaf(s.id, rec)
	if s.last.compare(leaf) >= 0 {
		return errOrder
	}
	s.last = *leaf
	s.passFull()
	return nil
}

func (s *snapshotWriter) writePads(leaves, size uint64) {
	for i := leaves; i < size; i++ {
		s.batch.addPad(s.id, i)
		s.passFull()
	}
	s.pass()
}

// passFull passes the batch on if it is full.
func (s *snapshotWriter) passFull() {
	if s.batch.len() == batchLen {
		s.pass()
	}
}

// pass passes the batch on, and takes another.
func (s *snapshotWriter) pass() {
	s.full <- s.batch
	s.batch = <-s.free
}

// sealer hashes and writes batches of lines in the order in which they come, in a
// goroutine of its own: that takes about as long as reading the ledger does. A
// bufio.Writer keeps its first error, so the errors of single writes are found by
// Flush.
type sealer struct {
	w     *bufio.Writer
	tree  merkle.Range
	facts hash.Hash
	full  chan *batch // nil: closed
	free  chan *batch
	done  chan struct{}
	all   [batches]batch
}

// bufferLen is the size of the one buffer between lines and file, in bytes.
const bufferLen = 1 << 16

// batches is enough for neither side to wait for the other's pauses.
const batches = 4

func newSealer(w io.Writer) *sealer {
	s := &sealer{
		w:     bufio.NewWriterSize(w, bufferLen),
		facts: sha256.New(),
		full:  make(chan *batch, batches),
		free:  make(chan *batch, batches),
		done:  make(chan struct{}),
	}
	for i := range s.all {
		s.all[i] = newBatch(batchLen)
		s.free <- &s.all[i]
	}
	go s.seal(s.full)
	return s
}

func (s *sealer) seal(full <-chan *batch) {
	defer close(s.done)
	for b := range full {
		s.tree.AppendLeaves(b.seal(), sha256.Size)
		b.addFacts(s.facts)
		s.w.Write(b.lines)
		b.reset()
		s.free <- b
	}
}

// close returns once all that was passed on is written, and forgets the secrets of
// what was not. The rest of a sealer may be used then.
func (s *sealer) close() {
	if s.full == nil {
		return
	}
	close(s.full)
	s.full = nil
	<-s.done
	for i := range s.all {
		s.all[i].salts.forget()
	}
}

func (s *sealer) writeHeader(id *[32]byte, at time.Time) {
	b := make([]byte, 0, headerLen)
	b = append(b, snapshotMagic...)
	b = binary.BigEndian.AppendUint16(b, snapshotVersion)
	b = appendTime(b, at)
	b = append(b, id[:]...)
	s.w.Write(b)
}

func (s *sealer) writeTrailer(leaves, size uint64, root tlog.Hash) {
	b := make([]byte, 0, trailerLen)
	b = binary.BigEndian.AppendUint64(b, leaves)
	b = binary.BigEndian.AppendUint64(b, size)
	b = append(b, root[:]...)
	s.w.Write(s.facts.Sum(b))
}
