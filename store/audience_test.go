package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

func handlesOf(handles ...consent.Handle) iter.Seq2[consent.Handle, error] {
	return func(yield func(consent.Handle, error) bool) {
		for _, h := range handles {
			if !yield(h, nil) {
				return
			}
		}
	}
}

// putAudience opens a session that asks about all that is granted, if it is not
// open, and puts the handles' accounts as its matches.
func putAudience(ctx context.Context, d *DB, advertiser byte, name string, sid byte, handles iter.Seq2[consent.Handle, error]) (uint64, error) {
	records, session, err := eligibleNow(ctx, d)
	if err != nil {
		return 0, err
	}
	session.SID, session.Peer, session.Audience = id(sid), id(advertiser), name
	if err := d.OpenSession(ctx, session, Secrets{}, factsOf(records...)); err != nil && !errors.Is(err, errSession) {
		return 0, err
	}
	facts := map[consent.Handle]uint64{}
	for _, r := range records {
		facts[r.Account] = r.Fact
	}
	return d.PutMatches(ctx, id(sid), name, func(yield func(Match, error) bool) {
		for h, err := range handles {
			if !yield(Match{h, facts[h]}, err) || err != nil {
				return
			}
		}
	}, nil)
}

// eligibleNow returns the granted records of ads matching, and a session about
// them.
func eligibleNow(ctx context.Context, d *DB) (records []consent.Record, s Session, err error) {
	v, err := d.View(ctx)
	if err != nil {
		return nil, Session{}, err
	}
	defer v.Close()
	at := time.Now()
	for r, err := range v.Records(ctx, at) {
		if err != nil {
			return nil, Session{}, err
		}
		if r.Status == consent.Granted && !r.SwitchedOff {
			records = append(records, r)
		}
	}
	s = Session{CutAt: at, Cut: v.Cut(), Leaves: uint64(len(records)), Started: at, Mode: "P_LEARNS", QHat: 1024, NHat: 1280, Receipt: []byte{}}
	return records, s, nil
}

func factsOf(records ...consent.Record) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for _, r := range records {
			if !yield(r.Fact, nil) {
				return
			}
		}
	}
}

// putAccounts puts accounts into the ledger and returns their handles by id.
func putAccounts(t testing.TB, d *DB, accounts ...string) map[string]consent.Handle {
	t.Helper()
	var facts []Fact
	for i, account := range accounts {
		facts = append(facts, fact(account, i%255+1))
	}
	put(t, d, facts...)
	key, err := d.handleKey(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	handles := map[string]consent.Handle{}
	rows, err := d.read.Query(`SELECT account_id, id FROM accounts`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var account string
		var number int64
		if err := rows.Scan(&account, &number); err != nil {
			t.Fatal(err)
		}
		handles[account] = key.of(number)
	}
	return handles
}

func handleOf(t testing.TB, d *DB, account string) consent.Handle {
	t.Helper()
	key, err := d.handleKey(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var number int64
	if err := d.read.QueryRow(`SELECT id FROM accounts WHERE account_id = ?`, account).Scan(&number); err != nil {
		t.Fatal(err)
	}
	return key.of(number)
}

func accountsOf(t testing.TB, d *DB, advertiser byte, name string) (accounts []string) {
	t.Helper()
	for account, err := range d.AudienceAccounts(context.Background(), id(advertiser), name) {
		if err != nil {
			t.Fatal(err)
		}
		accounts = append(accounts, account)
	}
	return accounts
}

func TestAudience(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "b", "a", "Z", "é", "10", "9")
		fill := func(advertiser byte, name string, sid byte, want uint64, handles ...consent.Handle) {
			t.Helper()
			if n, err := putAudience(t.Context(), d, advertiser, name, sid, handlesOf(handles...)); err != nil || n != want {
				t.Errorf("%d distinct, want %d: %v", n, want, err)
			}
		}
		check := func(advertiser byte, name string, want ...string) {
			t.Helper()
			if got := accountsOf(t, d, advertiser, name); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
		fill(1, "spring", 1, 6, h["b"], h["a"], h["b"], h["é"], h["Z"], h["9"], h["10"], h["b"])
		check(1, "spring", "10", "9", "Z", "a", "b", "é")
		fill(2, "spring", 2, 1, h["a"]) // another advertiser's
		fill(1, "autumn", 3, 0)
		check(2, "spring", "a")
		check(1, "autumn")
		fill(1, "spring", 4, 1, h["9"]) // replaces
		check(1, "spring", "9")
		check(2, "spring", "a")

		list, err := d.Audiences(t.Context())
		if err != nil || len(list) != 3 {
			t.Fatalf("%d audiences: %v", len(list), err)
		}
		for i, want := range []Audience{
			{Name: "autumn", Advertiser: id(1), Session: id(3)},
			{Name: "spring", Advertiser: id(1), Session: id(4), Accounts: 1},
			{Name: "spring", Advertiser: id(2), Session: id(2), Accounts: 1},
		} {
			if list[i].Created.IsZero() {
				t.Errorf("audience %d has no time", i)
			}
			want.Created = list[i].Created
			if list[i] != want {
				t.Errorf("audience %d: %s, %d accounts", i, list[i].Name, list[i].Accounts)
			}
		}
	})
}

