package store

import (
	"bytes"
	"iter"
	"slices"
)

// sorter sorts entries by their bytes.
type sorter struct {
	entries []byte // one after the other
	ends    []int
}

func (s *sorter) add(entry []byte) error {
	s.entries = append(s.entries, entry...)
	s.ends = append(s.ends, len(s.entries))
	return nil
}

// sorted returns the entries in order, each until the next.
func (s *sorter) sorted() iter.Seq2[[]byte, error] {
	entries := make([][]byte, len(s.ends))
	start := 0
	for i, end := range s.ends {
		entries[i] = s.entries[start:end]
		start = end
	}
	slices.SortFunc(entries, bytes.Compare)
	return func(yield func([]byte, error) bool) {
		for _, e := range entries {
			if !yield(e, nil) {
				return
			}
		}
	}
}
