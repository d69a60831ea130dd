package table

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/psi"
)

var ctx = context.Background()

// random returns n outputs of a seeded generator.
func random(rng *rand.ChaCha8, n int) []psi.Output {
	outs := make([]psi.Output, n)
	for i := range outs {
		rng.Read(outs[i][:])
	}
	return outs
}

func seeded(s byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{s}) }

// naiveTable is what Seal does, in memory and by definition.
func naiveTable(outs []psi.Output, tokenLen int, seed *psi.Seed) (entries []byte, c Counts) {
	checks := map[psi.Token]map[[tailLen]byte]bool{}
	for i := range outs {
		token, check := outs[i].Token(tokenLen), [tailLen]byte(outs[i][tokenLen:])
		if checks[token] == nil {
			checks[token] = map[[tailLen]byte]bool{}
		}
		if checks[token][check] {
			c.Repeats++
		}
		checks[token][check] = true
	}
	table := map[psi.Token]bool{}
	for token, of := range checks {
		if len(of) == 1 {
			table[token] = true
		} else {
			c.Collided += uint64(len(of))
		}
	}
	c.Added, c.Pads = uint64(len(outs)), psi.PadSize(uint64(len(table)))-uint64(len(table))
	size := psi.PadSize(uint64(len(table)))
	for i := uint64(0); uint64(len(table)) < size; i++ {
		table[psi.PadToken(seed, i, tokenLen)] = true
	}
	var tokens []psi.Token
	for token := range table {
		tokens = append(tokens, token)
	}
	slices.SortFunc(tokens, func(a, b psi.Token) int { return bytes.Compare(a[:], b[:]) })
	for _, token := range tokens {
		entries = append(entries, token[:tokenLen]...)
	}
	return entries, c
}

// naiveRoot is RFC 6962 §2.1, word for word.
func naiveRoot(entries []byte, entryLen int) tlog.Hash {
	n := len(entries) / entryLen
	if n == 1 {
		return sha256.Sum256(append([]byte{0x00}, entries...))
	}
	k := 1
	for 2*k < n {
		k *= 2
	}
	l, r := naiveRoot(entries[:k*entryLen], entryLen), naiveRoot(entries[k*entryLen:], entryLen)
	return sha256.Sum256(append(append([]byte{0x01}, l[:]...), r[:]...))
}

// collect returns a copy of all chunks, and checks their lengths on the way.
func collect(t testing.TB, chunks iter.Seq2[[]byte, error], entryLen, perFrame int) []byte {
	t.Helper()
	var all []byte
	short := false
	for chunk, err := range chunks {
		if err != nil {
			t.Fatal(err)
		}
		if short || len(chunk) == 0 || len(chunk)%entryLen != 0 || len(chunk) > perFrame*entryLen {
			t.Fatalf("chunk of %d bytes, short before: %t", len(chunk), short)
		}
		short = len(chunk) < perFrame*entryLen
		all = append(all, chunk...)
	}
	return all
}

// inFull adds outs in batches of several sizes and seals.
func inFull(t testing.TB, o Options, outs []psi.Output, path string, seed *psi.Seed) (*Table, *Builder) {
	t.Helper()
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	for n := 0; len(outs) > 0; n = (n*3 + 1) % 1000 {
		n = min(n, len(outs))
		if err := b.Add(outs[:n]); err != nil {
			t.Fatal(err)
		}
		outs = outs[n:]
	}
	table, err := b.Seal(ctx, path, seed)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Remove() })
	return table, b
}

// checkTable compares a sealed table with the naive one.
func checkTable(t *testing.T, o Options, outs []psi.Output, path string) {
	t.Helper()
	seed := &psi.Seed{7}
	table, b := inFull(t, o, outs, path, seed)
	want, counts := naiveTable(outs, o.TokenLen, seed)
	if got := collect(t, table.Chunks(100), o.TokenLen, 100); !bytes.Equal(got, want) {
		t.Fatalf("%d outputs: entries differ", len(outs))
	}
	if b.Counts() != counts {
		t.Fatalf("%d outputs: counts are %+v, want %+v", len(outs), b.Counts(), counts)
	}
	if table.Entries() != uint64(len(want)/o.TokenLen) || table.Root() != naiveRoot(want, o.TokenLen) {
		t.Fatalf("%d outputs: another size or root", len(outs))
	}
	if path != "" {
		again, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		if again.Root() != table.Root() || again.Entries() != table.Entries() {
			t.Fatalf("%d outputs: opened table has another size or root", len(outs))
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := cmp.Or(table.Remove(), b.Close()); err != nil {
			t.Fatal(err)
		}
	}
	checkEmpty(t, o.Dir)
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Fatalf("%d files left, %v", len(left), err)
	}
}

