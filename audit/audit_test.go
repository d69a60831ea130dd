package audit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const origin = "ads.example/log"

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func seeded(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func signerNamed(t testing.TB, name string, n byte) *Signer {
	t.Helper()
	s, err := NewSigner(name, seeded(n))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cosignerNamed(t testing.TB, name string, n byte) *Cosigner {
	t.Helper()
	c, err := NewCosigner(name, seeded(n))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ownLog(t testing.TB) note.Verifier { return signerNamed(t, origin, 1).Verifier() }

func openLog(t testing.TB, dir string) *Log {
	t.Helper()
	l, err := Open(dir, signerNamed(t, origin, 1), AnyBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// entriesFrom returns entries that say their index, of many lengths.
func entriesFrom(from, n int) [][]byte {
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = []byte(strings.Repeat("·", (from+i)%3) + fmt.Sprint(from+i))
	}
	return entries
}

func add(t testing.TB, l *Log, n int) {
	t.Helper()
	at := l.Size()
	first, err := l.Append(entriesFrom(int(at), n)...)
	if err != nil || first != at {
		t.Fatalf("appended at %d, %v; want %d", first, err, at)
	}
}

// copyOf returns a copy of a log in memory.
func copyOf(t testing.TB, dir string) fstest.MapFS {
	t.Helper()
	m := fstest.MapFS{}
	for _, top := range []string{checkpointFile, tileDir} {
		err := fs.WalkDir(os.DirFS(dir), top, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			content, err := fs.ReadFile(os.DirFS(dir), name)
			m[name] = &fstest.MapFile{Data: content}
			return err
		})
		if err != nil && top != tileDir {
			t.Fatal(err)
		}
	}
	return m
}

// logOf returns a log in memory that was written in batches of the given sizes.
func logOf(t testing.TB, batches ...int) fstest.MapFS {
	t.Helper()
	dir := t.TempDir()
	attempt(t, dir, 1<<30, new([][]byte), batches...)
	return copyOf(t, dir)
}

func verify(t testing.TB, fsys fs.FS, kept ...[]byte) (*Report, error) {
	t.Helper()
	return Verify(fsys, Expect{Log: ownLog(t), Kept: kept})
}

func sum(b []byte) tlog.Hash { return sha256.Sum256(b) }

// mth is RFC 6962 §2.1, word for word.
func mth(d [][]byte) tlog.Hash {
	switch n := len(d); n {
	case 0:
		return sum(nil)
	case 1:
		return sum(append([]byte{0}, d[0]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		l, r := mth(d[:k]), mth(d[k:])
		return sum(slices.Concat([]byte{1}, l[:], r[:]))
	}
}

func TestRootIsThatOfRFC6962(t *testing.T) {
	nowhere := func(tlog.Tile, []byte) error { return nil }
	all := entriesFrom(0, 65537)
	var e edge
	for n := range 65538 {
		if n <= 600 || n >= 65535 {
			if got, want := e.root(), mth(all[:n]); got != want {
				t.Fatalf("%d entries: root %v, want %v", n, got, want)
			}
		}
		if n < len(all) {
			if err := e.add(all[n], nowhere); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// The files of c2sp.org/tlog-tiles, written out by hand from its text.
func TestLayout(t *testing.T) {
	for _, c := range []struct {
		batches []int
		want    string
	}{
		{nil, "checkpoint"},
		{[]int{1}, "checkpoint tile/0/000.p/1 tile/entries/000.p/1"},
		// "A tree of size 256 will be represented by a full level 0 tile and a
		// partial level 1 tile of width 1."
		{[]int{256}, "checkpoint tile/0/000 tile/1/000.p/1 tile/entries/000"},
		{[]int{100, 155, 1}, "checkpoint tile/0/000 tile/1/000.p/1 tile/entries/000"},
		// Partial tiles stay until the full one is there.
		{[]int{256, 3, 4}, "checkpoint tile/0/000 tile/0/001.p/3 tile/0/001.p/7 tile/1/000.p/1 " +
			"tile/entries/000 tile/entries/001.p/3 tile/entries/001.p/7"},
		{[]int{250, 20, 300}, "checkpoint tile/0/000 tile/0/001 tile/0/002.p/58 tile/1/000.p/1 tile/1/000.p/2 " +
			"tile/entries/000 tile/entries/001 tile/entries/002.p/58"},
	} {
		names := slices.Sorted(mapKeys(logOf(t, c.batches...)))
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("batches %v: got %s, want %s", c.batches, got, c.want)
		}
	}
}

func mapKeys(m fstest.MapFS) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// "A tree of size 70,000 will be represented by 273 full level 0 tiles, one
// partial level 0 tile of width 112, one full level 1 tile, one partial level 1
// tile of width 17, and one partial level 2 tile of width 1."
func TestLayoutOfLargeTree(t *testing.T) {
	log := logOf(t, 70_000)
	count := map[string]int{}
	for name := range log {
		tile, ok := parseTileName(name)
		if ok && tileName(tile) != name {
			t.Errorf("%s is read as %s", name, tileName(tile))
		}
		count[fmt.Sprintf("level %d width %d", tile.L, tile.W)]++
	}
	for what, want := range map[string]int{
		"level 0 width 256": 273, "level 0 width 112": 1,
		"level -1 width 256": 273, "level -1 width 112": 1,
		"level 1 width 256": 1, "level 1 width 17": 1, "level 2 width 1": 1,
	} {
		if count[what] != want {
			t.Errorf("%s: %d tiles, want %d", what, count[what], want)
		}
	}
	if len(log) != 273+1+273+1+1+1+1+1 {
		t.Errorf("%d files", len(log))
	}
	if _, err := verify(t, log); err != nil {
		t.Error(err)
	}
}

func TestTileNames(t *testing.T) {
	for name, want := range map[string]tlog.Tile{
		"tile/0/x001/x234/067":           {H: 8, L: 0, N: 1234067, W: 256},
		"tile/63/000.p/1":                {H: 8, L: 63, N: 0, W: 1},
		"tile/entries/x001/x234/067.p/8": {H: 8, L: -1, N: 1234067, W: 8},
	} {
		if got, ok := parseTileName(name); !ok || got != want || tileName(want) != name {
			t.Errorf("%s: %v %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"", "tile", "tile/0", "tile/0/0", "tile/00/000", "tile/64/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/01",
		"tile/data/000", "tile/8/0/000", "tile/0/x000/001", "tile/-1/000", "tile/entries/000/", "entries/000", "tile/0/.new",
		"tile/0/x999/x999/x999/x999/x999/x999/x999/999",
	} {
		if got, ok := parseTileName(name); ok {
			t.Errorf("%q is read as %v", name, got)
		}
	}
}

// The key ids are those of package note, and of c2sp.org/tlog-cosignature.
func TestKeys(t *testing.T) {
	s := signerNamed(t, origin, 1)
	text, err := note.NewEd25519VerifierKey(origin, seeded(1).Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	if v, err := note.NewVerifier(text); err != nil || v.KeyHash() != s.KeyHash() {
		t.Errorf("key id %08x, %v", s.KeyHash(), err)
	}
	c := cosignerNamed(t, "w", 2)
	id := sum(slices.Concat([]byte("w\n\x04"), seeded(2).Public().(ed25519.PublicKey)))
	if want := uint32(id[0])<<24 | uint32(id[1])<<16 | uint32(id[2])<<8 | uint32(id[3]); c.KeyHash() != want {
		t.Errorf("witness key id %08x, want %08x", c.KeyHash(), want)
	}
	for _, name := range []string{"", "a b", "a+b", "a\n", "\xff"} {
		if _, err := NewSigner(name, seeded(1)); err != errKey {
			t.Errorf("a signer named %q: %v", name, err)
		}
		if _, err := NewCosigner(name, seeded(1)); err != errKey {
			t.Errorf("a witness named %q: %v", name, err)
		}
	}
	if _, err := NewSigner("a", seeded(1)[:10]); err != errKey {
		t.Error(err)
	}
	if _, err := NewCosigner("a", nil); err != errKey {
		t.Error(err)
	}
	if _, err := NewWitnessKey("a", nil); err != errKey {
		t.Error(err)
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	s, c := signerNamed(t, origin, 1), cosignerNamed(t, "w", 2)
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d"} {
		for _, v := range []any{s, *s, struct{ S *Signer }{s}, struct{ S Signer }{*s}} {
			got := fmt.Sprintf(verb, v)
			if !strings.Contains(got, origin) && !strings.Contains(got, "0x") || strings.Contains(got, fmt.Sprintf("%x", seeded(1)[:4])) || strings.Contains(got, "1, 1, 1") || strings.Contains(got, "[1 1") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
		if got := fmt.Sprintf(verb, *c); got != "w" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	if s.LogValue().String() != origin || c.LogValue().String() != "w" {
		t.Error("a key is logged")
	}
}
