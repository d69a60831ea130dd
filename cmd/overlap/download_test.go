package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// lossy is a connection's way to the platform that ends after so many bytes from it.
type lossy struct {
	address string // that it listens on
	after   atomic.Int64
	silent  atomic.Bool  // at the end nothing comes any more, and else it is cut
	got     atomic.Int64 // bytes from the platform
}

func newLossy(t *testing.T, platform string) *lossy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	l := &lossy{address: listener.Addr().String()}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(conn, platform)
		}
	}()
	return l
}

func (l *lossy) join(conn net.Conn, platform string) {
	defer conn.Close()
	far, err := net.Dial("tcp", platform)
	if err != nil {
		return
	}
	defer far.Close()
	go func() { _, _ = io.Copy(far, conn) }()
	n, _ := io.Copy(conn, io.LimitReader(&counted{far, &l.got}, l.after.Load()))
	if l.silent.Load() && n == l.after.Load() {
		_, _ = io.Copy(io.Discard, conn) // until it is closed
	}
}

type counted struct {
	io.Reader
	n *atomic.Int64
}

func (c *counted) Read(b []byte) (n int, err error) {
	n, err = c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// An advertiser's program that loses its connection in the middle of a shard of a
// published table, or is killed there, leaves what was whole; the next match has the
// rest only, and comes out right.
func TestDownloadGoesOn(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"), rand.New(rand.NewPCG(4, 0)))
	s.run("table", "build", "--store", s.url, "--identity", s.path("platform"), "--partners", s.path("partners.json"))
	body, total := splitTable(t, s.path("platform/work/tables"))
	s.restart()
	t.Cleanup(func() { s.serve.interrupt(); must(t, s.serve.wait()) })
	way := newLossy(t, s.address)
	s.address = way.address
	match := func() *process {
		m := s.match("a-learns", "--table", "published")
		t.Cleanup(m.kill)
		return m
	}

	way.after.Store(2*body + body/2) // in the middle of the third
	if m := match(); m.wait() == nil || !strings.Contains(m.errors.String(), "match again: what has come of the table is kept") {
		t.Fatalf("a match whose connection is cut says:\n%s", m.errors.String())
	}
	first := s.wholeBodies(t)
	if first < 1 || first > 2 {
		t.Fatalf("%d bodies are there after two and a half", first)
	}
	way.silent.Store(true)
	m := match()
	for deadline := time.Now().Add(30 * time.Second); s.wholeBodies(t) < first+2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) || m.over() {
			t.Fatalf("the second download does not go on:\n%s", m.errors.String())
		}
	}
	m.kill()
	second := s.wholeBodies(t)
	way.after.Store(1 << 40)
	way.got.Store(0)
	if m = match(); m.wait() != nil {
		t.Fatalf("after a cut and a kill:\n%s", m.errors.String())
	}
	matched := 0
	for _, found := range regexp.MustCompile(`(\d+)  of \d+ (e-mails|phones) matched`).FindAllStringSubmatch(m.out.String(), -1) {
		n, err := strconv.Atoi(found[1])
		must(t, err)
		matched += n
	}
	if matched != crashAccounts-crashFirst {
		t.Errorf("%d of the list matched, want %d:\n%s", matched, crashAccounts-crashFirst, m.out.String())
	}
	// Besides what was missing: two handshakes, and the answers to 1024 questions.
	if most := total - int64(second)*body + 80<<10; way.got.Load() > most || most > total {
		t.Errorf("%d bytes came, want %d at most: the table has %d", way.got.Load(), most, total)
	}
}

// wholeBodies counts what an unfinished download has, each of which must be the
// platform's.
func (s *site) wholeBodies(t *testing.T) int {
	t.Helper()
	found, err := filepath.Glob(s.path("advertiser/tables/*/*/*.part/shards-*"))
	must(t, err)
	for _, name := range found {
		got, err := os.ReadFile(name)
		must(t, err)
		of, err := filepath.Glob(filepath.Join(s.path("platform/work/tables"), "*", filepath.Base(name)))
		must(t, err)
		want, err := os.ReadFile(of[0])
		must(t, err)
		if string(got) != string(want) {
			t.Fatal("half a body is kept")
		}
	}
	return len(found)
}

// splitTable makes eight bodies of the one that a small table has, and returns what
// one is long, and all of them.
func splitTable(t *testing.T, dir string) (body, total int64) {
	t.Helper()
	const pieces, each = 8, 65536 / 8
	found, err := filepath.Glob(filepath.Join(dir, "*", "shards-00000"))
	must(t, err)
	b, err := os.ReadFile(found[0])
	must(t, err)
	b = b[6:]
	for i := range pieces {
		piece := binary.BigEndian.AppendUint16(nil, uint16(i*each))
		piece = binary.BigEndian.AppendUint32(piece, each)
		for range each {
			n := 4 + binary.BigEndian.Uint32(b)
			piece, b = append(piece, b[:n]...), b[n:]
		}
		must(t, os.WriteFile(filepath.Join(filepath.Dir(found[0]), fmt.Sprintf("shards-%05d", i*each)), piece, 0o600))
		body, total = int64(len(piece)), total+int64(len(piece))
	}
	return body, total
}
