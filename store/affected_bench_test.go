package store

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

const (
	benchmarkAccounts = 1_000_000
	benchmarkSessions = 200
	benchmarkMisused  = 40_000 // accounts imported as granted ads matching that gave a number for 2FA
	benchmarkErased   = 100
)

// misuse fills a store: accounts of which each twenty-fifth came with a mislabelled
// import; sessions of several advertisers that asked about nearly everybody; and
// since then, half of the import corrected, some consents withdrawn, some accounts
// erased. It returns how many are still there to be found in each session.
func misuse(b *testing.B, d *DB) (misused uint64) {
	b.Helper()
	start := time.Now()
	isMisused := func(i int) bool { return i%(benchmarkAccounts/benchmarkMisused) == 0 }
	_, err := d.Put(b.Context(), func(yield func(Fact, error) bool) {
		for i := range benchmarkAccounts {
			f := fact(fmt.Sprintf("account-%08d", i), 0)
			binary.BigEndian.PutUint64(f.Sum[8:], uint64(i))
			f.Source = "settings page"
			if isMisused(i) {
				f.Source = "crm-7"
			}
			if !yield(f, nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	var all, crm Numbers
	v, err := d.View(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for r, err := range v.Records(b.Context(), hoursBefore(5)) {
		if err != nil {
			b.Fatal(err)
		}
		all.Add(r.Fact)
		if r.Source == "crm-7" {
			crm.Add(r.Fact)
		}
	}
	cut := v.Cut()
	v.Close()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range benchmarkSessions {
		// Each leaves out some of the others: no two manifests are the same.
		var facts []uint64
		for n := range all.All() {
			if random.IntN(50) > 0 || crm.Has(n) {
				facts = append(facts, n)
			}
		}
		s := Session{SID: crashSID(i), Peer: id(byte(i % 7)), CutAt: hoursBefore(5).Add(time.Duration(i) * time.Second), Cut: cut, Leaves: uint64(len(facts))}
		err := d.OpenSession(b.Context(), s, Secrets{}, func(yield func(uint64, error) bool) {
			for _, n := range facts {
				if !yield(n, nil) {
					return
				}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("%d accounts, %d sessions: %v", all.Len(), benchmarkSessions, time.Since(start))
	_, err = d.Put(b.Context(), func(yield func(Fact, error) bool) {
		for i := range benchmarkAccounts {
			f := fact(fmt.Sprintf("account-%08d", i), 0)
			binary.BigEndian.PutUint64(f.Sum[8:], uint64(i))
			f.Source = "crm-7"
			switch {
			case isMisused(i) && i < benchmarkAccounts/2: // corrected
				retracted := f
				retracted.Status = consent.Retracted
				f.Purpose = consent.AccountSecurity2FA
				if !yield(retracted, nil) {
					return
				}
			case i%10 == 3: // withdrawn since
				f.Status, f.CollectedAt = consent.Withdrawn, hoursBefore(1)
			default:
				continue
			}
			if !yield(f, nil) {
				return
			}
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	for i := range benchmarkErased {
		if err := d.Erase(b.Context(), fmt.Sprintf("account-%08d", i*benchmarkAccounts/benchmarkMisused), nil); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("with what happened since: %v", time.Since(start))
	return benchmarkMisused - benchmarkErased
}

// Who was affected, of a million accounts in 200 sessions of 7 advertisers.
func BenchmarkAffected(b *testing.B) {
	d := open(b, dialects[0].url(b))
	misused := misuse(b, d)
	q := Query{Grade: Exposed, Predicate: predicate(b, "source=crm-7")}
	for b.Loop() {
		a, err := d.Affected(b.Context(), q)
		if err != nil {
			b.Fatal(err)
		}
		if a.Accounts != misused || len(a.Sessions) != benchmarkSessions || len(a.Advertisers) != 7 {
			b.Fatalf("%d affected, want %d", a.Accounts, misused)
		}
		for _, s := range a.Sessions {
			if s.Accounts != misused || s.Erased.Accounts != benchmarkErased {
				b.Fatalf("%d affected by a session and %d erased", s.Accounts, s.Erased.Accounts)
			}
		}
	}
}
