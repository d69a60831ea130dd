package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// cosignedBy is the checkpoint with the witnesses' signatures.
func cosignedBy(t *testing.T, c *Checkpoint, keys ...*Cosigner) []byte {
	t.Helper()
	for _, k := range keys {
		signed, err := Cosign(c, k, noon)
		if err != nil {
			t.Fatal(err)
		}
		if c, err = ParseCheckpoint(signed, ownLog(t), Quorum{}); err != nil {
			t.Fatal(err)
		}
	}
	return c.Bytes()
}

// A log that grows while its witnesses take their time has what they cosigned all
// the same, and proves by it what is in it; the log's own checkpoint goes on.
func TestCosignedWhileTheLogGrows(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	w1, w2, stranger := cosignerNamed(t, "w1", 11), cosignerNamed(t, "w2", 12), cosignerNamed(t, "stranger", 14)
	both := []*WitnessKey{&w1.WitnessKey, &w2.WitnessKey}
	add(t, l, 3)
	early := l.Tree().Checkpoint()
	if _, err := ReadCosigned(os.DirFS(dir), ownLog(t), Quorum{}); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("nobody has cosigned: %v", err)
	}
	for i, step := range []struct {
		more    int // entries that come first
		file    []byte
		want    error
		size    int64 // kept then,
		witness int   // by so many
	}{
		{2, cosignedBy(t, early, w1, stranger), nil, 3, 1},
		{300, cosignedBy(t, early, w2), nil, 3, 2}, // over the border of a tile
		{0, cosignedBy(t, early, w1), nil, 3, 2},   // again
		{0, early.Bytes(), ErrWitnesses, 3, 2},
		{0, cosignedBy(t, early, stranger), ErrWitnesses, 3, 2},
	} {
		add(t, l, step.more)
		if _, err := PublishCosigned(short(t), dir, signerNamed(t, origin, 1), AnyBytes, step.file, Quorum{both, 1}); err != ErrLocked {
			t.Fatalf("beside another writer: %v", err)
		}
		if _, err := l.Publish(step.file, Quorum{both, 1}); err != step.want {
			t.Fatalf("%d: %v", i, err)
		}
		wantCosigned(t, dir, both, step.size, step.witness)
	}
	if r, err := Verify(os.DirFS(dir), Expect{Log: ownLog(t)}); err != nil || r.Size != 305 {
		t.Fatal(r, err)
	}
	late := l.Tree().Checkpoint()
	kept, err := l.Publish(cosignedBy(t, late, w2), Quorum{both, 1})
	if err != nil || kept.Size != 305 || len(kept.Cosigned) != 1 {
		t.Fatal(kept, err)
	}
	wantCosigned(t, dir, both, 305, 1)
	if _, err := l.Publish(cosignedBy(t, early, w1), Quorum{both, 1}); err != ErrOlder {
		t.Errorf("an earlier one: %v", err)
	}
	// Who is trusted no more is not kept.
	if kept, err = l.Publish(cosignedBy(t, late, w1), Quorum{both[:1], 1}); err != nil || len(kept.Cosigned) != 1 {
		t.Fatal(kept, err)
	}
	wantCosigned(t, dir, both, 305, 1)

	fork, longer := openLog(t, t.TempDir()), openLog(t, t.TempDir())
	if _, err := fork.Append([]byte("another view")); err != nil {
		t.Fatal(err)
	}
	add(t, longer, 400)
	for want, other := range map[error]*Log{ErrFork: fork, ErrRollback: longer} {
		if _, err := l.Publish(cosignedBy(t, other.Tree().Checkpoint(), w1), Quorum{both, 1}); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	wantCosigned(t, dir, both, 305, 1)
}

// short is a context for who does not wait.
func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func wantCosigned(t *testing.T, dir string, of []*WitnessKey, size int64, witnesses int) {
	t.Helper()
	tree, err := ReadCosigned(os.DirFS(dir), ownLog(t), Quorum{of, witnesses})
	if err != nil || tree.Size() != size || len(tree.head.Cosigned) != witnesses {
		t.Fatalf("%+v, %v; want %d entries by %d", tree, err, size, witnesses)
	}
	if strings.Contains(string(tree.head.signed), "stranger") {
		t.Error("a stranger's signature is kept")
	}
	p, err := tree.Prove(size - 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := VerifyInclusion(p.Bytes(), entriesFrom(int(size)-1, 1)[0], ownLog(t), Quorum{of, witnesses}); err != nil {
		t.Error(err)
	}
}

// A request and its answer travel as c2sp.org/tlog-witness has them.
func TestAnswer(t *testing.T) {
	tree := treeOf(t, logOf(t, 3))
	key := cosignerNamed(t, "witness.example/w1", 7)
	answer := string(Answer(cosignedBy(t, tree.head, key)))
	if !strings.HasPrefix(answer, "— witness.example/w1 ") || strings.Count(answer, "\n") != 1 || !strings.HasSuffix(answer, "\n") {
		t.Errorf("%q", answer)
	}
	asked, err := ParseConsistency(request(t, tree, 0))
	if err != nil {
		t.Fatal(err)
	}
	q := Quorum{[]*WitnessKey{&key.WitnessKey}, 1}
	if _, err := ParseCheckpoint(asked.Cosigned([]byte(answer)), ownLog(t), q); err != nil {
		t.Error(err)
	}
	other, err := ParseConsistency(request(t, treeOf(t, logOf(t, 4)), 3))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want error
	}{
		"to another request": {other.Cosigned([]byte(answer)), errSignature},
		"nothing":            {asked.Cosigned(nil), ErrWitnesses},
		"no line":            {asked.Cosigned([]byte("no\n")), errCheckpoint},
	} {
		if _, err := ParseCheckpoint(c.file, ownLog(t), q); err != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Keys are written as c2sp.org/signed-note has them, and read in that form alone.
func TestVerifierKeys(t *testing.T) {
	w := &cosignerNamed(t, "witness.example/w1", 7).WitnessKey
	again, err := ParseWitnessKey(w.String())
	if err != nil || again.String() != w.String() || again.KeyHash() != w.KeyHash() || !again.Same(w) {
		t.Fatal(again, err)
	}
	if again.Same(&cosignerNamed(t, "witness.example/w1", 8).WitnessKey) {
		t.Error("two keys are one")
	}
	log := signerNamed(t, origin, 1)
	if v, err := note.NewVerifier(log.VerifierKey()); err != nil || v.KeyHash() != log.KeyHash() || v.Name() != origin {
		t.Error(v, err)
	}
	// As a witness of other software, litewitness of filippo.io/torchwood, says its own.
	const other = "lite.example/w+1c426e61+BJL5iY71lmwei+W2luU71JNshU5toacY9wPeBecwQ16r"
	if w, err := ParseWitnessKey(other); err != nil || w.Name() != "lite.example/w" {
		t.Error(w, err)
	}
	for _, text := range []string{"", "w", "w+", "w++", log.VerifierKey(), other + "=", other[:len(other)-1], strings.ToUpper(other), strings.Replace(other, "1c", "1d", 1),
		strings.Replace(other, "lite", "late", 1), strings.Replace(other, "+BJL5", "+AJL5", 1), strings.Replace(other, "/w", "/ w", 1)} {
		if w, err := ParseWitnessKey(text); err == nil {
			t.Errorf("%q is read as %v", text, w)
		}
	}
}
