package market

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/policy"
)

func TestDocument(t *testing.T) {
	document, err := Document(map[string]string{"window": "16", "modes": `["P_LEARNS", "A_LEARNS"]`, "release_step": "1"})
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	if p.Window != 16 || p.ReleaseStep != 1 || len(p.Modes) != 2 || p.Tau != policy.Default().Tau {
		t.Errorf("the policy is %+v", p)
	}
	if _, err := Document(map[string]string{"windo": "16"}); err == nil {
		t.Error("a field that does not exist was set")
	}
}

func TestExactly(t *testing.T) {
	for text, ok := range map[string]bool{
		"u3\nu2\nu4\n":     true,
		"u3\nu2\n":         false, // one is missing
		"u3\nu2\nu4\nu4\n": false, // one is there twice
		"u3\nu2\nu3\n":     false,
		"u3\nu2\nu5\n":     false, // not in common
		"u3\nu2\nu1\n":     false,
		"u3\nu2\nsomebody": false,
		"":                 false,
	} {
		if err := exactly(strings.NewReader(text), 2, 5); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	m, err := parseMetrics(strings.NewReader(`# HELP x Something.
# TYPE x gauge
go_goroutines 12
x{partner="a b"} 3
x{partner="c",how="d"} 1.5e+01

process_resident_memory_bytes 4.2e+07
`))
	if err != nil || m["go_goroutines"] != 12 || m["x"] != 18 || m["process_resident_memory_bytes"] != 42e6 {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"x", "x y", " "} {
		if _, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestProcess(t *testing.T) {
	me := os.Getpid()
	before, err := ProcessTime(me)
	if err != nil {
		t.Fatal(err)
	}
	for began := time.Now(); time.Since(began) < 100*time.Millisecond; {
	}
	if after, err := ProcessTime(me); err != nil || after <= before {
		t.Errorf("after some work it has taken %v, before %v: %v", after, before, err)
	}
	if now, peak, err := Memory(me); err != nil || now < 1<<20 || peak < now {
		t.Errorf("memory %d, at most %d: %v", now, peak, err)
	}
	n, err := Descriptors(me)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	if more, err := Descriptors(me); err != nil || more != n+1 {
		t.Errorf("%d are open, and with a file more %d: %v", n, more, err)
	}
	f.Write(make([]byte, 1234))
	f.Close()
	if size := FolderSize(filepath.Dir(f.Name())); size != 1234 {
		t.Errorf("the folder has %d bytes", size)
	}
	// Of nobody, an error and no zero that would pass for a figure.
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	if _, err := ProcessTime(gone.Process.Pid); err == nil {
		t.Error("a process that has ended has a time")
	}
	if _, _, err := Memory(gone.Process.Pid); err == nil {
		t.Error("a process that has ended has memory")
	}
}

func TestLines(t *testing.T) {
	l := newLines()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() {
		for _, part := range []string{"one\ntw", "o msg=se", "rving\nthree\n", "msg=serving 2\n"} {
			l.Write([]byte(part))
		}
		l.end()
	}()
	for _, want := range []string{"two msg=serving", "msg=serving 2"} {
		if line, err := l.await(ctx, "msg=serving"); err != nil || line != want {
			t.Errorf("the line is %q, want %q: %v", line, want, err)
		}
	}
	if _, err := l.await(ctx, "three"); err == nil {
		t.Error("a line was found again")
	}
	// What nobody waits for does not pile up.
	for range 4 * keep {
		l.Write([]byte("x\n"))
	}
	if len(l.fresh) > keep>>8+1 || l.buf.Len() > keep+2 {
		t.Errorf("%d lines and %d bytes are kept", len(l.fresh), l.buf.Len())
	}
}

func TestOwnGroups(t *testing.T) {
	for _, c := range []struct{ text, one, two string }{
		{"0::/user.slice/x\n", "", "/user.slice/x"},
		{"9:name=systemd:/\n4:memory:/a/b\n1:cpu:/\n0::/\n", "/a/b", "/"},
		{"4:memory:/docker/a:b\n", "/docker/a:b", ""},
		{"", "", ""},
	} {
		if one, two := ownGroups(c.text); one != c.one || two != c.two {
			t.Errorf("%q: %q and %q", c.text, one, two)
		}
	}
}

// Who needs more than the cage holds is killed, and who needs less is not.
func TestCage(t *testing.T) {
	c, err := NewCage("overlap-test-"+strconv.Itoa(os.Getpid()), 64<<20)
	if err != nil {
		t.Skip("memory can't be limited here:", err)
	}
	defer func() {
		if err := c.Open(); err != nil {
			t.Error(err)
		}
	}()
	for megabytes, fits := range map[string]bool{"8": true, "200": false} {
		// tail keeps a last line that does not end.
		words := append(c.Command(), "sh", "-c", "head -c "+megabytes+"000000 /dev/zero | tail -n 1 | wc -c")
		out, err := exec.Command(words[0], words[1:]...).Output()
		if got := strings.TrimSpace(string(out)) == megabytes+"000000"; got != fits {
			t.Errorf("%s MB: %s, %v", megabytes, out, err)
		}
	}
	if peak, err := c.Peak(); err != nil || peak < 8e6 || peak > 64<<20 {
		t.Errorf("at most %d bytes were in it: %v", peak, err)
	}
}
