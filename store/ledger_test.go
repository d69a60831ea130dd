package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

func stream(facts ...Fact) iter.Seq2[Fact, error] {
	return func(yield func(Fact, error) bool) {
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	}
}

func put(t testing.TB, d *DB, facts ...Fact) (added uint64) {
	t.Helper()
	added, err := d.Put(context.Background(), stream(facts...))
	if err != nil {
		t.Fatal(err)
	}
	return added
}

func recordsOf(t testing.TB, d *DB, at time.Time) (records []consent.Record) {
	t.Helper()
	for r, err := range d.Records(context.Background(), at) {
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// view opens a view that is closed when the test ends.
func view(t testing.TB, d *DB) *View {
	t.Helper()
	v, err := d.View(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

var openRule = consent.Rule{Classes: []identifier.Class{identifier.EmailUID2, identifier.PhoneE164}}

// admitted returns the identifiers that pass.
func admitted(t testing.TB, d *DB, at time.Time) (sums [][32]byte) {
	t.Helper()
	for _, r := range recordsOf(t, d, at) {
		if e, err := openRule.Admit(&r, at); err == nil {
			sums = append(sums, e.Sum())
		}
	}
	return sums
}

func TestFactsComeBackAsRecords(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		f := fact("a", 1)
		f.Class, f.Status, f.Jurisdiction, f.Basis = identifier.PhoneE164, consent.Denied, "US-CA", consent.BasisNoticeOptOut
		f.Notice, f.Surface, f.Reference = "ads 3", "sign-up form", "consent 17"
		f.CollectedAt = time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
		if added := put(t, d, f); added != 1 {
			t.Fatalf("%d facts added", added)
		}
		r := recordsOf(t, d, later)[0]
		secret, account, number := r.Secret, r.Account, r.Fact
		r.Secret, r.Account, r.Fact = [32]byte{}, consent.Handle{}, 0
		want := consent.Record{
			Basis: f.Basis, Notice: f.Notice, Surface: f.Surface, Reference: f.Reference, Source: f.Source,
			Class: f.Class, Sum: f.Sum, Purpose: f.Purpose, Status: f.Status, Jurisdiction: f.Jurisdiction,
			CollectedAt: f.CollectedAt.Truncate(time.Microsecond).UTC(),
		}
		if r != want || secret == ([32]byte{}) || account == (consent.Handle{}) || number == 0 {
			t.Error("the record differs from the fact")
		}
	})
}

// Every purpose and status of every identifier, through the import and Records to
// the one door: one passes.
func TestOneFactPasses(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		var facts []Fact
		for i, purpose := range consent.Purposes {
			for j, status := range consent.Statuses {
				f := fact(fmt.Sprint("account ", i, j), 1+i*len(consent.Statuses)+j)
				f.Purpose, f.Status = purpose, status
				off := f
				off.AccountID, off.SwitchedOff = off.AccountID+" off", true
				facts = append(facts, f, off)
			}
		}
		put(t, d, facts...)
		records, passed := 0, 0
		for _, purpose := range consent.Purposes { // what Records leaves in the database must not pass either
			for r, err := range view(t, d).records(t.Context(), purpose, later) {
				if err != nil {
					t.Fatal(err)
				}
				records++
				if _, err := openRule.Admit(&r, later); err == nil {
					passed++
					if r.Purpose != consent.AdsMatching || r.Status != consent.Granted || r.SwitchedOff {
						t.Errorf("%v, %v, switched off %v passes", r.Purpose, r.Status, r.SwitchedOff)
					}
				}
			}
		}
		if records != len(facts) || passed != 1 {
			t.Errorf("%d of %d records pass, want 1 of %d", passed, records, len(facts))
		}
		// Records neither decides for Admit nor lets other purposes out.
		if got := recordsOf(t, d, later); len(got) != 2*len(consent.Statuses) {
			t.Errorf("Records yields %d, want all %d of ads_matching", len(got), 2*len(consent.Statuses))
		}
		if sums := admitted(t, d, later); len(sums) != 1 {
			t.Errorf("%d records of Records pass, want 1", len(sums))
		}
	})
}

