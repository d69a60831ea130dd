package publication

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/table"
)

// Copy is a whole table in a directory of its reader's, found once to be the one
// of its manifest.
type Copy struct {
	m    *Manifest
	path string
}

// unfinished ends the name of a copy that is not whole yet.
const unfinished = ".part"

// Manifest returns the copy's.
func (c *Copy) Manifest() *Manifest { return c.m }

// Fetch returns the copy of the manifest's table in dir, whose name there is the
// manifest's hash. What is missing comes from shards, which is asked for the bodies
// from one shard on: the one after those that an earlier Fetch had got, before it
// was broken off. The table's order, size and root are checked before it counts.
func Fetch(ctx context.Context, dir string, m *Manifest, shards func(first int) iter.Seq2[[]byte, error], progress func(done, total uint64)) (*Copy, error) {
	c := &Copy{m: m, path: Path(dir, m.Hash())}
	if _, err := os.Stat(c.path); err == nil {
		return c, nil
	}
	part := c.path + unfinished
	if err := os.MkdirAll(part, 0o700); err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	if err := m.write(part); err != nil {
		return nil, err
	}
	r := newReader(m)
	if err := r.resume(part); err != nil {
		return nil, err
	}
	for b, err := range shards(r.shards.Next()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		at := r.shards.Next()
		if _, err := r.take(b); err != nil {
			return nil, err
		}
		if err := WriteFile(filepath.Join(part, shardsName(at)), b); err != nil {
			return nil, err
		}
		_, done := r.hash.Root()
		progress(done, m.Entries)
	}
	if err := r.complete(); err != nil {
		// All of it came, and it is not the table: nothing of it is worth keeping.
		return nil, discard(part, r.shards.Next() == table.Shards, err)
	}
	if err := os.Rename(part, c.path); err != nil {
		if _, there := os.Stat(c.path); there != nil { // or somebody else has fetched it meanwhile
			return nil, fmt.Errorf("publication: %w", err)
		}
	}
	return c, syncDir(dir)
}

func discard(part string, all bool, err error) error {
	if all {
		if e := os.RemoveAll(part); e != nil {
			return fmt.Errorf("%w: %w", err, e)
		}
	}
	return err
}

// Entries returns the table's entries, some at a time, and at the end an error
// unless they are those of the manifest: a disk may have changed since.
func (c *Copy) Entries() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := newReader(c.m)
		for b, err := range Shards(c.path, 0) {
			var entries []byte
			if err == nil {
				entries, err = r.take(b)
			}
			if !yield(entries, err) || err != nil {
				return
			}
		}
		if err := r.complete(); err != nil {
			yield(nil, err)
		}
	}
}

// Prune removes the platform's tables from dir that have expired, whole or not.
func Prune(dir string, platform ed25519.PublicKey, now time.Time) error {
	found, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	for _, f := range found {
		path := filepath.Join(dir, f.Name())
		if m, err := Load(path, platform); err != nil || now.After(m.NotAfter.Add(clockSkew)) {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("publication: %w", err)
			}
		}
	}
	return nil
}

// reader checks a table as it comes.
type reader struct {
	m      *Manifest
	shards *table.ShardReader
	hash   *psi.TableHash
	buf    []byte
}

func newReader(m *Manifest) *reader {
	return &reader{m: m, shards: table.NewShardReader(m.options(), m.Entries), hash: psi.NewTableHash(m.TokenLen, 0)}
}

// take returns the entries of the next body, until the next call.
func (r *reader) take(b []byte) (entries []byte, err error) {
	if r.buf, err = r.shards.Append(r.buf[:0], b); err != nil {
		return nil, fmt.Errorf("%w: %w", err, psi.AbortTable)
	}
	return r.buf, r.hash.Write(r.buf)
}

// resume takes what an earlier download has left at path.
func (r *reader) resume(path string) error {
	for {
		name := filepath.Join(path, shardsName(r.shards.Next()))
		if _, err := os.Stat(name); err != nil {
			if os.IsNotExist(err) {
				return nil
			}
			return fmt.Errorf("publication: %w", err)
		}
		b, err := read(name)
		if err == nil {
			_, err = r.take(b)
		}
		if err != nil {
			return discard(path, true, err)
		}
	}
}

// complete returns nil if everything has come and is the manifest's table.
func (r *reader) complete() error {
	if err := r.shards.Complete(); err != nil {
		return fmt.Errorf("%w: %w", err, psi.AbortTable)
	}
	if root, n := r.hash.Root(); root != r.m.Root || n != r.m.Entries {
		return refused("the table is not the one of the manifest", psi.AbortTable)
	}
	return nil
}
