package market

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Server is a platform that serves.
type Server struct {
	Address string
	PID     int
	cmd     *exec.Cmd
	log     *lines
	ended   chan error
}

// Serve starts the platform's server at an address, with more flags. before are
// words that the command begins with, such as ip netns exec; they end in the
// server, by exec, so that PID is its own.
func (m *Market) Serve(ctx context.Context, before []string, address string, flags ...string) (*Server, error) {
	if err := m.writePartners(); err != nil {
		return nil, err
	}
	cmd := command(ctx, before, m.Binary, append([]string{"serve", "--store", m.Store(), "--identity", m.path("platform"),
		"--partners", m.path("partners.json"), "--listen", address}, flags...)...)
	s := &Server{Address: address, cmd: cmd, log: newLines(), ended: make(chan error, 1)}
	cmd.Stderr = s.log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s.PID = cmd.Process.Pid
	go func() {
		s.ended <- cmd.Wait()
		s.log.end()
	}()
	if _, err := s.Await(ctx, "msg=serving"); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// Stop lets running sessions end, and then the server.
func (s *Server) Stop() error {
	select {
	case err := <-s.ended:
		s.ended <- err
		return fmt.Errorf("market: the server has ended of itself: %w\n%s", err, s.Log())
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := <-s.ended
	s.ended <- err
	return err
}

// Log is what the server has said so far.
func (s *Server) Log() string { return s.log.text() }

// Await waits for the next line of the log that has the words, and returns it. A
// line is returned once.
func (s *Server) Await(ctx context.Context, words string) (string, error) {
	return s.log.await(ctx, words)
}

// Match is what an advertiser's command took, and printed.
type Match struct {
	Wall, CPU time.Duration
	Peak      uint64 // highest resident memory, bytes
	Report    struct {
		Distinct, Entries, Queries uint64
		Session                    string
	}
}

// Match runs the advertiser's command, as Serve does, and returns what it took.
// The error has what the command said.
func (a *Advertiser) Match(ctx context.Context, before []string, address, audience string, flags ...string) (*Match, error) {
	cmd := command(ctx, before, a.m.Binary, append([]string{"match", a.List(), "--platform", address, "--identity", a.Dir,
		"--peer", a.m.ID, "--policy", a.PolicyFile, "--audience", audience, "--receipt", filepath.Join(a.Dir, audience+".receipt"), "--json"}, flags...)...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	started := time.Now()
	err := cmd.Run()
	r := &Match{Wall: time.Since(started)}
	if err != nil {
		return r, fmt.Errorf("match: %w\n%s", err, complaint.Bytes())
	}
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.Peak = uint64(cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss) << 10
	if err := json.Unmarshal(out.Bytes(), &r.Report); err != nil {
		return r, fmt.Errorf("match --json: %w", err)
	}
	if r.Report.Distinct != uint64(a.Last-a.First) {
		return r, fmt.Errorf("market: %d identifiers were evaluated, of %d", r.Report.Distinct, a.Last-a.First)
	}
	return r, nil
}

func command(ctx context.Context, before []string, binary string, args ...string) *exec.Cmd {
	words := slices.Concat(before, []string{binary}, args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	// What is interrupted at the keyboard is this program, which stops them in turn.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// FreeAddress returns a loopback address at which nobody listens.
func FreeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// lines is a log that can be waited for.
type lines struct {
	mu    sync.Mutex
	buf   bytes.Buffer
	part  []byte // a line that has not ended
	fresh []string
	over  bool
	news  chan struct{} // of capacity 1
}

func newLines() *lines { return &lines{news: make(chan struct{}, 1)} }

// keep bounds what is kept of a log, in lines not waited for and in bytes: a soak
// writes many, and their beginning explains a failure as well.
const keep = 1 << 20

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	if l.buf.Len() < keep {
		l.buf.Write(p)
	}
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			break
		}
		l.fresh, l.part = append(l.fresh, string(line)), bytes.Clone(rest)
	}
	if len(l.fresh) > keep>>8 {
		l.fresh = slices.Clone(l.fresh[len(l.fresh)/2:])
	}
	l.mu.Unlock()
	l.wake()
	return len(p), nil
}

func (l *lines) wake() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

func (l *lines) end() {
	l.mu.Lock()
	l.over = true
	l.mu.Unlock()
	l.wake()
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// await is for one goroutine at a time.
func (l *lines) await(ctx context.Context, words string) (string, error) {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	for {
		l.mu.Lock()
		at := slices.IndexFunc(l.fresh, func(line string) bool { return strings.Contains(line, words) })
		if at >= 0 {
			line := l.fresh[at]
			l.fresh = l.fresh[at+1:]
			l.mu.Unlock()
			return line, nil
		}
		over := l.over
		l.mu.Unlock()
		if over {
			return "", fmt.Errorf("market: the server has ended\n%s", l.text())
		}
		select {
		case <-l.news:
		case <-timer.C:
			return "", fmt.Errorf("market: the log has no %q\n%s", words, l.text())
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// Remove removes the market's folder.
func (m *Market) Remove() error { return os.RemoveAll(m.Dir) }
