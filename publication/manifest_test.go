package publication_test

import (
	"context"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/table"
)

// published makes a table of n outputs in a directory, and its manifest.
func published(t testing.TB, by *identity.Identity, n int, change func(*publication.Manifest)) (path string, m *publication.Manifest, err error) {
	t.Helper()
	b, err := table.NewBuilder(table.Options{Dir: t.TempDir(), TokenLen: publication.TokenLen})
	must(t, err)
	for i := range n {
		must(t, b.Add([]psi.Output{sha512.Sum512(binary.BigEndian.AppendUint64(nil, uint64(i)))}))
	}
	entries, err := b.Seal(context.Background(), "", psi.NewSeed())
	must(t, err)
	defer entries.Remove()
	start := time.Unix(1_800_000_000, 0)
	draft := publication.Manifest{TableID: [32]byte{1}, Key: psi.NewKey().Public(), Classes: []byte{1}, TokenLen: publication.TokenLen,
		Entries: entries.Entries(), Root: entries.Root(), ConsentSize: entries.Entries(), NotBefore: start, NotAfter: start.Add(time.Hour), Universe: "all"}
	if change != nil {
		change(&draft)
	}
	if m, err = publication.Sign(by, draft); err != nil {
		return "", nil, err
	}
	path = filepath.Join(t.TempDir(), "table")
	return path, m, publication.Write(path, m, entries)
}