type knownAnswers struct {
	Queries []struct{ Normalised, Output string }
	Table   struct {
		TokenBytes   int      `json:"token_bytes"`
		TokensSorted []string `json:"tokens_sorted"`
		Root         string   `json:"merkle_root_sha256"`
	}
	Intersection []string
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestKnownAnswers opens the published table and joins the published queries
// with it (PROTOCOL.md §16).
func TestKnownAnswers(t *testing.T) {
	text, err := os.ReadFile("../psi/testdata/ampsi/draft.json")
	if err != nil {
		t.Fatal(err)
	}
	var k knownAnswers
	if err := json.Unmarshal(text, &k); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: t.TempDir(), TokenLen: k.Table.TokenBytes}
	path := filepath.Join(t.TempDir(), "kat")
	if err := os.WriteFile(path, unhex(t, strings.Join(k.Table.TokensSorted, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if root := table.Root(); hex.EncodeToString(root[:]) != k.Table.Root {
		t.Error("another root than published")
	}
	q, err := NewQueries(o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	for i, query := range k.Queries {
		if err := q.Add([]psi.Output{psi.Output(unhex(t, query.Output))}, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	m, err := q.Match(ctx, table.Chunks(3))
	if err != nil {
		t.Fatal(err)
	}
	for i, query := range k.Queries {
		if m.Has(uint64(i)) != slices.Contains(k.Intersection, query.Normalised) {
			t.Errorf("query %d: wrong match", i)
		}
	}
}

// TestEmptyTable checks the first pad against the one published (PROTOCOL.md §16).
func TestEmptyTable(t *testing.T) {
	var seed psi.Seed
	for i := range seed {
		seed[i] = byte(i)
	}
	table, _ := inFull(t, Options{Dir: t.TempDir(), TokenLen: 16}, nil, "", &seed)
	entries := collect(t, table.Chunks(1024), 16, 1024)
	if len(entries) != 1024*16 || !bytes.Contains(entries, unhex(t, "377d3c5e13bc1aabfcf9bc2447028cea")) {
		t.Error("an empty set's table isn't 1024 pads, or not the published ones")
	}
}

// TestEverySize compares at every size around the memory bound: one record to a
// page, 64 pages.
func TestEverySize(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: 64 * 24}
	outs := random(seeded(1), 140)
	for n := range len(outs) {
		checkTable(t, o, outs[:n], "")
	}
}

// TestShapes compares sets of several shapes, in memory and spilled, without and
// with a path.
func TestShapes(t *testing.T) {
	seed := &psi.Seed{7} // checkTable's
	shapes := map[string]func(outs []psi.Output){
		"random": func([]psi.Output) {},
		"all equal": func(outs []psi.Output) {
			for i := range outs {
				outs[i] = outs[0]
			}
		},
		"one bucket": func(outs []psi.Output) {
			for i := range outs {
				outs[i][0] = 0xff
			}
		},
		"one prefix of eight bytes": func(outs []psi.Output) {
			for i := range outs {
				copy(outs[i][:8], outs[0][:8])
			}
		},
		"few tokens, many checks": func(outs []psi.Output) {
			for i := range outs {
				copy(outs[i][:24], make([]byte, 24))
				outs[i][15], outs[i][23] = byte(i%50+1), byte(i%7%(i%50+1))
			}
		},
		"repeats and collisions": func(outs []psi.Output) {
			for i := 1; i < len(outs); i++ {
				switch i % 5 {
				case 0:
					outs[i] = outs[i/2]
				case 1:
					copy(outs[i][:16], outs[i/3][:16])
				}
			}
		},
		"tokens that are pads": func(outs []psi.Output) {
			for i := range outs {
				if i%3 == 0 {
					pad := psi.PadToken(seed, uint64(i), 16)
					copy(outs[i][:16], pad[:16])
				}
			}
		},
		"bucket boundaries": func(outs []psi.Output) {
			for i := range outs {
				outs[i][0] = byte(i/2) - byte(i%2)
				copy(outs[i][1:14], bytes.Repeat([]byte{0xff * byte(i%2)}, 13))
			}
		},
	}
	for name, shape := range shapes {
		for _, n := range []int{1, 1023, 1281, 3000} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				outs := random(seeded(2), n)
				shape(outs)
				for _, memory := range []int{24 * 100, 24 * 1000, 0} {
					o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: memory}
					checkTable(t, o, outs, "")
					checkTable(t, o, outs, filepath.Join(o.Dir, "sealed"))
				}
			})
		}
	}
}

// TestTokenLengths includes the ends of what a published table may have, and a
// check that reaches past the first half of an output.
func TestTokenLengths(t *testing.T) {
	for _, n := range []int{11, 12, 14, 16, 25, 32} {
		for _, memory := range []int{10_000, 0} {
			checkTable(t, Options{Dir: t.TempDir(), TokenLen: n, Memory: memory}, random(seeded(3), 1500), "")
		}
	}
}

// TestPadsTaken has all first pads in the set already, so that later rounds of
// pads are needed, and one among the collisions, which are not in the table.
func TestPadsTaken(t *testing.T) {
	outs := random(seeded(4), 1100)
	for i := range outs[:600] {
		pad := psi.PadToken(&psi.Seed{7}, uint64(i), 16)
		copy(outs[i][:], pad[:16])
	}
	copy(outs[1000][:16], outs[0][:16])
	checkTable(t, Options{Dir: t.TempDir(), TokenLen: 16}, outs, "")
	checkTable(t, Options{Dir: t.TempDir(), TokenLen: 16, Memory: 3000}, outs, "")
}

// TestPadTakenWhereFull has memory fill up while pads come, and with records of
// the one bucket in which a pad is taken.
func TestPadTakenWhereFull(t *testing.T) {
	outs := random(seeded(12), 800)
	pad := psi.PadToken(&psi.Seed{7}, 0, 16)
	for i := range outs {
		outs[i][0] = pad[0]
	}
	copy(outs[0][:], pad[:16])
	checkTable(t, Options{Dir: t.TempDir(), TokenLen: 16, Memory: 24 * 900}, outs, "")
}

// TestOrderOfAdding has no influence.
func TestOrderOfAdding(t *testing.T) {
	outs := random(seeded(5), 2000)
	copy(outs[3][:16], outs[1500][:16])
	o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: 10_000}
	a, _ := inFull(t, o, outs, "", &psi.Seed{1})
	slices.Reverse(outs)
	b, _ := inFull(t, o, outs, "", &psi.Seed{1})
	if a.Root() != b.Root() {
		t.Error("another order, another root")
	}
	c, _ := inFull(t, o, outs, "", &psi.Seed{2})
	if a.Root() == c.Root() {
		t.Error("another pad seed, the same root")
	}
}

