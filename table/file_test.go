package table

import (
	"cmp"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// full is storage without room.
type full struct{ room int }

var errFull = errors.New("no space")

func (f *full) Write(p []byte) (int, error) {
	if f.room -= len(p); f.room < 0 {
		return 0, errFull
	}
	return len(p), nil
}

func (*full) ReadAt([]byte, int64) (int, error) { return 0, errFull }
func (*full) Close() error                      { return nil }

// TestFullStorage has the table itself not fit.
func TestFullStorage(t *testing.T) {
	for room := 0; room < 1024*16; room += 1000 {
		b, err := NewBuilder(Options{Dir: t.TempDir(), TokenLen: 16})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if err := b.pad(ctx, &psi.Seed{}, 0); err != nil {
			t.Fatal(err)
		}
		table := &Table{kept: &full{room}}
		if err := b.fill(ctx, table); !errors.Is(err, errFull) || table.entries != 0 {
			t.Fatalf("room for %d bytes: %v", room, err)
		}
	}
}

// TestNoDirectory has a file where the directory should be.
func TestNoDirectory(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	o := Options{Dir: name, TokenLen: 16, Memory: 1}
	b, err := NewBuilder(o)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a failure is final
		if err := b.Add(random(seeded(40), 300)); err == nil || errors.Is(err, errClosed) {
			t.Errorf("Add: %v", err)
		}
	}
	if table, err := b.Seal(ctx, "", &psi.Seed{}); err == nil || table != nil {
		t.Errorf("Seal after a failure: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := NewSpool(o); err == nil {
		t.Error("a spool without a directory")
	}
	if err := Sweep(name); err == nil {
		t.Error("a file was swept")
	}
}

// TestPathTaken has a directory where the table should be: all is written, and
// the rename fails.
func TestPathTaken(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	dir := t.TempDir()
	path := filepath.Join(dir, "table")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Join(dir, prefix+"1")} {
		b, err := NewBuilder(o)
		if err != nil {
			t.Fatal(err)
		}
		if table, err := b.Seal(ctx, path, &psi.Seed{}); err == nil || table != nil {
			t.Error("sealed at a path that can't be")
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%d entries left, %v", len(left), err)
	}
	checkEmpty(t, o.Dir)
}

// TestSealReplaces seals twice at one path; a reader of the first table keeps it.
func TestSealReplaces(t *testing.T) {
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	path := filepath.Join(t.TempDir(), "new", "table")
	first, _ := inFull(t, o, random(seeded(41), 10), path, &psi.Seed{})
	second, _ := inFull(t, o, random(seeded(42), 10), path, &psi.Seed{})
	if naiveRoot(collect(t, first.Chunks(2000), 16, 2000), 16) != first.Root() {
		t.Error("the first table was written over")
	}
	if err := second.Close(); err != nil {
		t.Error(err)
	}
	again, err := Open(path, o) // a closed table stays
	if err != nil {
		t.Fatal(err)
	}
	if again.Root() != second.Root() {
		t.Error("the second table isn't at the path")
	}
	if err := cmp.Or(again.Remove(), again.Remove()); err != nil {
		t.Error(err)
	}
}

// TestSweep removes what carries the prefix and nothing else.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{prefix + "1", prefix + "2", "table", "overlap-tokens-3"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte{1}, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, prefix+"directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := Sweep(dir); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
			t.Fatalf("%d entries left, %v", len(left), err)
		}
	}
	if err := Sweep(filepath.Join(dir, "none")); err != nil {
		t.Errorf("no directory: %v", err)
	}
}
