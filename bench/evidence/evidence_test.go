package evidence

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestPlace(t *testing.T) {
	p := Here()
	if p.Cores < 1 || !strings.HasPrefix(p.Go, runtime.Version()) || p.CPU == "" || p.Commit == "" || p.Load == "" {
		t.Errorf("something is missing: %+v", p)
	}
	if since := time.Since(p.Date); since < 0 || since > time.Minute {
		t.Errorf("measured %v ago", since)
	}
}

func TestMarkdownAndWrite(t *testing.T) {
	p := Place{CPU: "Z80", Cores: 1, Go: "go1", Commit: "abc-dirty", Date: time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC), Load: "0 0 0"}
	text := p.Markdown("measure -x")
	for _, line := range []string{"| CPU | Z80 |", "| cores | 1 |", "| commit | abc-dirty |", "| date | 2026-02-03 04:05 UTC |", "| command | `measure -x` |"} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, text)
		}
	}
	dir := filepath.Join(t.TempDir(), "results")
	file, err := p.Write(dir, "kernel", "md", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "kernel-2026-02-03.md"); file != want {
		t.Errorf("written to %s, want %s", file, want)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("read back %q, %v", got, err)
	}
}
