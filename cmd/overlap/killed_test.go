package main

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// An advertiser that is killed leaves the file of matches that it had begun; the
// next match into the same folder removes it, and none of a match that still runs.
func TestKilledMatchLeavesNoMatches(t *testing.T) {
	dir := t.TempDir()
	platform := silent(t)
	overlap(t, dir, "keygen", "--out", "shop", "--name", "shop")
	id := strings.TrimSpace(overlap(t, dir, "keygen", "--out", "platform", "--name", "platform"))
	must(t, os.WriteFile(filepath.Join(dir, "customers.csv"), []byte("email\na@mail.example\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "policy.toml"), []byte(strings.Replace(modesPolicy, "P_LEARNS", "A_LEARNS", 1)), 0o600))
	begin := func(known ...string) (kill func(), file string) {
		cmd := exec.Command("overlap", "match", "customers.csv", "--mode", "a-learns", "--platform", platform, "--identity", "shop", "--peer", id,
			"--policy", "policy.toml", "--list-consent", "granted")
		cmd.Dir = dir
		must(t, cmd.Start())
		kill = func() { _ = cmd.Process.Kill(); _ = cmd.Wait() } // SIGKILL; again, if it is dead
		t.Cleanup(kill)
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			for _, name := range begun(t, dir) {
				if !slices.Contains(known, name) {
					return kill, name
				}
			}
		}
		t.Fatal("no file of matches is begun")
		return nil, ""
	}
	kill, dead := begin()
	kill()
	if !slices.Equal(begun(t, dir), []string{dead}) {
		t.Fatal("the killed process leaves nothing, and this test shows nothing")
	}
	_, second := begin(dead)
	_, third := begin(dead, second)
	want := []string{second, third}
	slices.Sort(want)
	if left := begun(t, dir); !slices.Equal(left, want) {
		t.Errorf("%q are there, and not %q", left, want)
	}
}

const modesPolicy = `version = 1
purpose = "ads_matching"
universe = "users"
classes = ["email.uid2-1", "phone.e164-1"]
modes = ["P_LEARNS"]
max_q_hat = 16777216
max_n_hat = 16777216
max_evaluations = 268435456
max_releases = 10
retention_days = 180
`

// begun returns the files of matches that have no name yet.
func begun(t *testing.T, dir string) (list []string) {
	t.Helper()
	for _, name := range names(dir) {
		if strings.HasPrefix(name, matchesBegun) {
			list = append(list, name)
		}
	}
	return list
}

// overlap runs a command to its good end, and returns what it says.
func overlap(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("overlap", args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	must(t, err)
	return string(out)
}

// silent is a platform that lets anybody connect and says nothing.
func silent(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			defer conn.Close()
		}
	}()
	return l.Addr().String()
}
