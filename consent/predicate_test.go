package consent

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

func parsed(t *testing.T, words ...string) Predicate {
	t.Helper()
	p, err := ParsePredicate(words)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPredicateMatches(t *testing.T) {
	r := full() // ads@3, checkout, cr-17, web-crm
	r.Purpose, r.Class, r.Jurisdiction, r.CollectedAt = AccountSecurity2FA, identifier.PhoneE164, "US-CA", time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	tests := []struct {
		words string // separated by commas
		want  bool
	}{
		{"purpose=account_security_2fa", true},
		{"purpose=account_recovery|account_security_2fa", true},
		{"purpose=account_recovery,purpose=account_security_2fa", true},
		{"purpose=account_recovery", false},
		{"basis=consent", true},
		{"basis=contract", false},
		{"kind=phone", true},
		{"kind=email", false},
		{"kind=email|phone", true},
		{"source=web-crm", true},
		{"source=web", false},
		{"source=", false},
		{"notice=ads@3", true},
		{"notice=ads@2", false},
		{"surface=checkout", true},
		{"surface=shop", false},
		{"reference=cr-17", true},
		{"reference=cr-1", false},
		{"jurisdiction=US-CA", true},
		{"jurisdiction=US", true},
		{"jurisdiction=US-NY", false},
		{"jurisdiction=", false},
		{"since=2026-02-03", true},
		{"since=2026-02-03T04:05:06Z", true},
		{"since=2026-02-03T04:05:07Z", false},
		{"until=2026-02-04", true},
		{"until=2026-02-03T04:05:06Z", false},
		{"since=2026-02-03,until=2026-02-04", true},
		{"purpose=account_security_2fa,source=web-crm,notice=ads@3,kind=phone", true},
		{"purpose=account_security_2fa,source=app,notice=ads@3,kind=phone", false},
	}
	for _, test := range tests {
		p := parsed(t, strings.Split(test.words, ",")...)
		if p.Matches(&r) != test.want {
			t.Errorf("%s: want %v", test.words, test.want)
		}
		if again := parsed(t, p.Words()...); !reflect.DeepEqual(again.Words(), p.Words()) || again.Matches(&r) != test.want {
			t.Errorf("%s: its words are another predicate", test.words)
		}
	}
	if p := parsed(t); !p.Matches(&r) || p.String() != "" {
		t.Error("no word means every record")
	}
	none := granted()
	none.Source, none.Jurisdiction = "", ""
	for _, word := range []string{"source=", "jurisdiction="} {
		if p := parsed(t, word); !p.Matches(&none) {
			t.Errorf("%s: does not match a record without", word)
		}
	}
}

func TestPredicateRefuses(t *testing.T) {
	for _, words := range [][]string{
		{""}, {"purpose"}, {"purpose:ads_matching"}, {"purposes=ads_matching"}, {"Purpose=ads_matching"}, {"=ads_matching"}, {"status=granted"},
		{"purpose="}, {"purpose=2fa"}, {"purpose=account_security_2fa|"}, {"purpose=account_security_2fa| account_recovery"}, {"purpose=ADS_MATCHING"},
		{"basis=yes"}, {"kind=sms"}, {"kind="}, {"jurisdiction=UK"}, {"jurisdiction=fr"},
		{`source=crm\`}, {"source=" + strings.Repeat("s", MaxText+1)},
		{"since="}, {"since=yesterday"}, {"since=2026-13-01"}, {"since=2026-01-01|2026-01-02"}, {"until=2026-01-01", "until=2026-01-02"},
		{"since=2026-01-02", "until=2026-01-01"}, {"since=2026-01-01", "until=2026-01-01"}, {"since=0001-01-01"},
	} {
		if _, err := ParsePredicate(words); err == nil {
			t.Errorf("%q is a predicate", words)
		} else if !strings.HasPrefix(err.Error(), "consent: ") || strings.Contains(err.Error(), "sss") {
			t.Errorf("%q: %v", words, err)
		}
	}
}

func TestPredicateValuesOfAnyText(t *testing.T) {
	odd := []string{`a|b`, `a\b`, `\`, `|`, `a=b`, ` `, ``}
	p := Predicate{Sources: odd}
	again := parsed(t, p.Words()...)
	want := slices.Clone(odd)
	slices.Sort(want)
	slices.Sort(again.Sources)
	if !slices.Equal(again.Sources, want) {
		t.Errorf("%q", again.Sources)
	}
	if got := (Predicate{Sources: []string{"b", "a"}}).String(); got != "source=a|b" {
		t.Errorf("%q", got)
	}
}

// All, not any: this is what tells a number used for security and nothing else
// from one that was given for advertising too.
func TestPredicateAffects(t *testing.T) {
	twoFactor, recovery, ads := granted(), granted(), granted()
	twoFactor.Purpose, recovery.Purpose = AccountSecurity2FA, AccountRecovery
	p := parsed(t, "purpose=account_security_2fa|account_recovery")
	class := twoFactor.Class
	for name, test := range map[string]struct {
		valid []Record
		want  bool
	}{
		"no record at all":      {nil, true},
		"security":              {[]Record{twoFactor}, true},
		"security twice":        {[]Record{twoFactor, recovery}, true},
		"advertising":           {[]Record{ads}, false},
		"security, advertising": {[]Record{twoFactor, ads}, false},
		"advertising, security": {[]Record{ads, twoFactor}, false},
	} {
		if p.Affects(class, test.valid) != test.want {
			t.Errorf("%s: want %v", name, test.want)
		}
	}
	p.Kinds = []identifier.Kind{identifier.Phone}
	if p.Affects(identifier.EmailUID2, nil) || !p.Affects(identifier.PhoneE164, nil) {
		t.Error("the kind is the identifier's, whether or not it has a record")
	}
}

func FuzzParsePredicate(f *testing.F) {
	f.Add("purpose=account_security_2fa|account_recovery", `source=a\|b|c`)
	f.Add("kind=phone", "since=2026-01-01")
	f.Add("since=2026-01-01T00:00:00.5+01:00", `notice=\\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		p, err := ParsePredicate([]string{a, b})
		if err != nil {
			return
		}
		again, err := ParsePredicate(p.Words())
		if err != nil || !slices.Equal(again.Words(), p.Words()) {
			t.Errorf("%q: its words are not read as it", p.Words())
		}
	})
}
