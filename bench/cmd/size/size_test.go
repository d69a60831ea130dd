//go:build linux

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
	m := &market{binary: binary, dir: filepath.Join(dir, "market"), n: 1001}
	r, err := m.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.accounts != 501 || r.platform.peak == 0 || r.advertise.peak == 0 || r.advertise.cpu == 0 || r.wire < 64*1001 || r.wall == 0 {
		t.Errorf("measured %+v", r)
	}
	// Somebody who is not in common is noticed.
	m.n = 900
	if _, err := m.audience(t.Context()); err == nil {
		t.Error("an audience of others is right, too")
	}
}

func TestProcessTime(t *testing.T) {
	before, err := processTime(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for started := time.Now(); time.Since(started) < 100*time.Millisecond; {
		_ = strings.Repeat("x", 1<<10)
	}
	after, err := processTime(os.Getpid())
	if err != nil || after <= before {
		t.Errorf("%v, then %v, %v", before, after, err)
	}
}

func TestRow(t *testing.T) {
	r := &result{n: 1000, wall: 2 * time.Second, load: time.Second, platform: usage{30 * time.Millisecond, 50 << 20},
		advertise: usage{20 * time.Millisecond, 40 << 20}, wire: 84_000, disk: 90_000}
	if got, want := r.row(), "| 1000 | 2.0 | 1.0 | 50.0 | 0.0 | 0.0 | 50 | 40 | 84.0 | 90.0 |\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if columns := strings.Count(header[strings.Index(header, "|--:"):], "--:"); columns != strings.Count(r.row(), "|")-1 {
		t.Errorf("%d columns", columns)
	}
}
