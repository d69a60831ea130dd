package audit

import (
	"golang.org/x/mod/sumdb/tlog"
)

// Copy hands out the files of the log as it is at the tree's checkpoint, and no
// others: a copy that Verify accepts, also of a log that somebody appends to.
func (t *Tree) Copy(put func(name string, content []byte) error) error {
	if err := put(checkpointFile, t.head.Bytes()); err != nil {
		return err
	}
	for level := entryLevel; level < tileLevels; level++ {
		for n := int64(0); ; n++ {
			at := tlog.Tile{H: tileHeight, L: level, N: n}
			if at.W = widthAt(t.head.Size, at); at.W == 0 {
				break
			}
			content, err := t.read(at)
			if err != nil {
				return err
			}
			if err := put(tileName(at), content); err != nil {
				return err
			}
		}
	}
	return nil
}
