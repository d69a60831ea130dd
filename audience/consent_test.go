package audience

import (
	"strings"
	"testing"

	"github.com/nyaruka/phonenumbers"

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
			if got := read(words, cell); got != w {
				t.Errorf("%q reads as %d, want %d", cell, got, w)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	for w, cells := range map[word]string{
		denied:    "true|T|yes|Y|1|1.0|on|opted out|opt-out",
		absent:    "|false|F|no|N|0|0.0|off|opted_in|NULL|unspecified",
		undecided: "unknown",
		malformed: "granted|denied|2|-1|x|\xff1",
	} {
		for cell := range strings.SplitSeq(cells, "|") {
			if got := read(flags, cell); got != w {
				t.Errorf("%q reads as %d, want %d", cell, got, w)
			}
		}
	}
}

func TestUSPrivacy(t *testing.T) {
	for w, cells := range map[word]string{
		denied:    "1YYN|1-Y-|1NYY",
		absent:    "|1YNN|1NNN|null| 1YNY ",
		undecided: "1---|1Y-N",
		malformed: "2YNN|1YN|1YNNN|YYYY|1ynn|1XNN|yes|\xff",
	} {
		for cell := range strings.SplitSeq(cells, "|") {
			if got := readUSPrivacy(cell); got != w {
				t.Errorf("%q reads as %d, want %d", cell, got, w)
			}
		}
	}
}

// One column alone, in every regime and both statements: what each word of it
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
		// eea, us, other and unknown; then other under Granted
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
		{"tc_string=CQ consent=yes", [5]identifier.Code{unkn, unkn, unkn, unkn, unkn}},
		{"gpp_string=DB consent=yes", [5]identifier.Code{unkn, unkn, unkn, unkn, unkn}},
		{"gpp_sid=7 consent=yes", [5]identifier.Code{ok, ok, ok, ok, ok}},
		{"consent=unknown opt_out=?", [5]identifier.Code{malf, malf, malf, malf, malf}},
		{"consent=expired opt_out=?", [5]identifier.Code{expi, expi, expi, expi, expi}},
		{"consent=expired opt_out=1", [5]identifier.Code{deny, deny, deny, deny, deny}},
	} {
		for i, r := range []regime{eea, us, other, unknown, other} {
			var s signals
			for cell := range strings.FieldsSeq(c.cells) {
				role, text, _ := strings.Cut(cell, "=")
				s.note(Role(role), text, r)
			}
			list := Unset
			if i == 4 {
				list = Granted
			}
			if got := s.decide(r, list); got != c.want[i] {
				t.Errorf("%s in %s (%d): %s, want %s", c.cells, regimeNames[r], list, string(got), string(c.want[i]))
			}
			// Granted is the default of the other countries alone.
			if r != other && s.decide(r, Granted) != s.decide(r, Unset) {
				t.Errorf("%s in %s: the list's statement decides", c.cells, regimeNames[r])
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
		{"FR", Country, place{"FR", eea}}, {"fr", Country, place{"FR", eea}}, {" De ", Country, place{"DE", eea}},
		{"EL", Country, place{"GR", eea}}, {"UK", Country, place{"GB", eea}}, {"gb", Country, place{"GB", eea}},
		{"CH", Country, place{"CH", eea}}, {"NO", Country, place{"NO", eea}}, {"RE", Country, place{"RE", eea}},
		{"United Kingdom", Country, place{"GB", eea}}, {"EEA", Jurisdiction, place{"", eea}}, {"EU", Jurisdiction, place{"", eea}},
		{"US", Country, place{"US", us}}, {"usa", Country, place{"US", us}}, {"United States", Country, place{"US", us}},
		{"US-CA", State, place{"US-CA", us}}, {"us-ny", Jurisdiction, place{"US-NY", us}}, {"UK-eng", Region, place{"GB-ENG", eea}},
		{"EL-A", Country, place{"GR-A", eea}}, {"PR", Country, place{"PR", other}},
		{"JP", Country, place{"JP", other}}, {"CA", Country, place{"CA", other}}, {"CA-ON", Region, place{"CA-ON", other}},
		{"CA", State, place{}}, {"CA", Region, place{}}, {"IN", State, place{}}, {"PR", State, place{}},
		{"DE", State, place{"DE", eea}}, {"US", State, place{"US", us}}, {"UK", Region, place{"GB", eea}},
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
	count := map[regime]int{}
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			if code := string([]rune{a, b}); aliases[code] == "" && code != "EU" {
				count[readPlace(code, Country).regime]++
			}
		}
	}
	if count[eea] != 30+2+7 || count[us] != 1 || count[other] != 250-30-2-7-1 {
		t.Errorf("%v", count)
	}
	for code := range phonenumbers.GetSupportedRegions() {
		if readPlace(code, Country).regime == unknown && code != "AC" && code != "TA" {
			t.Errorf("%s is missing", code)
		}
	}
}