// The latest fact until the moment holds, whatever the order of arrival.
func TestWithdrawal(t *testing.T) {
	history := []Fact{fact("a", 1), fact("a", 1), fact("a", 1)}
	history[0].CollectedAt = hoursBefore(30)
	history[1].CollectedAt, history[1].Status = hoursBefore(20), consent.Withdrawn
	history[2].CollectedAt = hoursBefore(10)
	for _, order := range [][]int{{0, 1, 2}, {2, 1, 0}, {1, 2, 0}} {
		onEach(t, func(t *testing.T, d *DB) {
			for _, i := range order {
				put(t, d, history[i])
			}
			for _, test := range []struct {
				hours   int
				records int
				passes  bool
			}{{31, 0, false}, {30, 1, true}, {21, 1, true}, {20, 1, false}, {11, 1, false}, {10, 1, true}, {0, 1, true}} {
				at := hoursBefore(test.hours)
				if got := recordsOf(t, d, at); len(got) != test.records {
					t.Errorf("%d hours before: %d records", test.hours, len(got))
				}
				if passes := len(admitted(t, d, at)) == 1; passes != test.passes {
					t.Errorf("%d hours before: passes %v", test.hours, passes)
				}
			}
		})
	}
}

// Facts of one moment: the one that arrived last holds, within a file and over
// several.
func TestTiesGoByArrival(t *testing.T) {
	yes, no := fact("a", 1), fact("a", 1)
	no.Status = consent.Denied
	other := fact("b", 1)
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, other, yes, no)
		if got := admitted(t, d, later); len(got) != 1 {
			t.Errorf("%d pass, want only the other account's", len(got))
		}
		put(t, d, yes) // there already: nothing arrives
		if got := admitted(t, d, later); len(got) != 1 {
			t.Errorf("importing an old line again brings consent back")
		}
	})
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, no)
		put(t, d, yes)
		if got := admitted(t, d, later); len(got) != 1 {
			t.Errorf("%d pass, want 1", len(got))
		}
	})
}

// One purpose's facts say nothing about another's.
func TestPurposesAreApart(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ads, security := fact("a", 1), fact("a", 1)
		security.Purpose, security.Status, security.CollectedAt = consent.AccountSecurity2FA, consent.Withdrawn, hoursBefore(1)
		put(t, d, ads, security)
		if got := admitted(t, d, later); len(got) != 1 {
			t.Errorf("%d pass, want 1", len(got))
		}
	})
}

func TestSwitch(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		set := func(account string, off bool) {
			t.Helper()
			if err := d.SetSwitch(t.Context(), account, off); err != nil {
				t.Fatal(err)
			}
		}
		passing := func(want int) {
			t.Helper()
			if got := admitted(t, d, later); len(got) != want {
				t.Errorf("%d pass, want %d", len(got), want)
			}
		}
		set("b", true) // before the ledger knows of b
		put(t, d, fact("a", 1), fact("a", 2), fact("b", 3))
		passing(2)
		set("a", true)
		passing(0)
		if got := recordsOf(t, d, later); len(got) != 3 || !got[0].SwitchedOff || !got[1].SwitchedOff || !got[2].SwitchedOff {
			t.Error("Records leaves out what is switched off, or does not say so")
		}
		put(t, d, fact("a", 1), fact("a", 4)) // neither old lines nor new ones turn it on
		passing(0)
		set("a", false)
		passing(3)
		off := fact("a", 1)
		off.SwitchedOff = true
		if added := put(t, d, off); added != 0 {
			t.Error("a switch makes a fact another one")
		}
		passing(0)
		for _, account := range []string{"", strings.Repeat("x", 257), "a\x00", "\xff"} {
			if err := d.SetSwitch(t.Context(), account, true); !errors.Is(err, errAccountID) {
				t.Errorf("account id %d bytes long: %v", len(account), err)
			}
		}
	})
}

