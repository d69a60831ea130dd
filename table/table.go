// Package table sorts, seals and joins tokens that need not fit in memory
// (PROTOCOL.md §7).
//
// A Builder turns a Holder's outputs into a Table: they go to 256 buckets by
// their first byte, and each bucket is sorted, rid of repeats, padded and
// appended. A Queries turns a Querier's outputs into Matches: they go to buckets
// the same way, and each bucket is joined with the entries of a table. A Spool
// keeps a received table until it has been verified.
//
// Memory is Options.Memory and three times the largest bucket. Tokens being
// pseudorandom, a bucket is a 256th of a set: 1 MB of 10 million records, 64 MB
// of 700 million. Equal records share one bucket however many there are; a
// Builder drops such repeats when it spills, Queries must keep them.
//
// Nothing but tokens, eight more bytes of an output (the check, which tells a
// repeat from a collision), pads' indices and queries' positions is written to
// a file, and by Outputs, for claims and labels, outputs' tails. Such a file is
// readable by its owner only and, where the system
// allows it, has no name from the moment it is opened, so that it is gone with
// the process, however that ends. Sweep removes what is left elsewhere.
//
// No type of this package is safe for concurrent use, except that any number of
// goroutines may read a Table's Chunks and a Matches.
package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/psi"
)

// Options say what tokens look like and where they may be kept.
type Options struct {
	// Dir is where spilled tokens go; it is made, for its owner only, if there
	// is none. Empty means os.TempDir. It needs 24 bytes for each item of a set
	// that exceeds Memory and 16 for each entry of its table (at 16-byte tokens).
	Dir string
	// TokenLen is the length of a token in bytes, 11 to 32; 16 in session tables
	// (PROTOCOL.md §9).
	TokenLen int
	// LabelLen is the length in bytes of the label in an entry, without its
	// authenticator; zero means no labels. A Builder makes none;
	// Table.Labelled adds them.
	LabelLen int
	// Memory is the number of bytes of records that are kept in memory before
	// any file is made; zero means DefaultMemory.
	Memory int
}

// DefaultMemory holds 699 000 records of 16-byte tokens.
const DefaultMemory = 16 << 20

// complete returns o with its zero values replaced, or says what is wrong in it.
func (o Options) complete() (Options, error) {
	if o.TokenLen < 11 || o.TokenLen > len(psi.Token{}) {
		return o, errors.New("table: token length is not 11 to 32")
	}
	if o.LabelLen < 0 || o.Memory < 0 {
		return o, errors.New("table: label length or memory is negative")
	}
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	return o, nil
}

func (o *Options) entryLen() int { return psi.EntryLen(o.TokenLen, o.LabelLen) }

// Table is a sealed table: entries in strictly increasing order of their tokens.
type Table struct {
	redacted
	kept     storage // nil once closed
	path     string  // empty if the table has no name
	entryLen int
	entries  uint64
	root     tlog.Hash
}

// Open returns the table that Seal left at path. It reads all of it, checks that
// its tokens strictly increase and computes its root; whether that is the right
// root is for the caller to say.
func Open(path string, o Options) (*Table, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("table: open: %w", err)
	}
	t := &Table{kept: &file{File: f}, path: path, entryLen: o.entryLen()}
	if err := t.read(f, &o); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Table) read(f *os.File, o *Options) error {
	s, err := f.Stat()
	if err != nil {
		return fmt.Errorf("table: open: %w", err)
	}
	hash := psi.NewTableHash(o.TokenLen, o.LabelLen)
	for chunk, err := range chunks(f, s.Size(), chunkLen(t.entryLen)) {
		if err != nil {
			return err
		}
		if err := hash.Write(chunk); err != nil {
			return fmt.Errorf("table: open: %w", err)
		}
	}
	t.root, t.entries = hash.Root()
	return nil
}

// Entries returns the number of entries, pads among them: n̂ of PROTOCOL.md §7.2.
func (t *Table) Entries() uint64 { return t.entries }

// Root returns the tree hash of RFC 6962 §2.1 over the entries in order.
func (t *Table) Root() tlog.Hash { return t.root }

// Chunks returns the entries in order, entriesPerFrame at a time and as many as
// are left at the end. A chunk is overwritten by the next.
func (t *Table) Chunks(entriesPerFrame int) iter.Seq2[[]byte, error] {
	if entriesPerFrame < 1 {
		panic("table: no entries per frame")
	}
	if t.kept == nil {
		return failed(errClosed)
	}
	return chunks(t.kept, int64(t.entries)*int64(t.entryLen), entriesPerFrame*t.entryLen)
}

// Close ends the use of t. A table with a path stays on disk; another is gone.
func (t *Table) Close() error {
	if t.kept == nil {
		return nil
	}
	err := t.kept.Close()
	t.kept = nil
	if err != nil {
		return fmt.Errorf("table: close: %w", err)
	}
	return nil
}

// Remove closes t and, if it has a path, removes it from there.
func (t *Table) Remove() error {
	err := t.Close()
	if t.path != "" {
		if e := removeIfThere(t.path); e != nil {
			err = errors.Join(err, fmt.Errorf("table: remove: %w", e))
		}
	}
	return err
}

// storage is where a table's entries are: in memory or in a file.
type storage interface {
	io.Writer
	io.ReaderAt
	io.Closer
}

// memory is storage without a file.
type memory struct{ b []byte }

func (m *memory) Write(p []byte) (int, error) {
	m.b = append(m.b, p...)
	return len(p), nil
}

func (m *memory) ReadAt(p []byte, off int64) (int, error) { return bytes.NewReader(m.b).ReadAt(p, off) }

func (m *memory) Close() error {
	clear(m.b)
	m.b = nil // a reader that goes on gets an error and no zeros
	return nil
}

// chunkLen is the length in bytes of what is read of a table at a time.
func chunkLen(entryLen int) int { return psi.TableChunk(entryLen) * entryLen }

// chunks returns the first size bytes of r, n at a time, in one buffer.
func chunks(r io.ReaderAt, size int64, n int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		buf := make([]byte, min(int64(n), size))
		for off := int64(0); off < size; off += int64(len(buf)) {
			buf = buf[:min(int64(len(buf)), size-off)]
			if err := readAt(r, buf, off); err != nil {
				yield(nil, fmt.Errorf("table: read entries: %w", err))
				return
			}
			if !yield(buf, nil) {
				return
			}
		}
	}
}

// readAt fills p: an end of file is an error only if it comes too early.
func readAt(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

func failed(err error) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(nil, err) }
}

var errClosed = errors.New("table: used after it was closed")

// redacted makes what embeds it print as REDACTED, whatever the verb.
type redacted struct{}

// Format prints REDACTED: tokens tell whoever has the key whom they belong to.
func (redacted) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps tokens and matches out of structured logs.
func (redacted) LogValue() slog.Value { return slog.StringValue("REDACTED") }
