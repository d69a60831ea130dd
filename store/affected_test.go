package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

func predicate(t testing.TB, words ...string) consent.Predicate {
	t.Helper()
	p, err := consent.ParsePredicate(words)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// session records a session at a moment that is about all that is granted then,
// with the matches that are chosen.
func sessionAt(t testing.TB, d *DB, sid, advertiser byte, at time.Time, match func(consent.Record) bool) {
	t.Helper()
	sessionWhile(t, d, sid, advertiser, at, match, func() {})
}

// sessionWhile is sessionAt, and what happens before the matches are known.
func sessionWhile(t testing.TB, d *DB, sid, advertiser byte, at time.Time, match func(consent.Record) bool, meanwhile func()) {
	t.Helper()
	v, err := d.View(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var eligible, matched []consent.Record
	for r, err := range v.Records(t.Context(), at) {
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openRule.Admit(&r, at); err == nil {
			eligible = append(eligible, r)
			if match(r) {
				matched = append(matched, r)
			}
		}
	}
	s := Session{SID: id(sid), Peer: id(advertiser), Audience: fmt.Sprint(sid), Started: at, CutAt: at, Cut: v.Cut(), Leaves: uint64(len(eligible))}
	v.Close()
	if err := d.OpenSession(t.Context(), s, Secrets{id(sid), id(sid)}, factsOf(eligible...)); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	if _, err := d.PutMatches(t.Context(), s.SID, s.Audience, matchesOf(matched...), nil); err != nil {
		t.Fatal(err)
	}
	if err := d.CloseSession(t.Context(), s.SID, Ending{Ended: time.Now(), Outcome: "complete"}); err != nil {
		t.Fatal(err)
	}
}

func everybody(consent.Record) bool { return true }

func affectedBy(t testing.TB, d *DB, q Query) (list []string) {
	t.Helper()
	for a, err := range d.AffectedAccounts(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, a.AccountID)
	}
	answer, err := d.Affected(t.Context(), q)
	if err != nil || answer.Accounts != uint64(len(list)) {
		t.Errorf("%d accounts are counted and %d listed (%v)", answer.Accounts, len(list), err)
	}
	return list
}

// of says what a fact is, for short.
func with(f Fact, purpose consent.Purpose, status consent.Status, source string, hours int) Fact {
	f.Purpose, f.Status, f.Source, f.CollectedAt = purpose, status, source, hoursBefore(hours)
	return f
}

// Who counts: each account is one case, all were asked about in one session.
func TestWhoIsAffected(t *testing.T) {
	const ads, twoFactor = consent.AdsMatching, consent.AccountSecurity2FA
	granted := func(account string, n int, p consent.Purpose, source string) Fact {
		return with(fact(account, n), p, consent.Granted, source, 10)
	}
	before := []Fact{
		granted("mislabelled", 1, ads, "crm-7"),
		granted("good source", 2, ads, "app"),
		granted("both sources", 3, ads, "crm-7"), granted("both sources", 3, ads, "app"),
		granted("withdrawn since", 4, ads, "crm-7"),
		granted("retracted", 5, ads, "crm-7"),
		granted("late news", 6, ads, "app"),
		granted("other identifier good", 7, ads, "crm-7"), granted("other identifier good", 8, ads, "app"),
		granted("2FA and ads", 9, ads, "app"), granted("2FA and ads", 9, twoFactor, "login"),
		granted("consented again", 10, ads, "crm-7"),
		granted("2FA only", 11, twoFactor, "login"), // never asked about
		granted("withdrawn before", 12, ads, "crm-7"), with(fact("withdrawn before", 12), ads, consent.Withdrawn, "app", 9),
	}
	after := []Fact{
		with(fact("withdrawn since", 4), ads, consent.Withdrawn, "app", 1),
		with(fact("retracted", 5), ads, consent.Retracted, "crm-7", 10),
		with(fact("late news", 6), ads, consent.Withdrawn, "app", 8), // it had been withdrawn when the session ran
		with(fact("consented again", 10), ads, consent.Granted, "app", 1),
	}
	bySource := []string{"mislabelled", "withdrawn since", "retracted", "late news", "other identifier good", "consented again"}
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, before...)
		sessionAt(t, d, 1, 1, hoursBefore(5), everybody)
		put(t, d, after...)
		check := func(what string, p consent.Predicate, want ...string) {
			t.Helper()
			for _, grade := range []Grade{Exposed, Matched} {
				got := affectedBy(t, d, Query{Predicate: p, Grade: grade})
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("%s, %s: %q, want %q", what, grade, got, want)
				}
			}
		}
		check("by source", predicate(t, "source=crm-7"), bySource...)
		// Those for whom nothing held are affected whatever the predicate.
		check("by purpose", predicate(t, "purpose=account_security_2fa"), "retracted", "late news")
		check("by kind", predicate(t, "source=crm-7", "kind=phone"))

		// The source is corrected: now it is the purpose that tells, of the same
		// accounts, and of those for whom nothing held.
		if n, err := d.Relabel(t.Context(), Filter{Source: "crm-7"}, twoFactor); err != nil || n == 0 {
			t.Fatal(n, err)
		}
		check("by purpose, relabelled", predicate(t, "purpose=account_security_2fa"), bySource...)
		check("by source, relabelled", predicate(t, "source=crm-7"), bySource...)
	})
}

