package audit

import (
	"bytes"
	"errors"
	"io/fs"
	"math/rand"
	"os"
	"path"
	"path/filepath"
	"testing"
)

var errKilled = errors.New("killed")

// mortal is a disk that stops after some steps, in the middle of one. If the
// power fails too, names that weren't made durable may be lost.
type mortal struct {
	directory
	steps  int // that are left
	done   int
	signed *[][]byte // every checkpoint that was written to the end
	again  int       // tiles that got their name twice
	undo   []undo
}

// undo takes back a change of the names in dir.
type undo struct {
	dir string
	do  func()
}

func (m *mortal) step() error {
	if m.steps == 0 {
		return errKilled
	}
	m.steps--
	m.done++
	return nil
}

func (m *mortal) mkdir(dir string) error {
	if err := m.step(); err != nil {
		return err
	}
	if _, err := m.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		m.undo = append(m.undo, undo{path.Dir(dir), func() { m.RemoveAll(dir) }})
	}
	return m.directory.mkdir(dir)
}

func (m *mortal) write(name string, content []byte) error {
	if err := m.step(); err != nil {
		m.WriteFile(name, content[:len(content)/2], 0o600)
		return err
	}
	if name == newCheckpoint {
		*m.signed = append(*m.signed, bytes.Clone(content))
	}
	return m.WriteFile(name, content, 0o600) // there is no real loss of power, so no sync
}

func (m *mortal) rename(from, to string) error {
	if err := m.step(); err != nil {
		return err
	}
	before, err := m.ReadFile(to)
	after, _ := m.ReadFile(from)
	if to != checkpointFile && err == nil {
		m.again++
	}
	m.undo = append(m.undo, undo{path.Dir(to), func() {
		m.WriteFile(from, after, 0o600)
		if err != nil {
			m.Remove(to)
		} else {
			m.WriteFile(to, before, 0o600)
		}
	}})
	return m.directory.rename(from, to)
}

func (m *mortal) remove(name string) error {
	if err := m.step(); err != nil {
		return err
	}
	before := map[string][]byte{}
	fs.WalkDir(m.files(), name, func(file string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			before[file], _ = m.ReadFile(file)
		}
		return nil
	})
	m.undo = append(m.undo, undo{path.Dir(name), func() {
		for file, content := range before {
			m.MkdirAll(path.Dir(file), 0o700)
			m.WriteFile(file, content, 0o600)
		}
	}})
	return m.directory.remove(name)
}

func (m *mortal) sync(dir string) error {
	if err := m.step(); err != nil {
		return err
	}
	kept := m.undo[:0]
	for _, u := range m.undo {
		if u.dir != dir {
			kept = append(kept, u)
		}
	}
	m.undo = kept
	return nil
}

// fail loses the names that the coin wants lost.
func (m *mortal) fail(lost func() bool) {
	for i := len(m.undo) - 1; i >= 0; i-- {
		if lost() {
			m.undo[i].do()
		}
	}
}

// attempt runs a writer until it has done everything or dies.
func attempt(t testing.TB, dir string, steps int, signed *[][]byte, batches ...int) (m *mortal, sizes []int64) {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	m = &mortal{directory: directory{root}, steps: steps, signed: signed}
	l, err := open(m, signerNamed(t, origin, 1), AnyBytes)
	if err != nil {
		if !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		return m, nil
	}
	sizes = []int64{l.Size()}
	for _, n := range batches {
		at := int(l.Size())
		if _, err := l.Append(entriesFrom(at, n)...); err != nil {
			if !errors.Is(err, errKilled) {
				t.Fatal(err)
			}
			if _, err := l.Append([]byte("after")); err != errFailed {
				t.Fatalf("a log that failed goes on: %v", err)
			}
			return m, sizes
		}
		sizes = append(sizes, l.Size())
	}
	return m, sizes
}

// Whatever step of its work a writer is killed at, the next one finds all that
// was acknowledged, whole, and goes on; also if that one is killed while it opens.
func TestKilledAtEveryStep(t *testing.T) {
	batches := []int{3, 252, 2, 1, 260}
	whole, _ := attempt(t, t.TempDir(), 1<<30, new([][]byte), batches...)
	if whole.done < 70 {
		t.Fatalf("only %d steps", whole.done)
	}
	if whole.again > 0 {
		t.Fatalf("%d tiles were written twice", whole.again)
	}
	coin := rand.New(rand.NewSource(1))
	for _, c := range []struct {
		name string
		lost func() bool
	}{
		{"process", func() bool { return false }},
		{"power", func() bool { return true }},
		{"some", func() bool { return coin.Intn(2) == 0 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			for steps := range whole.done {
				pending := killAt(t, steps, coin.Intn(8), c.lost, c.name == "process", batches)
				// While a checkpoint waits for its name, every step of the next
				// writer counts.
				for next := 0; pending && c.name == "process" && next < 10; next++ {
					killAt(t, steps, next, c.lost, c.name == "process", batches)
				}
			}
		})
	}
}

// killAt kills a writer after some steps, the next one too, and looks at what
// they left. It reports whether the first one left a checkpoint without its name.
func killAt(t *testing.T, steps, next int, lost func() bool, keeps bool, batches []int) (pending bool) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	var signed [][]byte
	m, sizes := attempt(t, dir, steps, &signed, batches...)
	m.fail(lost)
	_, err := m.Stat(newCheckpoint)
	pending = err == nil
	again, _ := attempt(t, dir, next, &signed, 1)
	again.fail(lost)

	last, after := attempt(t, dir, 1<<30, &signed, 2)
	found := after[0]
	least, most := int64(0), int64(0)
	if len(sizes) > 0 {
		least = sizes[len(sizes)-1]
	}
	// The batch in flight, and the one entry of the attempt in between.
	most = least + 1
	if n := max(len(sizes)-1, 0); n < len(batches) {
		most += int64(batches[n])
	}
	if found < least || found > most {
		t.Fatalf("killed at step %d: %d entries, want %d to %d", steps, found, least, most)
	}
	if !keeps {
		// A checkpoint that only a lost name stood for was never seen by anybody.
		signed = nil
	}
	r, err := verify(t, os.DirFS(dir), signed...)
	if err != nil {
		t.Fatalf("killed at step %d: %v", steps, err)
	}
	i := 0
	tree, err := Read(last.files(), ownLog(t), Quorum{})
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range tree.Entries(0) {
		if err != nil || !bytes.Equal(e, entriesFrom(i, 1)[0]) {
			t.Fatalf("killed at step %d: entry %d is %q, %v", steps, i, e, err)
		}
		i++
	}
	if int64(i) != r.Size {
		t.Fatalf("killed at step %d: %d entries of %d", steps, i, r.Size)
	}
	return pending
}
