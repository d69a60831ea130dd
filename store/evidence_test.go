package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// callEvidence calls every method about evidence once with planted values.
func callEvidence(ctx context.Context, d *DB) map[string]error {
	errs := map[string]error{}
	entry := Entry{PublicLog, []byte(planted[5])}
	errs["Record"] = d.Record(ctx, entry)
	for _, err := range d.Entries(ctx, PublicLog, 0) {
		errs["Entries"] = err
	}
	f := fact(planted[1], 3)
	_, _ = d.Put(ctx, stream(f))
	records, s, err := eligibleNow(ctx, d)
	errs["View"] = err
	s.SID, s.Peer, s.Audience, s.Outcome = id(3), id(1), planted[1], planted[4]
	errs["OpenSession"] = d.OpenSession(ctx, s, Secrets{id(7), id(8)}, factsOf(records...), entry)
	_, errs["PutMatches"] = d.PutMatches(ctx, id(3), planted[1], matchesOf(records...), func() [32]byte { return id(9) })
	_, errs["Secrets"] = d.Secrets(ctx, id(3))
	_, errs["Manifest"] = d.Manifest(ctx, id(3), Exposed)
	_, errs["Affected"] = d.Affected(ctx, Query{Grade: Exposed})
	for _, err := range d.AffectedAccounts(ctx, Query{Grade: Matched}) {
		errs["AffectedAccounts"] = err
	}
	_, errs["Subject"] = d.Subject(ctx, planted[1])
	_, errs["Interrupted"] = d.Interrupted(ctx, time.Now().Add(time.Hour))
	errs["CloseSession"] = d.CloseSession(ctx, id(3), Ending{later, planted[4], nil, []byte(planted[5])}, entry)
	_, errs["Session"] = d.Session(ctx, id(3))
	for _, err := range d.Sessions(ctx) {
		errs["Sessions"] = err
	}
	hold, _, err := d.Hold(ctx, Hold{Incident: planted[2], Reason: planted[3], Until: time.Now().Add(time.Hour)}, names(planted[0], planted[1]), entry)
	errs["Hold"] = err
	errs["held Erase"] = d.Erase(ctx, planted[1], nil)
	_, errs["Holds"] = d.Holds(ctx)
	errs["ReleaseHold"] = d.ReleaseHold(ctx, hold, entry)
	errs["Erase"] = d.Erase(ctx, planted[1], func([]ClosedLeaf) ([]Entry, error) { return []Entry{entry}, nil })
	errs["PutIncident"] = d.PutIncident(ctx, Incident{ID: planted[2], Predicate: planted[3], At: later}, entry)
	errs["SetExported"] = d.SetExported(ctx, planted[2], later, entry)
	for _, err := range d.Incidents(ctx) {
		errs["Incidents"] = err
	}
	_, errs["Expire"] = d.Expire(ctx, time.Now().Add(time.Hour), func(Session) []Entry { return []Entry{entry} })
	return errs
}

func matchesOf(records ...consent.Record) iter.Seq2[Match, error] {
	return func(yield func(Match, error) bool) {
		for _, r := range records {
			if !yield(Match{r.Account, r.Fact}, nil) {
				return
			}
		}
	}
}

