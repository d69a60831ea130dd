package psi

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"math/big"
	"math/bits"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// naivePadSize is PROTOCOL.md §7.2 word for word: the smallest f·2^e that is at
// least max(n, 1024), f in 4 to 7, e at least 8. sizes is ascending.
func naivePadSize(n uint64) uint64 {
	for e := 8; e < 62; e++ {
		for f := uint64(4); f <= 7; f++ {
			if size := f << e; size >= max(n, 1024) {
				return size
			}
		}
	}
	panic("no size")
}

func TestPadSize(t *testing.T) {
	check := func(n uint64) {
		t.Helper()
		got := PadSize(n)
		if want := naivePadSize(n); got != want {
			t.Fatalf("PadSize(%d) = %d, want %d", n, got, want)
		}
		if PadSize(got) != got {
			t.Fatalf("PadSize(%d) = %d is not a padded size", n, got)
		}
		if n >= 1024 && (got-n)*4 >= n {
			t.Fatalf("PadSize(%d) = %d: grown by a quarter or more", n, got)
		}
	}
	for n := range uint64(100_001) {
		check(n)
	}
	for e := 10; e <= 61; e++ { // every size, and its neighbours
		for f := uint64(4); f <= 7; f++ {
			for d := range uint64(5) {
				if n := f<<(e-2) + d - 2; n <= 7<<61 {
					check(n)
				}
			}
		}
	}
	for d := range uint64(7) {
		check(1<<40 + d - 3)
	}
}

func TestPadSizeLimits(t *testing.T) {
	const most = 7 << 61
	for _, n := range []uint64{most, most - 1, 6<<61 + 1} {
		if got := PadSize(n); got != most {
			t.Errorf("PadSize(%d) = %d, want %d", n, got, uint64(most))
		}
	}
	for _, n := range []uint64{most + 1, 1<<64 - 1} {
		mustPanic(t, "PadSize beyond 7·2⁶¹", func() { PadSize(n) })
	}
}

// fits is the bound of PROTOCOL.md §9 in integers of any size.
func fits(tokenLen int, queries, entries uint64) bool {
	product := new(big.Int).Mul(new(big.Int).SetUint64(queries), new(big.Int).SetUint64(entries))
	return product.Lsh(product, 40).Cmp(new(big.Int).Lsh(big.NewInt(1), uint(8*tokenLen))) <= 0
}

