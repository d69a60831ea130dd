package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
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
	audience, capture := w.match(t)

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
	w.searchCapture(t, capture, n+n/2)
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

func newWorld(t *testing.T, dir string, n int) *world {
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
		fmt.Fprintln(out, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
		for i := n / 2; i < n+n/2; i++ {
			kind, _ := kindOf(person(i))
			fmt.Fprintf(out, "u%d,%s,%s,ads_matching,granted,US,2026-01-02\n", i, kind, person(i))
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
	agreed, err := policy.Parse(bytes.Replace(policy.Default().Bytes(), []byte("\nrelease_step = 10\n"), []byte("\nrelease_step = 1\n"), 1))
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

func (w *world) match(t *testing.T) (audience []string, capture []byte) {
	t.Helper()
	wire := &tap{TransportCredentials: credentials.NewTLS(w.conf.Identity.ClientTLS(w.conf.Platform))}
	conn, err := grpc.NewClient(w.p.addr.String(), append(client.DialOptions(), grpc.WithTransportCredentials(wire))...)
	must(t, err)
	defer conn.Close()
	c, err := client.New(conn, w.conf)
	must(t, err)
	list, err := w.flags.list(w.list, w.conf.Policy)
	must(t, err)
	defer list.Close()
	report, err := c.Match(t.Context(), "spring", list)
	must(t, err)
	if _, err := report.Receipt.Verify(); err != nil {
		t.Error(err)
	}
	for account, err := range w.db.AudienceAccounts(t.Context(), w.conf.Identity.ID(), "spring") {
		must(t, err)
		audience = append(audience, account)
	}
	wire.mu.Lock()
	defer wire.mu.Unlock()
	return audience, bytes.Clone(wire.captured.Bytes())
}

// searchCapture looks at every offset of the capture for what belongs to any of
// the people: the value, its SHA-256, and HashToGroup of its input, computed here
// by circl from the protocol's text.
func (w *world) searchCapture(t *testing.T, capture []byte, people int) {
	t.Helper()
	const dst = "HashToGroup-OPRFV1-\x01-ristretto255-SHA512"
	forbidden := make(map[[32]byte]string, 2*people)
	raw := make(map[[10]byte][]string, people)
	for i := range people {
		value := person(i)
		h := sha256.Sum256([]byte(value))
		_, class := kindOf(value)
		x := append([]byte("AMPSI-V01\x00\x01"), class)
		point, err := group.Ristretto255.HashToElement(append(x, h[:]...), []byte(dst)).MarshalBinary()
		must(t, err)
		forbidden[h], forbidden[[32]byte(point)] = "the SHA-256", "the unblinded point"
		start := [10]byte([]byte(value))
		raw[start] = append(raw[start], value)
	}
	for at := range capture {
		if at+32 <= len(capture) {
			if what := forbidden[[32]byte(capture[at:])]; what != "" {
				t.Fatalf("%s of an identifier is on the wire", what)
			}
		}
		if at+10 <= len(capture) {
			for _, value := range raw[[10]byte(capture[at:])] {
				if bytes.HasPrefix(capture[at:], []byte(value)) {
					t.Fatal("an identifier is on the wire")
				}
			}
		}
	}
}

// checkOverlapOnDisk looks for what sessions may have left: the work directories
// are empty, and the advertiser's state holds no identifier.
// kept is what stays at the platform: its logs, and what sessions can be audited
// with.
var kept = regexp.MustCompile("/logs/(public|access|policies)/|/evidence/[0-9a-f]{64}/(leaves|blinded|digests|receipt)$")

func checkOverlapOnDisk(t *testing.T, dir string, people int) {
	t.Helper()
	for _, sub := range []string{"work", "state"} {
		must(t, filepath.WalkDir(filepath.Join(dir, sub), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			if sub == "work" && !kept.MatchString(path) {
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
