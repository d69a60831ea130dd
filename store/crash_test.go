package store

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// crashStore names the store that a child process works on until it is killed.
const crashStore = "OVERLAP_TEST_CRASH_STORE"

// TestCrashChild is what the child does: one session after another, and erasures
// in between, each step with an entry that says so.
func TestCrashChild(t *testing.T) {
	url := os.Getenv(crashStore)
	if url == "" {
		return // not the child
	}
	d := open(t, url)
	n := 0
	for _, err := range d.Sessions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	fmt.Println("child is ready")
	for ; ; n++ {
		crashSession(t, d, n)
		crashErase(t, d)
	}
}

func crashSID(n int) (sid [32]byte) {
	binary.BigEndian.PutUint64(sid[:], uint64(n+1))
	return sid
}

func crashSession(t *testing.T, d *DB, n int) {
	records, s, err := eligibleNow(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	s.SID, s.Peer = crashSID(n), id(1)
	if err := d.OpenSession(t.Context(), s, Secrets{id(1), id(2)}, factsOf(records...), note(fmt.Sprint("open ", n))); err != nil {
		t.Fatal(err)
	}
	if _, err := d.PutMatches(t.Context(), s.SID, fmt.Sprint(n%3), matchesOf(records[:len(records)/2]...), func() [32]byte {
		return crashSID(n)
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.CloseSession(t.Context(), s.SID, Ending{Ended: time.Now(), Outcome: "complete"}, note(fmt.Sprint("close ", n))); err != nil {
		t.Fatal(err)
	}
}

func crashErase(t *testing.T, d *DB) {
	var account string
	if err := d.read.QueryRow(`SELECT account_id FROM accounts ORDER BY id LIMIT 1`).Scan(&account); err != nil {
		t.Fatal(err)
	}
	if err := d.Erase(t.Context(), account, func([]ClosedLeaf) ([]Entry, error) { return []Entry{note("erase " + account)}, nil }); err != nil {
		t.Fatal(err)
	}
}

// The process is killed again and again, at moments that it does not choose. What
// it has done is on record whole, with its entries, or not at all.
func TestKilledProcessLeavesNothingHalf(t *testing.T) {
	const kills = 60
	url := dialects[0].url(t)
	d := open(t, url)
	var facts []Fact
	for i := range 2000 {
		f := fact(fmt.Sprint("account ", i), 0)
		binary.BigEndian.PutUint64(f.Sum[8:], uint64(i))
		facts = append(facts, f)
	}
	put(t, d, facts...)
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	var steps, interrupted int
	for range kills {
		runAndKill(t, url, time.Duration(random.IntN(150))*time.Millisecond)
		n := checkWhole(t, d)
		interrupted += n
		steps = len(bodies(t, d, PublicLog))
		if t.Failed() {
			return
		}
	}
	if steps == 0 || interrupted == 0 {
		t.Errorf("%d steps, %d of them cut short: this test looked at nothing", steps, interrupted)
	}
}

// runAndKill lets a child work for a while.
func runAndKill(t *testing.T, url string, after time.Duration) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), crashStore+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "ready") {
	}
	time.Sleep(after)
	if err := child.Process.Kill(); err != nil {
		t.Fatalf("the child ended by itself: %v", err)
	}
	for lines.Scan() {
		t.Errorf("the child says %q", lines.Text())
	}
	_ = child.Wait()
}

// checkWhole checks that entries and what they tell of are there together, and
// closes what was interrupted, of which it returns how much there was.
func checkWhole(t *testing.T, d *DB) (interrupted int) {
	t.Helper()
	entries := bodies(t, d, PublicLog)
	told := func(format string, args ...any) bool { return slices.Contains(entries, fmt.Sprintf(format, args...)) }
	n := 0
	for s, err := range d.Sessions(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if s.SID != crashSID(n) || !told("open %d", n) {
			t.Errorf("session %d is on record without its entry", n)
		}
		if eligible, err := d.Manifest(t.Context(), s.SID, Exposed); err != nil || eligible.Len() != s.Leaves {
			t.Errorf("session %d has a part of its manifest (%v)", n, err)
		}
		matched, err := d.Manifest(t.Context(), s.SID, Matched)
		if there := err == nil; there != bytes.Equal(s.Commitment, s.SID[:]) || there && (matched.Len() != s.Matched || s.Matched != s.Leaves/2) {
			t.Errorf("session %d has a part of its result (%v)", n, err)
		}
		if s.Ended.IsZero() == (told("close %d", n) || told("died %d", n)) {
			t.Errorf("session %d: its end and its entry are not there together", n)
		}
		n++
	}
	checkAudiences(t, d)
	checkErased(t, d, entries)
	list, err := d.Interrupted(t.Context(), time.Now().Add(time.Second))
	if err != nil || len(list) > 1 {
		t.Errorf("%d sessions are interrupted by one death (%v)", len(list), err)
	}
	for _, s := range list {
		e := note(fmt.Sprint("died ", binary.BigEndian.Uint64(s.SID[:])-1))
		if err := d.CloseSession(t.Context(), s.SID, Ending{Ended: time.Now(), Outcome: "process died"}, e); err != nil {
			t.Error(err)
		}
	}
	return len(list)
}

// checkAudiences: each audience is the result of the last session of its name that
// has one.
func checkAudiences(t *testing.T, d *DB) {
	t.Helper()
	list, err := d.Audiences(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range list {
		s, err := d.Session(t.Context(), a.Session)
		if err != nil || s.Matched != a.Accounts {
			t.Errorf("an audience of %d is of a session that matched %d (%v)", a.Accounts, s.Matched, err)
		}
	}
}

// checkErased: an account is gone with its entry, and its sessions count it.
func checkErased(t *testing.T, d *DB, entries []string) {
	t.Helper()
	gone := 0
	for _, e := range entries {
		if account, ok := strings.CutPrefix(e, "erase "); ok {
			gone++
			if _, err := d.History(t.Context(), account); !errors.Is(err, ErrNotFound) {
				t.Errorf("an account is said to be erased and is there (%v)", err)
			}
		}
	}
	var accounts, facts int
	if err := d.read.QueryRow(`SELECT (SELECT COUNT(*) FROM accounts), (SELECT COUNT(*) FROM facts)`).Scan(&accounts, &facts); err != nil {
		t.Fatal(err)
	}
	if accounts != 2000-gone || facts != accounts {
		t.Errorf("%d accounts and %d facts are left of 2000, of which %d were erased", accounts, facts, gone)
	}
	for _, grade := range []Grade{Exposed, Matched} {
		a, err := d.Affected(t.Context(), Query{Grade: grade})
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range a.Sessions {
			facts, err := d.Manifest(t.Context(), s.SID, grade)
			if errors.Is(err, ErrNotFound) {
				continue // no result
			}
			if err != nil || s.Accounts+s.Erased.Accounts != facts.Len() {
				t.Errorf("%s, session %d: %d and %d erased, of %d (%v)", grade, i, s.Accounts, s.Erased.Accounts, facts.Len(), err)
			}
		}
	}
}