// What Records yields, WriteSnapshot takes.
func TestRecordsMakeASnapshot(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		facts := manyFacts(500)
		for i := range facts {
			if i%5 == 0 {
				facts[i].Status = consent.Withdrawn
			}
		}
		put(t, d, facts...)
		id := id(1)
		_, leaves, _, err := consent.WriteSnapshot(new(discard), &id, openRule, later, func(n uint64) uint64 { return n }, d.Records(t.Context(), later))
		if err != nil || leaves != 400 {
			t.Errorf("%d leaves, want 400: %v", leaves, err)
		}
	})
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// A reader sees one moment: what is added while it reads is not in it.
func TestRecordsSeeOneMoment(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, manyFacts(1000)...)
		seen := 0
		for _, err := range d.Records(t.Context(), later) {
			if err != nil {
				t.Fatal(err)
			}
			if seen == 0 {
				put(t, d, fact("one more", 1), fact("and one", 2))
				if err := d.SetSwitch(t.Context(), "one more", true); err != nil {
					t.Fatal(err)
				}
			}
			seen++
		}
		if seen != 1000 {
			t.Errorf("%d records, want the 1000 of the beginning", seen)
		}
		if got := len(recordsOf(t, d, later)); got != 1002 {
			t.Errorf("%d records afterwards", got)
		}
	})
}

// The records of some accounts are those among all records, whether the accounts are
// few and looked up, or many.
func TestRecordsAmong(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		var names []string
		for i := range 2000 {
			names = append(names, fmt.Sprint("account", i))
		}
		h := putAccounts(t, d, names...)
		withdrawn := fact("account7", 8)
		withdrawn.Status, withdrawn.CollectedAt = consent.Withdrawn, withdrawn.CollectedAt.Add(time.Hour)
		put(t, d, withdrawn, phone("account7", 99), phone("account9", 98))
		if err := d.SetSwitch(t.Context(), "account9", true); err != nil {
			t.Fatal(err)
		}
		all := recordsOf(t, d, later)
		v, err := d.View(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		for _, n := range []int{0, 1, 10, namesPerLookup + 1, 300, 2000} {
			if few := uint64(n)*fewOf <= v.Cut(); few != (n < 300) {
				t.Fatalf("%d of %d numbers are few: %v", n, v.Cut(), few)
			}
			asked := map[consent.Handle]bool{}
			for _, name := range names[:n] {
				asked[h[name]] = true
			}
			var want, got []consent.Record
			for _, r := range all {
				if asked[r.Account] {
					want = append(want, r)
				}
			}
			twice := slices.Concat(slices.Collect(maps.Keys(asked)), slices.Collect(maps.Keys(asked)))
			for r, err := range v.RecordsAmong(t.Context(), handlesOf(twice...), later) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, r)
			}
			if !slices.Equal(got, want) || n > 9 && len(want) != n+2 {
				t.Errorf("of %d accounts %d records, want %d", n, len(got), len(want))
			}
		}
		for _, err := range v.RecordsAmong(t.Context(), handlesOf(consent.Handle(id(9))), later) {
			if err != errHandle {
				t.Errorf("a handle of nobody: %v", err)
			}
		}
	})
}

// A row that is not as this package writes them is an error, not half a record.
func TestDamagedRowsAreErrors(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "a")
		if _, err := putAudience(t.Context(), d, 1, "spring", 1, handlesOf(h["a"])); err != nil {
			t.Fatal(err)
		}
		for _, damage := range []string{
			`INSERT INTO facts (seq, account, origin, class, purpose, status, collected_at, reference, sum, secret, digest)
				SELECT 1000, account, origin, class, purpose, status, collected_at, reference, substr(sum, 1, 2), secret, substr(digest, 1, 2) FROM facts`,
			`UPDATE sessions SET sid = substr(sid, 1, 1)`, `UPDATE members SET accounts = substr(accounts, 1, 1)`,
		} {
			if _, err := d.write.Exec(damage); err != nil {
				t.Fatal(err)
			}
		}
		for _, err := range d.AudienceAccounts(t.Context(), id(1), "spring") {
			if !errors.Is(err, errChunk) {
				t.Errorf("AudienceAccounts: %v", err)
			}
		}
		errs := callAll(t.Context(), d)
		for _, name := range []string{"Records", "Audiences", "Sessions"} {
			if !errors.Is(errs[name], errLength) {
				t.Errorf("%s: %v", name, errs[name])
			}
		}
	})
}

// Any number of readers may read on while they read.
func TestReadersWithinReaders(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var all, wg sync.WaitGroup
		all.Add(24)
		for range 24 {
			wg.Go(func() {
				first := true
				for _, err := range d.Records(ctx, later) {
					if err != nil {
						t.Error(err)
					}
					if first {
						first = false
						all.Done()
						all.Wait() // until every reader holds a stream
					}
					if _, err := d.ReleasesLeft(ctx, id(1), "u", 7, 1); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
	})
}
