package table

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/psi"
)

// Builder makes a Table of a Holder's outputs. Add them, Seal once, and Close in
// any case.
type Builder struct {
	redacted
	o      Options
	p      *partition
	size   [buckets]int // bytes of sorted, distinct records in each bucket
	counts Counts
	in     []byte // one bucket as it was
	out    []byte // and as it will be
	pads   []byte // its pads, sorted
}

// Counts say what became of the outputs added, once the table is sealed. They
// are the Holder's own: the peer learns the table's padded size only.
type Counts struct {
	Added    uint64 // outputs
	Repeats  uint64 // outputs left out because their identifier is in already
	Collided uint64 // identifiers left out because another one has the same token
	Pads     uint64 // entries that stand for nobody
}

// NewBuilder returns a Builder of tables without labels.
func NewBuilder(o Options) (*Builder, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	if o.LabelLen != 0 {
		return nil, errors.New("table: a Builder makes no labels")
	}
	return &Builder{o: o, p: newPartition(&o, true)}, nil
}

// Add adds outputs, in any order and any number. It refuses the zero Output,
// which is nobody's, and then adds none.
func (b *Builder) Add(outs []psi.Output) error {
	for i := range outs {
		if outs[i].IsZero() {
			return fmt.Errorf("table: output %d is a pad's", i)
		}
	}
	for i := range outs {
		if err := b.p.add(outs[i][:b.p.recordLen]); err != nil { // token ‖ check
			return err
		}
	}
	b.counts.Added += uint64(len(outs))
	return nil
}

// Seal makes the table: the distinct outputs' tokens and pads up to
// psi.PadSize, the pads being those of the given seed (PROTOCOL.md §7.1, §7.2).
//
// With a path the table is a file there, complete and durable, or nothing is
// there. Without, it is nobody's but the caller's: in memory if the outputs are,
// else in a file without a name. Seal ends b, whether it succeeds or not.
func (b *Builder) Seal(ctx context.Context, path string, pads *psi.Seed) (*Table, error) {
	defer b.Close()
	if strings.HasPrefix(filepath.Base(path), prefix) {
		return nil, errors.New("table: the path's name is one for temporary files")
	}
	n, err := b.distinct(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.pad(ctx, pads, n); err != nil {
		return nil, err
	}
	return b.write(ctx, path, n+b.counts.Pads)
}

// Counts returns what became of the outputs.
func (b *Builder) Counts() Counts { return b.counts }

// Close removes everything that isn't part of a table. It may be called again.
func (b *Builder) Close() error {
	for _, buf := range [][]byte{b.in, b.out, b.pads} {
		clear(buf[:cap(buf)])
	}
	b.in, b.out, b.pads = nil, nil, nil
	return b.p.close()
}

// distinct sorts every bucket and drops repeats and collisions. It returns the
// number of records left.
func (b *Builder) distinct(ctx context.Context) (n uint64, err error) {
	for i := range buckets {
		if err := b.load(ctx, i); err != nil {
			return 0, err
		}
		b.out = resize(b.out, len(b.in))
		SortBucket(b.out, b.in, b.o.TokenLen)
		kept, repeats, collided := Distinct(b.out, b.o.TokenLen)
		if err := b.replace(i, kept); err != nil {
			return 0, err
		}
		b.counts.Repeats += repeats
		b.counts.Collided += collided
		n += b.records(i)
	}
	b.counts.Repeats += b.p.dropped
	b.p.once = false // from here on the order within a bucket counts
	return n, nil
}

// pad adds as many pads to the n records as their padded size asks for. A pad
// whose token is in the table already is skipped, so that another round may be
// needed: its pads come after all of this round, wherever they belong.
func (b *Builder) pad(ctx context.Context, seed *psi.Seed, n uint64) error {
	size := psi.PadSize(n)
	b.counts.Pads = size - n
	for next := uint64(0); n < size; {
		for end := next + size - n; next < end; next++ {
			if err := b.addPad(ctx, seed, next); err != nil {
				return err
			}
		}
		n = 0
		for i := range buckets {
			if err := b.mergePads(ctx, i); err != nil {
				return err
			}
			n += b.records(i)
		}
	}
	return nil
}

func (b *Builder) addPad(ctx context.Context, seed *psi.Seed, i uint64) error {
	if i%psi.ChunkElems == 0 && ctx.Err() != nil {
		return fmt.Errorf("table: seal: %w", ctx.Err())
	}
	token := psi.PadToken(seed, i, b.o.TokenLen)
	return addRecord(b.p, &token, i)
}

// mergePads merges the pads of a bucket, which came after its records, with them.
func (b *Builder) mergePads(ctx context.Context, i int) error {
	if err := b.load(ctx, i); err != nil {
		return err
	}
	run, pads := b.in[:b.size[i]], b.in[b.size[i]:]
	b.pads = resize(b.pads, len(pads))
	SortBucket(b.pads, pads, b.o.TokenLen)
	b.out = MergePads(b.out[:0], run, b.pads, b.o.TokenLen)
	return b.replace(i, b.out)
}

// write copies the entries of all buckets, n in all, to where the table will be.
func (b *Builder) write(ctx context.Context, path string, n uint64) (*Table, error) {
	kept, commit, err := b.storage(path, n)
	if err != nil {
		return nil, err
	}
	t := &Table{kept: kept, path: path, entryLen: b.o.entryLen()}
	if err := b.fill(ctx, t); err != nil {
		kept.Close()
		return nil, err
	}
	if err := commit(); err != nil {
		kept.Close()
		return nil, err
	}
	return t, nil
}

// storage returns a place for n entries, and what makes it the table's.
func (b *Builder) storage(path string, n uint64) (kept storage, commit func() error, err error) {
	done := func() error { return nil }
	if path != "" {
		f, err := newPending(filepath.Dir(path))
		return f, func() error { return f.commit(path) }, err
	}
	if b.p.inMemory() {
		return &memory{make([]byte, 0, n*uint64(b.o.entryLen()))}, done, nil
	}
	kept, err = newScratch(b.o.Dir)
	return kept, done, err
}

func (b *Builder) fill(ctx context.Context, t *Table) error {
	hash := psi.NewTableHash(b.o.TokenLen, 0)
	for i := range buckets {
		if err := b.load(ctx, i); err != nil {
			return err
		}
		b.out = AppendEntries(b.out[:0], b.in, b.o.TokenLen)
		if err := hash.Write(b.out); err != nil {
			return fmt.Errorf("table: seal: %w", err)
		}
		if _, err := t.kept.Write(b.out); err != nil {
			return fmt.Errorf("table: write table: %w", err)
		}
	}
	t.root, t.entries = hash.Root()
	return nil
}

// load reads bucket i into b.in.
func (b *Builder) load(ctx context.Context, i int) (err error) {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("table: seal: %w", err)
	}
	b.in, err = b.p.load(b.in, i)
	return err
}

func (b *Builder) replace(i int, records []byte) error {
	b.size[i] = len(records)
	return b.p.replace(i, records)
}

func (b *Builder) records(i int) uint64 { return uint64(b.size[i] / b.p.recordLen) }
