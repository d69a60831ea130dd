package publication_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/table"
)

// pieces is how many bodies split makes, and each how many shards one has then.
const (
	pieces = 8
	each   = table.Shards / pieces
)

func shardsFile(dir string, piece int) string {
	return filepath.Join(dir, fmt.Sprintf("shards-%05d", piece*each))
}

// split makes several bodies of the one that a small table has.
func split(t *testing.T, path string) {
	t.Helper()
	b, err := os.ReadFile(shardsFile(path, 0))
	must(t, err)
	b = b[6:]
	for i := range pieces {
		body := binary.BigEndian.AppendUint16(nil, uint16(i*each))
		body = binary.BigEndian.AppendUint32(body, each)
		for range each {
			n := 4 + binary.BigEndian.Uint32(b)
			body, b = append(body, b[:n]...), b[n:]
		}
		must(t, os.WriteFile(shardsFile(path, i), body, 0o600))
	}
}

var errCut = errors.New("cut")

// cutAfter is a source whose connection breaks after so many bodies.
func cutAfter(path string, n int) func(int) iter.Seq2[[]byte, error] {
	return func(first int) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			left := n
			for b, err := range publication.Shards(path, first) {
				if left--; left < 0 {
					yield(nil, errCut)
					return
				}
				if !yield(b, err) {
					return
				}
			}
		}
	}
}

func quiet(_, _ uint64) {}

// A download that was broken off goes on after what has come; what it left is trusted
// no more than what comes, so that one that is damaged is fetched anew, by itself.
func TestWhatABrokenDownloadLeft(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	split(t, path)
	other, _, err := published(t, by, 9000, nil)
	must(t, err)
	split(t, other)
	spoil := func(piece int, change func([]byte) []byte) func(string) {
		return func(part string) {
			b, err := os.ReadFile(shardsFile(part, piece))
			must(t, err)
			must(t, os.WriteFile(shardsFile(part, piece), change(b), 0o600))
		}
	}
	others := func(piece int) func(string) {
		b, err := os.ReadFile(shardsFile(other, piece))
		must(t, err)
		return spoil(piece, func([]byte) []byte { return b })
	}
	for name, c := range map[string]struct {
		spoil func(part string)
		asked []int // from which piece on
	}{
		"as it was":              {func(string) {}, []int{3}},
		"half a body":            {spoil(2, func(b []byte) []byte { return b[:len(b)/2] }), []int{0}},
		"an empty body":          {spoil(2, func(b []byte) []byte { return nil }), []int{0}},
		"a body that is longer":  {spoil(1, func(b []byte) []byte { return append(b, 0) }), []int{0}},
		"a body that is missing": {func(part string) { must(t, os.Remove(shardsFile(part, 1))) }, []int{1}},
		"a body of zeros":        {spoil(1, func(b []byte) []byte { return make([]byte, len(b)) }), []int{0}},
		"another table's body":   {others(1), []int{3, 0}},
		"a copy of the tokens":   {func(part string) { must(t, os.WriteFile(filepath.Join(part, "tokens"), []byte("x"), 0o600)) }, []int{3}},
	} {
		dir := t.TempDir()
		if _, err := publication.Fetch(t.Context(), dir, m, cutAfter(path, 3), quiet); !errors.Is(err, errCut) {
			t.Fatalf("%s: %v", name, err)
		}
		c.spoil(publication.Path(dir, m.Hash()) + ".part")
		var asked []int
		copy, err := publication.Fetch(t.Context(), dir, m, func(first int) iter.Seq2[[]byte, error] {
			asked = append(asked, first/each)
			return publication.Shards(path, first)
		}, quiet)
		if err != nil || !slices.Equal(asked, c.asked) {
			t.Errorf("%s: asked from %d on, want %d; %v", name, asked, c.asked, err)
			continue
		}
		matches, err := copy.Match(t.Context(), asking(t, 6000))
		if err != nil || matches.Count() != 5000 {
			t.Errorf("%s: another table was made of it: %v", name, err)
		}
	}
}

// A source that ends too early, without a word, leaves what has come.
func TestDownloadThatEndsEarly(t *testing.T) {
	path, m, err := published(t, platform(t), 5000, nil)
	must(t, err)
	split(t, path)
	dir := t.TempDir()
	for _, want := range []int{0, 3, 6} {
		if _, err := publication.Fetch(t.Context(), dir, m, func(first int) iter.Seq2[[]byte, error] {
			if first != want*each {
				t.Errorf("asked from %d on, want %d", first/each, want)
			}
			return func(yield func([]byte, error) bool) {
				cutAfter(path, 3)(first)(func(b []byte, err error) bool { return err == nil && yield(b, nil) })
			}
		}, quiet); (err == nil) != (want == 6) || err != nil && !errors.Is(err, psi.AbortTable) {
			t.Fatal(err)
		}
	}
	wantWhole(t, dir, m)
}