func names(list ...string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, s := range list {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// opened opens a session about all that is granted now and returns what it asks
// about.
func opened(t testing.TB, d *DB, sid byte, entries ...Entry) (Session, []consent.Record) {
	t.Helper()
	records, s, err := eligibleNow(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	s.SID, s.Peer, s.Audience, s.Policy, s.Root = id(sid), id(1), "spring", id(40), id(41)
	s.CutAt, s.Started = s.CutAt.Truncate(time.Microsecond).UTC(), s.Started.Truncate(time.Microsecond).UTC()
	if err := d.OpenSession(t.Context(), s, Secrets{id(sid + 100), id(sid + 101)}, factsOf(records...), entries...); err != nil {
		t.Fatal(err)
	}
	return s, records
}

func bodies(t testing.TB, d *DB, log Log) (list []string) {
	t.Helper()
	for l, err := range d.Entries(t.Context(), log, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if l.Index != uint64(len(list)) {
			t.Errorf("entry %d has number %d", len(list), l.Index)
		}
		list = append(list, string(l.Body))
	}
	return list
}

func note(body string) Entry { return Entry{PublicLog, []byte(body)} }

func TestSessionFromOpenToClose(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2), fact("c", 3))
		if _, err := d.Session(t.Context(), id(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		want, records := opened(t, d, 1, note("opened"), Entry{AccessLog, []byte("a look")})
		want.Outcome, want.Digests = openOutcome, []byte{}
		check := func(what string) {
			t.Helper()
			got, err := d.Session(t.Context(), id(1))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: another session is on record (%v)\n%+v\n%+v", what, err, got, want)
			}
		}
		check("open")
		secrets, err := d.Secrets(t.Context(), id(1))
		if err != nil || secrets != (Secrets{id(101), id(102)}) {
			t.Errorf("other secrets (%v)", err)
		}
		wantFacts(t, d, 1, Exposed, records...)
		if _, err := d.Manifest(t.Context(), id(1), Matched); !errors.Is(err, ErrNotFound) {
			t.Errorf("a result before there is one: %v", err)
		}
		var read atomic.Bool
		n, err := d.PutMatches(t.Context(), id(1), "spring", func(yield func(Match, error) bool) {
			matchesOf(records[0], records[2], records[0])(yield)
			read.Store(true)
		}, func() [32]byte {
			if !read.Load() {
				t.Error("the commitment is asked for before the matches are read")
			}
			return id(77)
		})
		if err != nil || n != 2 {
			t.Fatal(n, err)
		}
		sum := id(77)
		want.Matched, want.Found, want.Heard, want.Commitment = 2, true, want.Cut, sum[:]
		check("matched")
		wantFacts(t, d, 1, Matched, records[0], records[2])

		end := Ending{want.Started.Add(time.Minute), "complete", []byte{7}, []byte{8, 0}}
		if err := d.CloseSession(t.Context(), id(1), end, note("closed")); err != nil {
			t.Fatal(err)
		}
		want.Ended, want.Outcome, want.Receipt, want.Digests = end.Ended, end.Outcome, end.Receipt, end.Digests
		check("closed")
		if err := d.CloseSession(t.Context(), id(1), Ending{end.Ended, "process died", nil, nil}, note("closed again")); !errors.Is(err, ErrEnded) {
			t.Errorf("closed twice: %v", err)
		}
		check("closed again")
		if err := d.CloseSession(t.Context(), id(2), end, note("none")); !errors.Is(err, ErrNotFound) {
			t.Errorf("no session: %v", err)
		}
		if got := bodies(t, d, PublicLog); !slices.Equal(got, []string{"opened", "closed"}) {
			t.Errorf("%q", got)
		}
		if got := bodies(t, d, AccessLog); !slices.Equal(got, []string{"a look"}) {
			t.Errorf("%q", got)
		}
	})
}

func wantFacts(t testing.TB, d *DB, sid byte, grade Grade, records ...consent.Record) {
	t.Helper()
	facts, err := d.Manifest(t.Context(), id(sid), grade)
	if err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for _, r := range records {
		want = append(want, r.Fact)
	}
	slices.Sort(want)
	if got := slices.Collect(facts.All()); !slices.Equal(got, want) {
		t.Errorf("%s are facts %d, want %d", grade, got, want)
	}
}

func TestOpenSessionRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2))
		records, good, err := eligibleNow(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		failure := errors.New("reading failed")
		for name, test := range map[string]struct {
			change   func(*Session)
			eligible iter.Seq2[uint64, error]
			want     error
		}{
			"a leaf too few":        {nil, factsOf(records[0]), errLeaves},
			"a fact twice":          {nil, factsOf(records[0], records[0]), errLeaves},
			"no fact":               {nil, factsOf(records[0], consent.Record{}), errLeaves},
			"a fact after the cut":  {nil, factsOf(records[0], consent.Record{Fact: good.Cut + 1}), errLeaves},
			"a failing sequence":    {nil, func(yield func(uint64, error) bool) { yield(0, failure) }, failure},
			"a question of 2^63":    {func(s *Session) { s.QHat = math.MaxInt64 + 1 }, factsOf(records...), errRange},
			"a table of 2^64 - 1":   {func(s *Session) { s.NHat = math.MaxUint64 }, factsOf(records...), errRange},
			"an entry for no log":   {nil, factsOf(records...), errLog},
			"a session of that sid": {func(s *Session) { s.SID = id(9) }, factsOf(records...), errSession},
		} {
			s := good
			s.SID = id(1)
			if test.change != nil {
				test.change(&s)
			}
			e := note("opened")
			switch test.want {
			case errLog:
				e.Log = 3
			case errSession:
				_, _ = opened(t, d, 9)
			}
			if err := d.OpenSession(t.Context(), s, Secrets{}, test.eligible, e); !errors.Is(err, test.want) {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := d.Session(t.Context(), id(1)); !errors.Is(err, ErrNotFound) {
				t.Errorf("%s: it is on record (%v)", name, err)
			}
		}
		if got := bodies(t, d, PublicLog); len(got) != 0 {
			t.Errorf("refusals left %q", got)
		}
	})
}

func TestPutMatchesRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2))
		_, records := opened(t, d, 1)
		put(t, d, fact("c", 3))
		_, all := opened(t, d, 2)
		left := func(what string) {
			t.Helper()
			var n int
			if err := d.read.QueryRow(`SELECT (SELECT COUNT(*) FROM audiences) + (SELECT COUNT(*) FROM members) + (SELECT COUNT(*) FROM manifests WHERE grade = 2) + (SELECT COUNT(commitment) FROM sessions)`).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s: leaves %d rows (%v)", what, n, err)
			}
		}
		i := slices.IndexFunc(all, func(r consent.Record) bool { return !slices.Contains(factNumbers(records), r.Fact) })
		far := all[i]
		far.Fact += 5 * chunkLen
		for name, test := range map[string]struct {
			sid     byte
			matches []consent.Record
			want    error
		}{
			"no session":         {8, records, errSession},
			"a fact it lacks":    {1, all, errEligible},
			"a fact far off":     {1, []consent.Record{far}, errEligible},
			"a handle of nobody": {1, []consent.Record{{Account: consent.Handle(id(9)), Fact: records[0].Fact}}, errHandle},
		} {
			if _, err := d.PutMatches(t.Context(), id(test.sid), "spring", matchesOf(test.matches...), func() [32]byte { return id(9) }); !errors.Is(err, test.want) {
				t.Errorf("%s: %v", name, err)
			}
			left(name)
		}
		if n, err := d.PutMatches(t.Context(), id(1), "spring", matchesOf(records...), nil); err != nil || n != 2 {
			t.Fatal(n, err)
		}
		if _, err := d.PutMatches(t.Context(), id(1), "autumn", matchesOf(records...), nil); !errors.Is(err, errSession) {
			t.Errorf("two results of a session: %v", err)
		}
		if err := d.CloseSession(t.Context(), id(2), Ending{Ended: later, Outcome: "complete"}); err != nil {
			t.Fatal(err)
		}
		if _, err := d.PutMatches(t.Context(), id(2), "autumn", matchesOf(all...), nil); !errors.Is(err, errSession) {
			t.Errorf("a result after the end: %v", err)
		}
	})
}

func factNumbers(records []consent.Record) (list []uint64) {
	for _, r := range records {
		list = append(list, r.Fact)
	}
	return list
}

// A session without a match has a result all the same: nobody.
func TestNoMatchIsAResult(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		opened(t, d, 1)
		if n, err := d.PutMatches(t.Context(), id(1), "spring", matchesOf(), nil); err != nil || n != 0 {
			t.Fatal(n, err)
		}
		wantFacts(t, d, 1, Matched)
	})
}

func TestInterrupted(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		for _, sid := range []byte{1, 2, 3} {
			opened(t, d, sid)
		}
		if err := d.CloseSession(t.Context(), id(2), Ending{Ended: later, Outcome: "complete"}); err != nil {
			t.Fatal(err)
		}
		if list, err := d.Interrupted(t.Context(), hoursBefore(10000)); err != nil || len(list) != 0 {
			t.Errorf("%d sessions are interrupted that started later (%v)", len(list), err)
		}
		list, err := d.Interrupted(t.Context(), time.Now().Add(time.Second))
		if err != nil || len(list) != 2 || list[0].SID != id(1) || list[1].SID != id(3) {
			t.Fatalf("%d sessions (%v)", len(list), err)
		}
		for range 2 { // two that start at once say it once
			for _, s := range list {
				err := d.CloseSession(t.Context(), s.SID, Ending{Ended: later, Outcome: "process died"}, note("died"))
				if err != nil && !errors.Is(err, ErrEnded) {
					t.Error(err)
				}
			}
		}
		if got := bodies(t, d, PublicLog); len(got) != 2 {
			t.Errorf("%q", got)
		}
	})
}