// A number given for security and nothing else does not get into a session, by
// whichever of the three purposes, so nobody is affected: 0, of so many.
func TestNobodyIsAffected(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		for i, p := range consent.Purposes {
			put(t, d, with(fact(p.String(), i+1), p, consent.Granted, "app", 10))
		}
		sessionAt(t, d, 1, 1, hoursBefore(5), everybody)
		p := predicate(t, "purpose=account_security_2fa|account_recovery|account_reauth|account_signup|uploaded_by_other|profile_contact|import_unknown")
		a, err := d.Affected(t.Context(), Query{Predicate: p, Grade: Exposed})
		if err != nil || a.Accounts != 0 || len(a.Sessions) != 1 || len(a.Kinds) != 0 || len(a.Purposes) != 0 {
			t.Errorf("%+v (%v)", a, err)
		}
		if got := affectedBy(t, d, Query{Grade: Exposed}); !slices.Equal(got, []string{"ads_matching"}) {
			t.Errorf("asked about were %q", got)
		}
	})
}

// trial is a made-up platform of which the test knows everything.
type trial struct {
	random   *rand.Rand
	sessions []trialSession
	erased   map[Grade][]Tally // by session
}

type trialSession struct {
	sid, advertiser byte
	at              time.Time
	facts           map[Grade]map[uint64]bool
}

func (tr *trial) facts(n int) (list []Fact) {
	for range n {
		account := tr.random.IntN(30)
		f := fact(fmt.Sprintf("account-%02d", account), account*3+tr.random.IntN(3)+1)
		if tr.random.IntN(2) == 0 {
			f.Class = identifier.PhoneE164
		}
		f.Purpose = []consent.Purpose{consent.AdsMatching, consent.AdsMatching, consent.AccountSecurity2FA, consent.AccountRecovery}[tr.random.IntN(4)]
		f.Status = consent.Statuses[max(0, tr.random.IntN(8)-3)]
		f.Source = []string{"crm-7", "app"}[tr.random.IntN(2)]
		f.CollectedAt = hoursBefore(tr.random.IntN(100))
		list = append(list, f)
	}
	return list
}

func (tr *trial) session(t *testing.T, d *DB) {
	s := trialSession{sid: byte(len(tr.sessions) + 1), advertiser: byte(tr.random.IntN(3) + 1), at: hoursBefore(tr.random.IntN(100)), facts: map[Grade]map[uint64]bool{}}
	some := func(consent.Record) bool { return tr.random.IntN(3) == 0 }
	sessionAt(t, d, s.sid, s.advertiser, s.at, some)
	for _, grade := range []Grade{Exposed, Matched} {
		facts, err := d.Manifest(t.Context(), id(s.sid), grade)
		if err != nil {
			t.Fatal(err)
		}
		s.facts[grade] = maps.Collect(func(yield func(uint64, bool) bool) {
			for n := range facts.All() {
				if !yield(n, true) {
					return
				}
			}
		})
		tr.erased[grade] = append(tr.erased[grade], Tally{})
	}
	tr.sessions = append(tr.sessions, s)
}