// TestMemory checks that pages stay within the bound, and that a repeat without
// end takes up no more than that.
func TestMemory(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: 1 << 16}
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	outs := random(seeded(6), 20_000)
	equal := slices.Repeat(outs[:1], 20_000)
	for range 5 {
		if err := cmp.Or(b.Add(outs), b.Add(equal)); err != nil {
			t.Fatal(err)
		}
	}
	pages := len(b.p.free)
	for i := range b.p.bucket {
		pages += len(b.p.bucket[i].pages)
	}
	if pages*b.p.pageLen > o.Memory {
		t.Errorf("%d bytes of pages, bound %d", pages*b.p.pageLen, o.Memory)
	}
	if b.in, err = b.p.load(b.in, int(outs[0][0])); err != nil || len(b.in) > 3*5*20_000/buckets*24 {
		t.Errorf("the repeated item's bucket has %d bytes, %v", len(b.in), err)
	}
	if _, err := b.Seal(ctx, "", &psi.Seed{}); err != nil {
		t.Fatal(err)
	}
	if c := b.Counts(); c.Added != 200_000 || c.Repeats != 180_000 {
		t.Errorf("counts are %+v", c)
	}
}

// TestSpillHolds checks what of an output gets into a file: token and check.
func TestSpillHolds(t *testing.T) {
	b, err := NewBuilder(Options{Dir: t.TempDir(), TokenLen: 16, Memory: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	outs := random(seeded(8), 300)
	if err := b.Add(outs); err != nil {
		t.Fatal(err)
	}
	spilled := make([]byte, b.p.end)
	if err := readAt(b.p.spilled, spilled, 0); err != nil {
		t.Fatal(err)
	}
	for i := range outs[:len(outs)-1] { // the last is still in memory
		if !bytes.Contains(spilled, outs[i][:24]) {
			t.Errorf("record %d isn't in the file", i)
		}
		if bytes.Contains(spilled, outs[i][24:32]) || bytes.Contains(spilled, outs[i][32:40]) {
			t.Errorf("more than record %d is in the file", i)
		}
	}
}

// TestConcurrentReaders is for -race.
func TestConcurrentReaders(t *testing.T) {
	for _, memory := range []int{0, 1000} {
		table, _ := inFull(t, Options{Dir: t.TempDir(), TokenLen: 16, Memory: memory}, random(seeded(9), 2000), "", &psi.Seed{})
		want := collect(t, table.Chunks(2048), 16, 2048)
		var wg sync.WaitGroup
		for n := range 4 {
			wg.Go(func() {
				var all []byte
				for chunk := range table.Chunks(100 + n) {
					all = append(all, chunk...)
				}
				if !bytes.Equal(all, want) {
					t.Errorf("reader %d: entries differ", n)
				}
			})
		}
		wg.Wait()
	}
}

// stopped is a context whose Err has its say at the n-th look.
type stopped struct {
	context.Context
	n    int
	then func() error
}

func (s *stopped) Err() error {
	if s.n--; s.n >= 0 {
		return nil
	}
	return s.then()
}

// TestCancelSeal cancels at every look at the context.
func TestCancelSeal(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: 1000}
	canceled := func() error { return context.Canceled }
	looks := 3*buckets + 1
	for n := 0; n <= looks; n += 16 {
		for _, path := range []string{"", filepath.Join(o.Dir, "sealed")} {
			b, err := NewBuilder(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Add(random(seeded(10), 100)); err != nil {
				t.Fatal(err)
			}
			table, err := b.Seal(&stopped{ctx, n, canceled}, path, &psi.Seed{})
			if !errors.Is(err, context.Canceled) || table != nil {
				t.Fatalf("canceled at look %d: %v", n, err)
			}
			checkEmpty(t, o.Dir)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, o := range []Options{{TokenLen: 10}, {TokenLen: 33}, {TokenLen: 16, Memory: -1}, {TokenLen: 16, LabelLen: -1}} {
		if _, err := NewBuilder(o); err == nil {
			t.Error("NewBuilder takes wrong options")
		}
		if _, err := NewQueries(o); err == nil {
			t.Error("NewQueries takes wrong options")
		}
		if _, err := NewSpool(o); err == nil {
			t.Error("NewSpool takes wrong options")
		}
		if _, err := Open("none", o); err == nil || errors.Is(err, os.ErrNotExist) {
			t.Error("Open takes wrong options")
		}
	}
	o := Options{Dir: t.TempDir(), TokenLen: 16, LabelLen: 8}
	if _, err := NewBuilder(o); err == nil {
		t.Error("a Builder promises labels")
	}
	o.LabelLen = 0
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add([]psi.Output{{1}, {}}); err == nil || b.Counts().Added != 0 {
		t.Error("a pad's output was added")
	}
	if err := b.Add([]psi.Output{{1}}); err != nil {
		t.Fatal(err)
	}
	table, err := b.Seal(ctx, "", &psi.Seed{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add([]psi.Output{{1}}); !errors.Is(err, errClosed) {
		t.Errorf("Add after Seal: %v", err)
	}
	if _, err := b.Seal(ctx, "", &psi.Seed{}); !errors.Is(err, errClosed) {
		t.Errorf("Seal after Seal: %v", err)
	}
	open := table.Chunks(10)
	if err := cmp.Or(table.Close(), table.Close(), table.Remove()); err != nil {
		t.Error(err)
	}
	for _, chunks := range []iter.Seq2[[]byte, error]{open, table.Chunks(10)} {
		for _, err := range chunks {
			if err == nil {
				t.Error("a closed table was read")
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	o := Options{TokenLen: 16}
	path := filepath.Join(t.TempDir(), "table")
	if _, err := Open(path, o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	a, b := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 16)
	for name, entries := range map[string][]byte{"cut": append(a, 1), "descending": append(b, a...), "doubled": append(a, a...)} {
		if err := os.WriteFile(path, entries, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

func TestRedacted(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	table, b := inFull(t, o, random(seeded(11), 10), "", &psi.Seed{})
	q, _ := NewQueries(o)
	s, err := NewSpool(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, v := range []any{table, *table, b, *b, q, *q, s, *s, newMatches(3), *newMatches(3)} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			if got := fmt.Sprintf(verb, v); got != "REDACTED" {
				t.Errorf("%T prints with %s", v, verb)
			}
		}
		if v.(slog.LogValuer).LogValue().String() != "REDACTED" {
			t.Errorf("%T logs", v)
		}
	}
}

// FuzzSeal builds sets of a few tokens and checks, in any order and often.
func FuzzSeal(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{0, 0, 1, 17, 1, 255, 16}, uint16(1))
	f.Add(bytes.Repeat([]byte{3, 19, 200, 7}, 100), uint16(500))
	f.Fuzz(func(t *testing.T, items []byte, memory uint16) {
		outs := make([]psi.Output, len(items))
		for i, v := range items {
			outs[i][0], outs[i][15], outs[i][23], outs[i][63] = v&0xc0, v&0x0f, v>>4&3, 1
		}
		checkTable(t, Options{Dir: t.TempDir(), TokenLen: 16, Memory: 24*16 + int(memory)}, outs, "")
	})
}
