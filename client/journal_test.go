package client

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
)

var (
	platformA = identity.ID{1}
	platformB = identity.ID{2}
)

func journalIn(t *testing.T, dir string) *journal {
	t.Helper()
	j, err := openJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func TestChargesAddUpToTheLimit(t *testing.T) {
	j := journalIn(t, t.TempDir())
	for i, c := range []struct {
		platform        identity.ID
		epoch, n, limit uint64
		ok              bool
	}{
		{platformA, 7, 4, 10, true},
		{platformA, 7, 7, 10, false}, // 11
		{platformA, 7, 6, 10, true},  // 10, exactly
		{platformA, 7, 1, 10, false},
		{platformA, 7, 0, 10, true},
		{platformA, 7, 1, 11, true}, // a policy with a higher limit counts what was asked before
		{platformA, 8, 10, 10, true},
		{platformA, 8, 1, 10, false},
		{platformB, 7, 10, 10, true},
		{platformB, 7, 1, 10, false},
		{platformB, 8, 11, 10, false}, // more than the limit at once
		{platformB, 8, math.MaxUint64, 10, false},
		{platformB, 9, math.MaxUint64 - 1, math.MaxUint64, true},
		{platformB, 9, 2, math.MaxUint64, false}, // no sum wraps round
		{platformB, 9, 1, math.MaxUint64, true},
		{platformB, 9, math.MaxUint64, math.MaxUint64, false},
	} {
		err := j.charge(c.platform, c.epoch, c.n, c.limit)
		if (err == nil) != c.ok {
			t.Fatalf("charge %d: %v", i, err)
		}
		if err != nil && (!errors.Is(err, ErrBudget) || !errors.Is(err, psi.AbortBudget)) {
			t.Errorf("charge %d: %v is not ErrBudget with its code", i, err)
		}
	}
}

func TestRefusedChargeLeavesNothing(t *testing.T) {
	j := journalIn(t, t.TempDir())
	if err := j.charge(platformA, 1, 10, 10); err != nil {
		t.Fatal(err)
	}
	before := contents(t, j)
	if err := j.charge(platformA, 1, 1, 10); !errors.Is(err, ErrBudget) {
		t.Fatal(err)
	}
	if !bytes.Equal(contents(t, j), before) {
		t.Error("a refused charge is in the journal")
	}
}

func TestNonces(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	now := time.Now()
	see := func(j *journal, platform identity.ID, nonce byte, until time.Time, want error) {
		t.Helper()
		if err := j.see(t.Context(), platform, [32]byte{nonce}, until); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("nonce %d: %v, want %v", nonce, err, want)
		}
	}
	see(j, platformA, 1, now.Add(time.Hour), nil)
	see(j, platformA, 1, now.Add(time.Hour), errReplayed)
	see(j, platformA, 2, now.Add(time.Hour), nil)
	see(j, platformB, 1, now.Add(time.Hour), nil) // each platform has nonces of its own
	see(journalIn(t, dir), platformA, 1, now.Add(time.Hour), errReplayed)
	see(journalIn(t, dir), platformA, 2, now.Add(2*time.Hour), errReplayed)
	// Its OPEN expired an hour ago, so the nonce need not be remembered.
	see(j, platformA, 3, now.Add(-time.Hour), nil)
	see(j, platformA, 3, now.Add(time.Hour), nil)
	see(j, platformA, 3, now.Add(time.Hour), errReplayed)

	if err := j.see(t.Context(), platformA, [32]byte{1}, now); !errors.Is(err, psi.AbortReplay) {
		t.Errorf("a replayed nonce has code %v", err)
	}
	// Nonces are not questions, and the other way round.
	if err := j.charge(platformA, 0, 10, 10); err != nil {
		t.Error(err)
	}
}

