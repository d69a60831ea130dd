package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/overlap-psi/overlap/client"
)

// TestHundredThousandInEachMode: as TestHundredThousand, for the modes in which
// the advertiser learns rows. What each side gets is the intersection of the plain
// files exactly, or nothing; and of whom it doesn't learn, nothing is on the wire
// or in any file it wrote.
func TestHundredThousandInEachMode(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	dir := t.TempDir()
	w := newWorld(t, dir, n)
	everybody, advertisersOnly := newSearch(t, 0, n+n/2), newSearch(t, 0, n/2)
	for _, c := range []struct {
		mode client.Mode
		name string
	}{{client.ALearns, ""}, {client.MutualA, "a"}, {client.MutualP, "p"}} {
		everybody.look(t, "the wire", w.matchIn(t, c.mode, c.name, n))

		// The platform's store holds its own people. All other files hold nobody.
		for _, name := range filesIn(t, dir, "users.db", "users.db-wal") {
			advertisersOnly.lookInFile(t, name)
		}
		for _, name := range filesIn(t, dir, "work", "state") {
			everybody.lookInFile(t, name)
		}
		checkOverlapOnDisk(t, dir, 0)
	}
}

// TestHundredThousandPublished: the same through a published table, which is
// fetched once.
func TestHundredThousandPublished(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 20_000
	}
	dir := t.TempDir()
	w := newWorld(t, dir, n)
	must(t, w.p.server.Publish(t.Context()))
	w.conf.Tables = filepath.Join(dir, "tables")
	everybody := newSearch(t, 0, n+n/2)
	for _, c := range []struct {
		mode client.Mode
		name string
	}{{client.ALearns, ""}, {client.MutualA, "a"}} {
		everybody.look(t, "the wire", w.matchIn(t, c.mode, c.name, n))
		for _, name := range filesIn(t, dir, "work/tables", "tables", "state") { // what is private of a table has its snapshot
			everybody.lookInFile(t, name)
		}
	}
}

// matchIn matches n customers in a mode, checks what each side learns, and returns
// what was on the wire. The list is 0…n−1, the platform n/2…n+n/2−1.
func (w *world) matchIn(t *testing.T, mode client.Mode, name string, n int) (capture []byte) {
	t.Helper()
	w.conf.Mode = mode
	next, wrong := uint64(n/2+1), 0
	w.conf.Matched = func(m client.Match) error {
		if kind, _ := kindOf(person(int(m.Row - 1))); m.Row != next || m.Kind != kind {
			wrong++
		}
		next++
		return nil
	}
	audience, capture := w.match(t, name)
	if wrong > 0 || next != uint64(n+1) {
		t.Errorf("%v: %d rows matched, want %d; %d wrong", mode, next-uint64(n/2+1), n/2, wrong)
	}
	checkAudience(t, mode, audience, n)
	return capture
}

func checkAudience(t *testing.T, mode client.Mode, audience []string, n int) {
	t.Helper()
	if !mode.FillsAudience() {
		if len(audience) > 0 {
			t.Errorf("%v: the platform learns %d accounts", mode, len(audience))
		}
		return
	}
	want := map[string]bool{}
	for i := n / 2; i < n; i++ {
		want[fmt.Sprintf("u%d", i)] = true
	}
	for _, account := range audience {
		if !want[account] {
			t.Fatalf("%v: %s matched and is not in both files", mode, account)
		}
		delete(want, account)
	}
	if len(want) > 0 {
		t.Errorf("%v: %d of %d accounts were missed", mode, len(want), n/2)
	}
}

// filesIn returns the files at or below the given names in dir.
func filesIn(t *testing.T, dir string, names ...string) (files []string) {
	t.Helper()
	for _, name := range names {
		must(t, filepath.WalkDir(filepath.Join(dir, name), func(path string, d os.DirEntry, err error) error {
			if os.IsNotExist(err) {
				return nil
			}
			if err == nil && !d.IsDir() {
				files = append(files, path)
			}
			return err
		}))
	}
	return files
}

func (s *search) lookInFile(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	s.look(t, filepath.Base(path), b)
}
