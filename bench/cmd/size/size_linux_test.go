package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A small market comes out as the large ones do: exact, with every figure there.
func TestMeasure(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "overlap")
	build := exec.Command("go", "build", "-o", binary, "./cmd/overlap")
	build.Dir = "../../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	r, err := measure(t.Context(), binary, filepath.Join(dir, "market"), 1001)
	if err != nil {
		t.Fatal(err)
	}
	if r.platform.peak == 0 || r.advertise.peak == 0 || r.advertise.cpu == 0 || r.wire < 64*1001 || r.wall == 0 {
		t.Errorf("measured %+v", r)
	}
}

func TestWatch(t *testing.T) {
	dir := t.TempDir()
	most := watch(dir)
	name := filepath.Join(dir, "large")
	if err := os.WriteFile(name, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if got := most(); got < 32<<20 { // others may have removed something meanwhile
		t.Errorf("64 MiB were there, and %d bytes were seen", got)
	}
}

func TestRow(t *testing.T) {
	first := &result{n: 1000, padded: 1024, wall: 2 * time.Second, load: time.Second, platform: usage{30 * time.Millisecond, 50 << 20},
		advertise: usage{20 * time.Millisecond, 40 << 20}, wire: 84_000, disk: 90_000}
	second := *first
	second.padded, second.platform.cpu = 2024, 60*time.Millisecond
	for r, want := range map[*result]string{
		first:   "| 1000 | 2.0 | 1.0 | 50.0 |  | 0.0 | 0.0 | 50 | 40 | 84.0 | 90.0 |\n",
		&second: "| 1000 | 2.0 | 1.0 | 80.0 | 30.0 | 0.1 | 0.0 | 50 | 40 | 84.0 | 90.0 |\n",
	} {
		if got := r.row(first); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if columns := strings.Count(header[strings.Index(header, "|--:"):], "--:"); columns != strings.Count(first.row(first), "|")-1 {
		t.Errorf("%d columns", columns)
	}
}