func (tr *trial) erase(t *testing.T, d *DB) {
	account := fmt.Sprintf("account-%02d", tr.random.IntN(30))
	events, err := d.History(t.Context(), account)
	if err != nil {
		return // erased before
	}
	for i, s := range tr.sessions {
		for grade, facts := range s.facts {
			n := uint64(0)
			for _, e := range events {
				if facts[e.Number] {
					n++
				}
			}
			tr.erased[grade][i].Identifiers += n
			tr.erased[grade][i].Accounts += min(n, 1)
		}
	}
	if err := d.Erase(t.Context(), account, nil); err != nil {
		t.Fatal(err)
	}
}

// naive asks of every account, identifier and session by itself.
func (tr *trial) naive(t *testing.T, d *DB, q Query) (answer Answer, uses map[string]map[string]bool) {
	uses = map[string]map[string]bool{}
	sets := map[string][2]map[string]bool{} // accounts and identifiers, by what they are counted under
	count := func(under, account, identifier string) {
		if sets[under][0] == nil {
			sets[under] = [2]map[string]bool{{}, {}}
		}
		sets[under][0][account] = true
		sets[under][1][account+identifier] = true
	}
	tallyOf := func(under string) Tally { return Tally{uint64(len(sets[under][0])), uint64(len(sets[under][1]))} }
	for n := range 30 {
		account := fmt.Sprintf("account-%02d", n)
		events, err := d.History(t.Context(), account)
		if err != nil {
			continue
		}
		identifiers := map[string][]consent.Record{}
		for _, e := range events {
			key := fmt.Sprint(e.Fact.Class, e.Fact.Sum)
			identifiers[key] = append(identifiers[key], *e.Fact)
		}
		for key, records := range identifiers {
			for i, s := range tr.sessions {
				at := slices.IndexFunc(records, func(r consent.Record) bool { return s.facts[q.Grade][r.Fact] })
				if at < 0 || !tr.asked(q, s) {
					continue
				}
				admitted := records[at]
				valid := consent.NewHistory(slices.Clone(records)).Valid(nil, s.at, consent.KnownNow)
				if slices.ContainsFunc(valid, func(r consent.Record) bool { return !q.Predicate.Matches(&r) }) || !q.Predicate.Covers(admitted.Class) {
					continue
				}
				count("all", account, key)
				count(fmt.Sprint("session", i), account, key)
				count(fmt.Sprint("advertiser", s.advertiser), account, key)
				count(fmt.Sprint("kind", admitted.Class.Kind()), account, key)
				if len(valid) == 0 {
					count("purpose0", account, key)
				}
				for _, r := range valid {
					count(fmt.Sprint("purpose", int(r.Purpose)), account, key)
				}
				if uses[account] == nil {
					uses[account] = map[string]bool{}
				}
				uses[account][fmt.Sprint(admitted.Fact, factNumbers(valid), s.sid)] = true
			}
		}
	}
	answer.Tally = tallyOf("all")
	byTime := slices.Clone(tr.sessions)
	slices.SortStableFunc(byTime, func(a, b trialSession) int { return a.at.Compare(b.at) })
	advertisers := map[byte]bool{}
	for _, s := range byTime {
		if !tr.asked(q, s) {
			continue
		}
		i := int(s.sid) - 1
		answer.Sessions = append(answer.Sessions, SessionTally{Tally: tallyOf(fmt.Sprint("session", i)), SID: id(s.sid), Advertiser: id(s.advertiser),
			Audience: fmt.Sprint(s.sid), CutAt: s.at, Erased: tr.erased[q.Grade][i]})
		if !advertisers[s.advertiser] {
			advertisers[s.advertiser] = true
			answer.Advertisers = append(answer.Advertisers, AdvertiserTally{tallyOf(fmt.Sprint("advertiser", s.advertiser)), id(s.advertiser)})
		}
	}
	for _, k := range []identifier.Kind{identifier.Email, identifier.Phone} {
		if n := tallyOf(fmt.Sprint("kind", k)); n.Accounts > 0 {
			answer.Kinds = append(answer.Kinds, KindTally{n, k})
		}
	}
	for p := range consent.Purpose(9) {
		if n := tallyOf(fmt.Sprint("purpose", int(p))); n.Accounts > 0 {
			answer.Purposes = append(answer.Purposes, PurposeTally{n, p})
		}
	}
	return answer, uses
}