func TestSessionsAreByTheirStart(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		for _, n := range []byte{2, 1, 3} {
			s := Session{SID: id(n), Peer: id(1), Started: hoursBefore(int(n)), Receipt: []byte{n, 0, 0xff}}
			if err := d.OpenSession(t.Context(), s, Secrets{}, factsOf()); err != nil {
				t.Fatal(err)
			}
		}
		var got []byte
		for s, err := range d.Sessions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s.Receipt...)
		}
		if !bytes.Equal(got, []byte{3, 0, 0xff, 2, 0, 0xff, 1, 0, 0xff}) {
			t.Errorf("% x", got)
		}
	})
}

func TestExpire(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		for _, sid := range []byte{1, 2, 3} { // the last stays open
			_, records := opened(t, d, sid)
			if _, err := d.PutMatches(t.Context(), id(sid), "spring", matchesOf(records...), nil); err != nil {
				t.Fatal(err)
			}
			if sid != 3 {
				if err := d.CloseSession(t.Context(), id(sid), Ending{Ended: later, Outcome: "complete"}); err != nil {
					t.Fatal(err)
				}
			}
		}
		gone := func(s Session) []Entry { return []Entry{note(fmt.Sprint(s.SID[0]))} }
		if n, err := d.Expire(t.Context(), hoursBefore(10000), gone); n != 0 || err != nil {
			t.Errorf("%d sessions are old (%v)", n, err)
		}
		for _, want := range []int{2, 0} {
			if n, err := d.Expire(t.Context(), time.Now().Add(time.Hour), gone); n != want || err != nil {
				t.Errorf("%d sessions expire, want %d (%v)", n, want, err)
			}
		}
		if got := bodies(t, d, PublicLog); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("%q", got)
		}
		s, err := d.Session(t.Context(), id(1))
		if err != nil || !s.Expired || s.Leaves != 1 || s.Matched != 1 {
			t.Errorf("what is left of an expired session: %+v (%v)", s, err)
		}
		if _, err := d.Secrets(t.Context(), id(1)); !errors.Is(err, ErrExpired) {
			t.Error(err)
		}
		if _, err := d.Manifest(t.Context(), id(1), Exposed); !errors.Is(err, ErrExpired) {
			t.Error(err)
		}
		if _, err := d.Secrets(t.Context(), id(3)); err != nil {
			t.Errorf("an open session expired: %v", err)
		}
		a, err := d.Affected(t.Context(), Query{Grade: Exposed})
		if err != nil || a.Accounts != 1 || !a.Sessions[0].Expired || a.Sessions[0].Accounts != 0 || a.Sessions[2].Accounts != 1 {
			t.Errorf("%+v (%v)", a, err)
		}
		if subject, err := d.Subject(t.Context(), "a"); err != nil || subject.Expired != 2 || len(subject.Exposures) != 1 {
			t.Errorf("%d exposures, %d expired (%v)", len(subject.Exposures), subject.Expired, err)
		}
	})
}

func TestEvidencePrintsRedacted(t *testing.T) {
	for _, v := range []any{Secrets{id(1), id(2)}, Match{consent.Handle(id(1)), 5}, ClosedLeaf{SID: id(3)}, Affected{AccountID: "planted"}, Subject{}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			if got := fmt.Sprintf(verb, v); got != "REDACTED" {
				t.Errorf("%T prints %s", v, got)
			}
		}
	}
	if e := fmt.Sprintf("%v %#v", &HeldError{Hold{Reason: "planted"}}, error(&HeldError{Hold{Reason: "planted"}})); strings.Contains(e, "planted") {
		t.Error(e)
	}
}
