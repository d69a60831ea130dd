package signal

import (
	"strings"

	"github.com/overlap-psi/overlap/consent"
)

// Regime is the law that says what a person's place asks of a signal.
type Regime uint8

// The regimes.
const (
	NoRegime Regime = iota // the place is not known: decided like OptIn
	OptIn                  // the European Economic Area, the United Kingdom and Switzerland: consent
	OptOut                 // the United States: no opt-out
	Other                  // any other country
)

// RegimeOf returns the regime of a jurisdiction (consent.ValidJurisdiction); one
// that isn't valid is unknown.
func RegimeOf(jurisdiction string) Regime {
	switch country, _, _ := strings.Cut(jurisdiction, "-"); {
	case jurisdiction == "" || !consent.ValidJurisdiction(jurisdiction):
		return NoRegime
	case country == "US":
		return OptOut
	case consent.NeedsConsent(jurisdiction):
		return OptIn
	}
	return Other
}

// reads reports whether a regime looks at a section of a GPP string, if nothing
// says which sections apply. Europe looks at its own. The United States looks at
// all but the two of the TCF, which are about other people; of those that this
// package doesn't read, it is told so. Elsewhere all count.
func (r Regime) reads(section int) bool {
	switch r {
	case OptIn:
		return section == SectionTCFEU
	case OptOut:
		return section != SectionTCFEU && section != SectionTCFCA
	}
	return true
}
