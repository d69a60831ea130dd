package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

func relabel(t testing.TB, d *DB, f Filter, to consent.Purpose, want uint64) {
	t.Helper()
	if n, err := d.Mislabelled(context.Background(), f); err != nil || n != want {
		t.Errorf("%d mislabelled, want %d: %v", n, want, err)
	}
	if n, err := d.Relabel(context.Background(), f, to); err != nil || n != want {
		t.Errorf("%d relabelled, want %d: %v", n, want, err)
	}
	if n, err := d.Mislabelled(context.Background(), f); err != nil || n != 0 {
		t.Errorf("%d mislabelled afterwards: %v", n, err)
	}
}

func TestRelabel(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		from := func(account string, n int, source string, hours int) Fact {
			f := fact(account, n)
			f.Source, f.CollectedAt, f.Notice, f.Reference = source, hoursBefore(hours), "security 2", fmt.Sprint("consent ", n)
			return f
		}
		withdrawn := from("d", 4, "crm", 10)
		withdrawn.Status = consent.Withdrawn
		facts := []Fact{
			from("a", 1, "crm", 20), from("a", 2, "crm", 10), from("b", 2, "crm", 10),
			from("b", 3, "web", 10),                          // another source
			from("c", 4, "crm", 20), from("c", 4, "web", 10), // asked again since, and consented
			withdrawn,
		}
		put(t, d, facts...)
		if got := len(admitted(t, d, later)); got != 5 {
			t.Fatalf("%d pass before", got)
		}
		old := Filter{Source: "crm", Until: hoursBefore(20), Since: hoursBefore(20)}
		relabel(t, d, Filter{Source: "crm", Since: hoursBefore(9)}, consent.AccountSecurity2FA, 0)
		relabel(t, d, Filter{Source: "crm", Until: hoursBefore(21)}, consent.AccountSecurity2FA, 0)
		relabel(t, d, Filter{Source: "crm", Notice: "security 3"}, consent.AccountSecurity2FA, 0)
		relabel(t, d, old, consent.AccountSecurity2FA, 2) // also where consent was given later
		relabel(t, d, Filter{Notice: "security 2", Source: "crm"}, consent.AccountSecurity2FA, 2)
		put(t, d, facts...) // the same file again brings nothing back
		if got := len(admitted(t, d, later)); got != 2 {
			t.Errorf("%d pass afterwards, want the 2 of the other source", got)
		}
		events, err := d.History(t.Context(), "a")
		if err != nil || len(events) != 6 {
			t.Fatalf("%d events: %v", len(events), err)
		}
		was, now, retracted := *events[0].Fact, *events[2].Fact, *events[3].Fact
		if now.Purpose != consent.AccountSecurity2FA || now.Status != consent.Granted || retracted.Purpose != consent.AdsMatching || retracted.Status != consent.Retracted {
			t.Error("what was added is not the true purpose and the retraction")
		}
		for _, r := range []*consent.Record{&now, &retracted} { // else they say what the fact said
			r.Purpose, r.Status, r.Fact, r.Secret = was.Purpose, was.Status, was.Fact, was.Secret
			if *r != was {
				t.Error("a correction differs from the fact in more than purpose and status")
			}
		}
	})
}

func TestHasOrigin(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		has := func(source, notice string, want bool) {
			t.Helper()
			if got, err := d.HasOrigin(t.Context(), source, notice); err != nil || got != want {
				t.Errorf("source %q, notice %q: %t, %v", source, notice, got, err)
			}
		}
		has("", "", false)
		a, b := fact("a", 1), fact("b", 2)
		a.Source, a.Notice, b.Source, b.Notice = "crm", "ads 1", "web", "ads 2"
		put(t, d, a, b)
		has("crm", "", true)
		has("", "ads 2", true)
		has("crm", "ads 1", true)
		has("crm", "ads 2", false) // each is there, and not together
		has("CRM", "", false)
		if err := d.Erase(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		has("crm", "", false)
	})
}

func TestRelabelRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		for _, to := range []consent.Purpose{0, consent.AdsMatching, 9} {
			if _, err := d.Relabel(t.Context(), Filter{Source: "settings"}, to); !errors.Is(err, errPurpose) {
				t.Errorf("%v: %v", to, err)
			}
		}
		if _, err := d.Relabel(t.Context(), Filter{Until: later}, consent.ImportUnknown); !errors.Is(err, errFilter) {
			t.Errorf("%v", err)
		}
		if got := len(admitted(t, d, later)); got != 1 {
			t.Errorf("%d pass, want 1", got)
		}
	})
}

func TestWithdraw(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		tomorrow := time.Now().Add(24 * time.Hour)
		future, denied, security := fact("a", 2), fact("a", 3), fact("a", 4)
		future.CollectedAt = tomorrow // as a clock that is fast has it
		denied.Status = consent.Denied
		security.Purpose = consent.AccountSecurity2FA
		old := fact("a", 1)
		old.CollectedAt = hoursBefore(99)
		put(t, d, fact("a", 1), old, fact("a", 2), future, denied, security, fact("b", 1))
		withdraw := func(want uint64) {
			t.Helper()
			if n, err := d.Withdraw(t.Context(), "a", "by letter"); err != nil || n != want {
				t.Errorf("%d withdrawn, want %d: %v", n, want, err)
			}
			for _, at := range []time.Time{time.Now(), tomorrow, tomorrow.Add(time.Hour)} {
				if got := admitted(t, d, at); len(got) != 1 {
					t.Errorf("%d pass, want the other account's", len(got))
				}
			}
		}
		withdraw(3)
		withdraw(0)
		again := fact("a", 1)
		again.CollectedAt = time.Now()
		put(t, d, again)
		withdraw(1)
		if _, err := d.Withdraw(t.Context(), "c", ""); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}
