package server_test

import (
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/store"
)

// A misuse of so many accounts is planted, run through whole sessions and found
// out afterwards: exactly they are counted and listed, and nobody else.
func TestPlantedMisuseIsCounted(t *testing.T) {
	t.Parallel()
	facts := members(200)
	for i := range facts {
		facts[i].Source = "settings page"
		if i%4 == 0 { // given for two-factor authentication, and imported as if for ads
			facts[i].Source = "crm-7"
		}
	}
	good := facts[0] // u0 has consented in the settings too
	good.Source, good.CollectedAt = "settings page", time.Unix(7, 0)
	security := facts[1]
	security.AccountID, security.Purpose = "security only", consent.AccountSecurity2FA
	inBubble(t, agreed(t), append(facts, good, security), func(t *testing.T, w *world) {
		report, err := w.shop.match("spring", people(0, 100)...)
		must(t, err)
		wantEvidence(t, w, report)
		ended := w.sessions()[0]
		if ended.Leaves != 200 || ended.Matched != 100 || ended.Mode != "P_LEARNS" || ended.Policy != w.policy.Hash() {
			t.Errorf("the session asked %d, matched %d, in mode %s", ended.Leaves, ended.Matched, ended.Mode)
		}

		// It comes out: the import was mislabelled.
		n, err := w.db.Relabel(t.Context(), store.Filter{Source: "crm-7"}, consent.AccountSecurity2FA)
		must(t, err)
		if n != 50 { // also of u0, whose own consent is another record
			t.Fatalf("%d are relabelled", n)
		}
		predicate, err := consent.ParsePredicate([]string{"purpose=account_security_2fa|account_recovery|account_reauth"})
		must(t, err)
		var want []string
		for i := 4; i < 100; i += 4 { // not u0
			want = append(want, account(i))
		}
		exposed := store.Query{Predicate: predicate, Grade: store.Exposed}
		answer, err := w.db.Affected(t.Context(), exposed)
		must(t, err)
		if answer.Accounts != 49 || len(answer.Sessions) != 1 || answer.Sessions[0].Advertiser != w.shop.identity.ID() {
			t.Errorf("%d were exposed in %d sessions, want 49 in one", answer.Accounts, len(answer.Sessions))
		}
		matched := exposed
		matched.Grade = store.Matched
		var got []string
		for a, err := range w.db.AffectedAccounts(t.Context(), matched) {
			must(t, err)
			got = append(got, a.AccountID)
			if r := a.Uses[0].Record; r.Source != "crm-7" || r.Purpose != consent.AdsMatching {
				t.Errorf("an account was admitted on a record of %q", r.Source)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%d accounts are listed, want %d", len(got), len(want))
		}

		// Nobody else is affected by the next session: they are no longer asked about.
		_, err = w.shop.match("autumn", people(0, 100)...)
		must(t, err)
		answer, err = w.db.Affected(t.Context(), exposed)
		must(t, err)
		if answer.Accounts != 49 || answer.Sessions[1].Accounts != 0 {
			t.Errorf("%d exposed, %d of them in a session after the correction", answer.Accounts, answer.Sessions[1].Accounts)
		}
	})
}
