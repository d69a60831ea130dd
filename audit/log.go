// Package audit is a log that only grows, and whoever holds a copy of it, or of
// one signed checkpoint, can find out if anything in it was changed, left out or
// reordered, with nobody's help.
//
// The log is a directory in the layout of c2sp.org/tlog-tiles: the hashes of an
// RFC 6962 tree, the entries, and a checkpoint, which is signed with the
// company's Ed25519 identity (PROTOCOL.md §5.1). A checkpoint is text that begins
// with the log's name, so it cannot be confused with a body of the protocol,
// which begins with a zero byte, or with a certificate, which is no UTF-8.
//
//	checkpoint            the name, the size, the root; signatures
//	cosigned              the last checkpoint that witnesses have signed too
//	tile/<L>/<N>[.p/<W>]  256 hashes, or W, of level 8·L
//	tile/entries/<N>…     256 entries, or W, each after its length
//
// Entries are Events (PROTOCOL.md §10). They name companies, sessions, policies
// and hashes of documents, never a person, nor a number of matches. What may not
// be public, who read which result, goes to a second log of the same form.
//
// A log alone can be rewritten by the company that signs it. Who keeps an older
// checkpoint sees that (VerifyConsistency); a Witness keeps them for everybody.
package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/gofrs/flock"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// ErrLocked says that the log has a writer already.
var ErrLocked = errors.New("audit: another process writes to this log")

var (
	errFailed = errors.New("audit: writing to the log has failed before; open it anew")
	errDamage = errors.New("audit: the log's files are not those of its checkpoint")
	errLost   = errors.New("audit: the log has tiles, and no checkpoint")
	errLong   = errors.New("audit: an entry is longer than 65535 bytes")
)

// Log is a log with its one writer. It may be used concurrently.
type Log struct {
	signer  *Signer
	content Content
	lock    *flock.Flock

	mu     sync.Mutex
	w      writer
	edge   edge
	head   *Checkpoint
	failed bool
}

// Open opens the log in dir, or makes a new one, under the signer's name. It
// finishes or takes back what a killed process left half done, and refuses files
// that don't have the root of the checkpoint. Nobody else can append until Close.
func Open(dir string, signer *Signer, content Content) (*Log, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("audit: open: %w", err)
	}
	lock := flock.New(filepath.Join(dir, ".lock"))
	switch mine, err := lock.TryLock(); {
	case err != nil:
		return nil, fmt.Errorf("audit: open: %w", err)
	case !mine:
		return nil, ErrLocked
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("audit: open: %w", err), lock.Close())
	}
	l, err := open(directory{root}, signer, content)
	if err != nil {
		return nil, errors.Join(err, root.Close(), lock.Close())
	}
	l.lock = lock
	return l, nil
}

func open(d disk, signer *Signer, content Content) (*Log, error) {
	l := &Log{signer: signer, content: content, w: writer{d, map[string]bool{}, map[string]bool{}}}
	if err := l.recover(); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, l.sweep()
}

// Close lets another writer in.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = true
	return errors.Join(l.w.close(), l.lock.Close())
}

// Size returns the number of entries.
func (l *Log) Size() int64 { return l.Tree().Size() }

// Tree returns the log as it is now, for reading.
func (l *Log) Tree() *Tree {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &Tree{l.w.files(), l.head}
}

// Append adds entries at the end, all of them or none, under one new checkpoint,
// and returns the index of the first. They are durable when it returns; if it
// fails, they are there or not, and the log has to be opened anew to find out.
func (l *Log) Append(entries ...[]byte) (first int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed {
		return 0, errFailed
	}
	for _, e := range entries {
		if len(e) > MaxEntry {
			return 0, errLong
		}
		if err := l.content.check(e); err != nil {
			return 0, err
		}
	}
	first = l.edge.size
	if len(entries) == 0 {
		return first, nil
	}
	l.failed = true // until all is done: the edge is ahead of the files
	if err := l.commit(entries); err != nil {
		return 0, err
	}
	l.failed = false
	return first, nil
}

