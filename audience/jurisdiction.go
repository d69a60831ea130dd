package audience

import (
	"strings"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
)

// regimeNames are what the Report calls the regimes.
var regimeNames = [...]string{signal.NoRegime: "unknown", signal.OptIn: "eea", signal.OptOut: "us", signal.Other: "other"}

// place is where a row's person is: a code of ISO 3166-1 or 3166-2, or "" if it
// can't be told which, and the law that says what the row needs.
type place struct {
	code   string
	regime signal.Regime
}

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
		return place{regime: signal.OptIn} // one of them
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
	r := signal.RegimeOf(key)
	if r == signal.Other && !divided && (role == Region || role == State) {
		return place{}
	}
	return place{key, r}
}
