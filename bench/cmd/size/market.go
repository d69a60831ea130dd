//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/overlap-psi/overlap/policy"
)

// market is two companies in a folder. Person i is a customer for i < n, and has
// account u<i> for n/2 ≤ i < n + n/2.
type market struct {
	binary, dir string
	n           int
	advertiser  string // their ids
	platform    string
}

func (m *market) path(name string) string { return filepath.Join(m.dir, name) }

func (m *market) store() string { return "sqlite:" + m.path("users.db") }

// measure runs one session and checks what it found.
func (m *market) measure(ctx context.Context) (*result, error) {
	if err := m.found(ctx); err != nil {
		return nil, err
	}
	r := &result{n: m.n}
	started := time.Now()
	if _, err := m.overlap(ctx, "ledger", "import", m.path("users.csv"), "--store", m.store()); err != nil {
		return nil, err
	}
	r.load = time.Since(started)
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	serve := exec.CommandContext(ctx, m.binary, "serve", "--store", m.store(), "--identity", m.path("platform"),
		"--partners", m.path("partners.json"), "--listen", address)
	var log bytes.Buffer
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		return nil, err
	}
	defer serve.Wait()
	defer serve.Process.Kill()
	if err := reachable(ctx, address); err != nil {
		return nil, fmt.Errorf("serve: %w\n%s", err, log.Bytes())
	}
	if err := m.match(ctx, serve.Process.Pid, address, r); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, log.Bytes())
	}
	if r.accounts, err = m.audience(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// match runs the advertiser's command and notes what both processes took.
func (m *market) match(ctx context.Context, platform int, address string, r *result) error {
	before, err := processTime(platform)
	if err != nil {
		return err
	}
	wire := loopback()
	disk := watch(m.dir)
	match := exec.CommandContext(ctx, m.binary, "match", m.path("customers.csv"), "--platform", address, "--identity", m.path("advertiser"),
		"--peer", m.platform, "--policy", m.path("policy.toml"), "--audience", "size", "--json")
	match.Dir = m.path("advertiser")
	var out, complaint bytes.Buffer
	match.Stdout, match.Stderr = &out, &complaint
	started := time.Now()
	err = match.Run()
	r.wall = time.Since(started)
	r.disk = disk()
	if err != nil {
		return fmt.Errorf("match: %w\n%s", err, complaint.Bytes())
	}
	r.wire = loopback() - wire
	after, err := processTime(platform)
	if err != nil {
		return err
	}
	r.platform.cpu = after - before
	r.platform.peak = peakMemory(platform)
	usage := match.ProcessState.SysUsage().(*syscall.Rusage)
	r.advertise.cpu = match.ProcessState.UserTime() + match.ProcessState.SystemTime()
	r.advertise.peak = uint64(usage.Maxrss) << 10
	var report struct{ Distinct uint64 }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		return fmt.Errorf("match --json: %w", err)
	}
	if report.Distinct != uint64(m.n) {
		return fmt.Errorf("%d identifiers were evaluated", report.Distinct)
	}
	return nil
}

// audience counts the accounts of the audience, which must be those in common,
// each once.
func (m *market) audience(ctx context.Context) (int, error) {
	show := exec.CommandContext(ctx, m.binary, "audience", "show", "size", "--store", m.store())
	show.Stderr = os.Stderr
	out, err := show.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := show.Start(); err != nil {
		return 0, err
	}
	seen, count := make([]bool, m.n), 0
	for lines := bufio.NewScanner(out); lines.Scan(); count++ {
		var person int
		if _, err := fmt.Sscanf(lines.Text(), "u%d", &person); err != nil || person < m.n/2 || person >= m.n || seen[person] {
			return 0, errors.New("the audience has somebody who is not in common, or somebody twice")
		}
		seen[person] = true
	}
	if err := show.Wait(); err != nil {
		return 0, err
	}
	if count != m.n-m.n/2 {
		return 0, fmt.Errorf("%d accounts matched, and %d are in common", count, m.n-m.n/2)
	}
	return count, nil
}

// found makes both companies: identities, files, the policy they agreed on.
func (m *market) found(ctx context.Context) (err error) {
	if err := os.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	if m.platform, err = m.overlap(ctx, "keygen", "--out", m.path("platform"), "--name", "platform"); err != nil {
		return err
	}
	if m.advertiser, err = m.overlap(ctx, "keygen", "--out", m.path("advertiser"), "--name", "advertiser"); err != nil {
		return err
	}
	// Every match counts, so that none is hidden by the count's rules.
	document := regexp.MustCompile(`(?m)^release_step += .*$`).ReplaceAll(policy.Default().Bytes(), []byte("release_step = 1"))
	for name, text := range map[string]func(w io.Writer){
		"policy.toml": func(w io.Writer) { w.Write(document) },
		"partners.json": func(w io.Writer) {
			fmt.Fprintf(w, `[{"name": "shop", "id": %q, "policy": "policy.toml"}]`, m.advertiser)
		},
		"customers.csv": m.customers,
		"users.csv":     m.users,
	} {
		if err := writeFile(m.path(name), text); err != nil {
			return err
		}
	}
	return nil
}

func (m *market) customers(w io.Writer) {
	fmt.Fprintln(w, "email")
	for i := range m.n {
		fmt.Fprintf(w, "person%d@mail.example\n", i)
	}
}

func (m *market) users(w io.Writer) {
	fmt.Fprintln(w, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
	for i := m.n / 2; i < m.n+m.n/2; i++ {
		fmt.Fprintf(w, "u%d,email,person%d@mail.example,ads_matching,granted,US,2026-01-02\n", i, i)
	}
}

// overlap runs a command and returns what it printed.
func (m *market) overlap(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, m.binary, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("overlap %s: %w\n%s", strings.Join(args[:2], " "), err, complaint.Bytes())
	}
	return strings.TrimSpace(string(out)), nil
}

func writeFile(path string, text func(io.Writer)) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	text(w)
	return errors.Join(w.Flush(), f.Close())
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// reachable waits until somebody listens.
func reachable(ctx context.Context, address string) error {
	for range 300 {
		if c, err := net.Dial("tcp", address); err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return errors.New("nobody listens")
}

// watch looks at the file system of a folder every so often until the returned
// function is called, which returns how much more it held at the worst moment: also
// in files that have lost their name.
func watch(dir string) (most func() uint64) {
	first := used(dir)
	var highest atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(200 * time.Millisecond); ; {
			if now := used(dir); now > first {
				highest.Store(max(highest.Load(), now-first))
			}
			select {
			case <-stop:
				return
			case <-tick:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return highest.Load()
	}
}
