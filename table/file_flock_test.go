//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package table

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/psi"
)

// TestNameless checks that nothing has a name while it is in use, so that no way
// to end leaves anything; and that what has one is the owner's alone.
func TestNameless(t *testing.T) {
	o := Options{Dir: filepath.Join(t.TempDir(), "private"), TokenLen: 16, Memory: 1}
	q := newQueries(t, o, random(seeded(50), 500), 0)
	defer q.Close()
	s, err := NewSpool(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	table, _ := inFull(t, o, random(seeded(50), 500), "", &psi.Seed{})
	defer table.Close()
	checkEmpty(t, o.Dir)
	if q.p.inMemory() {
		t.Error("nothing was spilled")
	}
	path := filepath.Join(o.Dir, "table")
	named, _ := inFull(t, o, random(seeded(50), 500), path, &psi.Seed{})
	defer named.Close()
	for name, want := range map[string]os.FileMode{o.Dir: 0o700 | os.ModeDir, path: 0o600} {
		if stat, err := os.Stat(name); err != nil || stat.Mode() != want {
			t.Errorf("mode is not %v, %v", want, err)
		}
	}
}

// alone runs the calling test again in a process of its own, and reports whether
// this is that process. A limit on the size of files is a whole process's, and in
// this one go test writes a file too.
func alone(t *testing.T) bool {
	t.Helper()
	const mark = "OVERLAP_TEST_ALONE"
	if os.Getenv(mark) == t.Name() {
		return true
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), mark+"="+t.Name())
	if out, err := child.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// TestDiskFull bounds the size of files, so that writes fail where a full disk
// would fail them.
func TestDiskFull(t *testing.T) {
	if alone(t) {
		diskFull(t)
	}
}

func diskFull(t *testing.T) {
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	outs := random(seeded(51), 1300) // 31 200 bytes spilled, 36 864 with pads; a table of 24 576
	build := func(memory, limit int, path bool) (dir string, err error) {
		o := Options{Dir: t.TempDir(), TokenLen: 16, Memory: memory}
		b, err := NewBuilder(o)
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		bounded := before
		bounded.Cur = min(bounded.Cur, uint64(limit))
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &bounded); err != nil {
			t.Fatal(err)
		}
		defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)
		to := ""
		if path {
			to = filepath.Join(o.Dir, "table")
		}
		if err := b.Add(outs); err != nil {
			return o.Dir, err
		}
		table, err := b.Seal(ctx, to, &psi.Seed{})
		if err == nil {
			err = table.Remove()
		}
		return o.Dir, err
	}
	for _, c := range []struct {
		memory, limit int
		path          bool
		doing         string // empty: it fits
	}{
		{0, 0, false, ""},
		{0, 0, true, "write table"},
		{0, 24_575, true, "write table"},
		{0, 24_576, true, ""},
		{1, 0, false, "write spilled tokens"},
		{1, 20_001, false, "write spilled tokens"},
		{1, 33_000, false, "write spilled tokens"}, // fits, but for its pads
		{1, 36_864, true, ""},
	} {
		dir, err := build(c.memory, c.limit, c.path)
		if (c.doing == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), "table: "+c.doing+": ") {
			t.Errorf("memory %d, limit %d: %v", c.memory, c.limit, err)
		}
		if err != nil && !errors.Is(err, syscall.EFBIG) {
			t.Errorf("the system's error is not in %v", err)
		}
		checkEmpty(t, dir)
	}
}

// TestSpoolFull goes on with what fitted no more.
func TestSpoolFull(t *testing.T) {
	if !alone(t) {
		return
	}
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	o := Options{Dir: t.TempDir(), TokenLen: 16}
	s, err := NewSpool(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	bounded := before
	bounded.Cur = 100
	defer syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &bounded); err != nil {
		t.Fatal(err)
	}
	if err := s.Append(make([]byte, 96)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.Append(make([]byte, 16)); !errors.Is(err, syscall.EFBIG) {
			t.Errorf("past the limit: %v", err)
		}
	}
	for _, err := range s.Chunks() {
		if err == nil {
			t.Error("a spool that lacks entries was read")
		}
	}
	if err := cmp.Or(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
}

const childDir = "OVERLAP_TEST_SEAL_DIR"

// TestMain is also TestKilled's child.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		log.Fatal("sealed: ", sealAndStop(dir))
	}
	os.Exit(m.Run())
}

// sealAndStop stands still before the last bucket of a table is written.
func sealAndStop(dir string) error {
	b, err := NewBuilder(Options{Dir: dir, TokenLen: 16, Memory: 1000})
	if err != nil {
		return err
	}
	if err := b.Add(random(seeded(52), 1000)); err != nil {
		return err
	}
	stop := &stopped{ctx, 3 * buckets, func() error { // and one look before pads
		fmt.Println("ready")
		time.Sleep(time.Minute)
		return nil
	}}
	_, err = b.Seal(stop, filepath.Join(dir, "table"), &psi.Seed{})
	return err
}

// TestKilled kills a process between writing a table and naming it. Its file is
// left alone while it lives, and swept after.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	names := left(t, dir)
	swept := Sweep(dir)
	names = append(names, left(t, dir)...)
	child.Process.Kill()
	child.Wait()
	if line != "ready\n" || err != nil {
		t.Fatalf("the child says %q, %v", line, err)
	}
	if swept != nil || len(names) != 2 || names[0] != names[1] || !strings.HasPrefix(names[0], prefix) {
		t.Fatalf("before and after a sweep: %q, %v", names, swept)
	}
	if stat, err := os.Stat(filepath.Join(dir, names[0])); err != nil || stat.Size() == 0 || stat.Mode() != 0o600 {
		t.Errorf("the killed process has written nothing, or for everybody: %v", err)
	}
	if err := Sweep(dir); err != nil {
		t.Error(err)
	}
	checkEmpty(t, dir)
}

func left(t *testing.T, dir string) (names []string) {
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, f := range found {
		names = append(names, f.Name())
	}
	return names
}

// TestOpenFiles checks that every way through the package closes its files.
func TestOpenFiles(t *testing.T) {
	if !alone(t) {
		return
	}
	descriptors := func() int { return len(left(t, "/dev/fd")) }
	every := func(t *testing.T) {
		TestCancelSeal(t)
		diskFull(t)
		TestPathTaken(t)
		TestOpenRefuses(t)
		TestSealReplaces(t)
	}
	t.Run("first", every) // the runtime opens files of its own, once
	before := descriptors()
	t.Run("again", every)
	if after := descriptors(); after != before {
		t.Errorf("%d files were open, %d are", before, after)
	}
}