func (tr *trial) asked(q Query, s trialSession) bool {
	return (q.SID == [32]byte{} || q.SID == id(s.sid)) && (q.Advertiser == [32]byte{} || q.Advertiser == id(s.advertiser)) &&
		(q.Since.IsZero() || !s.at.Before(q.Since)) && (q.Until.IsZero() || s.at.Before(q.Until))
}

func TestAffectedAgainstNaive(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		tr := &trial{random: rand.New(rand.NewPCG(5, 6)), erased: map[Grade][]Tally{}}
		for range 12 {
			put(t, d, tr.facts(40)...)
			tr.session(t, d)
			tr.session(t, d)
			if tr.random.IntN(3) == 0 {
				tr.erase(t, d)
			}
			if tr.random.IntN(5) == 0 {
				if _, err := d.Relabel(t.Context(), Filter{Source: "crm-7"}, consent.AccountRecovery); err != nil {
					t.Fatal(err)
				}
			}
		}
		some := uint64(0)
		for i, words := range [][]string{
			{}, {"source=crm-7"}, {"purpose=account_security_2fa|account_recovery"}, {"kind=phone"}, {"source=app", "kind=email"}, {"source=none"}, {"purpose=account_recovery"},
		} {
			for j, q := range []Query{{}, {Advertiser: id(2)}, {SID: id(7)}, {Since: hoursBefore(60), Until: hoursBefore(20)}, {Until: hoursBefore(50), Advertiser: id(1)}} {
				q.Grade, q.Predicate = Grade(i%2+1), predicate(t, words...)
				some += tr.check(t, d, q, fmt.Sprint(words, j))
			}
		}
		if some == 0 {
			t.Error("nobody was affected by anything: this test looks at nothing")
		}
	})
}

func (tr *trial) check(t *testing.T, d *DB, q Query, name string) uint64 {
	t.Helper()
	want, uses := tr.naive(t, d, q)
	got, err := d.Affected(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	list := sha256.New()
	listed := map[string]map[string]bool{}
	for a, err := range d.AffectedAccounts(t.Context(), q) {
		if err != nil {
			t.Fatal(err)
		}
		list.Write(binary.BigEndian.AppendUint32(nil, uint32(len(a.AccountID))))
		list.Write([]byte(a.AccountID))
		listed[a.AccountID] = map[string]bool{}
		for _, u := range a.Uses {
			valid := slices.Clone(u.Valid)
			slices.SortFunc(valid, func(a, b consent.Record) int { return a.CollectedAt.Compare(b.CollectedAt) })
			for _, sid := range u.Sessions {
				listed[a.AccountID][fmt.Sprint(u.Record.Fact, factNumbers(u.Valid), sid[0])] = true
			}
		}
	}
	want.List = [32]byte(list.Sum(nil))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: the answer differs\n%+v\n%+v", name, got, want)
	}
	if !reflect.DeepEqual(listed, uses) {
		t.Errorf("%s: other uses are listed, of %d accounts, want %d", name, len(listed), len(uses))
	}
	return got.Accounts
}

// What cannot be answered is not answered with 0.
func TestAffectedRefuses(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		sessionAt(t, d, 1, 1, hoursBefore(5), everybody)
		for _, test := range []struct {
			q    Query
			want error
		}{
			{Query{}, errGrade},
			{Query{Grade: 3}, errGrade},
			{Query{Grade: Exposed, SID: id(2)}, ErrNotFound},
			{Query{Grade: Exposed, SID: id(1), Advertiser: id(2)}, ErrNotFound},
			{Query{Grade: Exposed, SID: id(1), Until: hoursBefore(5)}, ErrNotFound},
		} {
			if _, err := d.Affected(t.Context(), test.q); !errors.Is(err, test.want) {
				t.Errorf("%+v: %v", test.q, err)
			}
			n := 0
			for _, err := range d.AffectedAccounts(t.Context(), test.q) {
				if n++; !errors.Is(err, test.want) {
					t.Errorf("%+v: %v", test.q, err)
				}
			}
			if n != 1 {
				t.Errorf("yields %d times", n)
			}
		}
		if a, err := d.Affected(t.Context(), Query{Grade: Exposed, SID: id(1), Since: hoursBefore(5)}); err != nil || a.Accounts != 1 {
			t.Errorf("%d accounts (%v)", a.Accounts, err)
		}
	})
}

