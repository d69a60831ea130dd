package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Tree reads a log as it is at one checkpoint. Whatever it returns it has checked
// against the checkpoint's root, so the files need no trust; those it does not
// read it does not check, as Verify does. It may be used concurrently, and while
// somebody appends.
type Tree struct {
	fsys fs.FS
	head *Checkpoint
}

// Read opens the log in fsys, which may be a copy, at its checkpoint.
func Read(fsys fs.FS, log note.Verifier, q Quorum) (*Tree, error) {
	return readAt(fsys, checkpointFile, log, q)
}

// ReadCosigned opens the log at the last checkpoint that Log.Publish has kept: the
// latest one has been seen by nobody yet. There is none: fs.ErrNotExist.
func ReadCosigned(fsys fs.FS, log note.Verifier, q Quorum) (*Tree, error) {
	return readAt(fsys, cosignedFile, log, q)
}

func readAt(fsys fs.FS, name string, log note.Verifier, q Quorum) (*Tree, error) {
	signed, err := readFile(fsys, name, maxCheckpoint)
	if err != nil {
		return nil, err
	}
	head, err := ParseCheckpoint(signed, log, q)
	if err != nil {
		return nil, err
	}
	return &Tree{fsys, head}, nil
}

// Checkpoint returns the head that the tree is read at.
func (t *Tree) Checkpoint() *Checkpoint { return t.head }

// Size returns the number of entries.
func (t *Tree) Size() int64 { return t.head.Size }

var errRange = errors.New("audit: the log has no such entry")

// Entries iterates over the entries from the given index on. It ends with the
// first error.
func (t *Tree) Entries(from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if from < 0 || from > t.head.Size {
			yield(nil, errRange)
			return
		}
		for from < t.head.Size {
			entries, err := t.bundle(from)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range entries {
				if !yield(e, nil) {
					return
				}
			}
			from += int64(len(entries))
		}
	}
}

// bundle returns the entries of one bundle, from the given index on.
func (t *Tree) bundle(from int64) ([][]byte, error) {
	at := entryTile(t.head.Size, from)
	content, err := t.read(at)
	if err != nil {
		return nil, err
	}
	entries, _, err := cutBundle(content, at.W)
	if err != nil {
		return nil, err
	}
	entries = entries[from%tileWidth:]
	indexes := make([]int64, len(entries))
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, from+int64(i))
	}
	hashes, err := t.ReadHashes(indexes)
	if err != nil {
		return nil, err
	}
	for i, e := range entries {
		if tlog.RecordHash(e) != hashes[i] {
			return nil, fmt.Errorf("audit: entry %d is not the one that was logged", from+int64(i))
		}
	}
	return entries, nil
}

// last returns the last entry of a tree that has one.
func (t *Tree) last() ([]byte, error) {
	entries, err := t.bundle(t.head.Size - 1)
	if err != nil {
		return nil, err
	}
	return entries[0], nil
}

// Prove returns the proof that the entry of the given index is in the log.
func (t *Tree) Prove(index int64) (*Proof, error) {
	if index < 0 || index >= t.head.Size {
		return nil, errRange
	}
	hashes, err := tlog.ProveRecord(t.head.Size, index, t)
	if err != nil {
		return nil, fmt.Errorf("audit: prove: %w", err)
	}
	return &Proof{Index: index, Hashes: hashes, Checkpoint: t.head.Bytes()}, nil
}

// ProveConsistency returns the proof that the tree extends the one of the given
// smaller size, which is what a witness asks for.
func (t *Tree) ProveConsistency(old int64) (*Consistency, error) {
	c := &Consistency{Old: old, Checkpoint: t.head.Bytes()}
	if old < 0 || old > t.head.Size {
		return nil, errRange
	}
	if old == 0 {
		return c, nil // every tree extends the empty one
	}
	hashes, err := tlog.ProveTree(t.head.Size, old, t)
	if err != nil {
		return nil, fmt.Errorf("audit: prove: %w", err)
	}
	c.Hashes = hashes
	return c, nil
}

// Extends checks that the tree extends an older one, which was signed with the
// checkpoint. It returns ErrRollback or ErrFork if it doesn't.
func (t *Tree) Extends(old *Checkpoint) error {
	if old.Origin != t.head.Origin {
		return errSigned
	}
	if old.Size > t.head.Size {
		return ErrRollback
	}
	root, err := tlog.TreeHash(old.Size, t)
	if err != nil {
		return fmt.Errorf("audit: read: %w", err)
	}
	if root != old.Root {
		return ErrFork
	}
	return nil
}

// VerifyConsistency checks that the log in fsys extends the one of a checkpoint
// that somebody kept: nothing of it was rewritten since.
func VerifyConsistency(kept []byte, fsys fs.FS, log note.Verifier, q Quorum) error {
	old, err := ParseCheckpoint(kept, log, Quorum{})
	if err != nil {
		return err
	}
	t, err := Read(fsys, log, q)
	if err != nil {
		return err
	}
	return t.Extends(old)
}

// ReadHashes makes Tree a tlog.HashReader whose hashes are all checked.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if len(indexes) == 0 { // tlog's reader panics on the empty tree
		return nil, nil
	}
	return tlog.TileHashReader(tlog.Tree{N: t.head.Size, Hash: t.head.Root}, tileReader{t}).ReadHashes(indexes)
}

// tileReader is the tree as tlog wants it.
type tileReader struct{ *Tree }

func (tileReader) Height() int { return tileHeight }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	content := make([][]byte, len(tiles))
	for i, t := range tiles {
		var err error
		if content[i], err = r.read(t); err != nil {
			return nil, err
		}
	}
	return content, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

// read reads a tile. A partial one may have given way to the full one since the
// checkpoint was signed.
func (t *Tree) read(at tlog.Tile) ([]byte, error) {
	content, err := readTile(t.fsys, at)
	if at.W == tileWidth || !errors.Is(err, fs.ErrNotExist) {
		return content, err
	}
	full := at
	full.W = tileWidth
	content, fullErr := readTile(t.fsys, full)
	if fullErr != nil {
		return nil, err
	}
	return narrow(at, content, at.W)
}
