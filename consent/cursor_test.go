package consent

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
)

// A Cursor finds what At finds, in whatever order it is asked.
func TestCursor(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(5*cursorLines))
	s := open(t, file)
	c, rng := s.Cursor(), rand.New(rand.NewPCG(1, 2))
	check := func(i uint64) {
		t.Helper()
		got, err := c.At(i)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := s.At(i); err != nil || got != want {
			t.Fatalf("leaf %d is another than At's (%v)", i, err)
		}
	}
	for i := range size {
		check(i)
	}
	for i := uint64(0); i < size; i += 1 + rng.Uint64N(2*cursorLines) {
		check(i)
	}
	for range 100 {
		check(rng.Uint64N(size))
	}
	check(size - 1)
	check(0)
}

// counting counts reads.
type counting struct {
	io.ReaderAt
	reads int
}

func (c *counting) ReadAt(b []byte, off int64) (int, error) {
	c.reads++
	return c.ReaderAt.ReadAt(b, off)
}

func TestCursorReadsBlocks(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(5*cursorLines))
	s := open(t, file)
	r := &counting{ReaderAt: s.r}
	s.r = r
	c := s.Cursor()
	for i := uint64(0); i < size; i += 2 {
		if _, err := c.At(i); err != nil {
			t.Fatal(err)
		}
	}
	if want := int(size+cursorLines-1) / cursorLines; r.reads > want {
		t.Errorf("%d reads, want at most %d", r.reads, want)
	}
}

func TestCursorFails(t *testing.T) {
	file, _, _, size := writeAll(t, ledgerOf(2*cursorLines))
	s := open(t, file)
	whole := s.r
	s.r = failingDisk{whole, int64(headerLen + cursorLines*lineLen)}
	c := s.Cursor()
	if _, err := c.At(0); err != nil {
		t.Fatal(err)
	}
	for range 2 { // and does not remember half a block
		if leaf, err := c.At(cursorLines); !errors.Is(err, errDisk) || leaf != (Leaf{}) {
			t.Fatalf("a leaf that can't be read: %v", err)
		}
	}
	s.r = whole
	if leaf, err := c.At(cursorLines); err != nil || leaf.Index() != cursorLines {
		t.Errorf("a leaf that can be read again: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a leaf beyond the last is read")
		}
	}()
	c.At(size)
}

// What was just written is opened without reading the lines, and is the same.
func TestOwnSnapshot(t *testing.T) {
	file, root, leaves, size := writeAll(t, ledgerOf(100))
	r := &counting{ReaderAt: bytes.NewReader(file)}
	own, err := OwnSnapshot(r, int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	if r.reads != 2 || own.Root() != root || own.Len() != leaves || own.Size() != size {
		t.Errorf("%d reads; it is another snapshot than was written", r.reads)
	}
	read := open(t, file)
	for i := range size {
		a, err := own.At(i)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := read.At(i); err != nil || a != b || a.Hash() != a.line.hash() {
			t.Fatalf("leaf %d is another (%v)", i, err)
		}
	}
	for n := range file {
		if n < headerLen+trailerLen || (n-headerLen-trailerLen)%lineLen != 0 {
			if _, err := OwnSnapshot(bytes.NewReader(file[:n]), int64(n)); !errors.Is(err, ErrSnapshot) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
		}
	}
}
