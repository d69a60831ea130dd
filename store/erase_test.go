package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// phone is a granted fact of a phone number.
func phone(account string, n int) Fact {
	f := fact(account, n)
	f.Class = identifier.PhoneE164
	return f
}

// Totals stay, and who is gone: the seeded misuse of N is still N, of whom some
// can no longer be named.
func TestEraseKeepsTotals(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		const n = 20
		var facts []Fact
		for i := range n {
			facts = append(facts, with(fact(fmt.Sprint("account", i), i+1), consent.AdsMatching, consent.Granted, "crm-7", 10))
		}
		facts = append(facts, with(phone("account3", 50), consent.AdsMatching, consent.Granted, "crm-7", 10), fact("good", 60))
		put(t, d, facts...)
		sessionAt(t, d, 1, 1, hoursBefore(8), everybody)
		sessionAt(t, d, 2, 2, hoursBefore(7), func(r consent.Record) bool { return r.Class == identifier.EmailUID2 })
		q := Query{Grade: Exposed, Predicate: predicate(t, "source=crm-7")}
		if got := affectedBy(t, d, q); len(got) != n {
			t.Fatalf("%d are affected", len(got))
		}
		if err := d.SetSwitch(t.Context(), "account3", true); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			if err := d.Erase(t.Context(), fmt.Sprint("account", i), nil); err != nil {
				t.Fatal(err)
			}
		}
		for _, grade := range []Grade{Exposed, Matched} {
			q.Grade = grade
			a, err := d.Affected(t.Context(), q)
			if err != nil || a.Accounts != n-5 {
				t.Fatalf("%d are affected (%v)", a.Accounts, err)
			}
			for i, s := range a.Sessions {
				want := Tally{5, 6}
				if grade == Matched && i == 1 {
					want = Tally{5, 5} // the phone was no match there
				}
				if s.Erased != want || s.Accounts != n-5 {
					t.Errorf("%s, session %d: %+v", grade, i, s)
				}
			}
		}
		var byClass string
		rows, err := d.read.Query(`SELECT session, grade, class, identifiers, accounts FROM erased ORDER BY session, grade, class`)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var n [5]int
			if err := rows.Scan(&n[0], &n[1], &n[2], &n[3], &n[4]); err != nil {
				t.Fatal(err)
			}
			byClass += fmt.Sprint(n[1:])
		}
		if want := "[1 0 6 5][1 1 5 5][1 2 1 1][2 0 6 5][2 1 5 5][2 2 1 1][1 0 6 5][1 1 5 5][1 2 1 1][2 0 5 5][2 1 5 5]"; byClass != want {
			t.Errorf("%s, want %s", byClass, want)
		}
		if got := accountsOf(t, d, 1, "1"); len(got) != n-5+1 {
			t.Errorf("%d accounts are left in the audience", len(got))
		}
		if s, err := d.Session(t.Context(), id(1)); err != nil || s.Leaves != n+2 || s.Matched != n+1 {
			t.Errorf("the session says otherwise than it did (%v)", err)
		}
		if err := d.Erase(t.Context(), "account3", nil); !errors.Is(err, ErrNotFound) {
			t.Errorf("erased twice: %v", err)
		}
	})
}

// Everything of an account is gone, and one of its name that comes later is another.
func TestEraseLeavesNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), phone("a", 2), fact("b", 3))
		before := recordsOf(t, d, later)
		sessionAt(t, d, 1, 1, hoursBefore(8), everybody)
		if err := d.SetSwitch(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}
		if _, _, err := d.Hold(t.Context(), Hold{Until: time.Now().Add(-time.Hour)}, names("a")); err != nil {
			t.Fatal(err)
		}
		if err := d.Erase(t.Context(), "a", nil); err != nil {
			t.Fatal(err)
		}
		for _, table := range []string{"accounts", "facts", "switches", "held"} {
			var n int
			if err := d.read.QueryRow(`SELECT COUNT(*) FROM ` + table).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if want := map[string]int{"accounts": 1, "facts": 1}[table]; n != want {
				t.Errorf("%s has %d rows, want %d", table, n, want)
			}
		}
		if accounts, err := readNumbers(t.Context(), d.read, "", `SELECT chunk, audience, accounts FROM members`); err != nil || accounts.Len() != 1 {
			t.Errorf("audiences have %d accounts, want 1 (%v)", accounts.Len(), err)
		}
		put(t, d, fact("a", 1))
		for _, r := range recordsOf(t, d, later) {
			if r.Sum != id(1) {
				continue
			}
			for _, old := range before {
				if r.Secret == old.Secret || r.Sum == old.Sum && (r.Account == old.Account || r.Fact == old.Fact) {
					t.Error("something of the erased account is back")
				}
			}
		}
		if got := affectedBy(t, d, Query{Grade: Exposed}); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%q are in the session", got)
		}
		if s, err := d.Subject(t.Context(), "a"); err != nil || len(s.Exposures) != 0 {
			t.Errorf("%d exposures of somebody else (%v)", len(s.Exposures), err)
		}
	})
}

