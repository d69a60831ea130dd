package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/overlap-psi/overlap/consent"
)

// maxCodes bounds the list of jurisdictions; there are about 250 countries.
const maxCodes = 1000

// consentFields are the section [consent].
var consentFields = []field{
	integer("consent.version", 1, 1<<31-1, func(p *Policy) *uint64 { return &p.Consent.Version }).or(int64(1)).
		is("of these rules; the companies count it up when they change them"),
	purposes().or([]any{consent.AdsMatching.String()}).
		is("purposes of collection that are admitted; security purposes cannot be"),
	list("consent.bases", `1 to 3 different ones of "consent", "notice_opt_out" and "legitimate_interests"; no other basis can carry matching`, parseBasis,
		func(p *Policy) *[]consent.Basis { return &p.Consent.Bases }).or([]any{"consent", "notice_opt_out"}).
		is("grounds in law that are admitted; where the law asks for consent, only consent"),
	jurisdictions().or([]any{}).
		is("countries and subdivisions that are admitted; empty: all, also where it is unknown"),
	integer("consent.max_age_days", 0, 36_500, func(p *Policy) *uint64 { return &p.Consent.MaxAgeDays }).or(int64(0)).
		is("how old a consent may be; 0: no limit"),
	integer("consent.tcf_vendor", 0, 1<<16-1, func(p *Policy) *uint64 { return &p.Consent.TCFVendor }).or(int64(0)).
		is("the platform's id in the IAB's vendor list; 0: TCF strings cannot be judged"),
	tcfPurposes().or([]any{int64(3), int64(4)}).
		is("purposes that a TCF string must consent to, all of them"),
	either("consent.us_unknown", "exclude", "admit", func(p *Policy) *bool { return &p.Consent.AdmitUSUnknown }).or("exclude").
		is("a person in the US whose opt-out string does not say either way"),
	either("consent.list_default", "none", "granted", func(p *Policy) *bool { return &p.Consent.DefaultGranted }).or("none").
		is("a person of whom the list says nothing, in a country that is neither opt-in nor the US"),
	list("consent.data_source", `a list of "first_party", "third_party" or both`, ParseSource,
		func(p *Policy) *[]Source { return &p.Consent.Sources }).or([]any{"first_party"}).
		is("whose lists may be matched: the advertiser's own, or bought ones too"),
}

// hygieneFields are the section [hygiene].
var hygieneFields = []field{
	integer("hygiene.min_list", 0, 1<<40, func(p *Policy) *uint64 { return &p.Hygiene.MinList }).or(int64(1000)).
		is("people a list should have, counted as the larger of its e-mails and its phones"),
	either("hygiene.small_list", "warn", "refuse", func(p *Policy) *bool { return &p.Hygiene.RefuseSmall }).or("warn").
		is("what becomes of a smaller list"),
	display().or("exact").
		is("how the advertiser's program shows the count"),
}

func parseBasis(name string) (consent.Basis, error) {
	b, err := consent.ParseBasis(name)
	if err == nil && !b.Admissible() {
		err = errInadmissible
	}
	return b, err
}

// purposes has one value, as purpose has.
func purposes() field {
	ads := consent.AdsMatching.String()
	return field{
		name: "consent.purposes",
		want: fmt.Sprintf("[%q]: what was given for security, recovery or signing up, or for anything else, is never matched", ads),
		read: func(_ *Policy, v any) bool {
			names, _ := v.([]any)
			return len(names) == 1 && names[0] == ads
		},
		check: func(*Policy) bool { return true },
		show:  func(*Policy) string { return ads },
	}
}

func jurisdictions() field {
	return field{
		name: "consent.jurisdictions",
		want: `a list of different countries and subdivisions, such as ["FR", "US-CA"]`,
		read: func(p *Policy, v any) bool {
			list, ok := v.([]any)
			codes := make([]string, 0, len(list))
			for _, c := range list {
				code, isString := c.(string)
				ok = ok && isString
				codes = append(codes, code)
			}
			slices.Sort(codes)
			p.Consent.Jurisdictions = codes
			return ok
		},
		check: func(p *Policy) bool {
			codes := p.Consent.Jurisdictions
			ok := len(codes) <= maxCodes
			for i, code := range codes {
				ok = ok && code != "" && consent.ValidJurisdiction(code) && (i == 0 || codes[i-1] < code)
			}
			return ok
		},
		show: func(p *Policy) string {
			if len(p.Consent.Jurisdictions) == 0 {
				return "all"
			}
			return strings.Join(p.Consent.Jurisdictions, ", ")
		},
	}
}

// tcfPurposes are among the 24 that a TCF string has bits for.
func tcfPurposes() field {
	return field{
		name: "consent.tcf_purposes",
		want: "a list of different integers from 1 to 24, such as [3, 4]",
		read: func(p *Policy, v any) bool {
			list, ok := v.([]any)
			purposes := make([]uint64, 0, len(list))
			for _, n := range list {
				purpose, isInteger := n.(int64)
				ok = ok && isInteger
				purposes = append(purposes, uint64(purpose))
			}
			slices.Sort(purposes)
			p.Consent.TCFPurposes = purposes
			return ok
		},
		check: func(p *Policy) bool {
			purposes := p.Consent.TCFPurposes
			ok := len(purposes) >= 1
			for i, n := range purposes {
				ok = ok && n >= 1 && n <= 24 && (i == 0 || purposes[i-1] < n)
			}
			return ok
		},
		show: func(p *Policy) string {
			var list []string
			for _, n := range p.Consent.TCFPurposes {
				list = append(list, strconv.FormatUint(n, 10))
			}
			return strings.Join(list, ", ")
		},
	}
}

// either is one of two words.
func either(name, no, yes string, at func(*Policy) *bool) field {
	return field{
		name: name,
		want: fmt.Sprintf("%q or %q", no, yes),
		read: func(p *Policy, v any) bool {
			*at(p) = v == yes
			return v == yes || v == no
		},
		check: func(*Policy) bool { return true },
		show: func(p *Policy) string {
			if *at(p) {
				return yes
			}
			return no
		},
	}
}

func display() field {
	return field{
		name: "hygiene.display",
		want: `"exact", "percent" or "top85"`,
		read: func(p *Policy, v any) bool {
			name, _ := v.(string)
			d, err := ParseDisplay(name)
			p.Hygiene.Display = d
			return err == nil
		},
		check: func(p *Policy) bool { return p.Hygiene.Display.valid() },
		show:  func(p *Policy) string { return p.Hygiene.Display.String() },
	}
}