// commit writes the tiles, makes them durable, and only then says in a
// checkpoint that they are there.
func (l *Log) commit(entries [][]byte) error {
	var full []string
	put := func(t tlog.Tile, content []byte) error {
		name := tileName(t)
		if t.W == tileWidth {
			full = append(full, name)
		}
		return l.w.put(name, newFile, content)
	}
	for _, e := range entries {
		if err := l.edge.add(e, put); err != nil {
			return err
		}
	}
	if err := l.edge.flush(put); err != nil {
		return err
	}
	if err := l.w.settle(); err != nil {
		return err
	}
	if err := l.sign(); err != nil {
		return err
	}
	// A full tile has all that its partial ones had.
	for _, name := range full {
		if err := l.w.discard(name + ".p"); err != nil {
			return err
		}
	}
	return nil
}

// sign publishes a checkpoint over the edge.
func (l *Log) sign() error {
	text := formatHead(l.signer.Name(), l.edge.size, l.edge.root())
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	if err != nil {
		return errKey
	}
	return l.publish(signed, newCheckpoint)
}

func (l *Log) publish(signed []byte, temporary string) error {
	head, err := ParseCheckpoint(signed, l.signer.Verifier(), Quorum{})
	if err != nil {
		return err
	}
	if err := l.w.put(checkpointFile, temporary, signed); err != nil {
		return err
	}
	if err := l.w.settle(); err != nil {
		return err
	}
	l.head = head
	return nil
}

// recover settles which checkpoint holds. One that was signed and did not get
// its name is published now: its tiles are durable, and a log must not sign two
// trees of one size. It is not written over before it has its name.
func (l *Log) recover() error {
	current, err := l.stored(checkpointFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	next, err := l.stored(newCheckpoint)
	var failure *fs.PathError
	if errors.As(err, &failure) {
		return err // any other: there is none, or a piece of one
	}
	switch {
	case next != nil && (current == nil || next.Size > current.Size):
		return l.publish(next.signed, newFile)
	case current != nil:
		l.head = current
		return nil
	}
	if _, err := fs.Stat(l.w.files(), tileDir); err == nil {
		return errLost
	}
	return l.sign()
}

func (l *Log) stored(name string) (*Checkpoint, error) {
	signed, err := readFile(l.w.files(), name, maxCheckpoint)
	if err != nil {
		return nil, err
	}
	return ParseCheckpoint(signed, l.signer.Verifier(), Quorum{})
}

// load reads the edge, and checks it against the checkpoint.
func (l *Log) load() error {
	t := &Tree{l.w.files(), l.head}
	l.edge = edge{size: l.head.Size}
	for level := range l.edge.levels {
		at := tlog.Tile{H: tileHeight, L: level, N: l.head.Size >> (tileHeight * (level + 1))}
		if at.W = widthAt(l.head.Size, at); at.W == 0 {
			continue
		}
		content, err := t.read(at)
		if err != nil {
			return err
		}
		for ; len(content) > 0; content = content[tlog.HashSize:] {
			l.edge.levels[level] = append(l.edge.levels[level], tlog.Hash(content[:tlog.HashSize]))
		}
	}
	if l.edge.root() != l.head.Root {
		return errDamage
	}
	for e, err := range t.Entries(l.head.Size &^ (tileWidth - 1)) {
		if err != nil {
			return err
		}
		l.edge.bundle = appendEntry(l.edge.bundle, e)
	}
	return nil
}

// sweep removes what a killed process wrote and no checkpoint covers, and the
// partial tiles that full ones have replaced.
func (l *Log) sweep() error {
	stale := []string{newFile, newCheckpoint}
	err := fs.WalkDir(l.w.files(), tileDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		t, ok := parseTileName(name)
		width := widthAt(l.head.Size, t)
		if ok && (t.W > width || t.W < width && width == tileWidth) {
			stale = append(stale, name)
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("audit: open: %w", err)
	}
	for _, name := range stale {
		if _, err := fs.Stat(l.w.files(), name); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := l.w.discard(name); err != nil {
			return err
		}
	}
	return l.w.settle()
}
