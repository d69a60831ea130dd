package consent

import "strings"

// countries are the assigned codes of ISO 3166-1 alpha-2; XK, which is user
// assigned and what Kosovo is called in practice; and EU, which is reserved for the
// European Union and stands for a member of the EEA that is not named. A list, not a pattern: "UK"
// and "EN" look like codes, and a jurisdiction that no rule can mean must not
// enter a ledger.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ " +
	"BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ " +
	"DE DJ DK DM DO DZ EC EE EG EH ER ES ET EU FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY " +
	"HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY " +
	"MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY " +
	"QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ " +
	"TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ " +
	"VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

// isCountry is indexed by the two letters of a code, each less 'A'.
var isCountry = func() (set [26][26]bool) {
	for code := range strings.FieldsSeq(countries) {
		set[code[0]-'A'][code[1]-'A'] = true
	}
	return set
}()

// optIn are the countries where advertising to a person takes that person's
// consent: the European Economic Area, the United Kingdom and Switzerland, and
// the parts of France and Finland that have codes of their own and the same law.
var optIn = func() map[string]bool {
	m := map[string]bool{}
	for code := range strings.FieldsSeq("EU AT BE BG CH CY CZ DE DK EE ES FI FR GB GR HR HU IE IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK " +
		"AX GF GP MF MQ RE YT") {
		m[code] = true
	}
	return m
}()

// NeedsConsent reports whether the law of a valid jurisdiction lets only consent
// be the basis of matching. Of an unknown one it is taken to.
func NeedsConsent(j string) bool { return j == "" || optIn[j[:2]] }

// ValidJurisdiction reports whether j is well formed: empty, which is unknown;
// a country of ISO 3166-1 alpha-2 in capitals, "FR"; or that, a hyphen and one to
// three capitals or digits, as ISO 3166-2 names a subdivision, "US-CA". Whether
// the country has that subdivision is not checked.
func ValidJurisdiction(j string) bool {
	if j == "" {
		return true
	}
	if len(j) < 2 || !isCapital(j[0]) || !isCapital(j[1]) || !isCountry[j[0]-'A'][j[1]-'A'] {
		return false
	}
	return len(j) == 2 || validSubdivision(j[2:])
}

func validSubdivision(s string) bool {
	if len(s) < 2 || len(s) > 4 || s[0] != '-' {
		return false
	}
	for _, c := range []byte(s[1:]) {
		if !isCapital(c) && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

func isCapital(c byte) bool { return 'A' <= c && c <= 'Z' }
