package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
)

// newMatches writes a customer file and prepares the matches of it.
func newMatches(t *testing.T, text string) (m *matchesFile, path, list string) {
	t.Helper()
	dir := t.TempDir()
	list, path = filepath.Join(dir, "customers.csv"), filepath.Join(dir, "matches.csv")
	must(t, os.WriteFile(list, []byte(text), 0o600))
	l, err := audience.Open(list, audience.Options{Rule: policy.Default().Rule(), ListConsent: audience.Granted})
	must(t, err)
	defer l.Close()
	m, err = newMatchesFile(path, list, l, false)
	must(t, err)
	t.Cleanup(m.close)
	return m, path, list
}

// Rows are found again with their ids, whatever lines and quotes there are; a
// row without that many cells is not guessed.
func TestMatchesHaveIDs(t *testing.T) {
	m, path, _ := newMatches(t, "email,id\na@example.com,\"a\nb\"\n\nb@example.com,\"=1,2\"\nc@example.com,c\n")
	for _, match := range []client.Match{{Row: 1, Kind: "email"}, {Row: 2, Kind: "email"}, {Row: 2, Kind: "phone"}, {Row: 3, Kind: "email"}} {
		must(t, m.add(match))
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file before it is whole")
	}
	must(t, m.finish())
	text, err := os.ReadFile(path)
	must(t, err)
	if want := "row,id,kind\n1,\"a\nb\",email\n2,\"=1,2\",email\n2,\"=1,2\",phone\n3,c,email\n"; string(text) != want {
		t.Errorf("%q, want %q", text, want)
	}
	info, err := os.Stat(path)
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v", info.Mode())
	}
	if err := m.add(client.Match{Row: 4}); !errors.Is(err, errChanged) {
		t.Errorf("a row that the file does not have: %v", err)
	}
}

// What a spreadsheet would run is text in it, and can be read back; anything else is
// as the platform wrote it.
func TestLabelsAreInert(t *testing.T) {
	for _, label := range []string{
		"=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", `=HYPERLINK("https://x.example?"&A1)`, "=", "  =1+1", "\u00a0=1", "\ufeff=1", "\x00=1",
		"＝1", "＋1", "－1", "＠x", "'=1", "'", `=cmd|' /C calc'!A0`,
	} {
		if got := inert(label); got != "'"+label {
			t.Errorf("%q becomes %q", label, got)
		}
	}
	for _, label := range []string{"", " ", "segment 7", "a=b", "a\t=1", "1-2", `"=1"`, "é", ";=1", "\ufeff", "\xff"} {
		if got := inert(label); got != label {
			t.Errorf("%q becomes %q", label, got)
		}
	}
}

// A customer file that changes while it is matched gives no ids at all.
func TestCustomersChangeMeanwhile(t *testing.T) {
	m, path, list := newMatches(t, "email,id\na@example.com,a\n")
	must(t, m.add(client.Match{Row: 1, Kind: "email"}))
	must(t, os.Chtimes(list, time.Now(), time.Now().Add(time.Hour)))
	if err := m.finish(); !errors.Is(err, errChanged) {
		t.Errorf("changed meanwhile: %v", err)
	}
	m.close()
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*matches*"))
	must(t, err)
	if len(left) > 0 {
		t.Errorf("%v are left", left)
	}
}

// The estimate grows with what it is of, and its bytes are the protocol's.
func TestEstimate(t *testing.T) {
	p := policy.Default()
	for mode := range learns {
		small, large := newEstimate(mode, 1000, p), newEstimate(mode, 10_000_000, p)
		if small.List != 1024 || large.List != 10_485_760 || small.Time >= large.Time || small.Bytes >= large.Bytes ||
			small.Memory >= large.Memory || small.Disk >= large.Disk {
			t.Errorf("%v: %+v, %+v", mode, small, large)
		}
	}
	// The count leaves at a multiple of release_step, after release_step and 5 µs for
	// each of 2^24 questions and 1024 entries.
	if got := newEstimate(client.PLearns, 1000, p).Time; got < 2*time.Duration(p.ReleaseStep)*time.Second+(1<<24+1024)*5*time.Microsecond {
		t.Errorf("%v, less than the release waits", got)
	}
	// 2^24 questions of 64 bytes, 1024 proofs of 64, 1024 entries of 16.
	if got := newEstimate(client.PLearns, 1000, p).Bytes; got != 1<<30+1<<16+1<<14 {
		t.Errorf("%d bytes", got)
	}
	if got := newEstimate(client.MutualA, 1000, p).Bytes; got != 1<<16+64+1<<28+1<<15 {
		t.Errorf("%d bytes with claims", got)
	}
}
