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

// A copy that changes on its disk is not joined without a word.
func TestCopyOfADiskThatChanges(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	dir := t.TempDir()
	shards := func(first int) iter.Seq2[[]byte, error] { return publication.Shards(path, first) }
	c, err := publication.Fetch(t.Context(), dir, m, shards, func(_, _ uint64) {})
	must(t, err)
	read := func() (n uint64, err error) {
		for entries, err := range c.Entries() {
			if err != nil {
				return n, err
			}
			n += uint64(len(entries)) / publication.TokenLen
		}
		return n, nil
	}
	if n, err := read(); err != nil || n != m.Entries {
		t.Errorf("%d entries, %v", n, err)
	}
	name := filepath.Join(publication.Path(dir, m.Hash()), "shards-00000")
	b, err := os.ReadFile(name)
	must(t, err)
	for _, change := range []func([]byte) []byte{
		func(b []byte) []byte { b[len(b)-1] ^= 0xff; return b },
		func(b []byte) []byte { return b[:len(b)-1] },
		func([]byte) []byte { return nil },
	} {
		must(t, os.WriteFile(name, change(append([]byte(nil), b...)), 0o600))
		if _, err := read(); !errors.Is(err, psi.AbortTable) {
			t.Errorf("%v", err)
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

// Whatever a peer sends as MANIFEST is read without a panic, and what is read has
// bounds.
func FuzzParse(f *testing.F) {
	by := platform(f)
	_, m, err := published(f, by, 10, nil)
	must(f, err)
	f.Add(m.Frame().Body)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := publication.Parse(b, psi.Sign(by.Key(), psi.FrameManifest, psi.SenderHolder, nil, b), by.Public())
		if err == nil && (psi.PadSize(m.Entries) != m.Entries || m.NotAfter.Sub(m.NotBefore) > publication.MaxValid || m.TokenLen < 11) {
			t.Error("a manifest is out of bounds")
		}
	})
}