// asking are queries about the first n outputs.
func asking(t testing.TB, n int) *table.Queries {
	t.Helper()
	q, err := table.NewQueries(table.Options{Dir: t.TempDir(), TokenLen: publication.TokenLen})
	must(t, err)
	t.Cleanup(func() { q.Close() })
	for i := range n {
		must(t, q.Add([]psi.Output{sha512.Sum512(binary.BigEndian.AppendUint64(nil, uint64(i)))}, uint64(i)))
	}
	return q
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func platform(t testing.TB) *identity.Identity {
	t.Helper()
	i, err := identity.New("platform")
	must(t, err)
	return i
}

// What was signed is read again, to the last field, by whoever has the key.
func TestManifest(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	again, err := publication.Load(path, by.Public())
	must(t, err)
	if again.Hash() != m.Hash() || again.Holder != by.ID() || again.Entries != 5120 || again.Root != m.Root || again.Universe != "all" ||
		!again.NotAfter.Equal(m.NotAfter) || again.Key.Bytes() != m.Key.Bytes() || again.ConsentSize != 5120 {
		t.Error("another manifest is read")
	}
	if _, err := publication.Load(path, platform(t).Public()); !errors.Is(err, psi.AbortAuth) {
		t.Errorf("with another key: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*publication.Manifest)
		want   psi.AbortCode
	}{
		"a size that is not padded":    {func(m *publication.Manifest) { m.Entries++ }, psi.AbortMalformed},
		"fewer leaves than entries":    {func(m *publication.Manifest) { m.ConsentSize = 1024 }, psi.AbortMalformed},
		"valid for thirty days":        {func(m *publication.Manifest) { m.NotAfter = m.NotBefore.Add(publication.MaxValid) }, 0},
		"valid for a second too long":  {func(m *publication.Manifest) { m.NotAfter = m.NotBefore.Add(publication.MaxValid + time.Second) }, psi.AbortReplay},
		"valid never":                  {func(m *publication.Manifest) { m.NotAfter = m.NotBefore }, psi.AbortReplay},
		"tokens that are too short":    {func(m *publication.Manifest) { m.TokenLen = 10 }, psi.AbortTerms},
		"tokens that are too long":     {func(m *publication.Manifest) { m.TokenLen = 33 }, psi.AbortTerms},
		"tokens too short for entries": {func(m *publication.Manifest) { m.TokenLen, m.Entries, m.ConsentSize = 11, 1<<39, 1<<39 }, psi.AbortTerms},
	} {
		_, _, err := published(t, by, 5000, c.change)
		if c.want == 0 && err != nil || c.want != 0 && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// A copy is verified when it comes; if it changes on its disk later, of the same
// length and time, it is fetched again, or refused and removed.
func TestCopyOfADiskThatChanges(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	dir, fetches := t.TempDir(), 0
	shards := func(first int) iter.Seq2[[]byte, error] {
		fetches++
		return publication.Shards(path, first)
	}
	fetch := func() *publication.Copy {
		c, err := publication.Fetch(t.Context(), dir, m, shards, func(_, _ uint64) {})
		must(t, err)
		return c
	}
	q := asking(t, 5000)
	match := func(c *publication.Copy) error {
		matches, err := c.Match(t.Context(), q)
		if err == nil && matches.Count() != 5000 {
			t.Errorf("%d of 5000 matched", matches.Count())
		}
		return err
	}
	must(t, match(fetch()))
	must(t, match(fetch()))
	if fetches != 1 {
		t.Errorf("the table was fetched %d times", fetches)
	}
	at := publication.Path(dir, m.Hash())
	found, err := os.ReadDir(at)
	must(t, err)
	for _, f := range found {
		if i, err := f.Info(); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("a file of the copy is for others, too: %v, %v", i.Mode(), err)
		}
	}
	if len(found) != 3 {
		t.Errorf("%d files are kept, want manifest, tokens and sums", len(found))
	}
	for _, c := range []struct {
		file    string
		change  func([]byte) []byte
		atFetch bool // it is noticed before anything is asked
	}{
		{"tokens", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, false},
		{"tokens", func(b []byte) []byte { return b[:len(b)-1] }, false},
		{"tokens", nil, true},
		{"sums", func(b []byte) []byte { b[40] ^= 1; return b }, true},
		{"sums", func([]byte) []byte { return []byte{} }, true},
		{"sums", nil, true},
	} {
		fetch()
		name := filepath.Join(at, c.file)
		b, err := os.ReadFile(name)
		must(t, err)
		was, err := os.Stat(name)
		must(t, err)
		if c.change == nil {
			must(t, os.Remove(name))
		} else {
			must(t, os.WriteFile(name, c.change(b), 0o600))
			must(t, os.Chtimes(name, was.ModTime(), was.ModTime()))
		}
		before := fetches
		copy := fetch()
		if again := fetches > before; again != c.atFetch {
			t.Errorf("%s changed: fetched again: %v, want %v", c.file, again, c.atFetch)
		}
		if c.atFetch {
			must(t, match(copy))
			continue
		}
		if err := match(copy); !errors.Is(err, table.ErrPages) || !errors.Is(err, psi.AbortTable) {
			t.Errorf("%s changed: %v", c.file, err)
		}
		must(t, match(fetch())) // it was removed
		if fetches != before+1 {
			t.Error("a copy that has changed is kept")
		}
	}
	if _, err := publication.Fetch(t.Context(), t.TempDir(), m, func(int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) { yield(nil, psi.AbortTimeout) }
	}, func(_, _ uint64) {}); !errors.Is(err, psi.AbortTimeout) {
		t.Errorf("an error of the source becomes %v", err)
	}

	must(t, publication.Prune(dir, by.Public(), m.NotAfter))
	if _, err := os.Stat(publication.Path(dir, m.Hash())); err != nil {
		t.Error("a valid table is removed")
	}
	must(t, publication.Prune(dir, by.Public(), m.NotAfter.Add(time.Hour)))
	if _, err := os.Stat(publication.Path(dir, m.Hash())); !errors.Is(err, os.ErrNotExist) {
		t.Error("an expired table stays")
	}
}

// FuzzParse: whatever a platform signs is refused with a code, or is a manifest that
// its own bytes make again, that is valid for a while, and whose sizes are padded.
func FuzzParse(f *testing.F) {
	by := platform(f)
	_, m, err := published(f, by, 10, nil)
	must(f, err)
	f.Add(m.Frame().Body)
	f.Add([]byte{})
	f.Add(m.Frame().Body[:40])
	f.Add(append(m.Frame().Body[:len(m.Frame().Body):len(m.Frame().Body)], 0x80))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := publication.Parse(b, psi.Sign(by.Key(), psi.FrameManifest, psi.SenderHolder, nil, b), by.Public())
		var code psi.AbortCode
		if err != nil {
			if m != nil || !errors.As(err, &code) {
				t.Fatalf("refused with %T, and a manifest: %v", err, m != nil)
			}
			return
		}
		if m.Holder != by.ID() || !m.NotBefore.Before(m.NotAfter) || psi.PadSize(m.Entries) != m.Entries || m.ConsentSize < m.Entries ||
			m.NotAfter.Sub(m.NotBefore) > publication.MaxValid || m.TokenLen < 11 {
			t.Fatal("an impossible manifest is read")
		}
		again, err := publication.Parse(m.Frame().Body, m.Frame().Sig, by.Public())
		if err != nil || again.Hash() != m.Hash() {
			t.Fatal("its own frame is another manifest")
		}
	})
}
