package audit

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

func request(t testing.TB, tree *Tree, old int64) []byte {
	t.Helper()
	c, err := tree.ProveConsistency(old)
	if err != nil {
		t.Fatal(err)
	}
	return c.Bytes()
}

func TestWitness(t *testing.T) {
	key := cosignerNamed(t, "witness.example/w1", 7)
	state := filepath.Join(t.TempDir(), "state")
	w := NewWitness(state, key, ownLog(t))
	if last, err := w.Last(); last != nil || err != nil {
		t.Fatal(last, err)
	}
	q := Quorum{Of: []*WitnessKey{&key.WitnessKey}, Least: 1}
	at := int64(0)
	for i, size := range []int{0, 3, 3, 256, 300} {
		tree := treeOf(t, logOf(t, size))
		now := noon.Add(time.Duration(i) * time.Hour)
		cosigned, err := w.Cosign(request(t, tree, at), now)
		if err != nil {
			t.Fatalf("%d to %d: %v", at, size, err)
		}
		c, err := ParseCheckpoint(cosigned, ownLog(t), q)
		if err != nil || len(c.Cosigned) != 1 || c.Cosigned[0] != (Cosignature{key.Name(), now}) || c.Size != int64(size) {
			t.Fatalf("%+v %v", c, err)
		}
		at = c.Size
		if last, err := NewWitness(state, key, ownLog(t)).Last(); err != nil || last.Size != at {
			t.Fatal(last, err)
		}
	}
	before, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	fork := entriesFrom(0, 400)
	fork[100] = []byte("rewritten")
	forkDir := t.TempDir()
	l := openLog(t, forkDir)
	for _, e := range [][][]byte{fork[:256], fork[256:300], fork[300:]} {
		if _, err := l.Append(e...); err != nil {
			t.Fatal(err)
		}
		want := map[int64]error{256: ErrRollback, 300: ErrFork, 400: ErrFork}[l.Size()]
		if _, err := w.Cosign(request(t, l.Tree(), min(at, l.Size())), noon); err != want {
			t.Errorf("a fork of %d entries: %v", l.Size(), err)
		}
	}
	longer := treeOf(t, logOf(t, 400))
	for name, c := range map[string]struct {
		proof []byte
		want  error
	}{
		"rollback":     {request(t, treeOf(t, logOf(t, 256)), 256), ErrRollback},
		"from before":  {request(t, longer, 256), ErrStale},
		"from nothing": {request(t, longer, 0), ErrStale},
		"no proof":     {(&Consistency{Old: 300, Checkpoint: longer.head.Bytes()}).Bytes(), ErrFork},
		"no request":   {[]byte("old 300\n"), errNotProof},
		"other log":    {bytes.ReplaceAll(request(t, longer, 300), []byte(origin), []byte("ads.example/lug")), errSigned},
	} {
		if cosigned, err := w.Cosign(c.proof, noon); err != c.want || cosigned != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A tree of no entries has one root.
	empty, err := note.Sign(&note.Note{Text: formatHead(origin, 0, mth(entriesFrom(0, 1)))}, signerNamed(t, origin, 1))
	if err != nil {
		t.Fatal(err)
	}
	first := NewWitness(filepath.Join(t.TempDir(), "state"), key, ownLog(t))
	if _, err := first.Cosign((&Consistency{Checkpoint: empty}).Bytes(), noon); err != ErrFork {
		t.Error(err)
	}
	if after, err := os.ReadFile(state); err != nil || !bytes.Equal(before, after) {
		t.Error("a refusal has changed the state")
	}
	if _, err := w.Cosign(request(t, longer, 300), time.Unix(0, 0)); err == nil {
		t.Error("cosigned at no time")
	}
}

// A witness that can't read what it knew signs nothing.
func TestWitnessWithDamagedState(t *testing.T) {
	key, state := cosignerNamed(t, "w", 7), filepath.Join(t.TempDir(), "state")
	w := NewWitness(state, key, ownLog(t))
	tree := treeOf(t, logOf(t, 5))
	for name, c := range map[string]struct {
		content []byte
		want    error
	}{"empty": {nil, errCheckpoint}, "without its signature": {tree.head.Bytes(), ErrWitnesses}} {
		if err := os.WriteFile(state, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if cosigned, err := w.Cosign(request(t, tree, 5), noon); err != c.want || cosigned != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	lost := NewWitness(filepath.Join(t.TempDir(), "no", "state"), key, ownLog(t))
	if cosigned, err := lost.Cosign(request(t, tree, 0), noon); err == nil || cosigned != nil {
		t.Error("cosigned without a place for it")
	}
}

// Of two views one is cosigned, however many ask at once.
func TestWitnessOfTwoViews(t *testing.T) {
	key, state := cosignerNamed(t, "w", 7), filepath.Join(t.TempDir(), "state")
	a := treeOf(t, logOf(t, 5))
	l := openLog(t, t.TempDir())
	if _, err := l.Append([]byte("another view")); err != nil {
		t.Fatal(err)
	}
	proofs := [][]byte{request(t, a, 0), request(t, l.Tree(), 0)}
	var signed [2]int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, err := NewWitness(state, key, ownLog(t)).Cosign(proofs[i%2], noon); err == nil {
				mu.Lock()
				signed[i%2]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if signed[0]+signed[1] != 1 {
		t.Errorf("cosigned %v of two views", signed)
	}
}

func TestQuorum(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	add(t, l, 3)
	keys := []*Cosigner{cosignerNamed(t, "w1", 11), cosignerNamed(t, "w2", 12), cosignerNamed(t, "w3", 13)}
	alias := cosignerNamed(t, "w4", 11) // w1's key under another name
	var of []*WitnessKey
	for _, k := range append(keys, alias) {
		of = append(of, &k.WitnessKey)
	}
	c := l.Tree().Checkpoint()
	for n, k := range []*Cosigner{keys[0], alias, keys[1], cosignerNamed(t, "stranger", 14)} {
		signed, err := Cosign(c, k, noon)
		if err != nil {
			t.Fatal(err)
		}
		want := []int{1, 1, 2, 2}[n]
		for least := range 4 {
			got, err := ParseCheckpoint(signed, ownLog(t), Quorum{of, least})
			if least <= want && err != nil || least > want && (err != ErrWitnesses || got != nil) {
				t.Errorf("%d of %d: %v", want, least, err)
			}
			if err == nil {
				c = got
			}
		}
	}
	// The same witness twice, in the list and by signing again, is one.
	twice := Quorum{append(of, of[0]), 3}
	if _, err := ParseCheckpoint(c.Bytes(), ownLog(t), twice); err != ErrWitnesses {
		t.Error(err)
	}
	// The log publishes what its witnesses signed, and nobody else's lines.
	if _, err := l.Publish(c.Bytes(), Quorum{of, 3}); err != ErrWitnesses {
		t.Error(err)
	}
	if kept, err := l.Publish(c.Bytes(), Quorum{of, 2}); err != nil || len(kept.Cosigned) != 3 {
		t.Fatal(kept, err)
	}
	if r, err := Verify(os.DirFS(dir), Expect{Log: ownLog(t), Quorum: Quorum{of, 2}}); err != nil || len(r.Cosigned) != 3 {
		t.Error(r, err)
	}
	published := copyOf(t, dir)
	if strings.Contains(string(published["checkpoint"].Data), "stranger") {
		t.Error("a stranger's signature was published")
	}
	p, err := treeOf(t, published).Prove(1)
	if err != nil {
		t.Fatal(err)
	}
	for least, want := range map[int]error{2: nil, 3: ErrWitnesses} {
		if _, err := VerifyInclusion(p.Bytes(), entriesFrom(1, 1)[0], ownLog(t), Quorum{of, least}); err != want {
			t.Errorf("%d witnesses: %v", least, err)
		}
	}
	// Every byte of it counts, for who knows the witnesses.
	content := published["checkpoint"].Data
	for i := range content {
		content[i] ^= 1 << (i % 8)
		if c, err := ParseCheckpoint(content, ownLog(t), Quorum{of, 2}); err == nil && len(c.Cosigned) == 3 {
			t.Errorf("byte %d", i)
		}
		content[i] ^= 1 << (i % 8)
	}
}

// What c2sp.org/tlog-cosignature has a witness sign, and how the line looks.
func TestCosignature(t *testing.T) {
	text := "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
	if got := string(cosigned([]byte(text), 1679315147)); got != "cosignature/v1\ntime 1679315147\n"+text {
		t.Errorf("signed %q", got)
	}
	key := cosignerNamed(t, "w", 7)
	sig, err := timed{key, 1679315147}.Sign([]byte(text))
	if err != nil || len(sig) != 72 || !bytes.HasPrefix(sig, []byte{0, 0, 0, 0, 0x64, 0x18, 0x50, 0xcb}) {
		t.Fatalf("signature %x, %v", sig, err)
	}
	if !key.Verify([]byte(text), sig) {
		t.Error("not verified")
	}
	for i := range sig {
		sig[i] ^= 1
		if key.Verify([]byte(text), sig) {
			t.Errorf("byte %d", i)
		}
		sig[i] ^= 1
	}
	if key.Verify([]byte(text), sig[:71]) || key.Verify([]byte(text), nil) {
		t.Error("a short signature is verified")
	}
	if sig, err = (timed{key, 1 << 63}).Sign([]byte(text)); err != nil || key.Verify([]byte(text), sig) {
		t.Error("a time beyond 2^63 - 1 is verified")
	}
	// A log's signature is none of a witness, even with the same key.
	raw, err := signerNamed(t, "w", 7).Sign([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if key.Verify([]byte(text), raw) || key.Verify([]byte(text), append(make([]byte, 8), raw...)) {
		t.Error("a log's signature is taken for a cosignature")
	}
}

// A checkpoint with as many signatures as a note may have takes no more: what
// came out could not be read.
func TestTooManySignatures(t *testing.T) {
	c := treeOf(t, logOf(t, 1)).Checkpoint()
	var err error
	for i := 1; i < maxSignatures+1 && err == nil; i++ {
		var signed []byte
		if signed, err = Cosign(c, cosignerNamed(t, "w"+strings.Repeat("w", i), byte(i)), noon); err == nil {
			if c, err = ParseCheckpoint(signed, ownLog(t), Quorum{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !errors.Is(err, errCheckpoint) || len(c.note.UnverifiedSigs) != maxSignatures-1 {
		t.Errorf("%d signatures, %v", len(c.note.UnverifiedSigs), err)
	}
	// A stranger's signatures don't get into the witness's state.
	w := NewWitness(filepath.Join(t.TempDir(), "state"), cosignerNamed(t, "w", 7), ownLog(t))
	c.note.UnverifiedSigs = c.note.UnverifiedSigs[1:]
	crowded, err := note.Sign(c.note)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Cosign((&Consistency{Checkpoint: crowded}).Bytes(), noon); err != nil {
		t.Fatal(err)
	}
	if last, err := w.Last(); err != nil || len(last.note.UnverifiedSigs) != 0 {
		t.Error(err)
	}
}
