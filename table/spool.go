package table

import (
	"errors"
	"fmt"
	"iter"
)

// Spool keeps the entries of a table as they are received, until all of it has
// been verified and can be joined. Appending costs the same whatever matches, so
// that the speed at which frames are read tells the Holder nothing
// (PROTOCOL.md §7.4). Its file has no name where the system allows that.
type Spool struct {
	redacted
	kept     *file
	entryLen int
	size     int64 // bytes
	err      error // the first failure, or errClosed
}

// NewSpool returns an empty spool in o.Dir.
func NewSpool(o Options) (*Spool, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	f, err := newScratch(o.Dir)
	if err != nil {
		return nil, err
	}
	return &Spool{kept: f, entryLen: o.entryLen()}, nil
}

// Append adds whole entries, such as a TABLE frame's.
func (s *Spool) Append(entries []byte) error {
	if s.err != nil {
		return s.err
	}
	if len(entries)%s.entryLen != 0 {
		return errors.New("table: spool: not a whole number of entries")
	}
	if _, err := s.kept.WriteAt(entries, s.size); err != nil {
		s.err = fmt.Errorf("table: spool: %w", err)
		return s.err
	}
	s.size += int64(len(entries))
	return nil
}

// Entries returns the number of entries appended.
func (s *Spool) Entries() uint64 { return uint64(s.size) / uint64(s.entryLen) }

// Chunks returns the entries appended so far, from the first on, some at a time.
// A chunk is overwritten by the next.
func (s *Spool) Chunks() iter.Seq2[[]byte, error] {
	if s.err != nil {
		return failed(s.err)
	}
	return chunks(s.kept, s.size, chunkLen(s.entryLen))
}

// Close removes the entries. It may be called again.
func (s *Spool) Close() error {
	if errors.Is(s.err, errClosed) {
		return nil
	}
	s.err = errClosed
	if err := s.kept.Close(); err != nil {
		return fmt.Errorf("table: remove spool: %w", err)
	}
	return nil
}
