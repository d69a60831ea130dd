package consent

import (
	"bytes"
	"errors"
	"iter"
	"testing"
)

// The eligible leaves are all before the first pad, and what they match is theirs;
// whoever stops is heard, and an error is told once.
func TestEligibleLeaves(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(13))
	s := open(t, file)
	if s.Len() != 13 || size <= 13 {
		t.Fatalf("%d leaves of %d", s.Len(), size)
	}
	n := uint64(0)
	next, stop := iter.Pull2(s.Inputs())
	defer stop()
	for leaf, err := range s.Eligible() {
		in, inErr, ok := next()
		if err != nil || inErr != nil || !ok || leaf.IsPad() || leaf.Index() != n || in != leaf.Input() {
			t.Fatalf("leaf %d: %v, %v, %v", n, err, inErr, ok)
		}
		n++
	}
	if _, _, more := next(); n != 13 || more {
		t.Errorf("%d are eligible, want 13", n)
	}
	for range s.Eligible() {
		break
	}
	for range s.Inputs() {
		break
	}
	s.r = failingDisk{bytes.NewReader(file), int64(headerLen)}
	for _, failures := range [][]error{errorsOf(s.Eligible()), errorsOf(s.Inputs())} {
		if len(failures) != 1 || !errors.Is(failures[0], errDisk) {
			t.Errorf("a disk that fails: %v", failures)
		}
	}
}

func errorsOf[T any](seq iter.Seq2[T, error]) (list []error) {
	for _, err := range seq {
		list = append(list, err)
	}
	return list
}