// A source that gives another table is asked once more if something was left, and
// then no more; nothing stays of it.
func TestWrongTableAfterABrokenDownload(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	split(t, path)
	other, _, err := published(t, by, 4000, nil) // as many entries, with its pads
	must(t, err)
	split(t, other)
	dir := t.TempDir()
	if _, err := publication.Fetch(t.Context(), dir, m, cutAfter(path, 3), quiet); !errors.Is(err, errCut) {
		t.Fatal(err)
	}
	calls := 0
	if _, err := publication.Fetch(t.Context(), dir, m, func(first int) iter.Seq2[[]byte, error] {
		calls++
		return publication.Shards(other, first)
	}, quiet); !errors.Is(err, psi.AbortTable) || calls != 2 {
		t.Errorf("after %d calls: %v", calls, err)
	}
	left, err := filepath.Glob(publication.Path(dir, m.Hash()) + "*")
	must(t, err)
	for _, name := range left {
		if shards, err := filepath.Glob(filepath.Join(name, "shards-*")); err != nil || len(shards) > 0 {
			t.Errorf("%q are left of a wrong table", shards)
		}
	}
}

// childVariable tells the test binary to fetch a table until it is killed: from
// where, and into which directory.
const childVariable = "OVERLAP_FETCH_CHILD"

func TestMain(m *testing.M) {
	if arg := os.Getenv(childVariable); arg != "" {
		fetchUntilKilled(arg)
	}
	os.Exit(m.Run())
}

// fetchUntilKilled says which body it asks for first, and each that it gets.
func fetchUntilKilled(arg string) {
	from, dir, _ := strings.Cut(arg, "|")
	key, err := os.ReadFile(filepath.Join(filepath.Dir(from), "key"))
	if err != nil {
		panic(err)
	}
	m, err := publication.Load(from, key)
	if err != nil {
		panic(err)
	}
	_, err = publication.Fetch(context.Background(), dir, m, func(first int) iter.Seq2[[]byte, error] {
		fmt.Println("from", first/each)
		return func(yield func([]byte, error) bool) {
			n := first / each
			for b, err := range publication.Shards(from, first) {
				fmt.Println("body", n)
				if n++; !yield(b, err) {
					return
				}
			}
		}
	}, quiet)
	if err != nil {
		panic(err)
	}
	os.Exit(0)
}

// Processes that are killed at any moment of a download leave whole bodies under
// their names, and the next one asks for what is missing only.
func TestKilledDownloads(t *testing.T) {
	by := platform(t)
	path, m, err := published(t, by, 5000, nil)
	must(t, err)
	split(t, path)
	must(t, os.WriteFile(filepath.Join(filepath.Dir(path), "key"), by.Public(), 0o600))
	self, err := os.Executable()
	must(t, err)
	random := rand.New(rand.NewPCG(3, 0))
	resumed, done := 0, false
	for dir, kills := t.TempDir(), 0; kills < 40; {
		part := publication.Path(dir, m.Hash()) + ".part"
		whole := 0
		for ; whole < pieces; whole++ {
			left, err := os.ReadFile(shardsFile(part, whole))
			if errors.Is(err, os.ErrNotExist) {
				break
			}
			must(t, err)
			want, err := os.ReadFile(shardsFile(path, whole))
			must(t, err)
			if !bytes.Equal(left, want) {
				t.Fatal("a body is there under its name, and not whole")
			}
		}
		child := exec.Command(self)
		child.Env = append(os.Environ(), childVariable+"="+path+"|"+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		must(t, err)
		must(t, child.Start())
		last := whole + random.IntN(3) // the body that it is killed at
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var n int
			if fmt.Sscanf(lines.Text(), "from %d", &n); strings.HasPrefix(lines.Text(), "from") && n != whole {
				t.Errorf("asked from %d on, and %d had come", n, whole)
			}
			if lines.Text() == fmt.Sprint("body ", last) {
				time.Sleep(time.Duration(random.Int64N(int64(3 * time.Millisecond))))
				_ = child.Process.Kill()
			}
		}
		if done = child.Wait() == nil; !done {
			kills++
		}
		if whole > 0 {
			resumed++
		}
		if done {
			wantWhole(t, dir, m)
			dir = t.TempDir()
		}
	}
	if resumed < 10 {
		t.Errorf("%d downloads went on after another, and that shows little", resumed)
	}
}

// wantWhole wants a copy that needs nothing any more.
func wantWhole(t *testing.T, dir string, m *publication.Manifest) {
	t.Helper()
	c, err := publication.Fetch(t.Context(), dir, m, func(int) iter.Seq2[[]byte, error] {
		t.Error("a whole table is asked for")
		return func(func([]byte, error) bool) {}
	}, quiet)
	must(t, err)
	matches, err := c.Match(t.Context(), asking(t, 6000))
	must(t, err)
	if matches.Count() != 5000 {
		t.Errorf("%d of 5000 matched", matches.Count())
	}
}