func TestCheckTokenLen(t *testing.T) {
	var sizes []uint64
	for e := 0; e < 62; e += 1 {
		sizes = append(sizes, 1<<e, 5<<e)
	}
	sizes = append(sizes, 1023, 1025, 1<<40, 1<<40+1, 1<<63, 1<<64-1)
	refused := 0
	for tokenLen := -1; tokenLen <= 34; tokenLen++ {
		for _, q := range sizes {
			for _, n := range sizes {
				err := CheckTokenLen(tokenLen, q, n)
				want := tokenLen >= 11 && tokenLen <= 32 && fits(tokenLen, q, n)
				if want != (err == nil) {
					t.Fatalf("%d bytes for %d queries and %d entries: %v", tokenLen, q, n, err)
				}
				if err != nil {
					refused++
					if !errors.Is(err, AbortTerms) {
						t.Fatalf("%v does not wrap AbortTerms", err)
					}
				}
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	for _, c := range []struct {
		tokenLen int
		q, n     uint64
		ok       bool
	}{
		{11, 1 << 24, 1 << 24, true}, {11, 1 << 24, 1<<24 + 1, false},
		{12, 1 << 28, 1 << 28, true}, {12, 1<<28 + 1, 1 << 28, false},
		{16, 1 << 40, 1 << 40, true}, {16, 1 << 44, 1 << 44, true}, {16, 1 << 45, 1 << 44, false},
		{11, 5 << 21, 6 << 22, true}, // 2^(40+47.9): the product counts, not each size's bits
		{10, 1024, 1024, false}, {33, 1024, 1024, false},
	} {
		if err := CheckTokenLen(c.tokenLen, c.q, c.n); c.ok != (err == nil) {
			t.Errorf("%d bytes for %d and %d: %v", c.tokenLen, c.q, c.n, err)
		}
	}
}

func TestEntryLenAndTableChunk(t *testing.T) {
	for _, c := range []struct{ token, label, entry, chunk int }{
		{16, 0, 16, 16384}, {11, 0, 11, 16384}, {32, 0, 32, 16384},
		{16, 2, 34, 15420}, {14, 16, 46, 11397}, {16, 480, 512, 1024}, {32, 480, 528, 992},
	} {
		entry := EntryLen(c.token, c.label)
		if entry != c.entry || TableChunk(entry) != c.chunk {
			t.Errorf("token of %d, label of %d: entry %d of %d, %d in a frame of %d",
				c.token, c.label, entry, c.entry, TableChunk(entry), c.chunk)
		}
		if len := TableChunk(entry) * entry; len > 524288 {
			t.Errorf("a full TABLE of %d bytes", len)
		}
	}
}

// TestChunks: the chunks' lengths add up to the queries, and all but the last
// are full.
func TestChunks(t *testing.T) {
	for _, full := range []int{1, 2, 3, 1000, ChunkElems} {
		for _, queries := range []uint64{1, 2, 3, 999, 1000, 1001, 16383, 16384, 16385, 5 << 12} {
			p := Params{ChunkElems: full, Queries: queries}
			total := uint64(0)
			for seq := range p.Chunks() {
				n := p.chunkLen(seq)
				if n < 1 || n > full || seq+1 < p.Chunks() && n != full {
					t.Fatalf("chunk %d of %d, of %d queries: %d elements", seq, p.Chunks(), queries, n)
				}
				total += uint64(n)
			}
			if total != queries {
				t.Fatalf("%d elements in chunks of %d for %d queries", total, full, queries)
			}
		}
	}
}

// TestPadToken: pads of one table differ, and follow PROTOCOL.md §7.2.
func TestPadToken(t *testing.T) {
	seed, seen := NewSeed(), map[Token]bool{}
	for i := range uint64(1000) {
		pad := PadToken(seed, i, 16)
		if seen[pad] || !bytes.Equal(pad[16:], make([]byte, 16)) {
			t.Fatalf("pad %d repeats or is longer than 16 bytes", i)
		}
		seen[pad] = true
		if whole := PadToken(seed, i, 32); !bytes.Equal(whole[:16], pad[:16]) {
			t.Fatalf("pad %d depends on its length", i)
		}
	}
	b := append([]byte("\x00\x00\x00\x0dAMPSI-V01-pad\x00\x00\x00\x20"), seed[:]...)
	full := sha512.Sum512(append(b, 0, 0, 0, 0, 0, 0, 3, 231))
	if got := PadToken(seed, 999, 32); !bytes.Equal(got[:], full[:32]) {
		t.Error("pad 999 is not that of PROTOCOL.md §7.2")
	}
}

// TestTableHash compares with the Go checksum database's own tree, for tables
// with and without labels, however their entries are handed in.
func TestTableHash(t *testing.T) {
	for _, label := range []int{0, 4} {
		const token, n = 12, 300
		length, hashes := EntryLen(token, label), tlogTree{}
		var table []byte
		for i := range n {
			entry := bytes.Repeat([]byte{byte(i)}, length)
			entry[0], entry[1] = byte(i>>8), byte(i)
			table = append(table, entry...)
			must(t, hashes.add(int64(i), entry))
		}
		want, err := tlog.TreeHash(n, &hashes)
		must(t, err)
		for _, step := range []int{1, 7, n} {
			h := NewTableHash(token, label)
			for at := 0; at < n; at += step {
				must(t, h.Write(table[at*length:min(n, at+step)*length]))
			}
			if root, size := h.Root(); root != want || size != n {
				t.Errorf("label of %d, in steps of %d: another root, or %d entries", label, step, size)
			}
		}
	}
}

type tlogTree []tlog.Hash

func (s tlogTree) ReadHashes(indexes []int64) (out []tlog.Hash, err error) {
	for _, x := range indexes {
		out = append(out, s[x])
	}
	return out, nil
}

func (s *tlogTree) add(i int64, entry []byte) error {
	hashes, err := tlog.StoredHashes(i, entry, *s)
	*s = append(*s, hashes...)
	return err
}

// TestTableHashRefuses: with labels only the tokens count for the order; what
// was refused adds nothing.
func TestTableHashRefuses(t *testing.T) {
	entry := func(token, label byte) []byte { // token of 2, label of 1 and 16
		return append([]byte{0, token}, bytes.Repeat([]byte{label}, 17)...)
	}
	for name, c := range map[string]struct {
		next []byte
		code AbortCode
	}{
		"equal":                  {entry(5, 1), AbortTable},
		"equal, other label":     {entry(5, 9), AbortTable},
		"lower, higher label":    {entry(4, 9), AbortTable},
		"a byte short":           {entry(6, 1)[1:], AbortMalformed},
		"a good one and a lower": {append(entry(6, 1), entry(3, 1)...), AbortTable},
	} {
		h := NewTableHash(2, 1)
		must(t, h.Write(entry(5, 1)))
		before, _ := h.Root()
		wantAbort(t, name, h.Write(c.next), c.code)
		root, n := h.Root()
		if good := name == "a good one and a lower"; !good && (root != before || n != 1) || good && n != 2 {
			t.Errorf("%s: %d entries afterwards", name, n)
		}
	}
	must(t, NewTableHash(2, 1).Write(append(entry(0, 1), entry(1, 0)...)))
}

// TestTableHashMemory: a frame's worth of entries allocates nothing more.
func TestTableHashMemory(t *testing.T) {
	h, i := NewTableHash(16, 0), uint64(0)
	var entry [16]byte
	write := func() {
		for b := range 8 {
			entry[b] = byte(i >> (56 - 8*b))
		}
		i += 1 << 20
		must(t, h.Write(entry[:]))
	}
	for range 1 << 12 {
		write()
	}
	if n := testing.AllocsPerRun(1000, write); n != 0 {
		t.Errorf("%v allocations an entry", n)
	}
	if _, n := h.Root(); bits.OnesCount64(n) == 0 {
		t.Error("nothing was written")
	}
}
