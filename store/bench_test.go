package store

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"iter"
	"path/filepath"
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
	b.ReportMetric(float64(b.N)*benchmarkFacts/b.Elapsed().Seconds(), "rows/s")
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
	b.ReportMetric(float64(b.N)*benchmarkFacts/b.Elapsed().Seconds(), "rows/s")
}
