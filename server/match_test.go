package server_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

// The audience is the intersection, exactly, however often and under whatever
// name; the advertiser learns about how many they are.
func TestAudienceIsTheIntersection(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(300), func(t *testing.T, w *world) {
		report, err := w.shop.match("spring", people(100, 400)...)
		must(t, err)
		wantAccounts(t, w, "spring", accountsOf(100, 300))
		wantAbout(t, report, 200)
		wantEvidence(t, w, report)

		// A second session for the name replaces the audience.
		report, err = w.shop.match("spring", people(0, 150)...)
		must(t, err)
		wantAccounts(t, w, "spring", accountsOf(0, 150))
		wantEvidence(t, w, report)

		// Another name is another audience, and so is another advertiser's.
		other := w.newAdvertiser("other")
		_, err = other.match("spring", append(people(290, 320), person(5), person(5))...)
		must(t, err)
		report, err = w.shop.match("autumn-2.b", people(300, 320)...)
		must(t, err)
		if report.Released || report.Count != 0 {
			t.Errorf("nobody matched, and the count is %d", report.Count)
		}
		wantAccounts(t, w, "spring", accountsOf(0, 150))
		wantAccounts(t, w, "autumn-2.b", nil)
		if got, want := w.accounts(other, "spring"), append(accountsOf(290, 300), "u5"); !slices.Equal(got, want) {
			t.Errorf("the other advertiser's audience is %v", got)
		}

		list, err := w.db.Audiences(t.Context())
		must(t, err)
		if len(list) != 3 {
			t.Errorf("%d audiences, want 3", len(list))
		}
		for _, s := range w.sessions() {
			if s.Outcome != "complete" || s.QHat != 1024 || s.NHat != 1024 || s.Ended.Before(s.Started) {
				t.Errorf("a session is on record as %q, %d × %d", s.Outcome, s.QHat, s.NHat)
			}
		}
		// A list without anybody empties the audience.
		report, err = w.shop.match("spring", "n/a")
		must(t, err)
		if report.Distinct != 0 || report.Entries != 1024 {
			t.Errorf("%d identifiers, %d entries of nobody", report.Distinct, report.Entries)
		}
		wantAccounts(t, w, "spring", nil)
	})
}

func wantAccounts(t *testing.T, w *world, name string, want []string) {
	t.Helper()
	if got := w.accounts(w.shop, name); !slices.Equal(got, want) {
		t.Errorf("%s has %d accounts, want %d: %v", name, len(got), len(want), got)
	}
}

// wantAbout: the noise is beyond 80 once in 10^17 releases.
func wantAbout(t *testing.T, r *client.Report, accounts uint64) {
	t.Helper()
	if !r.Released || r.Count+80 < accounts || r.Count > accounts+80 {
		t.Errorf("count %d, released %v; want about %d", r.Count, r.Released, accounts)
	}
}

// wantEvidence: what both companies keep is complete, and the same.
func wantEvidence(t *testing.T, w *world, r *client.Report) {
	t.Helper()
	statement, err := r.Receipt.Verify()
	must(t, err)
	if statement.SID != r.Session || statement.Audience != r.Audience || statement.Platform != w.identity.ID() ||
		statement.Advertiser != w.shop.identity.ID() || statement.Count != r.Count || statement.Suppressed == r.Released {
		t.Errorf("the receipt states %+v", statement)
	}
	for _, s := range w.sessions() {
		if fmt.Sprintf("%x", s.SID) != r.Session {
			continue
		}
		if _, err := session.ParseReceipt(s.Receipt); err != nil || !bytes.Equal(s.Receipt, r.Receipt.Bytes()) {
			t.Errorf("the platform keeps another receipt: %v", err)
		}
		return
	}
	t.Error("the session is not on record")
}