func TestNoSuchAudience(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "a")
		if _, err := putAudience(t.Context(), d, 1, "spring", 1, handlesOf(h["a"])); err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			advertiser byte
			name       string
		}{{2, "spring"}, {1, "Spring"}, {1, ""}} {
			n := 0
			for _, err := range d.AudienceAccounts(t.Context(), id(test.advertiser), test.name) {
				if n++; !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			}
			if n != 1 {
				t.Errorf("yields %d times", n)
			}
		}
	})
}

// While an audience is filled, and if that fails, the one of before stands.
func TestAudienceIsReplacedAtOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "a", "b", "c")
		if _, err := putAudience(t.Context(), d, 1, "spring", 1, handlesOf(h["a"])); err != nil {
			t.Fatal(err)
		}
		stands := func() {
			t.Helper()
			if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, []string{"a"}) {
				t.Errorf("%q are seen of an audience that is not whole", got)
			}
		}
		failure := errors.New("matches failed")
		filling := func(end error) iter.Seq2[consent.Handle, error] {
			return func(yield func(consent.Handle, error) bool) {
				if yield(h["b"], nil) && yield(h["c"], nil) {
					stands()
					if end != nil {
						yield(consent.Handle{}, end)
					}
				}
			}
		}
		if _, err := putAudience(t.Context(), d, 1, "spring", 2, filling(failure)); !errors.Is(err, failure) {
			t.Errorf("%v", err)
		}
		stands()
		if _, err := putAudience(t.Context(), d, 1, "spring", 2, handlesOf(h["b"], consent.Handle(id(9)))); err != errHandle {
			t.Errorf("an account that does not exist is in an audience: %v", err)
		}
		stands()
		if a, m := audienceRows(t, d); a != 1 || m != 1 {
			t.Errorf("failures leave %d audiences in %d rows", a, m)
		}
		if n, err := putAudience(t.Context(), d, 1, "spring", 3, filling(nil)); err != nil || n != 2 {
			t.Fatalf("%d distinct: %v", n, err)
		}
		if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, []string{"b", "c"}) {
			t.Errorf("%q", got)
		}
		if a, m := audienceRows(t, d); a != 1 || m != 1 {
			t.Errorf("%d audiences in %d rows are left", a, m)
		}
	})
}

// audienceRows counts the rows of audiences, and those that say who is in them.
func audienceRows(t testing.TB, d *DB) (audiences, members int) {
	t.Helper()
	if err := d.read.QueryRow(`SELECT (SELECT COUNT(*) FROM audiences), (SELECT COUNT(*) FROM members)`).Scan(&audiences, &members); err != nil {
		t.Fatal(err)
	}
	return audiences, members
}

// An audience that is being filled for the first time is not there yet.
func TestFirstAudienceIsUnseenUntilWhole(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "a")
		looked := false
		filling := func(yield func(consent.Handle, error) bool) {
			if !yield(h["a"], nil) {
				return
			}
			for _, err := range d.AudienceAccounts(t.Context(), id(1), "spring") {
				if looked = true; !errors.Is(err, ErrNotFound) {
					t.Errorf("%v", err)
				}
			}
			if list, err := d.Audiences(t.Context()); err != nil || len(list) != 0 {
				t.Errorf("%d audiences: %v", len(list), err)
			}
		}
		if _, err := putAudience(t.Context(), d, 1, "spring", 1, filling); err != nil || !looked {
			t.Error(err)
		}
	})
}

// Accounts stand in the store by the chunk of their numbers; ids that begin with one
// another, and more of them than fit in memory, come in the order of their bytes.
func TestLargeAudience(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		d.spillDir = t.TempDir()
		var want []string
		for i := range 40_000 { // with their facts, more numbers than a chunk has
			want = append(want, fmt.Sprint(i), fmt.Sprint(i, "\x01"))
		}
		h := putAccounts(t, d, want...)
		n, err := putAudience(t.Context(), d, 1, "spring", 1, func(yield func(consent.Handle, error) bool) {
			for _, handle := range h {
				if !yield(handle, nil) {
					return
				}
			}
		})
		if err != nil || n != uint64(len(want)) {
			t.Fatalf("%d distinct: %v", n, err)
		}
		if a, m := audienceRows(t, d); a != 1 || m < 2 {
			t.Errorf("%d audiences in %d rows", a, m)
		}
		slices.Sort(want)
		if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, want) {
			t.Errorf("%d accounts, want %d, or not in order", len(got), len(want))
		}
	})
}

