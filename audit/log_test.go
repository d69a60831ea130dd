package audit

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/sumdb/note"
)

// openError opens a log that can't be opened, and returns why.
func openError(t *testing.T, dir string, s *Signer) error {
	t.Helper()
	l, err := Open(dir, s, AnyBytes)
	if err == nil {
		l.Close()
		t.Fatal("opened")
	}
	return err
}

func TestLogGoesOnWhereItEnded(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "log")
	at := 0
	for _, n := range []int{0, 1, 0, 254, 1, 1, 300, 43} {
		l := openLog(t, dir)
		if l.Size() != int64(at) {
			t.Fatalf("%d entries, want %d", l.Size(), at)
		}
		add(t, l, n)
		at += n
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append([]byte("late")); err != errFailed {
			t.Fatalf("a closed log goes on: %v", err)
		}
		if r, err := verify(t, os.DirFS(dir)); err != nil || r.Size != int64(at) || r.Root != mth(entriesFrom(0, at)) {
			t.Fatal(r, err)
		}
	}
	if info, err := os.Stat(dir + "/checkpoint"); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}

func TestOneWriter(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	add(t, l, 1)
	if err := openError(t, dir, signerNamed(t, origin, 1)); err != ErrLocked {
		t.Error(err)
	}
	// Reading takes no lock.
	if _, err := verify(t, os.DirFS(dir)); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// And a failure to open leaves none.
	if err := openError(t, dir, signerNamed(t, origin, 2)); !errors.Is(err, errSigned) {
		t.Error(err)
	}
	add(t, openLog(t, dir), 1)
}

func TestEntryLengths(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	longest := bytes.Repeat([]byte{0xff}, MaxEntry)
	if _, err := l.Append([]byte("a"), append(longest, 0)); err != errLong {
		t.Fatal(err)
	}
	if first, err := l.Append(); first != 0 || err != nil {
		t.Fatal(first, err)
	}
	if first, err := l.Append(nil, longest, []byte{}); first != 0 || err != nil {
		t.Fatal(first, err)
	}
	var lengths []int
	for e, err := range l.Tree().Entries(0) {
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(e))
	}
	if fmt.Sprint(lengths) != "[0 65535 0]" {
		t.Errorf("lengths %v", lengths)
	}
	if _, err := verify(t, os.DirFS(dir)); err != nil {
		t.Error(err)
	}
	l.Close()
	if l = openLog(t, dir); l.Size() != 3 {
		t.Error("lost entries")
	}
	add(t, l, 1)
}

// A writer does not build on files that aren't its checkpoint's.
func TestOpenRefusesDamage(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(dir string) error
		want string
	}{
		"lost checkpoint": {func(dir string) error { return os.Remove(dir + "/checkpoint") }, errLost.Error()},
		"torn checkpoint": {func(dir string) error { return os.Truncate(dir+"/checkpoint", 50) }, errCheckpoint.Error()},
		"lost edge":       {func(dir string) error { return os.Remove(dir + "/tile/0/001.p/44") }, "audit: tile/0/001.p/44 is missing"},
		"lost bundle":     {func(dir string) error { return os.Remove(dir + "/tile/entries/001.p/44") }, "audit: tile/entries/001.p/44 is missing"},
		"lost level":      {func(dir string) error { return os.Remove(dir + "/tile/1/000.p/1") }, "audit: tile/1/000.p/1 is missing"},
		"wrong edge":      {func(dir string) error { return flip(dir + "/tile/0/001.p/44") }, errDamage.Error()},
		"wrong level":     {func(dir string) error { return flip(dir + "/tile/1/000.p/1") }, errDamage.Error()},
		"wrong bundle": {func(dir string) error { return flip(dir + "/tile/entries/001.p/44") },
			"audit: entry 299 is not the one that was logged"},
	} {
		dir := t.TempDir()
		attempt(t, dir, 1<<30, new([][]byte), 300)
		if err := c.do(dir); err != nil {
			t.Fatal(err)
		}
		if err := openError(t, dir, signerNamed(t, origin, 1)); !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// flip changes a file's last byte.
func flip(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	content[len(content)-1] ^= 1
	return os.WriteFile(name, content, 0o600)
}

// A checkpoint that was signed and has not got its name is the log's. Anything
// else that lies there is a piece of one, or not ours.
func TestPendingCheckpoint(t *testing.T) {
	dir := t.TempDir()
	attempt(t, dir, 1<<30, new([][]byte), 5)
	before, err := os.ReadFile(dir + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	attempt(t, dir, 1<<30, new([][]byte), 3)
	after, err := os.ReadFile(dir + "/checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := note.Sign(&note.Note{Text: formatHead(origin, 9, mth(nil))}, signerNamed(t, origin, 2))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		current, pending []byte
		size             int64
	}{
		"newer":      {before, after, 8},
		"only":       {nil, after, 8},
		"older":      {after, before, 8},
		"same":       {after, after, 8},
		"torn":       {after, after[:len(after)-2], 8},
		"stranger's": {after, stranger, 8},
	} {
		os.Remove(dir + "/checkpoint")
		if c.current != nil {
			if err := os.WriteFile(dir+"/checkpoint", c.current, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(dir+"/"+newCheckpoint, c.pending, 0o600); err != nil {
			t.Fatal(err)
		}
		l := openLog(t, dir)
		if l.Size() != c.size {
			t.Errorf("%s: %d entries", name, l.Size())
		}
		l.Close()
		if _, err := os.Stat(dir + "/" + newCheckpoint); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: it is still there", name)
		}
		if _, err := verify(t, os.DirFS(dir)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPrintedLogShowsNoKey(t *testing.T) {
	l := openLog(t, t.TempDir())
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if got := fmt.Sprintf(verb, l); strings.Contains(got, "1, 0x1, 0x1") || strings.Contains(got, "1 1 1 1") {
			t.Errorf("%s prints %s", verb, got)
		}
	}
}

// Many append and read at once; run with -race.
func TestConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	l := openLog(t, dir)
	var wg sync.WaitGroup
	firsts := make(chan int64, 64)
	for g := range 4 {
		wg.Go(func() {
			for i := range 8 {
				first, err := l.Append([]byte{byte(g), byte(i)}, []byte{byte(g), byte(i), 2})
				if err != nil {
					t.Error(err)
					return
				}
				firsts <- first
				p, err := l.Tree().Prove(first + 1)
				if err != nil {
					t.Error(err)
					return
				}
				if at, err := VerifyInclusion(p.Bytes(), []byte{byte(g), byte(i), 2}, ownLog(t), Quorum{}); err != nil || at != first+1 {
					t.Error(at, err)
				}
			}
		})
	}
	wg.Wait()
	close(firsts)
	seen := map[int64]bool{}
	for f := range firsts {
		if f%2 != 0 || seen[f] {
			t.Errorf("two batches at %d", f)
		}
		seen[f] = true
	}
	if r, err := verify(t, os.DirFS(dir)); err != nil || r.Size != 64 || len(seen) != 32 {
		t.Error(r, err)
	}
}
