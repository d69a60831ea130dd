package main

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/internal/postgrestest"
	"github.com/overlap-psi/overlap/internal/required"
	"github.com/overlap-psi/overlap/policy"
)

// Two variables steer TestCrashes: how many kills each store gets, and the seed of
// a run to have again. It is the same choices then, and nearly the same moments.
const (
	crashesVariable = "OVERLAP_CRASHES"
	seedVariable    = "OVERLAP_CRASH_SEED"
)

// The processes of both companies are killed again and again, with SIGKILL, at
// moments of a session that they do not choose, and the platform also while it
// recovers. After every restart all that it has is checked: see siteCheck.
func TestCrashes(t *testing.T) {
	for _, store := range []struct {
		name string
		url  func(t *testing.T) string
	}{
		{"sqlite", func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "users.db") }},
		{"postgres", postgresURL},
	} {
		t.Run(store.name, func(t *testing.T) {
			url := store.url(t)
			t.Parallel()
			seed := uint64(number(t, seedVariable, int(time.Now().UnixNano()&0xffffffff)))
			defer func() {
				if t.Failed() {
					t.Logf("again with %s=%d", seedVariable, seed)
				}
			}()
			s := newSite(t, url, rand.New(rand.NewPCG(seed, 0)))
			s.measure()
			for s.kills < number(t, crashesVariable, 6) && !t.Failed() {
				s.crash()
			}
			s.finish()
		})
	}
}

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

func postgresURL(t *testing.T) string {
	t.Helper()
	server, err := postgrestest.Start()
	if err != nil {
		required.Skip(t, required.Postgres, "no PostgreSQL: "+err.Error())
	}
	t.Cleanup(server.Stop)
	url, err := server.NewSchema()
	must(t, err)
	return url
}

// site is both companies, each with processes of its own.
type site struct {
	t        *testing.T
	dir, url string
	ids      map[string]string // by company
	random   *rand.Rand

	serve    *process
	address  string
	start    time.Duration            // how long the platform takes to start
	whole    map[string]time.Duration // and a session, by mode
	sessions int                      // that were begun
	kills    int
	phases   map[string]int
	check    *siteCheck
}

// People are numbered: accounts are of the first, customers are from some of them on.
const (
	crashAccounts  = 300
	crashFirst     = 100
	crashCustomers = 300
)

func newSite(t *testing.T, url string, random *rand.Rand) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), url: url, ids: map[string]string{}, random: random, whole: map[string]time.Duration{}, phases: map[string]int{}}
	for _, company := range []string{"platform", "advertiser"} {
		s.ids[company] = strings.TrimSpace(s.run("keygen", "--out", s.path(company), "--name", company))
	}
	document := policy.Default().Bytes()
	for _, line := range []string{"release_step = 1", "max_releases = 1000", "witnesses = 0", `modes = ["P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`} {
		name, _, _ := strings.Cut(line, " ")
		document = regexp.MustCompile(`(?m)^`+name+` += .*$`).ReplaceAll(document, []byte(line))
	}
	var users, customers bytes.Buffer
	fmt.Fprintln(&users, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
	for i := range crashAccounts {
		kind, _ := kindOf(person(i))
		fmt.Fprintf(&users, "u%d,%s,%s,ads_matching,granted,US,2026-01-02\n", i, kind, person(i))
	}
	fmt.Fprintln(&customers, "email,phone")
	for i := crashFirst; i < crashFirst+crashCustomers; i++ {
		row := person(i) + ","
		if kind, _ := kindOf(person(i)); kind == "phone" {
			row = "," + person(i)
		}
		fmt.Fprintln(&customers, row)
	}
	for name, content := range map[string][]byte{
		"policy.toml": document, "users.csv": users.Bytes(), "customers.csv": customers.Bytes(),
		"partners.json": fmt.Appendf(nil, `[{"name": "shop", "id": %q, "policy": "policy.toml"}]`, s.ids["advertiser"]),
	} {
		must(t, os.WriteFile(s.path(name), content, 0o600))
	}
	s.run("ledger", "import", s.path("users.csv"), "--store", url)
	s.check = newSiteCheck(s)
	return s
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// run runs a command to its end, which must be a good one.
func (s *site) run(args ...string) (out string) {
	s.t.Helper()
	p := s.launch(args...)
	if err := p.wait(); err != nil {
		s.t.Fatalf("overlap %s: %v\n%s", args[0], err, p.errors.String())
	}
	return p.out.String()
}

// measure runs sessions that nobody disturbs: one that waits for its count's
// second, and one of those that do not.
func (s *site) measure() {
	s.t.Helper()
	started := time.Now()
	s.restart()
	s.start = time.Since(started)
	for _, mode := range crashModes[:2] {
		started = time.Now()
		if m := s.match(mode); m.wait() != nil {
			s.t.Fatalf("a session of mode %s that nobody disturbs fails: %s", mode, m.errors.String())
		}
		s.whole[mode] = time.Since(started)
	}
	for _, mode := range crashModes[2:] {
		s.whole[mode] = s.whole[crashModes[1]]
	}
	s.serve.interrupt() // what it has still to write down is written down
	must(s.t, s.serve.wait())
	s.check.now()
	s.restart()
}

var crashModes = []string{"p-learns", "mutual-p", "mutual-a", "a-learns"}

// restart starts the platform, which must recover, whatever it was before.
func (s *site) restart() {
	s.t.Helper()
	s.serve = s.platform()
	serving := regexp.MustCompile(`msg=serving address=(\S+)`)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if found := serving.FindStringSubmatch(s.serve.errors.String()); found != nil {
			s.address = found[1]
			return
		}
		if s.serve.over() || time.Now().After(deadline) {
			s.serve.kill()
			s.t.Fatalf("the platform does not start again:\n%s", s.serve.errors.String())
		}
	}
}

