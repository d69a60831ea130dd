package audience

import (
	"strings"
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
)

func TestWords(t *testing.T) {
	for w, cells := range map[word]string{
		granted:   "GRANTED|granted|Given|true|TRUE|t|Yes|y|1|1.0|on|opt-in|Opted In|CONSENT_GRANTED| granted \r",
		denied:    "DENIED|denied|refused|withdrawn|revoked|false|f|No|n|0|0.0|off|opt_out|opted-out|CONSENT_DENIED",
		absent:    "||  |null|NULL|\\N|none|n/a|NaN|UNSPECIFIED|CONSENT_STATUS_UNSPECIFIED|undefined|\ufeff",
		undecided: "unknown|Unknown",
		expired:   "expired",
		malformed: "maybe|2|-1|10|granted!|yes no|gran\xffted|\xff|oui|grant|ＹＥＳ",
	} {
		for cell := range strings.SplitSeq(cells, "|") {
			if got := read(cell); got != w {
				t.Errorf("%q reads as %d, want %d", cell, got, w)
			}
		}
	}
}

// Strings of which vendor 755 is one.
const (
	granting   = "CQgcD4AQgcD4AAKADBFRB4FgAPIAAAAAAAqIF5wAgABALzAAAAA.IF5wAwAAgACAXm"
	noPurpose3 = "CQgcD4AQgcD4AAKADBFRB4FgANIAAAAAAAqIF5wAgABALzAAAAA.IABM"
	global     = "CQgcD4AQgcD4AAKADBFRB4FAAPIAAAAAAAqIF5wAgABALzAAAAA.IF5wAwAAgACAXm" // not service-specific
	both       = "DBACMM~" + granting + "~CVQqAAAAAABk.Q"                             // sections 2 and 7
	euDenied   = "DBACMM~" + noPurpose3 + "~CVQqAAAAAABk.Q"
)

// noted returns the signals of cells written role=cell.
func noted(cells string) (s signals) {
	had := map[Role]bool{}
	for written := range strings.FieldsSeq(cells) {
		name, text, _ := strings.Cut(written, "=")
		role := Role(name)
		s.note(cell{role: role, again: had[role]}, text)
		had[role] = true
	}
	return s
}

// Of several columns of one meaning the worst word decides, wherever it stands;
// and somebody consented only if all of them say so.
func TestSeveralColumnsOfOneMeaning(t *testing.T) {
	for cells, want := range map[string]identifier.Code{
		"opt_out=0 opt_out=1 consent=yes":                      identifier.ConsentDenied,
		"opt_out=1 opt_out=0 consent=yes":                      identifier.ConsentDenied,
		"opt_out=1 opt_out= consent=yes":                       identifier.ConsentDenied,
		"opt_out=0 opt_out= opt_out=1 consent=yes":             identifier.ConsentDenied,
		"opt_out=1 opt_out=perhaps consent=yes":                identifier.ConsentDenied,
		"opt_out=0 opt_out=unknown consent=yes":                identifier.ConsentUnknown,
		"opt_out=0 opt_out= consent=yes":                       identifier.OK,
		"gpc=0 gpc=1 consent=yes":                              identifier.ConsentDenied,
		"us_privacy=1YNN us_privacy=1YYN consent=yes":          identifier.ConsentDenied,
		"tc_string=" + granting + " tc_string=" + noPurpose3:   identifier.ConsentDenied,
		"tc_string=" + noPurpose3 + " tc_string=" + granting:   identifier.ConsentDenied,
		"tc_string=" + granting + " tc_string=" + granting:     identifier.OK,
		"consent=yes consent=yes":                              identifier.OK,
		"consent=yes consent=no":                               identifier.ConsentDenied,
		"consent=no consent=yes":                               identifier.ConsentDenied,
		"consent=yes consent=":                                 identifier.ConsentMissing,
		"consent= consent=yes":                                 identifier.ConsentMissing,
		"consent=yes consent=expired":                          identifier.ConsentExpired,
		"ad_user_data=1 ad_user_data=1 ad_personalization=1":   identifier.OK,
		"ad_user_data=1 ad_user_data= ad_personalization=1":    identifier.ConsentMissing,
		"ad_user_data=1 ad_personalization=0 ad_user_data=yes": identifier.ConsentDenied,
	} {
		s, o := noted(cells), Options{Terms: signal.Terms{Vendor: 755}}
		s.judge(&o, signal.OptIn, time.Time{})
		if got := s.decide(&o, signal.OptIn).code; got != want {
			t.Errorf("%s: %s, want %s", cells, string(got), string(want))
		}
	}
}