// A disk that fails is no replay: the platform is not told that it cheats.
func TestJournalThatCannotBeWritten(t *testing.T) {
	dir := t.TempDir()
	j := journalIn(t, dir)
	if err := errors.Join(os.Remove(j.path), os.Mkdir(j.path, 0o700)); err != nil { // a directory in the file's place
		t.Fatal(err)
	}
	if _, err := openJournal(dir); err == nil {
		t.Error("it is opened, and the first session will find out")
	}
	var code psi.AbortCode
	if err := j.see(t.Context(), platformA, [32]byte{1}, time.Now()); err == nil || errors.As(err, &code) {
		t.Errorf("see: %v", err)
	}
	if err := j.charge(platformA, 1, 1, 10); err == nil || errors.As(err, &code) {
		t.Errorf("charge: %v", err)
	}
}

// What a crash cut off was never answered: it is written over.
func TestTornLineIsWrittenOver(t *testing.T) {
	j := journalIn(t, t.TempDir())
	charge := func() error { return j.charge(platformA, 1, 3, 9) }
	if err := errors.Join(charge(), charge()); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, j)
	first := bytes.IndexByte(whole, '\n') + 1
	torn := [][]byte{bytes.Repeat([]byte("{"), 1000), make([]byte, 1000)} // longer than what is written over it
	for end := first; end < len(whole); end++ {
		torn = append(torn, whole[first:end])
	}
	for i, tail := range torn {
		if err := os.WriteFile(j.path, append(whole[:first:first], tail...), 0o600); err != nil {
			t.Fatal(err)
		}
		// Of the 9, 3 are asked.
		if err := errors.Join(charge(), charge()); err != nil {
			t.Fatalf("torn line %d: %v", i, err)
		}
		if err := charge(); !errors.Is(err, ErrBudget) {
			t.Fatalf("torn line %d: %v", i, err)
		}
		if text := contents(t, j); !bytes.HasPrefix(text, whole[:first]) || bytes.Count(text, []byte("\n")) != 3 || text[len(text)-1] != '\n' {
			t.Fatalf("torn line %d: the journal has other lines", i)
		}
	}
}

// A damaged line may have held a charge, so nothing is admitted any more, and
// the file is left for somebody to look at.
func TestDamagedLineIsAnError(t *testing.T) {
	for _, damage := range []string{"", "x", "}{", `{"queries":-1}`, `{"queries":1e99}`, `{"platform":"00"}`, `{"queries":"seven"}`, "\x00\x00\x00"} {
		for line := range 3 {
			j := journalIn(t, t.TempDir())
			for range 3 {
				if err := j.charge(platformA, 1, 1, 10); err != nil {
					t.Fatal(err)
				}
			}
			lines := strings.SplitAfter(string(contents(t, j)), "\n")
			lines[line] = damage + "\n"
			text := strings.Join(lines, "")
			if err := os.WriteFile(j.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			err := journalIn(t, filepath.Dir(j.path)).charge(platformA, 1, 1, 10)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("line %d ", line+1)) || damage != "" && strings.Contains(err.Error(), damage) {
				t.Errorf("%q in line %d: %v", damage, line+1, err)
			}
			if string(contents(t, j)) != text {
				t.Errorf("%q in line %d: the journal was changed", damage, line+1)
			}
		}
	}
}

func TestJournalIsItsOwnersOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	j := journalIn(t, dir)
	if err := j.charge(platformA, 1, 1, 10); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]fs.FileMode{dir: 0o700, j.path: 0o600, j.path + ".lock": 0o600} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", filepath.Base(path), info.Mode(), err)
		}
	}
}

// Goroutines over two handles, and two more processes, charge as long as they
// may: together the limit, exactly. Each process is this test itself.
func TestConcurrentChargesKeepTheLimit(t *testing.T) {
	const limit, of = 900, "OVERLAP_TEST_CHARGE"
	if dir := os.Getenv(of); dir != "" {
		fmt.Println("charged", chargeAll(t, journalIn(t, dir), limit))
		return
	}
	t.Parallel()
	dir := t.TempDir()
	var sum atomic.Uint64
	var wg sync.WaitGroup
	for _, j := range []*journal{journalIn(t, dir), journalIn(t, dir)} {
		for range 4 {
			wg.Go(func() { sum.Add(chargeAll(t, j, limit)) })
		}
	}
	for range 2 {
		wg.Go(func() {
			process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
			process.Env = append(os.Environ(), of+"="+dir)
			out, err := process.CombinedOutput()
			var n uint64
			if _, scanErr := fmt.Sscanf(string(out), "charged %d", &n); err != nil || scanErr != nil {
				t.Errorf("%v, %v: %s", err, scanErr, out)
			}
			sum.Add(n)
		})
	}
	wg.Wait()
	if sum.Load() != limit {
		t.Errorf("%d charged, limit %d", sum.Load(), limit)
	}
}

