package consent

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/internal/input"
)

// A snapshot is a header, size lines of equal length, and a trailer. Counts and
// root stand at the end, since they are known there: it is written in one pass
// to anything, and one that was cut short has no trailer and is refused.
//
//	header    "AMPSI-V01-snapshot" ‖ I2OSP(version,2) ‖ seconds(8) ‖ I2OSP(nanoseconds,4) ‖ id(32)
//	line      see line: the leaves, then the pads
//	trailer   I2OSP(leaves,8) ‖ I2OSP(size,8) ‖ root(32) ‖ facts(32)
//
// The root covers all of a line but the number of its fact; the trailer's facts,
// the SHA-256 of those numbers in their order, covers that. The leaf at a line's
// end is the hash of the rest.
const (
	snapshotMagic   = "AMPSI-V01-snapshot"
	snapshotVersion = 3
	headerLen       = len(snapshotMagic) + 2 + timeLen + 32
	trailerLen      = 8 + 8 + 32 + 32
)

// Errors of reading and writing a snapshot.
var (
	ErrSnapshot = errors.New("consent: snapshot is damaged") // what ReadSnapshot finds wrong with the bytes wraps it

	errOrder   = errors.New("consent: ledger is not strictly increasing by account, class and hash")
	errAccount = errors.New("consent: record without an account")
	errSecret  = errors.New("consent: record without a salt secret")
	errPadded  = errors.New("consent: padded size is below the number of leaves")
)

// Snapshot is a written snapshot, open for reading. Its methods may be called
// concurrently if the reader's ReadAt may.
type Snapshot struct {
	r      io.ReaderAt
	at     time.Time
	id     [32]byte
	leaves uint64
	size   uint64
	root   tlog.Hash
	facts  [32]byte
}

// ReadSnapshot opens the snapshot that is the first size bytes of r. It reads all
// of it and computes the root again, half a microsecond a leaf or less, so that no query
// is ever made from a line the root does not cover; r must not change afterwards.
func ReadSnapshot(r io.ReaderAt, size int64) (*Snapshot, error) {
	s, err := OwnSnapshot(r, size)
	if err != nil {
		return nil, err
	}
	if err := s.verify(); err != nil {
		return nil, err
	}
	return s, nil
}

// OwnSnapshot is ReadSnapshot for what the caller has just written with
// WriteSnapshot and nobody else could write since, such as a file without a name.
// It reads the header and the trailer only and takes the lines for what was
// written: what computing the root again would find is a failing disk, and then the
// session fails its audit as any does whose questions were changed on their way.
func OwnSnapshot(r io.ReaderAt, size int64) (*Snapshot, error) {
	s := &Snapshot{r: r}
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	if err := s.readTrailer(size); err != nil {
		return nil, err
	}
	return s, nil
}

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrSnapshot, what) }

// readAt fills b from offset off.
func (s *Snapshot) readAt(b []byte, off int64) error {
	n, err := s.r.ReadAt(b, off)
	switch {
	case n == len(b): // io.ReaderAt may say io.EOF with the last bytes
		return nil
	case err == io.EOF:
		return damaged("cut short")
	}
	return fmt.Errorf("consent: reading the snapshot: %w", err)
}

func (s *Snapshot) readHeader() error {
	var b [headerLen]byte
	if err := s.readAt(b[:], 0); err != nil {
		return err
	}
	rest, ok := bytes.CutPrefix(b[:], []byte(snapshotMagic))
	if !ok {
		return damaged("not a snapshot")
	}
	if binary.BigEndian.Uint16(rest) != snapshotVersion {
		return damaged("unknown version")
	}
	rest = rest[2:]
	if binary.BigEndian.Uint32(rest[8:]) >= uint32(time.Second) {
		return damaged("time out of range")
	}
	s.at = readTime(rest)
	s.id = [32]byte(rest[timeLen:])
	return nil
}

func (s *Snapshot) readTrailer(size int64) error {
	lines := size - int64(headerLen+trailerLen)
	if lines < 0 || lines%lineLen != 0 {
		return damaged("length is not that of whole lines")
	}
	var b [trailerLen]byte
	if err := s.readAt(b[:], size-trailerLen); err != nil {
		return err
	}
	s.leaves = binary.BigEndian.Uint64(b[:])
	s.size = binary.BigEndian.Uint64(b[8:])
	s.root = tlog.Hash(b[16:48])
	s.facts = [32]byte(b[48:])
	if s.size != uint64(lines/lineLen) || s.leaves > s.size {
		return damaged("counts differ from the length")
	}
	return nil
}

// Root returns consent_root of PROTOCOL.md §10.
func (s *Snapshot) Root() tlog.Hash { return s.root }

// Len returns the number of true leaves. It is the platform's own secret.
func (s *Snapshot) Len() uint64 { return s.leaves }

// Size returns the number of leaves with pads, consent_size of PROTOCOL.md §15.
func (s *Snapshot) Size() uint64 { return s.size }

// Time returns the moment at which the leaves were eligible, in UTC.
func (s *Snapshot) Time() time.Time { return s.at }

func lineOffset(i uint64) int64 { return int64(headerLen) + int64(i)*lineLen }

// At returns leaf i, a pad if i is Len or more. It panics if i is not below Size.
func (s *Snapshot) At(i uint64) (Leaf, error) {
	s.checkIndex(i)
	leaf := Leaf{index: i}
	if err := s.readAt(leaf.line[:], lineOffset(i)); err != nil {
		return Leaf{}, err
	}
	return leaf, nil
}

func (s *Snapshot) checkIndex(i uint64) {
	if i >= s.size {
		panic("consent: leaf index out of range")
	}
}

// All returns every leaf in order, pads included. An error ends it.
func (s *Snapshot) All() iter.Seq2[Leaf, error] {
	return func(yield func(Leaf, error) bool) {
		lines := io.NewSectionReader(s.r, lineOffset(0), int64(s.size)*lineLen)
		r := bufio.NewReaderSize(lines, bufferLen)
		var leaf Leaf
		for leaf.index = range s.size {
			if _, err := io.ReadFull(r, leaf.line[:]); err != nil {
				yield(Leaf{}, fmt.Errorf("consent: reading the snapshot: %w", err))
				return
			}
			if !yield(leaf, nil) {
				return
			}
		}
	}
}

// Eligible returns every leaf in order up to the first pad: after it there are only
// more. An error ends it.
func (s *Snapshot) Eligible() iter.Seq2[Leaf, error] {
	return func(yield func(Leaf, error) bool) {
		for leaf, err := range s.All() {
			if err == nil && leaf.IsPad() || !yield(leaf, err) {
				return
			}
		}
	}
}

// Inputs returns the identifiers of the eligible leaves, in order.
func (s *Snapshot) Inputs() iter.Seq2[input.Input, error] {
	return func(yield func(input.Input, error) bool) {
		for leaf, err := range s.Eligible() {
			if err != nil {
				yield(input.Input{}, err)
				return
			}
			if !yield(leaf.Input(), nil) {
				return
			}
		}
	}
}

// Format prints REDACTED, whatever the verb: whoever has a snapshot's id can tell its
// pads from its leaves.
func (Snapshot) Format(f fmt.State, _ rune) { fmt.Fprint(f, redacted) }

// LogValue logs REDACTED.
func (Snapshot) LogValue() slog.Value { return slog.StringValue(redacted) }
