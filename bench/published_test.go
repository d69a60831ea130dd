package bench

import (
	"bufio"
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
)

// BenchmarkPublished asks about 100 000 customers under a published table of a
// platform that is larger, in A_LEARNS, both companies on this machine. The online
// part, after the table was fetched, is s/op, cpu-s/op of both companies, and
// bytes/item (frame bodies, both ways, over the customers): it follows the
// customers. What the table costs once comes apart: first-s is the first match,
// which fetches and verifies it, and bytes/entry its size on the wire.
//
// OVERLAP_ACCOUNTS names other sizes of the platform: 1000000,10000000.
func BenchmarkPublished(b *testing.B) {
	for _, accounts := range strings.Split(cmp.Or(os.Getenv("OVERLAP_ACCOUNTS"), "100000,1000000"), ",") {
		n, err := strconv.Atoi(accounts)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("accounts=%d", n), func(b *testing.B) { benchmarkPublished(b, n) })
	}
}

const customers = 100_000

func benchmarkPublished(b *testing.B, accounts int) {
	m, dir := newPublished(b, accounts)
	r := m.match(b) // which fetches the table
	first := r.Duration
	size, err := shardBytes(dir)
	if err != nil {
		b.Fatal(err)
	}
	from := cpuTime()
	for b.Loop() {
		r = m.match(b)
		if r.Matched.Email != customers/2 {
			b.Fatalf("%d rows matched, want %d", r.Matched.Email, customers/2)
		}
	}
	b.ReportMetric((cpuTime()-from).Seconds()/float64(b.N), "cpu-s/op")
	// The platform's 32 bytes a question, and its proofs, come on top of what was sent.
	b.ReportMetric(float64(r.BytesSent+32*r.Queries)/customers, "bytes/item")
	b.ReportMetric(float64(size)/float64(r.Entries), "bytes/entry")
	b.ReportMetric(first.Seconds(), "first-s")
}

// shardBytes is the length of all shards below dir.
func shardBytes(dir string) (n int64, err error) {
	names, err := filepath.Glob(filepath.Join(dir, "*", "shards-*"))
	for _, name := range names {
		at, err := os.Stat(name)
		if err != nil {
			return 0, err
		}
		n += at.Size()
	}
	return n, err
}

// newPublished is a market whose platform has accounts for the second half of the
// customers and others, and has published them; dir is where.
func newPublished(b *testing.B, accounts int) (m *market, tables string) {
	b.Helper()
	dir := b.TempDir()
	m = &market{list: filepath.Join(dir, "customers.csv")}
	users := filepath.Join(dir, "users.csv")
	write(b, m.list, func(w *bufio.Writer) {
		fmt.Fprintln(w, "email")
		for i := range customers {
			fmt.Fprintf(w, "person%d@mail.example\n", i)
		}
	})
	write(b, users, func(w *bufio.Writer) {
		fmt.Fprintln(w, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
		for i := customers / 2; i < customers/2+accounts; i++ {
			fmt.Fprintf(w, "u%d,email,person%d@mail.example,ads_matching,granted,US,2026-01-02\n", i, i)
		}
	})
	agreed, err := policy.Parse([]byte(strings.NewReplacer("\nrelease_step = 10\n", "\nrelease_step = 1\n", "\nwitnesses = 2\n", "\nwitnesses = 0\n",
		`"P_LEARNS"]`, `"P_LEARNS", "A_LEARNS"]`).Replace(string(policy.Default().Bytes()))))
	if err != nil {
		b.Fatal(err)
	}
	advertiser, platform := newIdentity(b, "advertiser"), newIdentity(b, "platform")
	m.store = openStore(b, filepath.Join(dir, "users.db"), users)
	work := filepath.Join(dir, "work")
	s, err := server.New(server.Config{Identity: platform, Store: m.store, Dir: work,
		Partners: []server.Partner{{Name: "advertiser", ID: advertiser.ID(), Policy: agreed}}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(credentials.NewTLS(s.TLS())))...)
	s.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go g.Serve(l)
	b.Cleanup(g.Stop)
	m.config = client.Config{Identity: advertiser, Platform: platform.ID(), Policy: agreed, Dir: filepath.Join(dir, "state"),
		Mode: client.ALearns, Tables: filepath.Join(dir, "tables")}
	if m.conn, err = client.Dial(l.Addr().String(), m.config); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.conn.Close() })
	return m, server.TablesDir(work)
}
