package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	n int
}

func (c *counted) ReadAt(b []byte, off int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(b, off)
	c.n += n
	return n, err
}

// paged writes the tokens as pages, in pieces of odd sizes.
func paged(t testing.TB, tokens []byte, tokenLen int) (pages, sums []byte) {
	t.Helper()
	var p, s bytes.Buffer
	w, err := NewPageWriter(&p, &s, tokenLen, [32]byte{7})
	if err != nil {
		t.Fatal(err)
	}
	for piece := range slices.Chunk(tokens, 701*tokenLen) {
		if err := w.Add(piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return p.Bytes(), s.Bytes()
}

// sortedTokens are n different tokens in order.
func sortedTokens(r *rand.Rand, n, tokenLen int) []byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = make([]byte, tokenLen)
		r.Read(list[i])
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.Concat(slices.CompactFunc(list, bytes.Equal)...)
}

// MatchPages finds what a map does, around every edge of a page and of the table.
func TestMatchPages(t *testing.T) {
	const tokenLen = 11
	r := rand.New(rand.NewSource(1))
	for _, entries := range []int{1, 2, 511, 512, 513, 1024, 5000} {
		tokens := sortedTokens(r, entries, tokenLen)
		pages, sums := paged(t, tokens, tokenLen)
		for _, asked := range []int{0, 1, 3, 400, 6000} {
			outs := make([]psi.Output, asked)
			want := map[uint64]bool{}
			for i := range outs {
				r.Read(outs[i][:])
				if i%2 == 0 {
					at := r.Intn(entries)
					if i < 4 { // the first and the last
						at = i / 2 * (entries - 1)
					}
					copy(outs[i][:], tokens[at*tokenLen:][:tokenLen])
					want[uint64(i)] = true
				}
			}
			q := newQueries(t, Options{Dir: t.TempDir(), TokenLen: tokenLen}, outs, 0)
			p, err := OpenPages(bytes.NewReader(pages), bytes.NewReader(sums), tokenLen, uint64(entries), [32]byte{7})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				m, err := q.MatchPages(ctx, p)
				if err != nil {
					t.Fatal(err)
				}
				if got := slices.Collect(m.All()); !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
					t.Errorf("%d entries, %d asked: %d matched, want %d", entries, asked, len(got), len(want))
				}
			}
		}
	}
}

// What is read follows the questions, not the table.
func TestMatchPagesReadsFew(t *testing.T) {
	const tokenLen, asked = 14, 20
	r := rand.New(rand.NewSource(2))
	outs := make([]psi.Output, asked)
	for i := range outs {
		r.Read(outs[i][:])
	}
	q := newQueries(t, Options{Dir: t.TempDir(), TokenLen: tokenLen}, outs, 0)
	for _, entries := range []int{20_000, 80_000, 320_000} {
		pages, sums := paged(t, sortedTokens(r, entries, tokenLen), tokenLen)
		read := &counted{ReaderAt: bytes.NewReader(pages)}
		p, err := OpenPages(read, bytes.NewReader(sums), tokenLen, uint64(entries), [32]byte{7})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.MatchPages(ctx, p); err != nil {
			t.Fatal(err)
		}
		if most := asked * pageTokens * tokenLen; read.n > most {
			t.Errorf("%d entries: %d bytes are read, want at most %d", entries, read.n, most)
		}
	}
}

// Every changed byte of the sums is noticed when they are opened, and one of the
// pages when its page is read.
func TestPagesThatChanged(t *testing.T) {
	const tokenLen, entries = 14, 1500
	r := rand.New(rand.NewSource(3))
	tokens := sortedTokens(r, entries, tokenLen)
	pages, sums := paged(t, tokens, tokenLen)
	open := func(pages, sums []byte, name byte, n uint64) (*Pages, error) {
		return OpenPages(bytes.NewReader(pages), bytes.NewReader(sums), tokenLen, n, [32]byte{name})
	}
	outs := make([]psi.Output, 2)
	copy(outs[0][:], tokens[700*tokenLen:][:tokenLen])
	copy(outs[1][:], tokens[701*tokenLen:][:tokenLen])
	q := newQueries(t, Options{Dir: t.TempDir(), TokenLen: tokenLen}, outs, 0)
	for name, c := range map[string]struct {
		sums []byte
		name byte
		n    uint64
	}{
		"another table's": {sums, 8, entries}, "another size": {sums, 7, entries + 1024}, "cut short": {sums[:len(sums)-1], 7, entries},
		"longer": {append(bytes.Clone(sums), 0), 7, entries}, "empty": {nil, 7, entries},
	} {
		if _, err := open(pages, c.sums, c.name, c.n); !errors.Is(err, ErrPages) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i := range sums {
		changed := bytes.Clone(sums)
		changed[i] ^= 0x80
		if _, err := open(pages, changed, 7, entries); !errors.Is(err, ErrPages) {
			t.Fatalf("byte %d of the sums: %v", i, err)
		}
	}
	for _, c := range []struct {
		what  string
		pages []byte
		found bool
	}{
		{"as it was", pages, true},
		{"a bit of the page", flipped(pages, 700*tokenLen), false},
		{"its last bit", flipped(pages, 1024*tokenLen-1), false},
		{"a bit of a page that nobody asks about", flipped(pages, 0), true},
		{"cut short", pages[:800*tokenLen], false},
	} {
		p, err := open(c.pages, sums, 7, entries)
		if err != nil {
			t.Fatal(err)
		}
		m, err := q.MatchPages(ctx, p)
		if c.found && (err != nil || m.Count() != 2) || !c.found && !errors.Is(err, ErrPages) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func flipped(b []byte, at int) []byte {
	b = bytes.Clone(b)
	b[at] ^= 1
	return b
}

// BenchmarkMatchPages asks about 10 000 in tables of different sizes.
func BenchmarkMatchPages(b *testing.B) {
	const tokenLen = 14
	r := rand.New(rand.NewSource(4))
	outs := make([]psi.Output, 10_000)
	for i := range outs {
		r.Read(outs[i][:])
	}
	for _, entries := range []int{1 << 17, 1 << 19, 1 << 21} {
		b.Run(fmt.Sprintf("entries=%d", entries), func(b *testing.B) {
			pages, sums := paged(b, sortedTokens(r, entries, tokenLen), tokenLen)
			q := newQueries(b, Options{Dir: b.TempDir(), TokenLen: tokenLen}, outs, 0)
			p, err := OpenPages(bytes.NewReader(pages), bytes.NewReader(sums), tokenLen, uint64(entries), [32]byte{7})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := q.MatchPages(ctx, p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
