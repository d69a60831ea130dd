package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

func TestQuarters(t *testing.T) {
	for _, n := range []int{8, 11, 52, 53} {
		seen := 0
		for q := range 4 {
			of := quarter(make([]sample, n), q)
			if len(of) < n/4 {
				t.Errorf("quarter %d of %d has %d", q, n, len(of))
			}
			seen += len(of)
		}
		if seen != n {
			t.Errorf("the quarters of %d have %d", n, seen)
		}
	}
}

func TestFigures(t *testing.T) {
	files := func(s sample) float64 { return float64(s.files) }
	of := []sample{{files: 5, sessions: 100}, {files: 9, sessions: 150}, {files: 2, sessions: 200}, {files: 8, sessions: 300}}
	for name, c := range map[string]struct{ got, want float64 }{
		"most": {most(of, files), 9}, "least": {least(of, files), 2}, "the middle": {middle(of, files), 6.5},
		"the middle of three": {middle(of[:3], files), 5}, "each": {each(of, files), 3.0 / 200},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
}

// steady is a server that keeps nothing but what it should.
func steady(n int) (samples []sample) {
	for i := range n {
		s := sample{sessions: 48 * (i + 1), goroutines: 13 + i%2, files: 20 + i%3, resident: uint64(100+i%4) * mib, heap: uint64(8+i%2) * mib}
		s.disk = disk{sealed: 20 * (i + 1), receipts: uint64(60_000 * (i + 1)), entries: int64(140 * (i + 1)), database: uint64(400_000 + 50_000*i), wal: 4 * mib}
		s.disk.evidence, s.disk.full = s.disk.kept(1024), tiles(s.disk.entries)
		samples = append(samples, s)
	}
	return samples
}

// A server that keeps nothing passes, and one that keeps something of each
// session is found, whatever it keeps.
func TestWhatGrowsIsFound(t *testing.T) {
	verdict := func(samples []sample) error {
		var text strings.Builder
		err := write(&text, &soak{accounts: 1000}, samples)
		if strings.Contains(text.String(), "%!") || strings.Contains(text.String(), "**grows**") && err == nil {
			t.Errorf("%v with\n%s", err, text.String())
		}
		return err
	}
	if err := verdict(steady(52)); err != nil {
		t.Error(err)
	}
	for what, leak := range map[string]func(s *sample, i int){
		"goroutines":        func(s *sample, i int) { s.goroutines += i },
		"files":             func(s *sample, i int) { s.files += i / 3 },
		"memory":            func(s *sample, i int) { s.resident += uint64(i) * mib / 2 },
		"heap":              func(s *sample, i int) { s.heap += uint64(i) * mib / 10 },
		"scratch files":     func(s *sample, i int) { s.disk.rest += uint64(i) },
		"write-ahead log":   func(s *sample, i int) { s.disk.wal += uint64(i) * mib },
		"database":          func(s *sample, i int) { s.disk.database += uint64(i * i * 1000) },
		"log":               func(s *sample, i int) { s.disk.entries += int64(2 * i * i); s.disk.full = tiles(s.disk.entries) },
		"evidence":          func(s *sample, i int) { s.disk.evidence += uint64(i) },
		"a tile too many":   func(s *sample, i int) { s.disk.full += i / 51 },
		"tiles not removed": func(s *sample, i int) { s.disk.partial += 100 * i },
	} {
		samples := steady(52)
		for i := range samples {
			leak(&samples[i], i)
		}
		if verdict(samples) == nil {
			t.Errorf("nobody notices: %s", what)
		}
	}
}

func TestDisk(t *testing.T) {
	sid := strings.Repeat("ab", 32)
	var d disk
	for name, size := range map[string]uint64{
		"evidence/" + sid + "/leaves":  40_960,
		"evidence/" + sid + "/blinded": 32_768,
		"evidence/" + sid + "/digests": 132,
		"evidence/" + sid + "/receipt": 3000,
		"logs/public/checkpoint":       300,
		"logs/public/tile/0/000":       8192,
		"logs/public/tile/0/001.p/7":   224,
		"logs/access/tile/0/000.p/1":   32,
		"spill/.lock":                  0,
	} {
		d.add(name, size)
	}
	if d.sealed != 1 || d.evidence != d.kept(1024) || d.full != 1 || d.partial != 1 || d.logs != 8748 || d.rest != 0 {
		t.Errorf("%+v, and %d bytes of evidence are expected", d, d.kept(1024))
	}
	// What a session that has ended leaves is nowhere else.
	for _, name := range []string{"spill/snapshot-1", "evidence/" + sid + ".unsealed/leaves", "evidence/stray"} {
		d.add(name, 10)
	}
	if d.rest != 30 {
		t.Errorf("%d bytes are left", d.rest)
	}
}

func TestTiles(t *testing.T) {
	for entries, want := range map[int64]int{0: 0, 255: 0, 256: 2, 511: 2, 512: 4, 65_535: 510, 65_536: 513} {
		if got := tiles(entries); got != want {
			t.Errorf("%d entries make %d, want %d", entries, got, want)
		}
	}
	if n, err := logSize([]byte("overlap/x/log\n1117\nroot=\n\n— x y\n")); err != nil || n != 1117 {
		t.Errorf("%d, %v", n, err)
	}
	for _, bad := range []string{"", "x\n", "x\ny\nz\n"} {
		if _, err := logSize([]byte(bad)); err == nil {
			t.Errorf("%q has a size", bad)
		}
	}
}

// A round has every visit once, in all modes, whatever the order.
func TestPlan(t *testing.T) {
	s := &soak{partners: 16, chance: rand.New(rand.NewPCG(3, 0))}
	seen := map[kind]map[client.Mode]int{}
	total := 0
	for _, plan := range s.plan() {
		for _, v := range plan {
			if seen[v.kind] == nil {
				seen[v.kind] = map[client.Mode]int{}
			}
			seen[v.kind][v.mode]++
			total++
		}
	}
	if total != len(round) || len(seen) != int(kinds) {
		t.Errorf("%d visits of %d kinds", total, len(seen))
	}
	for _, mode := range modes {
		if n := seen[completes][mode]; n != 9 {
			t.Errorf("%d complete in %v", n, mode)
		}
	}
	if n := sessionsOf(round); n != 48 {
		t.Errorf("a round has %d sessions", n)
	}
}

// A visit that ends in another way than it should is no success.
func TestJudge(t *testing.T) {
	rows := func(n int) *matched {
		m := new(matched)
		for i := range n {
			m.rows = append(m.rows, uint64(i)+1)
		}
		return m
	}
	twice := rows(3)
	twice.rows[2] = 2
	abort := func(c psi.AbortCode) error { return fmt.Errorf("ended: %w", &session.PeerAbort{Code: c}) }
	g, opened := &guest{common: 3}, &client.Report{Session: "00"}
	for i, c := range []struct {
		kind  kind
		mode  client.Mode
		found *matched
		r     *client.Report
		err   error
		ok    bool
	}{
		{completes, client.ALearns, rows(3), opened, nil, true},
		{completes, client.ALearns, rows(2), opened, nil, false},
		{completes, client.ALearns, rows(4), opened, nil, false},
		{completes, client.ALearns, twice, opened, nil, false},
		{completes, client.PLearns, rows(0), opened, nil, true},
		{resumes, client.PLearns, rows(0), opened, abort(psi.AbortResume), false},
		{cancels, client.PLearns, rows(0), opened, context.Canceled, true},
		{cancels, client.PLearns, rows(0), opened, abort(psi.AbortMalformed), false},
		{vanishes, client.PLearns, rows(0), opened, session.ErrBroken, true},
		{otherTerms, client.PLearns, rows(0), nil, abort(psi.AbortTerms), true},
		{otherTerms, client.PLearns, rows(0), opened, nil, false},
		{stranger, client.PLearns, rows(0), nil, identity.ErrUnknown, true},
		{stranger, client.PLearns, rows(0), opened, errors.New("later"), false},
		{spent, client.PLearns, rows(0), nil, abort(psi.AbortBudget), true},
		{spent, client.PLearns, rows(0), nil, abort(psi.AbortBusy), false},
	} {
		if err := (visit{kind: c.kind, mode: c.mode}).judge(g, c.found, c.r, c.err); (err == nil) != c.ok {
			t.Errorf("%d: %s: %v", i, kindNames[c.kind], err)
		}
	}
}

// A network that is cut is there again at the next call, or not.
func TestCut(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	n := new(network)
	for _, forGood := range []bool{false, true} {
		c, err := n.dial(t.Context(), l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		n.cut(forGood)
		if _, err := c.Write([]byte{0}); err == nil {
			t.Error("a connection outlives its network")
		}
	}
	if _, err := n.dial(t.Context(), l.Addr().String()); !errors.Is(err, errGone) {
		t.Errorf("a network that is gone dials: %v", err)
	}
}
