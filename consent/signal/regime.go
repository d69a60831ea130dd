package signal

import "strings"

// Regime is the law that says what a person's place asks of a signal.
type Regime uint8

// The regimes.
const (
	NoRegime Regime = iota // the place is not known: decided like OptIn
	OptIn                  // the European Economic Area, the United Kingdom and Switzerland: consent
	OptOut                 // the United States: no opt-out
	Other                  // any other country
)

// regimes are the countries that aren't Other. EU is a member of the EEA that
// isn't named. The last line are parts of France and Finland that have codes of
// their own and the same law.
var regimes = func() map[string]Regime {
	m := map[string]Regime{"US": OptOut}
	for code := range strings.FieldsSeq("EU AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK " +
		"AX GF GP MF MQ RE YT") {
		m[code] = OptIn
	}
	return m
}()

// RegimeOf returns the regime of a country or a subdivision of one, in the codes
// of ISO 3166 and in capitals; "" is unknown.
func RegimeOf(code string) Regime {
	country, _, _ := strings.Cut(code, "-")
	if country == "" {
		return NoRegime
	}
	if r, ok := regimes[country]; ok {
		return r
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
