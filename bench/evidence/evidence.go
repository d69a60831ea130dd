// Package evidence says where, when and from what a figure was measured, and
// keeps it: a figure without these can be neither repeated nor compared.
package evidence

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// Place is where and from what something was measured.
type Place struct {
	CPU    string // the processor's model, or "unknown"
	Cores  int
	Go     string
	Commit string // git describe --always --dirty, or "unknown"
	Date   time.Time
	Load   string // at the start: the load averages, or "unknown"
}

// Here describes this machine and the working directory's commit.
func Here() Place {
	return Place{CPU: model(), Cores: runtime.NumCPU(), Go: runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH,
		Commit: commit(), Date: time.Now().UTC(), Load: Load()}
}

// Markdown returns p as a table's lines, with the command that was run.
func (p Place) Markdown(command string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | |\n|---|---|\n")
	for _, line := range [][2]string{
		{"CPU", p.CPU}, {"cores", fmt.Sprint(p.Cores)}, {"Go", p.Go}, {"commit", p.Commit},
		{"date", p.Date.Format("2006-01-02 15:04 MST")}, {"load before", p.Load}, {"command", "`" + command + "`"},
	} {
		fmt.Fprintf(&b, "| %s | %s |\n", line[0], line[1])
	}
	return b.String()
}

// Write writes text to dir/name-date.ext and returns the file's name.
func (p Place) Write(dir, name, ext string, text []byte) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("%s-%s.%s", name, p.Date.Format("2006-01-02"), ext))
	return file, os.WriteFile(file, text, 0o644)
}

// Report prints a table, writes it as Write does, and says where.
func (p Place) Report(dir, name, text string) error {
	fmt.Print(text)
	file, err := p.Write(dir, name, "md", []byte(text))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "wrote", file)
	return nil
}

// Main is the main function of a program that measures: it runs until it is done or
// interrupted.
func Main(name string, run func(context.Context) error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

// Load returns the load averages of the last 1, 5 and 15 minutes: how many
// threads wanted a core.
func Load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(text)); err == nil && len(fields) >= 3 {
		return strings.Join(fields[:3], " ")
	}
	return "unknown"
}

func model() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	lines := map[string]string{}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok {
			lines[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	if lines["model name"] == "" {
		return "unknown"
	}
	out := lines["model name"]
	// A virtual machine's name may hide the generation; these two don't.
	if lines["cpu family"] != "" {
		out += ", family " + lines["cpu family"] + ", model " + lines["model"]
	}
	if strings.Contains(lines["flags"], "avx512ifma") {
		out += ", AVX-512 IFMA"
	}
	return out
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