func (s *site) platform() *process {
	listen := "127.0.0.1:0"
	if s.address != "" {
		listen = s.address // where those who lost it look for it
	}
	return s.launch("serve", "--store", s.url, "--identity", s.path("platform"), "--partners", s.path("partners.json"), "--listen", listen)
}

// anyMode is one of the modes; every other time that of a platform which releases a
// count, the longest.
func (s *site) anyMode() string {
	if s.random.IntN(2) == 0 {
		return crashModes[0]
	}
	return crashModes[s.random.IntN(len(crashModes))]
}

func (s *site) match(mode string, more ...string) *process {
	s.sessions++
	name := fmt.Sprintf("audience-%d", s.sessions)
	args := []string{"match", s.path("customers.csv"), "--platform", s.address, "--mode", mode, "--identity", s.path("advertiser"), "--peer", s.ids["platform"],
		"--policy", s.path("policy.toml"), "--list-consent", "granted", "--receipt", s.path(name + ".receipt")}
	if mode != "p-learns" {
		args = append(args, "--matches", s.path(name+".csv"))
	}
	if mode != "a-learns" {
		args = append(args, "--audience", name)
	}
	return s.launch(append(args, more...)...)
}

// crash lets a session or two begin, kills somebody, and checks what is left. The
// platform is running before and after.
func (s *site) crash() {
	s.t.Helper()
	mode := s.anyMode()
	matches := []*process{s.match(mode)}
	if s.random.IntN(3) == 0 {
		matches = append(matches, s.match(s.anyMode()))
	}
	s.await(mode, matches[0])
	whom := s.random.IntN(5) // 0: the advertiser, 1: both, others: the platform
	if whom < 2 {
		for _, m := range matches {
			m.kill()
		}
	}
	if whom > 0 {
		s.serve.kill()
	} else if s.serve.interrupt(); s.serve.wait() != nil {
		s.t.Errorf("a platform whose advertisers are dead does not stop as it should:\n%s", s.serve.errors.String())
	}
	s.kills++
	if s.random.IntN(4) == 0 { // and once more, as it recovers
		p := s.platform()
		time.Sleep(s.upTo(s.start))
		p.kill()
		s.kills++
		s.phases["recovering"]++
	}
	s.restart()
	for _, m := range matches {
		s.end(m)
	}
	s.phases[s.check.now()]++
}

// saysWhy is what a match says whose platform died: that the session is lost, or
// before there was one that the platform can't be reached; and what to do.
var saysWhy = regexp.MustCompile(`match the list again|match again|cannot reach .*\n.*hint: `)

// end waits for a match that has lost its platform and found it again, or was done
// or killed already.
func (s *site) end(m *process) {
	s.t.Helper()
	err := m.wait()
	var exit *exec.ExitError
	switch {
	case errors.Is(err, errStuck):
		s.t.Errorf("a match does not end, though its platform has started again:\n%s", m.errors.String())
	case errors.As(err, &exit) && exit.Exited() && !saysWhy.MatchString(m.errors.String()):
		s.t.Errorf("a match whose platform was killed says:\n%s", m.errors.String())
	}
}

