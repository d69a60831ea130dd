package audit

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/mod/sumdb/tlog"
)

func treeOf(t testing.TB, log fstest.MapFS) *Tree {
	t.Helper()
	tree, err := Read(log, ownLog(t), Quorum{})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// path is RFC 6962 §2.1.1, word for word.
func path6962(m int, d [][]byte) []tlog.Hash {
	if len(d) == 1 {
		return nil
	}
	k := 1
	for 2*k < len(d) {
		k *= 2
	}
	if m < k {
		return append(path6962(m, d[:k]), mth(d[k:]))
	}
	return append(path6962(m-k, d[k:]), mth(d[:k]))
}

func TestProofIsThatOfRFC6962(t *testing.T) {
	for _, size := range []int{1, 2, 7, 256, 300} {
		tree, all := treeOf(t, logOf(t, size)), entriesFrom(0, size)
		for i := range size {
			p, err := tree.Prove(int64(i))
			if err != nil {
				t.Fatal(err)
			}
			if want := path6962(i, all); !slices.Equal(p.Hashes, want) {
				t.Fatalf("entry %d of %d: %v, want %v", i, size, p.Hashes, want)
			}
			if got, err := VerifyInclusion(p.Bytes(), all[i], ownLog(t), Quorum{}); err != nil || got != int64(i) {
				t.Fatalf("entry %d of %d: %d %v", i, size, got, err)
			}
		}
		for _, i := range []int64{-1, int64(size)} {
			if _, err := tree.Prove(i); err != errRange {
				t.Errorf("entry %d of %d: %v", i, size, err)
			}
		}
	}
}

// The file, line by line, as c2sp.org/tlog-proof has it.
func TestProofFile(t *testing.T) {
	log, all := logOf(t, 3), entriesFrom(0, 3)
	p, err := treeOf(t, log).Prove(2)
	if err != nil {
		t.Fatal(err)
	}
	p.Extra = []byte("age-v1.2.1")
	want := "c2sp.org/tlog-proof@v1\nextra YWdlLXYxLjIuMQ==\nindex 2\n" + mth(all[:2]).String() + "\n\n" + string(log["checkpoint"].Data)
	if got := string(p.Bytes()); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, err := ParseProof(p.Bytes()); err != nil || !bytes.Equal(got.Bytes(), p.Bytes()) {
		t.Error(err)
	}
}

// No byte of a proof or of its entry may change, but for the extra bytes, which
// the format does not protect.
func TestEveryFlippedByteOfAProofIsFound(t *testing.T) {
	p, err := treeOf(t, logOf(t, 300)).Prove(77)
	if err != nil {
		t.Fatal(err)
	}
	file, entry := p.Bytes(), entriesFrom(77, 1)[0]
	flip := func(b []byte) {
		for i := range b {
			for bit := range 8 {
				b[i] ^= 1 << bit
				if _, err := VerifyInclusion(file, entry, ownLog(t), Quorum{}); err == nil {
					t.Fatalf("bit %d of byte %d", bit, i)
				}
				b[i] ^= 1 << bit
			}
		}
	}
	flip(file)
	flip(entry)
	for name, other := range map[string]*Proof{
		"index":      {Index: 78, Hashes: p.Hashes, Checkpoint: p.Checkpoint},
		"beyond":     {Index: 300, Hashes: p.Hashes, Checkpoint: p.Checkpoint},
		"short":      {Index: 77, Hashes: p.Hashes[1:], Checkpoint: p.Checkpoint},
		"long":       {Index: 77, Hashes: append(slices.Clone(p.Hashes), tlog.Hash{}), Checkpoint: p.Checkpoint},
		"checkpoint": {Index: 77, Hashes: p.Hashes, Checkpoint: logOf(t, 299)["checkpoint"].Data},
	} {
		if _, err := VerifyInclusion(other.Bytes(), entry, ownLog(t), Quorum{}); err != errNotIn {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestBadProofFiles(t *testing.T) {
	const ok = "c2sp.org/tlog-proof@v1\nindex 0\n\nx\n"
	if _, err := ParseProof([]byte(ok)); err != nil {
		t.Fatal(err)
	}
	hash := tlog.Hash{}.String()
	for _, file := range []string{
		"", "\n", "c2sp.org/tlog-proof@v1", "c2sp.org/tlog-proof@v2\nindex 0\n\nx\n", "c2sp.org/tlog-proof@v1\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 00\n\nx\n", "c2sp.org/tlog-proof@v1\nindex -1\n\nx\n", "c2sp.org/tlog-proof@v1\nindex +1\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 281474976710656\n\nx\n", "c2sp.org/tlog-proof@v1\nindex 0\n\n", "c2sp.org/tlog-proof@v1\nindex 0\n",
		"c2sp.org/tlog-proof@v1\nextra \nindex 0\n\nx\n", "c2sp.org/tlog-proof@v1\nextra YQ\nindex 0\n\nx\n",
		"c2sp.org/tlog-proof@v1\nextra YR==\nindex 0\n\nx\n", "c2sp.org/tlog-proof@v1\nextra YQ==\nextra YQ==\nindex 0\n\nx\n",
		"c2sp.org/tlog-proof@v1\r\nindex 0\n\nx\n", "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 0\n" + strings.TrimSuffix(hash, "=") + "\n\nx\n",
		"c2sp.org/tlog-proof@v1\nindex 0\n" + strings.Repeat(hash+"\n", 64) + "\nx\n",
	} {
		if p, err := ParseProof([]byte(file)); err != errProof || p != nil {
			t.Errorf("%q: %v", file, err)
		}
	}
	if _, err := ParseProof([]byte("c2sp.org/tlog-proof@v1\nindex 0\n" + strings.Repeat(hash+"\n", 63) + "\nx\n")); err != nil {
		t.Error(err)
	}
}

func TestConsistencyProofs(t *testing.T) {
	sizes := []int{0, 1, 2, 255, 256, 300}
	for _, size := range sizes {
		log := logOf(t, size)
		tree := treeOf(t, log)
		for _, old := range sizes {
			c, err := tree.ProveConsistency(int64(old))
			if old > size {
				if err != errRange {
					t.Errorf("%d to %d: %v", old, size, err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			smaller := &Checkpoint{Size: int64(old), Root: mth(entriesFrom(0, old))}
			if err := c.check(smaller, tree.head); err != nil {
				t.Errorf("%d to %d: %v", old, size, err)
			}
			got, err := ParseConsistency(c.Bytes())
			if err != nil || !bytes.Equal(got.Bytes(), c.Bytes()) {
				t.Errorf("%d to %d: %v", old, size, err)
			}
			if want := fmt.Sprintf("old %d\n", old); !strings.HasPrefix(string(c.Bytes()), want) {
				t.Errorf("got %s", c.Bytes())
			}
			if old == 0 {
				continue
			}
			smaller.Root[0] ^= 1
			if err := c.check(smaller, tree.head); err != ErrFork {
				t.Errorf("another root, %d to %d: %v", old, size, err)
			}
		}
	}
}

func FuzzParseProof(f *testing.F) {
	log := logOf(f, 300)
	p, err := treeOf(f, log).Prove(77)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(p.Bytes())
	p.Extra = []byte("extra")
	f.Add(p.Bytes())
	c, err := treeOf(f, log).ProveConsistency(7)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.Bytes())
	f.Add([]byte("c2sp.org/tlog-proof@v1\nindex 0\n\nx\n"))
	v, entry := ownLog(f), entriesFrom(77, 1)[0]
	f.Fuzz(func(t *testing.T, file []byte) {
		if p, err := ParseProof(file); err == nil && !bytes.Equal(p.Bytes(), file) || err != nil && p != nil {
			t.Errorf("%q is read as %v", file, p)
		}
		if c, err := ParseConsistency(file); err == nil && !bytes.Equal(c.Bytes(), file) || err != nil && c != nil {
			t.Errorf("%q is read as %v", file, c)
		}
		if i, err := VerifyInclusion(file, entry, v, Quorum{}); err == nil && i != 77 {
			t.Errorf("entry 77 is proved at %d", i)
		}
	})
}
