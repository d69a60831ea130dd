package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Expect is what a verifier knows of a log before it reads it.
type Expect struct {
	Log     note.Verifier // the log's key, by its name
	Kept    [][]byte      // older checkpoints of the log, which it has to extend
	Quorum  Quorum
	Content Content // what the entries have to be; zero: anything
}

// Report is what Verify found, all of it proven.
type Report struct {
	Origin   string         `json:"log"`
	Size     int64          `json:"entries"`
	Root     tlog.Hash      `json:"root"`
	Cosigned []Cosignature  `json:"cosigned,omitempty"`
	Kept     int            `json:"older_checkpoints"`
	Kinds    map[Kind]int64 `json:"kinds,omitempty"` // of events, if Expect says that there are any
}

// Verify reads a whole log, which may be a copy, and trusts nothing but the key:
// it hashes every entry, builds every tile anew and compares it with the file,
// and the root with the signed one. A file that isn't part of the checkpoint's
// tree is an error; so a log that is copied while it is written to may have to
// be copied again. Memory is that of one bundle.
func Verify(fsys fs.FS, want Expect) (*Report, error) {
	t, err := Read(fsys, want.Log, want.Quorum)
	if err != nil {
		return nil, err
	}
	v := verification{t: t, content: want.Content, kinds: map[Kind]int64{}, kept: map[int64]tlog.Hash{}}
	for _, signed := range want.Kept {
		if err := v.keep(signed, want.Log); err != nil {
			return nil, err
		}
	}
	if err := v.entries(); err != nil {
		return nil, err
	}
	if err := v.strays(); err != nil {
		return nil, err
	}
	return &Report{t.head.Origin, t.head.Size, t.head.Root, t.head.Cosigned, len(want.Kept), v.kinds}, nil
}

type verification struct {
	t       *Tree
	edge    edge
	content Content
	kinds   map[Kind]int64
	kept    map[int64]tlog.Hash // roots by size
}

func (v *verification) keep(signed []byte, log note.Verifier) error {
	c, err := ParseCheckpoint(signed, log, Quorum{})
	if err != nil {
		return err
	}
	if c.Size > v.t.head.Size {
		return ErrRollback
	}
	if other, ok := v.kept[c.Size]; ok && other != c.Root {
		return ErrFork
	}
	v.kept[c.Size] = c.Root
	return nil
}

// entries builds the tree anew from the entries.
func (v *verification) entries() error {
	size := v.t.head.Size
	if err := v.compareKept(); err != nil {
		return err
	}
	for v.edge.size < size {
		at := entryTile(size, v.edge.size)
		content, err := readTile(v.t.fsys, at)
		if err != nil {
			return err
		}
		entries, _, err := cutBundle(content, at.W)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := v.entry(e); err != nil {
				return err
			}
		}
	}
	if err := v.edge.flush(v.compare); err != nil {
		return err
	}
	if v.edge.root() != v.t.head.Root {
		return errors.New("audit: the entries and tiles are not those of the checkpoint")
	}
	return nil
}

func (v *verification) entry(e []byte) error {
	if v.content != AnyBytes {
		event, err := v.content.parse(e)
		if err != nil {
			return fmt.Errorf("audit: entry %d: %w", v.edge.size, err)
		}
		v.kinds[event.Body.Kind()]++
	}
	if err := v.edge.add(e, v.compare); err != nil {
		return err
	}
	return v.compareKept()
}

func (v *verification) compareKept() error {
	if root, ok := v.kept[v.edge.size]; ok && root != v.edge.root() {
		return ErrFork
	}
	return nil
}

// compare compares a tile with its file.
func (v *verification) compare(t tlog.Tile, want []byte) error {
	if t.L == entryLevel {
		return nil // want was made from it
	}
	got, err := readTile(v.t.fsys, t)
	if err != nil {
		return err
	}
	for i := 0; i < len(want); i += tlog.HashSize {
		if bytes.Equal(got[i:i+tlog.HashSize], want[i:i+tlog.HashSize]) {
			continue
		}
		if t.L == 0 {
			return fmt.Errorf("audit: entry %d is not the one that %s has", t.N*tileWidth+int64(i/tlog.HashSize), tileName(t))
		}
		return fmt.Errorf("audit: %s does not have the hashes of the tiles below it", tileName(t))
	}
	return nil
}

// strays looks at the files that the tree does not need. Partial tiles of
// earlier checkpoints may be there; they have to be beginnings of the present ones.
func (v *verification) strays() error {
	err := fs.WalkDir(v.t.fsys, tileDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("audit: %w", err)
		}
		if d.IsDir() {
			return nil
		}
		t, ok := parseTileName(name)
		if !ok {
			return errors.New("audit: there is a file among the tiles that is none")
		}
		return v.stray(t, widthAt(v.t.head.Size, t))
	})
	if errors.Is(err, fs.ErrNotExist) && v.t.head.Size == 0 {
		return nil
	}
	return err
}

func (v *verification) stray(t tlog.Tile, width int) error {
	switch {
	case t.W > width:
		return fmt.Errorf("audit: %s is beyond the checkpoint: written since, or the checkpoint was taken back", tileName(t))
	case t.W == width:
		return nil // compared already
	}
	got, err := readTile(v.t.fsys, t)
	if err != nil {
		return err
	}
	whole := t
	whole.W = width
	want, err := readTile(v.t.fsys, whole)
	if err == nil {
		want, err = narrow(t, want, t.W)
	}
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("audit: %s differs from what became of it", tileName(t))
	}
	return nil
}