// What an erasure closes is the very leaf that the session committed to.
func TestEraseTellsTheLeaves(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), phone("a", 2), fact("b", 3), with(fact("a", 1), consent.AccountSecurity2FA, consent.Granted, "login", 9))
		var want [][32]byte
		for sid := byte(1); sid <= 2; sid++ {
			snapshotID := id(sid + 50)
			v, err := d.View(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			at := hoursBefore(5)
			root, leaves, size, err := consent.WriteSnapshot(&file, &snapshotID, openRule, at, func(n uint64) uint64 { return n + 2 }, v.Records(t.Context(), at))
			if err != nil {
				t.Fatal(err)
			}
			s := Session{SID: id(sid), Peer: id(1), Started: at, CutAt: at, Cut: v.Cut(), Root: root, Leaves: leaves, QHat: size}
			v.Close()
			snapshot, err := consent.ReadSnapshot(bytes.NewReader(file.Bytes()), int64(file.Len()))
			if err != nil {
				t.Fatal(err)
			}
			a := handleOf(t, d, "a")
			err = d.OpenSession(t.Context(), s, Secrets{SnapshotID: snapshotID}, func(yield func(uint64, error) bool) {
				for leaf, err := range snapshot.All() {
					if leaf.IsPad() {
						return
					}
					if leaf.Account() == a {
						want = append(want, leaf.Hash())
					}
					if !yield(leaf.Fact(), err) {
						return
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := d.SetSwitch(t.Context(), "a", true); err != nil { // since then: the leaf is what it was
			t.Fatal(err)
		}
		err := d.Erase(t.Context(), "a", func(closed []ClosedLeaf) ([]Entry, error) {
			var got [][32]byte
			for _, c := range closed {
				_, leaf := consent.OpenLeaf(&c.Record, &c.SnapshotID)
				got = append(got, leaf)
			}
			if len(want) != 4 || !slices.Equal(got, want) || closed[0].SID != id(1) || closed[3].SID != id(2) {
				t.Errorf("%d leaves close, other than the %d", len(got), len(want))
			}
			return []Entry{note("erased")}, nil
		})
		if got := bodies(t, d, PublicLog); err != nil || !slices.Equal(got, []string{"erased"}) {
			t.Errorf("%q (%v)", got, err)
		}
		failure := errors.New("no entries")
		if err := d.Erase(t.Context(), "b", func([]ClosedLeaf) ([]Entry, error) { return nil, failure }); !errors.Is(err, failure) {
			t.Error(err)
		}
		if len(recordsOf(t, d, later)) != 1 {
			t.Error("an erasure without its entries took place")
		}
	})
}

// While a session runs, who is erased is not in its audience, but in its totals;
// and a session does not begin with somebody who is gone.
func TestEraseWhileASessionRuns(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("early", 1), phone("early", 2), fact("late", 3), fact("stays", 4))
		records, next, err := eligibleNow(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		opened(t, d, 1)
		if err := d.Erase(t.Context(), "early", nil); err != nil {
			t.Fatal(err)
		}
		next.SID = id(2)
		if err := d.OpenSession(t.Context(), next, Secrets{}, factsOf(records...)); !errors.Is(err, ErrErased) {
			t.Errorf("a session begins with the erased: %v", err)
		}
		_, err = d.PutMatches(t.Context(), id(1), "spring", func(yield func(Match, error) bool) {
			for _, r := range records {
				if !yield(Match{r.Account, r.Fact}, nil) {
					return
				}
			}
			if err := d.Erase(t.Context(), "late", nil); err != nil {
				t.Error(err)
			}
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("the audience has %q", got)
		}
		for _, grade := range []Grade{Exposed, Matched} {
			a, err := d.Affected(t.Context(), Query{Grade: grade})
			if err != nil || a.Accounts != 1 || a.Sessions[0].Erased != (Tally{2, 3}) {
				t.Errorf("%s: %+v (%v)", grade, a, err)
			}
		}
		wantFacts(t, d, 1, Matched, records...)
	})
}

func TestHold(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2), fact("c", 3))
		until := time.Now().Add(time.Hour).Truncate(time.Microsecond).UTC()
		over, n, err := d.Hold(t.Context(), Hold{Incident: "i1", Reason: "over", Until: time.Now().Add(-time.Second)}, names("a", "b"))
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		long, n, err := d.Hold(t.Context(), Hold{Incident: "i2", Reason: "to be told", Until: until}, names("a", "nobody", "a", "c"), note("held"))
		if err != nil || n != 2 {
			t.Fatalf("%d accounts are held (%v)", n, err)
		}
		short, _, err := d.Hold(t.Context(), Hold{Incident: "i3", Reason: "for shorter", Until: until.Add(-time.Minute)}, names("a"))
		if err != nil {
			t.Fatal(err)
		}
		var held *HeldError
		if err := d.Erase(t.Context(), "a", nil); !errors.Is(err, ErrHeld) || !errors.As(err, &held) || held.Hold != (Hold{long, "i2", "to be told", until}) {
			t.Errorf("%v", err)
		}
		if err := d.Erase(t.Context(), "b", nil); err != nil {
			t.Errorf("a hold that is over holds: %v", err)
		}
		if err := d.ReleaseHold(t.Context(), long, note("released")); err != nil {
			t.Fatal(err)
		}
		if err := d.ReleaseHold(t.Context(), long, note("released again")); err != nil {
			t.Fatal(err)
		}
		if err := d.Erase(t.Context(), "a", nil); !errors.As(err, &held) || held.Hold.ID != short {
			t.Errorf("%v", err)
		}
		if err := d.ReleaseHold(t.Context(), short); err != nil {
			t.Fatal(err)
		}
		for _, account := range []string{"a", "c"} {
			if err := d.Erase(t.Context(), account, nil); err != nil {
				t.Error(err)
			}
		}
		list, err := d.Holds(t.Context())
		if err != nil || len(list) != 1 || list[0].ID != over {
			t.Errorf("%d holds are left (%v)", len(list), err)
		}
		failure := errors.New("reading failed")
		if _, _, err := d.Hold(t.Context(), Hold{Until: until}, func(yield func(string, error) bool) { yield("", failure) }); !errors.Is(err, failure) {
			t.Error(err)
		}
		if list, _ := d.Holds(t.Context()); len(list) != 1 {
			t.Error("a hold that failed is there")
		}
		if got := bodies(t, d, PublicLog); !slices.Equal(got, []string{"held", "released"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestIncidents(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		i := Incident{ID: "2026-1", Predicate: "source=crm-7", Since: hoursBefore(9), At: hoursBefore(1), Exposed: 7, Matched: 5, List: id(3)}
		if err := d.PutIncident(t.Context(), i, note("found")); err != nil {
			t.Fatal(err)
		}
		if err := d.PutIncident(t.Context(), i, note("found again")); !errors.Is(err, errIncident) {
			t.Error(err)
		}
		i.Exported = hoursBefore(0)
		if err := d.SetExported(t.Context(), i.ID, i.Exported, note("listed")); err != nil {
			t.Fatal(err)
		}
		if err := d.SetExported(t.Context(), "2026-2", i.Exported, note("none")); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		n := 0
		for got, err := range d.Incidents(t.Context()) {
			if n++; err != nil || got != i {
				t.Errorf("%+v (%v)", got, err)
			}
		}
		if got := bodies(t, d, PublicLog); n != 1 || !slices.Equal(got, []string{"found", "listed"}) {
			t.Errorf("%d incidents, entries %q", n, got)
		}
	})
}

// On SQLite what was erased is in none of its files.
func TestErasedIsNotInTheFile(t *testing.T) {
	d, path := openFile(t)
	f := fact("planted-account", 77)
	f.Reference = "planted-reference"
	put(t, d, f, fact("b", 2))
	sessionAt(t, d, 1, 1, hoursBefore(5), everybody)
	if err := d.Erase(t.Context(), "planted-account", nil); err != nil {
		t.Fatal(err)
	}
	put(t, d, fact("c", 3)) // writing waits for others as before
	for _, name := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "planted") || bytes.Contains(b, f.Sum[:]) {
			t.Errorf("%s has what was erased", strings.TrimPrefix(name, path))
		}
	}
}