// A TCF string grants as long as its consent isn't too old: to the instant.
func TestMaxAge(t *testing.T) {
	created := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		cells  string
		oldest time.Time
		want   identifier.Code
	}{
		{"tc_string=" + granting, created, identifier.OK},
		{"tc_string=" + granting, created.Add(1), identifier.ConsentExpired},
		{"tc_string=" + granting + " consent=yes", created.Add(1), identifier.ConsentExpired},
		{"gpp_string=" + both, created.Add(1), identifier.ConsentExpired},
		{"gpp_string=" + both + " gpp_sid=7 consent=yes", created.Add(1), identifier.OK}, // has no time
		{"tc_string=" + noPurpose3, created.Add(1), identifier.ConsentDenied},
		{"consent=yes us_privacy=1YNN gpc=0", created.Add(1), identifier.OK},
	} {
		s := noted(c.cells)
		o := Options{Terms: signal.Terms{Vendor: 755}}
		s.judge(&o, signal.OptIn, c.oldest)
		if got := s.decide(&o, signal.OptIn).code; got != c.want {
			t.Errorf("%s: %s, want %s", c.cells, string(got), string(c.want))
		}
	}
}

// Where the law doesn't ask for consent, a policy can: then that nothing is
// against a row is not enough.
func TestConsentAsked(t *testing.T) {
	const file = "email,country,consent,gpc,tc_string\na@example.com,US,,,\nb@example.com,US,yes,,\nc@example.com,US,,0,\n" +
		"d@example.com,US,,," + granting + "\ne@example.com,FR,yes,,\nf@example.com,JP,,,\n"
	o := testOptions()
	o.Terms.Vendor, o.DefaultGranted = 755, true
	if got := run(t, []byte(file), o); got.rows != "2 OK\n3 OK\n4 OK\n5 OK\n6 OK\n7 OK\n" {
		t.Errorf("notice and opt-out admitted:\n%s", got.rows)
	}
	o.Rule.Bases = []consent.Basis{consent.BasisConsent}
	if got := run(t, []byte(file), o); got.rows != "2 CONSENT_MISSING\n3 OK\n4 CONSENT_MISSING\n5 OK\n6 OK\n7 OK\n" {
		t.Errorf("consent alone admitted:\n%s", got.rows)
	}
}

// Without a vendor id a TCF string can't be judged, whatever else it is.
func TestNoVendor(t *testing.T) {
	for cells, want := range map[string]identifier.Code{
		"tc_string=" + granting + " consent=yes":        identifier.ConsentUnknown,
		"gpp_string=" + both + " consent=yes":           identifier.ConsentUnknown,
		"gpp_string=" + both + " gpp_sid=7 consent=yes": identifier.OK,
		"tc_string=" + global + " consent=yes":          identifier.ConsentMalformed,
	} {
		s := noted(cells)
		s.judge(&Options{}, signal.OptIn, time.Time{})
		if got := s.decide(&Options{}, signal.OptIn).code; got != want {
			t.Errorf("%s: %s, want %s", cells, string(got), string(want))
		}
	}
}

