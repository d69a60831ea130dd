package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cloudflare/circl/group"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/ledger"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// tap records every byte of a connection before it is encrypted and after it is
// decrypted: what a network, or the other company, could see at most.
type tap struct {
	credentials.TransportCredentials
	mu       sync.Mutex
	captured bytes.Buffer
}

func (t *tap) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &tapped{conn, t}, info, nil
}

func (t *tap) Clone() credentials.TransportCredentials { return t }

type tapped struct {
	net.Conn
	t *tap
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.t.record(p[:n])
	return n, err
}

func (c *tapped) Write(p []byte) (int, error) {
	c.t.record(p)
	return c.Conn.Write(p)
}

func (t *tap) record(p []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.captured.Write(p)
}

// TestHundredThousand matches a list of 100 000 with a platform of 100 000, half
// in common: the audience is the intersection of the plain files, exactly, and
// nothing on the wire is a raw value, its hash, or its unblinded point.
func TestHundredThousand(t *testing.T) {
	n := 100_000
	if testing.Short() {
		n = 2_000
	}
	dir := t.TempDir()
	w := newWorld(t, dir, n)
	audience, capture := w.match(t, "spring")

	want := map[string]bool{}
	for i := n / 2; i < n; i++ {
		want[fmt.Sprintf("u%d", i)] = true
	}
	for _, account := range audience {
		if !want[account] {
			t.Fatalf("%s matched and is not in both files", account)
		}
		delete(want, account)
	}
	if len(want) > 0 || len(audience) != n/2 {
		t.Errorf("%d of %d accounts were missed", len(want), n/2)
	}
	if least := 32 * n; len(capture) < 2*least {
		t.Fatalf("only %d bytes were captured", len(capture))
	}
	newSearch(t, 0, n+n/2).look(t, "the wire", capture)
	checkOverlapOnDisk(t, dir, n+n/2)
}

// person is somebody's address; every third has a number instead.
func person(i int) string {
	if i%3 == 0 {
		return phone(i)
	}
	return fmt.Sprintf("person%d@mail.example", i)
}

func kindOf(value string) (string, byte) {
	if strings.HasPrefix(value, "+") {
		return "phone", 0x02
	}
	return "email", 0x01
}

// world is both companies.
type world struct {
	list  string
	db    *store.DB
	p     *platform
	conf  client.Config
	flags listFlags
}

func newWorld(t *testing.T, dir string, n int) *world { return newTellingWorld(t, dir, n, 0) }

// newTellingWorld has a platform with labels of the given length, 0 for none.
func newTellingWorld(t *testing.T, dir string, n, labelLen int) *world {
	t.Helper()
	w := &world{list: filepath.Join(dir, "customers.csv"), flags: listFlags{ListConsent: "granted"}}
	users := filepath.Join(dir, "users.csv")
	must(t, writeFile(w.list, func(out io.Writer) error {
		fmt.Fprintln(out, "email,phone")
		for i := range n {
			if kind, _ := kindOf(person(i)); kind == "phone" {
				fmt.Fprintf(out, ",%s\n", person(i))
			} else {
				fmt.Fprintf(out, "%s,\n", person(i))
			}
		}
		return nil
	}))
	must(t, writeFile(users, func(out io.Writer) error {
		fmt.Fprintln(out, "account_id,kind,value,purpose,status,jurisdiction,collected_at,label")
		for i := n / 2; i < n+n/2; i++ {
			kind, _ := kindOf(person(i))
			label := ""
			if labelLen > 0 {
				label = labelOf(i)
			}
			fmt.Fprintf(out, "u%d,%s,%s,ads_matching,granted,US,2026-01-02,%s\n", i, kind, person(i), label)
		}
		return nil
	}))
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "users.db"))
	must(t, err)
	t.Cleanup(func() { db.Close() })
	w.db = db
	f, err := ledger.Open(users, ledger.Options{})
	must(t, err)
	defer f.Close()
	_, err = putFacts(t.Context(), db, f, newProgress(true))
	must(t, err)
	document := bytes.Replace(policy.Default().Bytes(), []byte("\nrelease_step = 10\n"), []byte("\nrelease_step = 1\n"), 1)
	document = bytes.Replace(document, []byte(`"P_LEARNS"]`), []byte(`"P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`), 1)
	document = bytes.Replace(document, []byte("\nlabel_len = 0\n"), fmt.Appendf(nil, "\nlabel_len = %d\n", labelLen), 1)
	document = bytes.Replace(document, []byte("\nwitnesses = 2\n"), []byte("\nwitnesses = 0\n"), 1)
	agreed, err := policy.Parse(document)
	must(t, err)
	advertiser, err := identity.New("advertiser")
	must(t, err)
	ads, err := identity.New("platform")
	must(t, err)
	w.p, err = startPlatform("127.0.0.1:0", server.Config{
		Identity: ads, Store: db, Dir: filepath.Join(dir, "work"), Log: slog.New(slog.DiscardHandler),
		Partners: []server.Partner{{Name: "advertiser", ID: advertiser.ID(), Policy: agreed}},
	})
	must(t, err)
	t.Cleanup(w.p.stop)
	w.conf = client.Config{Identity: advertiser, Platform: ads.ID(), Policy: agreed, Dir: filepath.Join(dir, "state")}
	return w
}

