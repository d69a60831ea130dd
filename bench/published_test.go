package bench

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/client"
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
	m, s := found(b, customers, accounts, "\nrelease_step = 10\n", "\nrelease_step = 1\n", "\nwitnesses = 2\n", "\nwitnesses = 0\n",
		`"P_LEARNS"]`, `"P_LEARNS", "A_LEARNS"]`)
	if err := s.Publish(b.Context()); err != nil {
		b.Fatal(err)
	}
	m.config.Mode, m.config.Tables = client.ALearns, filepath.Join(b.TempDir(), "tables")
	return m, server.TablesDir(m.work)
}