func TestAffectedStopsWhenAsked(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1), fact("b", 2), fact("c", 3))
		sessionAt(t, d, 1, 1, hoursBefore(5), everybody)
		n := 0
		for range d.AffectedAccounts(t.Context(), Query{Grade: Exposed}) {
			if n++; n == 2 {
				break
			}
		}
		if n != 2 {
			t.Errorf("%d accounts", n)
		}
	})
}

func TestSubject(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		const ads, twoFactor = consent.AdsMatching, consent.AccountSecurity2FA
		put(t, d, with(fact("a", 1), ads, consent.Granted, "crm-7", 10), fact("b", 2))
		sessionAt(t, d, 1, 1, hoursBefore(8), everybody)
		sessionAt(t, d, 2, 2, hoursBefore(7), func(r consent.Record) bool { return r.Sum == id(2) })
		if _, err := d.Relabel(t.Context(), Filter{Source: "crm-7"}, twoFactor); err != nil {
			t.Fatal(err)
		}
		sessionAt(t, d, 3, 1, hoursBefore(6), everybody)
		s, err := d.Subject(t.Context(), "a")
		if err != nil || len(s.Exposures) != 2 {
			t.Fatalf("%d exposures (%v)", len(s.Exposures), err)
		}
		for i, e := range s.Exposures {
			if e.Session.SID != id(byte(i+1)) || e.Session.Peer != id(byte(i+1)) || e.Matched != (i == 0) || e.Record.Source != "crm-7" || e.Record.Purpose != ads {
				t.Errorf("exposure %d is another", i)
			}
			if len(e.Then) != 1 || e.Then[0].Purpose != ads || len(e.Now) != 1 || e.Now[0].Purpose != twoFactor {
				t.Errorf("exposure %d: what held is not what was known then, and now", i)
			}
		}
		if _, err := d.Subject(t.Context(), "nobody"); err != ErrNotFound {
			t.Error(err)
		}
	})
}

// Of whom the ledger said something else before the result was stored, nothing that was
// found may have been kept; of whom it said so before the session or after, all was.
func TestSubjectChangedMeanwhile(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		const ads = consent.AdsMatching
		put := func(f Fact) {
			t.Helper()
			put(t, d, f)
		}
		end := func(account string, item int, status consent.Status, hours int) {
			put(with(fact(account, item), ads, status, "", hours))
		}
		flip := func(account string, off bool) {
			t.Helper()
			if err := d.SetSwitch(t.Context(), account, off); err != nil {
				t.Fatal(err)
			}
		}
		accounts := []string{"stays", "withdraws", "withdraws late", "switches off", "switches off late", "is switched on", "is collected again", "had withdrawn"}
		for i, a := range accounts {
			put(with(fact(a, i), ads, consent.Granted, "crm", 20))
		}
		end("had withdrawn", 7, consent.Withdrawn, 15)
		end("had withdrawn", 7, consent.Granted, 14)
		sessionWhile(t, d, 1, 1, hoursBefore(8), func(consent.Record) bool { return false }, func() {
			end("withdraws", 1, consent.Withdrawn, 7)
			flip("switches off", true)
			flip("is switched on", true)
			flip("is switched on", false)
			put(with(fact("is collected again", 6), ads, consent.Granted, "crm", 7))
		})
		end("withdraws late", 2, consent.Withdrawn, 7)
		flip("switches off late", true)
		if _, err := d.Relabel(t.Context(), Filter{Source: "crm"}, consent.AccountSecurity2FA); err != nil {
			t.Fatal(err)
		}
		for i, a := range accounts {
			s, err := d.Subject(t.Context(), a)
			if err != nil || len(s.Exposures) != 1 {
				t.Fatalf("%s: %d exposures (%v)", a, len(s.Exposures), err)
			}
			if want := i == 1 || i == 3 || i == 6; s.Exposures[0].Changed != want {
				t.Errorf("%s: changed is %v, want %v", a, s.Exposures[0].Changed, want)
			}
		}
	})
}
