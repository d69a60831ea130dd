//go:build linux

package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// syntheticFacts are n facts, two identifiers an account, as a platform's file
// would have them: by account.
func syntheticFacts(n int) iter.Seq2[Fact, error] {
	return func(yield func(Fact, error) bool) {
		for i := range n {
			f := Fact{
				AccountID:    fmt.Sprintf("account-%08d", i/2),
				Class:        identifier.EmailUID2 + identifier.Class(i%2),
				Sum:          sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))),
				Purpose:      consent.AdsMatching,
				Status:       consent.Granted,
				Basis:        consent.BasisConsent,
				Jurisdiction: "DE",
				CollectedAt:  time.Unix(1_700_000_000+int64(i), 0),
				Source:       "settings page",
			}
			if !yield(f, nil) {
				return
			}
		}
	}
}

const benchmarkFacts = 200_000

// rows/s of Put into a new store, and of Put again.
func BenchmarkPut(b *testing.B) {
	before := cpu(b)
	for b.Loop() {
		d, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
		if err != nil {
			b.Fatal(err)
		}
		if n, err := d.Put(b.Context(), syntheticFacts(benchmarkFacts)); err != nil || n != benchmarkFacts {
			b.Fatal(n, err)
		}
		d.Close()
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/benchmarkFacts, "cpu-ns/row")
	b.ReportMetric(float64(b.N)*benchmarkFacts/b.Elapsed().Seconds(), "rows/s")
}

// cpu returns the processor's time that this process took: what other work on the
// machine adds least to.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func BenchmarkRecords(b *testing.B) {
	d, err := Open(b.Context(), "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer d.Close()
	if _, err := d.Put(b.Context(), syntheticFacts(benchmarkFacts)); err != nil {
		b.Fatal(err)
	}
	before := cpu(b)
	for b.Loop() {
		n := 0
		for _, err := range d.Records(b.Context(), time.Now()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != benchmarkFacts {
			b.Fatal(n)
		}
	}
	b.ReportMetric(float64(cpu(b)-before)/float64(b.N)/benchmarkFacts, "cpu-ns/row")
	b.ReportMetric(float64(b.N)*benchmarkFacts/b.Elapsed().Seconds(), "rows/s")
}

// Five million accounts in, and out again as a session reads them: rows/s, the
// processor's time, and the most memory that the process ever had, which means
// something only if this benchmark runs alone:
//
//	go test -run xxx -bench Import5M -benchtime 1x ./store
func BenchmarkImport5M(b *testing.B) {
	if testing.Short() {
		b.Skip("takes minutes")
	}
	const accounts = 5_000_000
	oneEach := func(yield func(Fact, error) bool) {
		for f := range syntheticFacts(2 * accounts) {
			if f.Class == identifier.EmailUID2 && !yield(f, nil) {
				return
			}
		}
	}
	for b.Loop() {
		d := open(b, "sqlite:"+filepath.Join(b.TempDir(), "bench.db"))
		began, before := time.Now(), cpu(b)
		if n, err := d.Put(b.Context(), oneEach); err != nil || n != accounts {
			b.Fatal(n, err)
		}
		b.ReportMetric(accounts/time.Since(began).Seconds(), "import-rows/s")
		b.ReportMetric(float64(cpu(b)-before)/accounts, "import-cpu-ns/row")
		b.ReportMetric(peakMiB(b), "import-peak-MiB")
		began, before = time.Now(), cpu(b)
		n := 0
		for _, err := range d.Records(b.Context(), time.Now()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != accounts {
			b.Fatal(n)
		}
		b.ReportMetric(accounts/time.Since(began).Seconds(), "read-rows/s")
		b.ReportMetric(float64(cpu(b)-before)/accounts, "read-cpu-ns/row")
		b.ReportMetric(peakMiB(b), "peak-MiB")
	}
}

// peakMiB returns the most memory that the process has had resident.
func peakMiB(b *testing.B) float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("this system doesn't say")
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		b.Fatal(err)
	}
	return kib / 1024
}
