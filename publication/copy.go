package publication

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/table"
)

// Copy is a whole table in a directory of its reader's, found once to be the one
// of its manifest, and kept so that few questions read little of it.
//
//	manifest   the frame MANIFEST
//	tokens     pages of tokens (package table)
//	sums       of the pages: this table was verified, and is unchanged
type Copy struct {
	m    *Manifest
	path string
}

const (
	tokensFile = "tokens"
	sumsFile   = "sums"
	// unfinished ends the name of a copy that is not whole yet. It has the bodies that
	// have come.
	unfinished = ".part"
)

// Manifest returns the copy's.
func (c *Copy) Manifest() *Manifest { return c.m }

// errLeft says that what an earlier Fetch had left is damaged, or may be.
var errLeft = errors.New("publication: no table comes of what an earlier download has left")

// Fetch returns the copy of the manifest's table in dir, whose name there is the
// manifest's hash. What is missing comes from shards, which is asked for the bodies
// from one shard on: the one after those that an earlier Fetch had got, before it
// was broken off. The table's order, size and root are checked before it counts,
// once; with what was left and without it, since a disk may be at fault and not the
// source. A copy that has changed since is fetched again, if that can be told from
// its sums; else Match notices.
func Fetch(ctx context.Context, dir string, m *Manifest, shards func(first int) iter.Seq2[[]byte, error], progress func(done, total uint64)) (*Copy, error) {
	c := &Copy{m: m, path: Path(dir, m.Hash())}
	switch err := c.check(); {
	case err == nil:
		return c, nil
	case errors.Is(err, table.ErrPages):
		if err := c.remove(); err != nil {
			return nil, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	part := c.path + unfinished
	err := c.fetch(ctx, part, shards, progress)
	if errors.Is(err, errLeft) {
		if err := os.RemoveAll(part); err != nil {
			return nil, fmt.Errorf("publication: %w", err)
		}
		err = c.fetch(ctx, part, shards, progress)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Rename(part, c.path); err != nil {
		if c.check() != nil {
			return nil, fmt.Errorf("publication: %w", err)
		}
		return c, discard(part, true, nil) // somebody else has fetched it meanwhile
	}
	return c, errors.Join(c.tidy(), syncDir(dir))
}

// fetch makes a directory that has all of a copy.
func (c *Copy) fetch(ctx context.Context, part string, shards func(first int) iter.Seq2[[]byte, error], progress func(done, total uint64)) error {
	if err := os.MkdirAll(part, 0o700); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	if err := c.m.write(part); err != nil {
		return err
	}
	k, err := newKeeper(part, c.m)
	if err != nil {
		return err
	}
	defer k.close()
	if err := c.download(ctx, newReader(c.m, k.pages), part, shards, progress); err != nil {
		return err
	}
	return k.finish()
}

func (c *Copy) download(ctx context.Context, r *reader, part string, shards func(first int) iter.Seq2[[]byte, error], progress func(done, total uint64)) error {
	if err := r.resume(part); err != nil {
		return fmt.Errorf("%w: %w", errLeft, err)
	}
	wrong := func(err error) error { return err }
	if r.shards.Next() > 0 {
		wrong = func(err error) error { return fmt.Errorf("%w: %w", errLeft, err) }
	}
	for b, err := range shards(r.shards.Next()) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		at := r.shards.Next()
		if err := r.take(b); err != nil {
			return wrong(err)
		}
		if err := write(filepath.Join(part, shardsName(at)), b); err != nil {
			return err
		}
		_, done := r.hash.Root()
		progress(done, c.m.Entries)
	}
	err := r.complete()
	if err == nil || r.shards.Next() < table.Shards {
		return err
	}
	// All of it came, and it is not the table: nothing of it is worth keeping.
	return wrong(discard(part, true, err))
}

// tidy removes what only the download needed.
func (c *Copy) tidy() (err error) {
	for _, pattern := range []string{shardsFile + "*", Begun + "*"} {
		names, _ := filepath.Glob(filepath.Join(c.path, pattern))
		for _, name := range names {
			err = errors.Join(err, os.Remove(name))
		}
	}
	return err
}

func (c *Copy) remove() error {
	if err := os.RemoveAll(c.path); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	return nil
}

// open returns the copy's pages, and their file to close.
func (c *Copy) open() (*table.Pages, *os.File, error) {
	sums, err := os.Open(filepath.Join(c.path, sumsFile))
	if errors.Is(err, fs.ErrNotExist) {
		if _, there := os.Stat(c.path); there == nil {
			return nil, nil, table.ErrPages
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("publication: %w", err)
	}
	defer sums.Close()
	f, err := os.Open(filepath.Join(c.path, tokensFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, table.ErrPages
	}
	if err != nil {
		return nil, nil, fmt.Errorf("publication: %w", err)
	}
	p, err := table.OpenPages(f, sums, c.m.TokenLen, c.m.Entries, c.m.Hash())
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return p, f, nil
}

// check reports whether the copy is there and its sums are of this manifest.
func (c *Copy) check() error {
	_, f, err := c.open()
	if err != nil {
		return err
	}
	return f.Close()
}

// Match looks for queries in the table. Of a large table it reads what few of them
// need. A copy that turns out to have changed since it was verified is removed; the
// error wraps table.ErrPages and psi.AbortTable.
func (c *Copy) Match(ctx context.Context, q *table.Queries) (*table.Matches, error) {
	p, f, err := c.open()
	if err != nil {
		return nil, err
	}
	matches, err := q.MatchPages(ctx, p)
	err = errors.Join(err, f.Close())
	if errors.Is(err, table.ErrPages) {
		err = errors.Join(fmt.Errorf("%w: %w", err, psi.AbortTable), c.remove())
	}
	return matches, err
}

// keeper writes the pages of a copy.
type keeper struct {
	dir          string
	tokens, sums *os.File
	buffers      [2]*bufio.Writer
	pages        *table.PageWriter
}

func newKeeper(dir string, m *Manifest) (k *keeper, err error) {
	k = &keeper{dir: dir}
	defer func() {
		if err != nil {
			k.close()
		}
	}()
	// Files of this process alone: another may be fetching the same table.
	for i, f := range []**os.File{&k.tokens, &k.sums} {
		if *f, err = os.CreateTemp(dir, Begun+"*"); err != nil { // 0600
			return nil, fmt.Errorf("publication: %w", err)
		}
		k.buffers[i] = bufio.NewWriterSize(*f, 1<<16)
	}
	k.pages, err = table.NewPageWriter(k.buffers[0], k.buffers[1], m.TokenLen, m.Hash())
	return k, err
}

// finish gives the files their names, durably; the sums, which say that all is
// well, last.
func (k *keeper) finish() error {
	if err := k.pages.Close(); err != nil {
		return err
	}
	for i, f := range []*os.File{k.tokens, k.sums} {
		if err := errors.Join(k.buffers[i].Flush(), f.Sync()); err != nil {
			return fmt.Errorf("publication: %w", err)
		}
	}
	if err := errors.Join(os.Rename(k.tokens.Name(), filepath.Join(k.dir, tokensFile)), os.Rename(k.sums.Name(), filepath.Join(k.dir, sumsFile))); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	return syncDir(k.dir)
}

// close removes what finish has not given a name.
func (k *keeper) close() {
	for _, f := range []*os.File{k.tokens, k.sums} {
		if f != nil {
			f.Close()
			os.Remove(f.Name()) // not there any more after finish
		}
	}
}

func discard(part string, all bool, err error) error {
	if all {
		return errors.Join(err, os.RemoveAll(part))
	}
	return err
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
	pages  *table.PageWriter
	buf    []byte
}

func newReader(m *Manifest, pages *table.PageWriter) *reader {
	return &reader{m: m, pages: pages, shards: table.NewShardReader(m.options(), m.Entries), hash: psi.NewTableHash(m.TokenLen, 0)}
}

// take reads the next body.
func (r *reader) take(b []byte) (err error) {
	if r.buf, err = r.shards.Append(r.buf[:0], b); err != nil {
		return fmt.Errorf("%w: %w", err, psi.AbortTable)
	}
	if err := r.hash.Write(r.buf); err != nil {
		return err
	}
	return r.pages.Add(r.buf)
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
			err = r.take(b)
		}
		if err != nil {
			return err
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