// One column alone, in every regime and with both defaults: what each word of it
// does.
func TestDecide(t *testing.T) {
	const (
		ok   = identifier.OK
		miss = identifier.ConsentMissing
		jur  = identifier.JurisdictionUnknown
		deny = identifier.ConsentDenied
		unkn = identifier.ConsentUnknown
		malf = identifier.ConsentMalformed
		expi = identifier.ConsentExpired
	)
	type row struct {
		cells string // role=cell …
		// eea, us, other and unknown; then other by a policy that grants
		want [5]identifier.Code
	}
	for _, c := range []row{
		{"consent=", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"consent=yes", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"consent=no", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"consent=expired", [5]identifier.Code{expi, expi, expi, expi, expi}},
		{"consent=perhaps", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"consent=unknown", [5]identifier.Code{unkn, unkn, unkn, unkn, unkn}},
		{"ad_user_data=granted", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"ad_personalization=granted", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"ad_user_data=granted ad_personalization=granted", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"ad_user_data=granted ad_personalization=denied", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"ad_user_data=1 ad_personalization=NULL consent=1", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"consent=yes ad_user_data=0", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"opt_out=false", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"opt_out=true", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"opt_out=true consent=yes", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"gpc=0", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"gpc=1 consent=yes", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"us_privacy=1YNN", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"us_privacy=1YYN consent=yes", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"us_privacy=1---", [5]identifier.Code{miss, unkn, miss, jur, ok}},
		{"us_privacy=1--- consent=yes", [5]identifier.Code{ok, unkn, ok, ok, ok}},
		{"us_privacy=x consent=yes", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"tc_string=CQ consent=yes", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"tc_string=" + granting, [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"tc_string=" + granting + " consent=no", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"tc_string=" + granting + " gpc=1", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"tc_string=" + granting + " ad_user_data=granted", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"tc_string=" + noPurpose3 + " consent=yes", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"tc_string=" + global + " consent=yes", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"tc_string=null consent=yes", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"gpp_string=DB consent=yes", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"gpp_string=DBABL~CVQqAAAAAABk.Q", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"gpp_string=DBABL~CVQqAAAAAABk.Q consent=yes", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"gpp_string=DBABL~CVQWAAAAAABY.Q consent=yes", [5]identifier.Code{ok, deny, deny, deny, deny}},
		{"gpp_string=DBABL~CVQWAAAAAABY.Q consent=yes gpp_sid=7", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"gpp_string=DBABL~CAAAAAAAAABY consent=yes", [5]identifier.Code{ok, unkn, unkn, unkn, unkn}},
		{"gpp_string=DBABJg~BAAAAAAA", [5]identifier.Code{miss, unkn, unkn, unkn, unkn}},
		{"gpp_string=" + both, [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"gpp_string=" + both + " gpp_sid=7", [5]identifier.Code{miss, ok, miss, jur, ok}},
		{"gpp_string=" + both + " gpp_sid=8", [5]identifier.Code{unkn, unkn, unkn, unkn, unkn}},
		{"gpp_string=" + euDenied + " consent=yes", [5]identifier.Code{deny, ok, deny, deny, deny}},
		{"gpp_string=" + euDenied + " gpp_sid=2", [5]identifier.Code{deny, deny, deny, deny, deny}},
		{"gpp_sid=7 consent=yes", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"consent=unknown opt_out=?", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"consent=expired opt_out=?", [5]identifier.Code{expi, expi, expi, expi, expi}},
		{"consent=expired opt_out=1", [5]identifier.Code{deny, deny, deny, deny, deny}},
	} {
		for i, r := range []signal.Regime{signal.OptIn, signal.OptOut, signal.Other, signal.NoRegime, signal.Other} {
			s := noted(c.cells)
			o := Options{Terms: signal.Terms{Vendor: 755}, DefaultGranted: i == 4}
			s.judge(&o, r, time.Time{})
			if got := s.decide(&o, r).code; got != c.want[i] {
				t.Errorf("%s in %s (%v): %s, want %s", c.cells, regimeNames[r], o.DefaultGranted, string(got), string(c.want[i]))
			}
			// The default is that of the other countries alone, and a list's
			// statement says nothing of a row.
			if o.DefaultGranted, o.ListConsent = true, Granted; r != signal.Other && s.decide(&o, r).code != c.want[i] {
				t.Errorf("%s in %s: the default decides", c.cells, regimeNames[r])
			}
			// What a policy may admit in the United States is "unknown" alone, and
			// nothing of it reaches anybody else.
			s, o = noted(c.cells), Options{Terms: signal.Terms{Vendor: 755}, DefaultGranted: i == 4, AdmitUSUnknown: true}
			s.judge(&o, r, time.Time{})
			want := c.want[i]
			if r == signal.OptOut && want == unkn && !strings.Contains(c.cells, "consent=unknown") {
				want = ok
			}
			if got := s.decide(&o, r).code; got != want {
				t.Errorf("%s in %s, unknown admitted: %s, want %s", c.cells, regimeNames[r], string(got), string(want))
			}
		}
	}
}

func TestPlaces(t *testing.T) {
	for _, c := range []struct {
		cell string
		role Role
		want place
	}{
		{"FR", Country, place{"FR", signal.OptIn}}, {"fr", Country, place{"FR", signal.OptIn}}, {" De ", Country, place{"DE", signal.OptIn}},
		{"EL", Country, place{"GR", signal.OptIn}}, {"UK", Country, place{"GB", signal.OptIn}}, {"gb", Country, place{"GB", signal.OptIn}},
		{"CH", Country, place{"CH", signal.OptIn}}, {"NO", Country, place{"NO", signal.OptIn}}, {"RE", Country, place{"RE", signal.OptIn}},
		{"United Kingdom", Country, place{"GB", signal.OptIn}}, {"EEA", Jurisdiction, place{"", signal.OptIn}}, {"EU", Jurisdiction, place{"", signal.OptIn}},
		{"US", Country, place{"US", signal.OptOut}}, {"usa", Country, place{"US", signal.OptOut}}, {"United States", Country, place{"US", signal.OptOut}},
		{"US-CA", State, place{"US-CA", signal.OptOut}}, {"us-ny", Jurisdiction, place{"US-NY", signal.OptOut}}, {"UK-eng", Region, place{"GB-ENG", signal.OptIn}},
		{"EL-A", Country, place{"GR-A", signal.OptIn}}, {"PR", Country, place{"PR", signal.Other}},
		{"JP", Country, place{"JP", signal.Other}}, {"CA", Country, place{"CA", signal.Other}}, {"CA-ON", Region, place{"CA-ON", signal.Other}},
		{"CA", State, place{}}, {"CA", Region, place{}}, {"IN", State, place{}}, {"PR", State, place{}},
		{"DE", State, place{"DE", signal.OptIn}}, {"US", State, place{"US", signal.OptOut}}, {"UK", Region, place{"GB", signal.OptIn}},
		{"", Country, place{}}, {"France", Country, place{}}, {"XX", Country, place{}}, {"ZZ-US", Country, place{}},
		{"U-S", Country, place{}}, {"US-CALIF", Country, place{}}, {"-US-", Country, place{}}, {"US-", Country, place{}}, {"-", Country, place{}}, {"\xff\xfe", Country, place{}}, {"null", Country, place{}},
	} {
		if got := readPlace(c.cell, c.role); got != c.want {
			t.Errorf("%q in a %s column: %v, want %v", c.cell, c.role, got, c.want)
		}
	}
}

// Every country but these is "other", and all that the phone library knows are
// countries, but two islands that ISO doesn't list.
func TestCountries(t *testing.T) {
	count := map[signal.Regime]int{}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if code := string([]rune{a, b}); aliases[code] == "" && code != "EU" {
				count[readPlace(code, Country).regime]++
			}
		}
	}
	if count[signal.OptIn] != 30+2+7 || count[signal.OptOut] != 1 || count[signal.Other] != 250-30-2-7-1 {
		t.Errorf("%v", count)
	}
	for code := range phonenumbers.GetSupportedRegions() {
		if readPlace(code, Country).regime == signal.NoRegime && code != "AC" && code != "TA" {
			t.Errorf("%s is missing", code)
		}
	}
}
