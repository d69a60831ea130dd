package audit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// The layout of c2sp.org/tlog-tiles. Coordinates are tlog.Tile's, whose level
// -1 is that of the entry bundles.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	tileLevels = 6 // 256⁶ is more than maxSize
	entryLevel = -1

	checkpointFile = "checkpoint"
	cosignedFile   = "cosigned"
	tileDir        = "tile"

	// MaxEntry is the longest entry in bytes.
	MaxEntry = 1<<16 - 1
)

// tileName returns a tile's file: tile/<L>/<N>[.p/<W>].
func tileName(t tlog.Tile) string {
	name := strings.TrimPrefix(t.Path(), "tile/8/") // tlog's has the height too
	if rest, ok := strings.CutPrefix(name, "data/"); ok {
		name = "entries/" + rest
	}
	return tileDir + "/" + name
}

// parseTileName is the inverse of tileName. No two names are one tile.
func parseTileName(name string) (tlog.Tile, bool) {
	rest, ok := strings.CutPrefix(name, tileDir+"/")
	if !ok {
		return tlog.Tile{}, false
	}
	if n, ok := strings.CutPrefix(rest, "entries/"); ok {
		rest = "data/" + n
	}
	t, err := tlog.ParseTilePath("tile/8/" + rest)
	return t, err == nil && t.L < 64 && tileName(t) == name
}

// widthAt returns how many hashes, or entries, the tile's place holds in a tree
// of the given size: at most 256, and 0 if the place is beyond the tree.
func widthAt(size int64, t tlog.Tile) int {
	for range max(t.L, 0) {
		size >>= tileHeight
	}
	switch last := size >> tileHeight; {
	case t.N < last:
		return tileWidth
	case t.N == last:
		return int(size & (tileWidth - 1))
	}
	return 0
}

// entryTile returns the bundle that holds the entry of the given index, as wide
// as it is in a tree of the given size.
func entryTile(size, index int64) tlog.Tile {
	t := tlog.Tile{H: tileHeight, L: entryLevel, N: index >> tileHeight}
	t.W = widthAt(size, t)
	return t
}

func appendEntry(bundle, entry []byte) []byte {
	bundle = binary.BigEndian.AppendUint16(bundle, uint16(len(entry)))
	return append(bundle, entry...)
}

var errBundle = errors.New("audit: not a bundle of entries")

// cutBundle splits a bundle's first n entries from what follows them.
func cutBundle(bundle []byte, n int) (entries [][]byte, rest []byte, err error) {
	entries = make([][]byte, n)
	for i := range entries {
		if len(bundle) < 2 {
			return nil, nil, errBundle
		}
		end := 2 + int(binary.BigEndian.Uint16(bundle))
		if len(bundle) < end {
			return nil, nil, errBundle
		}
		entries[i], bundle = bundle[2:end], bundle[end:]
	}
	return entries, bundle, nil
}

// narrow returns the first w hashes or entries of a tile.
func narrow(t tlog.Tile, content []byte, w int) ([]byte, error) {
	if t.L == entryLevel {
		_, rest, err := cutBundle(content, w)
		return content[:len(content)-len(rest)], err
	}
	return content[:w*tlog.HashSize], nil
}

// readTile reads a tile's file, which has to be exactly as long as it should be.
func readTile(fsys fs.FS, t tlog.Tile) ([]byte, error) {
	name := tileName(t)
	limit := t.W * tlog.HashSize
	if t.L == entryLevel {
		limit = t.W * (2 + MaxEntry)
	}
	content, err := readFile(fsys, name, limit)
	if err != nil {
		return nil, err
	}
	if t.L != entryLevel && len(content) != limit {
		return nil, fmt.Errorf("audit: %s is cut off", name)
	}
	if t.L == entryLevel {
		if _, rest, err := cutBundle(content, t.W); err != nil || len(rest) > 0 {
			return nil, fmt.Errorf("audit: %s does not hold %d entries", name, t.W)
		}
	}
	return content, nil
}

// readFile reads a file of at most limit bytes.
func readFile(fsys fs.FS, name string, limit int) ([]byte, error) {
	f, err := fsys.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %s is missing: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if len(content) > limit {
		return nil, fmt.Errorf("audit: %s is too long", name)
	}
	return content, nil
}

// edge is the right edge of a growing tree: of each level, the hashes of the
// tile that isn't full yet. It is all that appending needs to know.
type edge struct {
	size    int64
	levels  [tileLevels][]tlog.Hash
	changed [tileLevels]bool // since the last flush
	bundle  []byte
}

// emit is given each tile as it becomes known.
type emit func(t tlog.Tile, content []byte) error

func (e *edge) add(entry []byte, emit emit) error {
	e.bundle = appendEntry(e.bundle, entry)
	hash := tlog.RecordHash(entry)
	for l := range e.levels {
		e.levels[l], e.changed[l] = append(e.levels[l], hash), true
		if len(e.levels[l]) < tileWidth {
			break
		}
		if err := e.put(l, emit); err != nil {
			return err
		}
		hash = perfectRoot(e.levels[l])
		e.levels[l], e.changed[l] = e.levels[l][:0], false
		if l == 0 {
			e.bundle = e.bundle[:0]
		}
	}
	e.size++
	return nil
}

// flush gives emit the tiles that aren't full and have grown.
func (e *edge) flush(emit emit) error {
	for l := range e.levels {
		if !e.changed[l] {
			continue
		}
		if err := e.put(l, emit); err != nil {
			return err
		}
		e.changed[l] = false
	}
	return nil
}

func (e *edge) put(level int, emit emit) error {
	hashes := e.levels[level]
	t := tlog.Tile{H: tileHeight, L: level, N: e.size >> (tileHeight * (level + 1)), W: len(hashes)}
	if level == 0 {
		entries := t
		entries.L = entryLevel
		if err := emit(entries, e.bundle); err != nil {
			return err
		}
	}
	content := make([]byte, 0, len(hashes)*tlog.HashSize)
	for _, h := range hashes {
		content = append(content, h[:]...)
	}
	return emit(t, content)
}

// root joins the perfect subtrees from right to left (RFC 6962 §2.1): those of
// each level, smallest first, then the level above.
func (e *edge) root() tlog.Hash {
	root, empty := tlog.Hash{}, true
	for _, hashes := range e.levels {
		for n := len(hashes); n > 0; n &= n - 1 {
			subtree := perfectRoot(hashes[n&(n-1) : n])
			if empty {
				root, empty = subtree, false
			} else {
				root = tlog.NodeHash(subtree, root)
			}
		}
	}
	if empty {
		root, _ = tlog.TreeHash(0, nil)
	}
	return root
}

// perfectRoot returns the root over a power of two of hashes.
func perfectRoot(hashes []tlog.Hash) tlog.Hash {
	if len(hashes) == 1 {
		return hashes[0]
	}
	half := len(hashes) / 2
	return tlog.NodeHash(perfectRoot(hashes[:half]), perfectRoot(hashes[half:]))
}
