package consent

// Cursor reads some of a snapshot's leaves, a block of neighbours at a time: for
// those whose positions increase it is much cheaper than At. It is not safe for
// concurrent use.
type Cursor struct {
	s     *Snapshot
	first uint64 // position of the first leaf of the block
	block []byte // whole lines
}

// cursorLines is the number of lines in a block: reading so many takes no longer
// than asking for one.
const cursorLines = 64

// Cursor returns a Cursor.
func (s *Snapshot) Cursor() *Cursor { return &Cursor{s: s} }

// At returns leaf i, as Snapshot.At does.
func (c *Cursor) At(i uint64) (Leaf, error) {
	c.s.checkIndex(i)
	if i < c.first || i-c.first >= uint64(len(c.block)/lineLen) {
		if err := c.read(i); err != nil {
			return Leaf{}, err
		}
	}
	return Leaf{index: i, line: line(c.block[(i-c.first)*lineLen:])}, nil
}

// read reads the block that begins with leaf i.
func (c *Cursor) read(i uint64) error {
	if c.block == nil {
		c.block = make([]byte, 0, cursorLines*lineLen)
	}
	c.block = c.block[:min(cursorLines, c.s.size-i)*lineLen]
	c.first = i
	err := c.s.readAt(c.block, lineOffset(i))
	if err != nil {
		c.block = c.block[:0]
	}
	return err
}
