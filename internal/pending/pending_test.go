//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package pending

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// must ends the test at an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const childDir = "OVERLAP_TEST_PENDING_DIR"

// TestMain is also TestKilled's child, which makes a file and stands still.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		f, err := Create(dir, "begun-")
		fmt.Println(f != nil && err == nil)
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

// A file stays as long as its process lives, and is swept after.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	alive := Sweep(dir, "begun-")
	kept := names(t, dir)
	must(t, child.Process.Kill())
	_ = child.Wait() // killed
	if line != "true\n" || err != nil || alive != nil || len(kept) != 1 {
		t.Fatalf("while its process lives there is %q: %q, %v, %v", kept, line, err, alive)
	}
	must(t, os.WriteFile(filepath.Join(dir, "else"), nil, 0o600))
	must(t, os.Symlink("else", filepath.Join(dir, "begun-link")))
	must(t, os.Mkdir(filepath.Join(dir, "begun-dir"), 0o700))
	must(t, Sweep(dir, "begun-"))
	if left := fmt.Sprint(names(t, dir)); left != "[begun-dir begun-link else]" {
		t.Errorf("%s are left", left)
	}
	must(t, Sweep(filepath.Join(dir, "none"), "begun-"))
}

func names(t *testing.T, dir string) (list []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range found {
		list = append(list, f.Name())
	}
	return list
}

// A file that is swept between its making and its lock is not taken for one that
// has a name.
func TestSweptBeforeLock(t *testing.T) {
	dir := t.TempDir()
	f, err := os.CreateTemp(dir, "begun-*")
	must(t, err)
	defer f.Close()
	if !linked(f) {
		t.Error("a new file isn't linked")
	}
	must(t, Sweep(dir, "begun-"))
	must(t, Lock(f))
	if linked(f) {
		t.Error("a swept file is linked")
	}
	must(t, os.WriteFile(f.Name(), nil, 0o600))
	if linked(f) {
		t.Error("another file of its name is taken for it")
	}
}

func TestLock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	open := func() *os.File {
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
		must(t, err)
		return f
	}
	one, two := open(), open()
	defer two.Close()
	for _, c := range []struct {
		f    *os.File
		want bool
	}{{one, true}, {one, true}, {two, false}} {
		if got, err := TryLock(c.f); got != c.want || err != nil {
			t.Errorf("got %t, %v", got, err)
		}
	}
	must(t, one.Close())
	if mine, err := TryLock(two); !mine || err != nil {
		t.Errorf("after it is given free: %t, %v", mine, err)
	}
	if _, err := TryLock(one); err == nil {
		t.Error("a closed file is locked")
	}
	if _, err := Create(filepath.Join(name, "none"), ""); err == nil {
		t.Error("a file without a directory")
	}
}
