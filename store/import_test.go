package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

func TestImportTwiceIsImportOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		facts := []Fact{fact("a", 1), fact("a", 2), fact("b", 1), fact("b", 1)}
		if added := put(t, d, facts...); added != 3 {
			t.Errorf("%d facts added, want 3", added)
		}
		before := recordsOf(t, d, later)
		slices.Reverse(facts)
		if added := put(t, d, facts...); added != 0 {
			t.Errorf("%d facts added again", added)
		}
		if !slices.Equal(before, recordsOf(t, d, later)) {
			t.Error("records or secrets differ after importing again")
		}
		// Any difference in what a fact says is another fact.
		changes := []func(*Fact){
			func(f *Fact) { f.AccountID = "c" }, func(f *Fact) { f.Class = identifier.EmailPlain }, func(f *Fact) { f.Sum = id(9) },
			func(f *Fact) { f.Purpose = consent.ProfileContact }, func(f *Fact) { f.Status = consent.Expired }, func(f *Fact) { f.Jurisdiction = "DE" },
			func(f *Fact) { f.CollectedAt = hoursBefore(9) }, func(f *Fact) { f.Source = "elsewhere" },
			func(f *Fact) { f.Basis = consent.BasisContract }, func(f *Fact) { f.Notice = "1" }, func(f *Fact) { f.Surface = "1" }, func(f *Fact) { f.Reference = "1" },
		}
		for i, change := range changes {
			f := fact("a", 1)
			change(&f)
			if added := put(t, d, f); added != 1 {
				t.Errorf("change %d: %d facts added, want 1", i, added)
			}
		}
	})
}

func TestUnsoundFactsAreRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Fact)
	}{
		{"no account", func(f *Fact) { f.AccountID = "" }},
		{"long account", func(f *Fact) { f.AccountID = strings.Repeat("x", 257) }},
		{"account with a zero byte", func(f *Fact) { f.AccountID = "a\x00b" }},
		{"account that is no text", func(f *Fact) { f.AccountID = "\xc3" }},
		{"no class", func(f *Fact) { f.Class = 0 }},
		{"unknown class", func(f *Fact) { f.Class = 0x7f }},
		{"no identifier", func(f *Fact) { f.Sum = [32]byte{} }},
		{"no purpose", func(f *Fact) { f.Purpose = 0 }},
		{"unknown purpose", func(f *Fact) { f.Purpose = 9 }},
		{"no status", func(f *Fact) { f.Status = 0 }},
		{"unknown status", func(f *Fact) { f.Status = 6 }},
		{"no basis", func(f *Fact) { f.Basis = 0 }},
		{"unknown basis", func(f *Fact) { f.Basis = 6 }},
		{"malformed jurisdiction", func(f *Fact) { f.Jurisdiction = "fr" }},
		{"no time", func(f *Fact) { f.CollectedAt = time.Time{} }},
		{"time too late to store", func(f *Fact) { f.CollectedAt = time.Unix(1<<40, 0) }},
		{"long source", func(f *Fact) { f.Source = strings.Repeat("x", 1025) }},
		{"long notice", func(f *Fact) { f.Notice = strings.Repeat("x", 1025) }},
		{"long surface", func(f *Fact) { f.Surface = strings.Repeat("x", 1025) }},
		{"long reference", func(f *Fact) { f.Reference = strings.Repeat("x", 1025) }},
		{"source with a zero byte", func(f *Fact) { f.Source = "\x00" }},
	}
	onEach(t, func(t *testing.T, d *DB) {
		for _, test := range tests {
			bad := fact("a", 2)
			test.change(&bad)
			_, err := d.Put(t.Context(), stream(fact("a", 1), bad))
			var fe *FactError
			if !errors.As(err, &fe) || fe.Number != 2 || fe.Reason == "" || err.Error() != "store: fact 2: "+fe.Reason {
				t.Errorf("%s: %v", test.name, err)
			}
		}
		if got := recordsOf(t, d, later); len(got) != 0 {
			t.Errorf("%d records of a batch that was refused", len(got))
		}
		longest := fact(strings.Repeat("x", 256), 1)
		longest.Source, longest.Jurisdiction = strings.Repeat("y", consent.MaxText), ""
		longest.Notice, longest.Surface, longest.Reference = longest.Source, longest.Source, longest.Source
		if added := put(t, d, longest); added != 1 {
			t.Error("the longest texts are not taken")
		}
	})
}

