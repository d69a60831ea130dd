package audience

import (
	"strings"

	"github.com/overlap-psi/overlap/consent"
)

// regime is the law that says what a row needs.
type regime uint8

const (
	unknown regime = iota // decided like eea
	eea                   // the European Economic Area, the United Kingdom and Switzerland: consent
	us                    // opt-out
	other                 // any other country: the list's default
)

var regimeNames = [...]string{unknown: "unknown", eea: "eea", us: "us", other: "other"}

// place is where a row's person is: a code of ISO 3166-1 or 3166-2, or "" if it
// can't be told which, and the regime.
type place struct {
	code   string
	regime regime
}

// regimes are the countries that aren't "other". The last line are parts of
// France and Finland that have codes of their own and the same law.
var regimes = func() map[string]regime {
	m := map[string]regime{"US": us}
	for code := range strings.FieldsSeq("AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK " +
		"AX GF GP MF MQ RE YT") {
		m[code] = eea
	}
	return m
}()

// aliases are what files have besides ISO codes. Other countries' names aren't
// read: such a row is decided like eea, which only asks more of it.
var aliases = map[string]string{
	"EL": "GR", "UK": "GB", "GBR": "GB", "UNITED KINGDOM": "GB", "GREAT BRITAIN": "GB",
	"USA": "US", "UNITED STATES": "US", "UNITED STATES OF AMERICA": "US",
}

// readPlace reads one cell of a jurisdiction column of the given role: a
// country, or a subdivision such as US-CA.
//
// A region or a state is weaker evidence: a bare "CA" is California or Canada,
// "IN" Indiana or India. There a bare code is only taken for a country of the
// strictest regime, and for the United States where the cell says so.
func readPlace(cell string, role Role) place {
	key := strings.ToUpper(strings.TrimSpace(cell))
	if key == "EU" || key == "EEA" {
		return place{regime: eea} // one of them
	}
	country, part, divided := strings.Cut(key, "-")
	if code, ok := aliases[country]; ok {
		country = code
		key = code
		if divided {
			key = code + "-" + part
		}
	}
	if key == "" || !consent.ValidJurisdiction(key) {
		return place{}
	}
	r, ok := regimes[country]
	if !ok {
		r = other
	}
	if r == other && !divided && (role == Region || role == State) {
		return place{}
	}
	return place{key, r}
}