// Of every purpose, status and switch, one combination is matched.
func TestOnlyWhatWasGrantedForAdvertisingMatches(t *testing.T) {
	t.Parallel()
	var facts []store.Fact
	var list, want []string
	add := func(account, person string, change func(*store.Fact)) {
		f := granted(account, person)
		f.CollectedAt = time.Unix(1000, 0)
		change(&f)
		facts = append(facts, f)
		list = append(list, person)
	}
	as := func(p consent.Purpose, s consent.Status, off bool, at int64) func(*store.Fact) {
		return func(f *store.Fact) {
			f.Purpose, f.Status, f.SwitchedOff, f.CollectedAt = p, s, off, time.Unix(at, 0)
		}
	}
	i := 0
	for _, purpose := range consent.Purposes {
		for _, status := range consent.Statuses {
			for _, off := range []bool{false, true} {
				i++
				name := fmt.Sprintf("%v-%v-%v", purpose, status, off)
				add(name, person(i), as(purpose, status, off, 1000))
				if purpose == consent.AdsMatching && status == consent.Granted && !off {
					want = append(want, name)
				}
			}
		}
	}
	if len(want) != 1 {
		t.Fatalf("%d combinations match", len(want))
	}
	const (
		ads   = consent.AdsMatching
		yes   = consent.Granted
		gone  = consent.Withdrawn
		sec   = consent.AccountSecurity2FA
		found = consent.UploadedByOther
	)
	twice := func(account, person string, first, second func(*store.Fact), matches bool) {
		add(account, person, first)
		add(account, person, second)
		if matches {
			want = append(want, account)
		}
	}
	// The number of the login, given once more for advertising.
	twice("both", person(1000), as(sec, yes, false, 1), as(ads, yes, false, 2), true)
	twice("both-denied", person(1001), as(sec, yes, false, 1), as(ads, consent.Denied, false, 2), false)
	twice("withdrawn", person(1002), as(ads, yes, false, 1), as(ads, gone, false, 2), false)
	twice("granted-again", person(1003), as(ads, gone, false, 1), as(ads, yes, false, 2), true)
	twice("late-line", person(1004), as(ads, gone, false, 2), as(ads, yes, false, 1), false)
	twice("switch-of-another-line", person(1005), as(ads, yes, false, 1), as(sec, yes, true, 1), false)
	// One person's number in several accounts: each for itself.
	add("holder-1", person(1010), as(ads, yes, false, 1))
	add("holder-2", person(1010), as(ads, yes, false, 1))
	add("holder-withdrawn", person(1010), as(ads, gone, false, 1))
	add("holder-off", person(1010), as(ads, yes, true, 1))
	add("holder-security", person(1010), as(sec, yes, false, 1))
	add("holder-found", person(1010), as(found, yes, false, 1))
	want = append(want, "holder-1", "holder-2")
	// An account with several identifiers is in the audience once.
	add("several", person(1020), as(ads, yes, false, 1))
	add("several", person(1021), as(ads, yes, false, 1))
	add("several", person(1022), as(ads, gone, false, 1))
	want = append(want, "several")
	slices.Sort(want)

	inBubble(t, agreed(t), facts, func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", list...)
		must(t, err)
		wantAccounts(t, w, "spring", want)

		// What changes afterwards counts from the next session on.
		must(t, w.db.SetSwitch(t.Context(), "holder-1", true))
		must(t, w.db.SetSwitch(t.Context(), "ads_matching-granted-true", false))
		withdrawn := granted("both", person(1000))
		withdrawn.Status = consent.Withdrawn
		w.put(withdrawn)
		_, err = w.shop.match("spring", list...)
		must(t, err)
		want = slices.DeleteFunc(want, func(a string) bool { return a == "holder-1" || a == "both" })
		want = append(want, "ads_matching-granted-true")
		slices.Sort(want)
		wantAccounts(t, w, "spring", want)
	})
}

// Below tau nothing is ever told; well above, a count of accounts, not of
// identifiers. The receipt says the same.
func TestReleaseAroundTheThreshold(t *testing.T) {
	t.Parallel()
	const tau, many = 50, 250
	facts := members(many)
	var second []string // identifiers of the first accounts
	for i := range tau - 1 {
		second = append(second, person(5000+i))
		f := granted(account(i), person(5000+i))
		f.CollectedAt = time.Unix(1, 0)
		facts = append(facts, f)
	}
	policy := agreed(t, "tau = 50")
	if smallest := policy.Release().Smallest(); smallest != tau+41 {
		t.Fatalf("smallest release %d", smallest)
	}
	inBubble(t, policy, facts, func(t *testing.T, w *world) {
		report, err := w.shop.match("few", append(people(0, tau-1), second...)...)
		must(t, err)
		wantAccounts(t, w, "few", accountsOf(0, tau-1))
		if report.Released || report.Count != 0 || report.Tau != tau {
			t.Errorf("%d accounts matched with two identifiers each, and the count is %d", tau-1, report.Count)
		}
		wantEvidence(t, w, report)
		report, err = w.shop.match("many", people(0, many)...)
		must(t, err)
		wantAbout(t, report, many)
		wantEvidence(t, w, report)
	})
}