// A session that was ended for its process while that still ran gets no result any
// more: nobody would have a record of it.
func TestEndedSessionFillsNothing(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "a", "b")
		_, err := putAudience(t.Context(), d, 1, "spring", 1, func(yield func(consent.Handle, error) bool) {
			if err := d.CloseSession(t.Context(), id(1), Ending{Ended: later, Outcome: "process died"}); err != nil {
				t.Error(err)
			}
			yield(h["a"], nil)
		})
		if err != errSession {
			t.Errorf("%v", err)
		}
		if a, m := audienceRows(t, d); a != 0 || m != 0 {
			t.Errorf("%d audiences in %d rows are there", a, m)
		}
	})
}

// A session that was opened later wins also if the earlier one finishes within it.
func TestEarlierAudienceDoesNotStopALaterOne(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "early", "late")
		late := make(chan struct{})
		early := make(chan error)
		go func() {
			_, err := putAudience(context.Background(), d, 1, "spring", 1, func(yield func(consent.Handle, error) bool) {
				late <- struct{}{} // begun
				<-late             // the later one has begun too
				yield(h["early"], nil)
			})
			early <- err
		}()
		<-late
		_, err := putAudience(t.Context(), d, 1, "spring", 2, func(yield func(consent.Handle, error) bool) {
			late <- struct{}{}
			if err := <-early; err != nil {
				t.Error(err)
			}
			if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, []string{"early"}) {
				t.Errorf("%q", got)
			}
			yield(h["late"], nil)
		})
		if got := accountsOf(t, d, 1, "spring"); err != nil || !slices.Equal(got, []string{"late"}) {
			t.Errorf("%q: %v", got, err)
		}
	})
}

// A session that was opened earlier loses if the later one ends before it does.
func TestLaterAudienceWins(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		h := putAccounts(t, d, "early", "late")
		_, err := putAudience(t.Context(), d, 1, "spring", 2, func(yield func(consent.Handle, error) bool) {
			if n, err := putAudience(t.Context(), d, 1, "spring", 12, handlesOf(h["late"])); err != nil || n != 1 {
				t.Error(n, err)
			}
			yield(h["early"], nil)
		})
		if !errors.Is(err, ErrReplaced) {
			t.Errorf("%v", err)
		}
		if got := accountsOf(t, d, 1, "spring"); !slices.Equal(got, []string{"late"}) {
			t.Errorf("%q", got)
		}
		if _, err := d.Manifest(t.Context(), id(2), Matched); !errors.Is(err, ErrNotFound) {
			t.Errorf("the one replaced has a result: %v", err)
		}
	})
}

func TestAudiencesAtOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		handles := []*DB{open(t, url), open(t, url)}
		h := putAccounts(t, handles[0], "a", "b")
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				_, err := putAudience(context.Background(), handles[i%2], 1, "spring", byte(i), handlesOf(h["a"], h["b"]))
				if err != nil && !errors.Is(err, ErrReplaced) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := handles[0].Audiences(t.Context())
		if err != nil || len(list) != 1 || list[0].Accounts != 2 {
			t.Errorf("%d audiences: %v", len(list), err)
		}
		if got := accountsOf(t, handles[1], 1, "spring"); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("%q", got)
		}
	})
}

// An audience goes by name or by age, and what its session found stays on record.
// A second call finds nothing to do.
func TestAudienceGoes(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ctx := t.Context()
		put(t, d, fact("a", 1), fact("b", 2))
		records, _, err := eligibleNow(ctx, d)
		if err != nil {
			t.Fatal(err)
		}
		for sid, name := range []string{"spring", "summer"} {
			if _, err := putAudience(ctx, d, 1, name, byte(sid+1), handlesOf(records[0].Account)); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []bool{true, false} {
			deleted, err := d.DeleteAudience(ctx, id(1), "spring", Entry{AccessLog, []byte("gone")})
			if err != nil || deleted != want {
				t.Errorf("deleted %v, %v; want %v", deleted, err, want)
			}
		}
		if deleted, err := d.DeleteAudience(ctx, id(2), "summer"); err != nil || deleted {
			t.Errorf("another advertiser's audience: %v, %v", deleted, err)
		}
		logged := 0
		for _, err := range d.Entries(ctx, AccessLog, 0) {
			if err != nil {
				t.Fatal(err)
			}
			logged++
		}
		if logged != 1 {
			t.Errorf("%d entries, want one of what happened once", logged)
		}
		facts, err := d.Manifest(ctx, id(1), Matched)
		if err != nil || facts.Len() != 1 {
			t.Errorf("of the session %v is on record: %v", facts, err)
		}
		for _, c := range []struct {
			before time.Time
			want   int64
		}{{time.Now().Add(-time.Hour), 0}, {time.Now().Add(time.Hour), 1}, {time.Now().Add(time.Hour), 0}} {
			if n, err := d.ExpireAudiences(ctx, c.before); err != nil || n != c.want {
				t.Errorf("%d expired, %v; want %d", n, err, c.want)
			}
		}
		if left, err := d.Audiences(ctx); err != nil || len(left) != 0 {
			t.Errorf("%d audiences are left, %v", len(left), err)
		}
	})
}
