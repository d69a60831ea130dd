package audit

import (
	"bufio"
	"math/rand"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

// childDir tells the test binary to be a writer, until it is killed.
const childDir = "OVERLAP_AUDIT_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled says after each batch how many entries are acknowledged.
func writeUntilKilled(dir string) {
	signer, err := NewSigner(origin, seeded(1))
	if err != nil {
		panic(err)
	}
	l, err := Open(dir, signer, AnyBytes)
	if err != nil {
		panic(err)
	}
	for {
		at := int(l.Size())
		if _, err := l.Append(entriesFrom(at, at*7%97+1)...); err != nil {
			panic(err)
		}
		os.Stdout.WriteString(strconv.FormatInt(l.Size(), 10) + "\n")
	}
}

// A hundred processes in a row are killed at moments that nobody chose. Each
// finds what the one before had acknowledged, and no checkpoint that was ever
// seen is taken back.
func TestKilledProcesses(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	random := rand.New(rand.NewSource(2))
	acknowledged, kept := int64(0), [][]byte(nil)
	for i := range 100 {
		child := exec.Command(self)
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if i%4 > 0 { // the others may die before they have begun
			lines.Scan()
		}
		time.AfterFunc(time.Duration(random.Intn(50_000))*time.Microsecond, func() { child.Process.Kill() })
		for ok := i%4 > 0 || lines.Scan(); ok; ok = lines.Scan() {
			n, err := strconv.ParseInt(lines.Text(), 10, 64)
			if err != nil || n <= acknowledged {
				t.Fatalf("process %d acknowledged %q after %d", i, lines.Text(), acknowledged)
			}
			acknowledged = n
		}
		if err := child.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("process %d: %v", i, err)
		}
		if i%10 != 9 {
			continue // the next process is the one that looks
		}
		l := openLog(t, dir)
		if l.Size() < acknowledged {
			t.Fatalf("process %d: %d entries, and %d were acknowledged", i, l.Size(), acknowledged)
		}
		kept = append(kept, l.Tree().Checkpoint().Bytes())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := verify(t, os.DirFS(dir), kept...)
		if err != nil {
			t.Fatalf("process %d: %v", i, err)
		}
		if i == 99 && (r.Size == 0 || r.Root != mth(entriesFrom(0, int(r.Size)))) {
			t.Errorf("%d entries, and not those that were written", r.Size)
		}
	}
	t.Logf("%d entries", acknowledged)
}