func chargeAll(t *testing.T, j *journal, limit uint64) (n uint64) {
	for {
		err := j.charge(platformA, 1, 3, limit)
		if errors.Is(err, ErrBudget) {
			return n
		}
		if err != nil {
			t.Error(err)
			return n
		}
		n += 3
	}
}

func contents(t *testing.T, j *journal) []byte {
	t.Helper()
	text, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// FuzzReadJournal: any file is read up to its last whole line, or refused.
func FuzzReadJournal(f *testing.F) {
	const line = `{"time":"2026-01-02T03:04:05Z","platform":"0100000000000000000000000000000000000000000000000000000000000000","epoch":1,"queries":1024}` + "\n"
	for _, text := range []string{"", line, line + line, line + line[:40], "\n", "{}\n", "null\n", "[]\n", line + "\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		past, end, err := readJournal(bytes.NewReader(text), 1)
		if err != nil {
			return
		}
		if want := int64(bytes.LastIndexByte(text, '\n') + 1); end != want {
			t.Fatalf("ends at %d, want %d", end, want)
		}
		again, _, err := readJournal(bytes.NewReader(text[:end]), 1)
		if err != nil || len(again) != len(past) || len(past) != bytes.Count(text, []byte("\n")) {
			t.Fatalf("%d entries, then %d: %v", len(past), len(again), err)
		}
	})
}

// What was read once is not read again, however many entries there are; what another
// process has appended is, and a file that was put in its place is read from its
// beginning.
func TestJournalIsReadOn(t *testing.T) {
	dir := t.TempDir()
	j, other := journalIn(t, dir), journalIn(t, dir)
	for range 12 { // more than the tail that is compared
		if err := errors.Join(j.charge(platformA, 1, 1, 1000), other.charge(platformA, 1, 10, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	text := contents(t, j)
	spoiled := bytes.Clone(text)
	spoiled[0] = 'x' // the first line, which both have read
	if err := os.WriteFile(j.path, spoiled, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.charge(platformA, 1, 1, 133); err != nil {
		t.Errorf("the beginning is read again: %v", err)
	}
	if err := j.charge(platformA, 1, 1, 133); !errors.Is(err, ErrBudget) {
		t.Errorf("133 of 133 were charged: %v", err)
	}
	err := journalIn(t, dir).charge(platformA, 1, 1, 100)
	if err == nil || !strings.Contains(err.Error(), j.path+": line 1 cannot be read") {
		t.Errorf("who reads it first: %v", err)
	}
	// An older copy is put back: shorter in its place, or another file.
	if err := os.WriteFile(j.path, text[:bytes.IndexByte(text, '\n')+1], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(j.charge(platformA, 1, 33, 34), other.charge(platformA, 1, 1, 35)); err != nil {
		t.Errorf("1 of 34 was charged: %v", err)
	}
	if err := os.WriteFile(j.path+".new", append(text, text...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(j.path+".new", j.path); err != nil {
		t.Fatal(err)
	}
	if err := j.charge(platformA, 1, 1, 264); !errors.Is(err, ErrBudget) {
		t.Errorf("264 of 264 were charged: %v", err)
	}
	// A line that cannot be read names its number in the file.
	if err := os.WriteFile(j.path, append(bytes.Repeat(append(text, text...), 2), "no entry\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := j.charge(platformA, 1, 1, 10000); err == nil || !strings.Contains(err.Error(), ": line 97 cannot be read") {
		t.Errorf("a line that cannot be read: %v", err)
	}
}