func (s *site) upTo(most time.Duration) time.Duration {
	return time.Duration(s.random.Int64N(int64(most)))
}

// await waits for the moment of a kill. Nearly half are anywhere in a session;
// where a count is released, most of that time both only wait for its second. The
// others are soon after something has happened.
func (s *site) await(mode string, match *process) {
	evidence := s.path("platform/work/evidence")
	before := len(names(evidence))
	opened := func() bool { return strings.Contains(s.serve.errors.String(), `msg="session opened"`) }
	kept := func() bool { return len(names(evidence)) > before }
	sealed := func() bool { return kept() && !strings.Contains(strings.Join(names(evidence), " "), ".unsealed") }
	until := func(happened func() bool) {
		for deadline := time.Now().Add(2 * s.whole[mode]); !happened() && time.Now().Before(deadline) && !match.over(); {
			time.Sleep(200 * time.Microsecond)
		}
	}
	platformAsks := mode == "p-learns" || mode == "mutual-p"
	switch at := s.random.IntN(12); {
	case at > 9: // as one step after the other comes to be on record
		db := s.below()
		defer db.Close()
		entries := func() (n int) {
			_ = db.QueryRow(`SELECT COUNT(*) FROM outbox`).Scan(&n) // 0 if it can't be read just now
			return n
		}
		want := entries() + 1 + s.random.IntN(3)
		until(func() bool { return entries() >= want })
		time.Sleep(s.upTo(4 * time.Millisecond))
	case at < 5:
		time.Sleep(s.upTo(s.whole[mode]))
	case at == 5 || !platformAsks: // as the questions go, or come
		until(opened)
		time.Sleep(s.upTo(20 * time.Millisecond))
	case at == 6: // as evidence is written
		until(kept)
		time.Sleep(s.upTo(5 * time.Millisecond))
	case at < 9 || mode != "p-learns": // as the table comes, is charged for and matched
		until(sealed)
		time.Sleep(s.upTo(25 * time.Millisecond))
	default: // as the count leaves, at the first full second that is a second later
		until(sealed)
		due := time.Now().Add(time.Second + 20*time.Millisecond).Truncate(time.Second).Add(time.Second)
		time.Sleep(time.Until(due) + s.upTo(50*time.Millisecond) - 5*time.Millisecond)
	}
}

// finish runs a session more of each mode, as if nothing had been, and says what
// was done.
func (s *site) finish() {
	s.t.Helper()
	if s.t.Failed() {
		return
	}
	var last []*process
	for _, mode := range crashModes { // as many at once as a partner may have
		last = append(last, s.match(mode))
	}
	for i, m := range last {
		if m.wait() != nil {
			s.t.Errorf("after %d kills no session of mode %s succeeds: %s", s.kills, crashModes[i], m.errors.String())
		}
	}
	s.serve.interrupt()
	if err := s.serve.wait(); err != nil {
		s.t.Errorf("the platform does not stop as it should: %v", err)
	}
	s.check.now()
	s.check.advertiserIsClean()
	s.run("audit", "verify", s.path("platform/work/logs/public"), "--platform", s.ids["platform"])
	s.t.Logf("%d kills in %d sessions; the last that was done before: %v", s.kills, s.sessions, s.phases)
}

func names(dir string) (list []string) {
	entries, _ := os.ReadDir(dir) // none: no names
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

// process is an overlap of its own.
type process struct {
	cmd         *exec.Cmd
	out, errors console
	done        chan struct{}
	err         error // once done
}

func (s *site) launch(args ...string) *process {
	s.t.Helper()
	p := &process{cmd: exec.Command("overlap", args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	must(s.t, p.cmd.Start())
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	s.t.Cleanup(p.kill)
	return p
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may be over
	<-p.done
}

func (p *process) interrupt() { _ = p.cmd.Process.Signal(os.Interrupt) }

var errStuck = errors.New("it does not end")

func (p *process) wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(2 * time.Minute):
		return errStuck
	}
}

func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// console is what a process has said so far.
type console struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (c *console) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.Write(b)
}

func (c *console) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.text.String()
}