// match runs a session, and returns what the platform has learned under a name and
// all that was on the wire.
func (w *world) match(t *testing.T, name string) (audience []string, capture []byte) {
	t.Helper()
	wire := &tap{TransportCredentials: w.conf.Credentials()}
	conn, err := grpc.NewClient(w.p.addr.String(), append(client.DialOptions(), grpc.WithTransportCredentials(wire))...)
	must(t, err)
	defer conn.Close()
	c, err := client.New(conn, w.conf)
	must(t, err)
	list, err := w.flags.list(w.list, w.conf.Policy)
	must(t, err)
	defer list.Close()
	report, err := c.Match(t.Context(), name, list)
	must(t, err)
	if _, err := report.Receipt.Verify(); err != nil {
		t.Error(err)
	}
	for account, err := range w.db.AudienceAccounts(t.Context(), w.conf.Identity.ID(), name) {
		if errors.Is(err, store.ErrNotFound) {
			break
		}
		must(t, err)
		audience = append(audience, account)
	}
	wire.mu.Lock()
	defer wire.mu.Unlock()
	return audience, bytes.Clone(wire.captured.Bytes())
}

// search is what belongs to some people: the value, its SHA-256, and HashToGroup
// of its input, computed here by circl from the protocol's text.
type search struct {
	bytes map[[32]byte]string
	raw   map[[10]byte][]string
}

func newSearch(t *testing.T, first, end int) *search {
	t.Helper()
	const dst = "HashToGroup-OPRFV1-\x01-ristretto255-SHA512"
	s := &search{bytes: make(map[[32]byte]string, 2*(end-first)), raw: make(map[[10]byte][]string, end-first)}
	for i := first; i < end; i++ {
		value := person(i)
		h := sha256.Sum256([]byte(value))
		_, class := kindOf(value)
		x := append([]byte("AMPSI-V01\x00\x01"), class)
		point, err := group.Ristretto255.HashToElement(append(x, h[:]...), []byte(dst)).MarshalBinary()
		must(t, err)
		s.bytes[h], s.bytes[[32]byte(point)] = "the SHA-256", "the unblinded point"
		start := [10]byte([]byte(value))
		s.raw[start] = append(s.raw[start], value)
	}
	return s
}

// look looks at every offset.
func (s *search) look(t *testing.T, where string, b []byte) {
	t.Helper()
	for at := range b {
		if at+32 <= len(b) {
			if what := s.bytes[[32]byte(b[at:])]; what != "" {
				t.Fatalf("%s of an identifier is on %s", what, where)
			}
		}
		if at+10 <= len(b) {
			for _, value := range s.raw[[10]byte(b[at:])] {
				if bytes.HasPrefix(b[at:], []byte(value)) {
					t.Fatalf("an identifier is on %s", where)
				}
			}
		}
	}
}

// checkOverlapOnDisk looks for what sessions may have left: of the platform's
// working files nothing, and no identifier in its evidence and logs, nor in the
// advertiser's state.
func checkOverlapOnDisk(t *testing.T, dir string, people int) {
	t.Helper()
	for _, sub := range []string{"work", "state"} {
		must(t, filepath.WalkDir(filepath.Join(dir, sub), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			kept := filepath.Base(path) == "serving" || strings.HasPrefix(path, server.EvidenceDir(filepath.Join(dir, sub))) || strings.HasPrefix(path, server.LogsDir(filepath.Join(dir, sub)))
			if sub == "work" && !kept {
				t.Errorf("the platform left %s", path)
			}
			text, err := os.ReadFile(path)
			for i := range min(people, 1000) { // they stand for all
				sum := sha256.Sum256([]byte(person(i)))
				for _, found := range [][]byte{[]byte(person(i)), sum[:], fmt.Appendf(nil, "%x", sum), fmt.Appendf(nil, "u%d", i+people/3)} {
					if len(found) > 5 && bytes.Contains(text, found) {
						t.Fatalf("%s holds an identifier, its hash, or an account", path)
					}
				}
			}
			return err
		}))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
