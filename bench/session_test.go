// Package bench measures Overlap: its arithmetic beside that of other libraries,
// and whole sessions, both companies on this machine, over real mutual TLS on
// loopback, with every proof made and checked. README.md says what each figure is.
package bench

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/ledger"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// BenchmarkSession matches a list of n with a platform of n consented accounts,
// half in common. It reports, over both companies together: items/s (n over the
// wall time, which includes the second or two that a release waits for its time),
// cpu-µs/item, bytes/item (frame bodies, both ways, over n) and peak-MB (the highest
// resident memory of this one process, which is both companies).
func BenchmarkSession(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { benchmarkSession(b, n) })
	}
}

func benchmarkSession(b *testing.B, n int) {
	m := newMarket(b, n)
	runtime.GC() // what the companies' making has left is not the session's
	resetPeak()
	stop := startProfile(b)
	var bytes, items uint64
	cpu := cpuTime()
	b.ResetTimer()
	for range b.N {
		r := m.match(b)
		// The platform's 32 bytes a question come on top of what this side sent.
		bytes += r.BytesSent + 32*r.Queries
		items += uint64(n)
	}
	b.StopTimer()
	cpu = cpuTime() - cpu
	stop()
	b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
	b.ReportMetric(float64(cpu.Microseconds())/float64(items), "cpu-µs/item")
	b.ReportMetric(float64(bytes)/float64(items), "bytes/item")
	b.ReportMetric(float64(peakMemory())/(1<<20), "peak-MB")
	matched := 0
	for _, err := range m.store.AudienceAccounts(b.Context(), m.config.Identity.ID(), "bench") {
		if err != nil {
			b.Fatal(err)
		}
		matched++
	}
	if matched != n/2 {
		b.Fatalf("%d accounts matched, want %d", matched, n/2)
	}
}

// sessionProfile is a file for the processor profile of the sessions alone. go
// test's own has the making of the two companies too, and their garbage.
var sessionProfile = flag.String("sessionprofile", "", "write a processor profile of the sessions, without the making of the companies, to this `file`")

// startProfile starts the profile, if one is wanted, until stop.
func startProfile(b *testing.B) (stop func()) {
	if *sessionProfile == "" {
		return func() {}
	}
	f, err := os.Create(*sessionProfile)
	if err != nil {
		b.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		b.Fatal(err)
	}
	return func() {
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// market is two companies and a connection between them.
type market struct {
	list   string
	work   string // the platform's directory
	config client.Config
	conn   *grpc.ClientConn
	store  *store.DB
}

// newMarket is a market of n customers and as many accounts, half in common.
func newMarket(b *testing.B, n int) *market {
	m, _ := found(b, n, n, "release_step = 10\n", "release_step = 1\n", "max_releases = 10\n", "max_releases = 1000\n")
	return m
}

// found makes a market under the default policy with other lines. Person i is a
// customer for i < customers, and the accounts are of persons from half of them on.
func found(b *testing.B, customers, accounts int, lines ...string) (m *market, s *server.Server) {
	b.Helper()
	dir := b.TempDir()
	m = &market{list: filepath.Join(dir, "customers.csv"), work: filepath.Join(dir, "work")}
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
	agreed, err := policy.Parse([]byte(strings.NewReplacer(lines...).Replace(string(policy.Default().Bytes()))))
	if err != nil {
		b.Fatal(err)
	}
	advertiser, platform := newIdentity(b, "advertiser"), newIdentity(b, "platform")
	m.store = openStore(b, filepath.Join(dir, "users.db"), users)
	s, err = server.New(server.Config{
		Identity: platform, Store: m.store, Dir: m.work,
		Partners: []server.Partner{{Name: "advertiser", ID: advertiser.ID(), Policy: agreed}},
	})
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(s.Credentials()))...)
	s.Register(g)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	go g.Serve(l)
	b.Cleanup(g.Stop)
	m.config = client.Config{Identity: advertiser, Platform: platform.ID(), Policy: agreed, Dir: filepath.Join(dir, "state")}
	if m.conn, err = client.Dial(l.Addr().String(), m.config); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { m.conn.Close() })
	return m, s
}

func (m *market) match(b *testing.B) *client.Report {
	c, err := client.New(m.conn, m.config)
	if err != nil {
		b.Fatal(err)
	}
	list, err := audience.Open(m.list, audience.Options{Rule: m.config.Policy.Rule(), ListConsent: audience.Granted})
	if err != nil {
		b.Fatal(err)
	}
	defer list.Close()
	name := "bench"
	if m.config.Mode == client.ALearns {
		name = ""
	}
	r, err := c.Match(b.Context(), name, list)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func openStore(b *testing.B, path, users string) *store.DB {
	db, err := store.Open(b.Context(), "sqlite:"+path)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { db.Close() })
	f, err := ledger.Open(users, ledger.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := db.Put(b.Context(), func(yield func(store.Fact, error) bool) {
		for l, err := range f.All() {
			if !yield(store.Fact{AccountID: l.AccountID, Class: l.Class, Sum: l.Sum, Purpose: l.Purpose, Status: l.Status,
				Basis: l.Basis, Jurisdiction: l.Jurisdiction, CollectedAt: l.CollectedAt}, err) {
				return
			}
		}
	}); err != nil {
		b.Fatal(err)
	}
	return db
}

func newIdentity(b *testing.B, name string) *identity.Identity {
	i, err := identity.New(name)
	if err != nil {
		b.Fatal(err)
	}
	return i
}

func write(b *testing.B, path string, text func(*bufio.Writer)) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	text(w)
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// cpuTime returns the processor time of this process, all threads.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resetPeak makes the kernel forget this process's highest resident memory.
func resetPeak() { _ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) } // best effort: elsewhere it is the run's

// peakMemory returns the highest resident memory since resetPeak, in bytes, or 0
// where the system doesn't tell.
func peakMemory() uint64 {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return kb << 10
		}
	}
	return 0
}
