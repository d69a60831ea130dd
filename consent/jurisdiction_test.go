package consent

import (
	"strings"
	"testing"
)

func TestValidJurisdiction(t *testing.T) {
	for _, j := range []string{"", "FR", "GB", "US", "CH", "XK", "US-CA", "FR-75", "GB-ENG", "DE-BY", "ZW-BU", "JP-13", "EU"} {
		if !ValidJurisdiction(j) {
			t.Errorf("%q is refused", j)
		}
	}
	for _, j := range []string{
		"F", "fr", "Fr", "FRA", "UK", "EN", "ZZ", "AA", "XX", "**", "--", "1A", "A1", " FR", "FR ", "FR\n",
		"FR-", "US-CALI", "US-ca", "US_CA", "US CA", "USCA", "-CA", "US-C A", "US--", "US-CA-1", "UK-ENG", "É", "FR-É", "\x00\x00", "\xff\xff",
	} {
		if ValidJurisdiction(j) {
			t.Errorf("%q is taken", j)
		}
	}
}

// ISO 3166-1 has 249 assigned codes; XK and EU are the two besides.
func TestCountries(t *testing.T) {
	codes := strings.Fields(countries)
	seen := map[string]bool{}
	for _, code := range codes {
		if len(code) != 2 || seen[code] {
			t.Errorf("%q is no code or twice in the list", code)
		}
		seen[code] = true
	}
	if len(codes) != 249+2 {
		t.Errorf("%d codes, want 251", len(codes))
	}
	valid := 0
	for a := range 256 {
		for b := range 256 {
			if ValidJurisdiction(string([]byte{byte(a), byte(b)})) {
				valid++
			}
		}
	}
	if valid != len(codes) {
		t.Errorf("%d two-byte strings are valid, want %d", valid, len(codes))
	}
}
