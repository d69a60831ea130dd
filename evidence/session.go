package evidence

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"github.com/overlap-psi/overlap/psi"
)

// Session is what was kept of one session. Its methods may be called
// concurrently.
type Session struct {
	sid             [32]byte
	leaves, blinded *os.File
	size            uint64
	digests         []psi.FrameDigest
}

// Row is one position: the hash of its leaf, and the number of the ledger's line
// that the leaf was made from, 0 of a pad.
type Row struct {
	Leaf [32]byte
	Fact uint64
}

// Open opens what was kept of the session of this sid below dir. The error wraps
// fs.ErrNotExist if there is none, and there is none of a session that was not
// sealed.
func Open(dir string, sid [32]byte) (*Session, error) {
	dir = sessionDir(dir, sid)
	list, err := os.ReadFile(filepath.Join(dir, digestsName))
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	s := &Session{sid: sid}
	var err1, err2 error
	s.leaves, err1 = os.Open(filepath.Join(dir, leavesName))
	s.blinded, err2 = os.Open(filepath.Join(dir, blindedName))
	if err := errors.Join(err1, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("evidence: %w", err), s.Close())
	}
	if err := s.measure(list); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// measure checks that the three files have the sizes of one session.
func (s *Session) measure(list []byte) error {
	leaves, err1 := s.leaves.Stat()
	blinded, err2 := s.blinded.Stat()
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	s.size = uint64(leaves.Size()) / rowLen
	if s.size == 0 || leaves.Size()%rowLen != 0 || uint64(blinded.Size()) != s.size*uint64(elementLen) {
		return errDamaged
	}
	var whole bool
	if s.digests, whole = parseDigests(list, chunkOf(s.size-1)+1); !whole {
		return errDamaged
	}
	return nil
}

// Close closes the files.
func (s *Session) Close() error {
	var errs []error
	for _, f := range []*os.File{s.leaves, s.blinded} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Size returns the number of positions, q̂.
func (s *Session) Size() uint64 { return s.size }

// Rows returns the rows of all positions in order. With it the closed leaf of an
// erased record is found by its fact, to be named in the log. An error ends it.
func (s *Session) Rows() iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		r := bufio.NewReaderSize(io.NewSectionReader(s.leaves, 0, int64(s.size)*rowLen), 1<<16)
		var row [rowLen]byte
		for range s.size {
			if _, err := io.ReadFull(r, row[:]); err != nil {
				yield(Row{}, fmt.Errorf("evidence: %w", err))
				return
			}
			if !yield(Row{[32]byte(row[:]), binary.BigEndian.Uint64(row[32:])}, nil) {
				return
			}
		}
	}
}

// chunk returns the body of BLINDED frame seq, as it was sent.
func (s *Session) chunk(seq uint32) ([]byte, error) {
	first := uint64(seq) * psi.ChunkElems
	body := make([]byte, min(psi.ChunkElems, s.size-first)*uint64(elementLen))
	if _, err := s.blinded.ReadAt(body, int64(first)*int64(elementLen)); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	return body, nil
}