// manyFacts are more than one transaction, of accounts in no order, some of them
// in both transactions.
func manyFacts(n int) []Fact {
	random := rand.New(rand.NewPCG(1, 2))
	facts := make([]Fact, n)
	for i := range facts {
		f := fact(fmt.Sprint("account ", random.IntN(n/2)), 1)
		f.Sum = [32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1}
		f.Class = []identifier.Class{identifier.EmailUID2, identifier.PhoneE164}[i%2]
		facts[i] = f
	}
	return facts
}

func TestManyFactsInOrder(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		n := factsPerTransaction + d.dialect.rowsPerInsert + 3
		facts := manyFacts(n)
		if added := put(t, d, facts...); added != uint64(n) {
			t.Fatalf("%d of %d facts added", added, n)
		}
		records := recordsOf(t, d, later)
		if len(records) != n {
			t.Fatalf("%d of %d records", len(records), n)
		}
		want := map[[32]byte]bool{}
		for _, f := range facts {
			want[f.Sum] = true
		}
		secrets := map[[32]byte]bool{}
		for i, r := range records {
			if i > 0 && compareRecords(&records[i-1], &r) >= 0 {
				t.Fatalf("record %d is not after the one before", i)
			}
			delete(want, r.Sum)
			secrets[r.Secret] = true
		}
		if len(want) != 0 || len(secrets) != n {
			t.Errorf("%d identifiers missing, %d secrets of %d", len(want), len(secrets), n)
		}
	})
}

func compareRecords(a, b *consent.Record) int {
	if c := slices.Compare(a.Account[:], b.Account[:]); c != 0 {
		return c
	}
	if c := int(a.Class) - int(b.Class); c != 0 {
		return c
	}
	return slices.Compare(a.Sum[:], b.Sum[:])
}

func TestPutLeavesWholeBatches(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		failure := errors.New("file failed")
		facts := manyFacts(factsPerTransaction + 10)
		failing := func(yield func(Fact, error) bool) {
			for f := range stream(facts...) {
				if !yield(f, nil) {
					return
				}
			}
			yield(Fact{}, failure)
		}
		if added, err := d.Put(t.Context(), failing); !errors.Is(err, failure) || added != factsPerTransaction {
			t.Errorf("%d facts added: %v", added, err)
		}
		if added := put(t, d, facts...); added != 10 {
			t.Errorf("%d facts added the second time, want 10", added)
		}
	})
}

// The sequence may itself use the store: no lock is held while it runs.
func TestSequenceMayUseTheStore(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		facts := manyFacts(factsPerTransaction + 1)
		nested := func(yield func(Fact, error) bool) {
			for i, f := range facts {
				if i%10_000 == 0 {
					if err := d.SetSwitch(ctx, f.AccountID, true); err != nil {
						t.Error(err)
					}
				}
				if !yield(f, nil) {
					return
				}
			}
		}
		if _, err := d.Put(ctx, nested); err != nil {
			t.Fatal(err)
		}
		for r, err := range d.Records(ctx, later) {
			if err != nil {
				t.Fatal(err)
			}
			if err := d.UseNonce(ctx, r.Sum, r.Secret, later.AddDate(10, 0, 0)); err != nil {
				t.Fatal(err)
			}
			break
		}
	})
}

func TestImportsAtOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		facts := manyFacts(2000)
		var wg sync.WaitGroup
		var total uint64
		var mu sync.Mutex
		for _, d := range []*DB{open(t, url), open(t, url)} {
			for range 2 {
				wg.Go(func() {
					added, err := d.Put(context.Background(), stream(facts...))
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					total += added
					mu.Unlock()
				})
			}
		}
		wg.Wait()
		if total != 2000 {
			t.Errorf("four imports of the same 2000 facts added %d", total)
		}
	})
}

// An import may have many pages in memory, and what comes after it has few again:
// else a server's memory grows with its store.
func TestPagesInMemory(t *testing.T) {
	d, _ := openFile(t)
	pages := func() (kib int) {
		if err := d.write.QueryRow(`PRAGMA cache_size`).Scan(&kib); err != nil {
			t.Fatal(err)
		}
		return -kib
	}
	usual := pages()
	during := 0
	_, err := d.Put(t.Context(), func(yield func(Fact, error) bool) {
		during = pages()
		yield(fact("a", 1), nil)
	})
	if err != nil || during < 10*usual || pages() != usual {
		t.Errorf("%d KiB before, %d during an import and %d afterwards (%v)", usual, during, pages(), err)
	}
}
