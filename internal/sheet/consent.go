package sheet

import (
	"slices"
	"strings"
	"unicode"
)

// consentStems are what names of columns about consent, or about opting out, have
// in them: letters alone, without accents, as plain writes them. English first,
// then German, French and Spanish.
var consentStems = []string{
	"consent", "optin", "optout", "optedin", "optedout", "unsub", "suppress", "donot", "permission", "accept", "consnet", "conset",
	"withdrawn", "revoked", "objection", "objected", "blocklist", "blacklist", "limitad",
	"gdpr", "ccpa", "cpra", "dsgvo", "rgpd", "lgpd", "tcf", "gpp", "privacy",
	"einwillig", "zustimm", "akzeptiert", "abgemeldet", "abmeld", "ausgetragen", "widerspr", "widerruf", "gesperrt", "sperrliste", "werbesperre", "erlaub",
	"desabonn", "desinscri", "oppos", "refus", "autoris", "accordpub", "accordmarketing",
	"autoriza", "permiso", "acepta", "dadodebaja", "dadadebaja", "desuscri", "cancelosuscri", "nocontactar", "noenviar",
}

// consentWords are whole names of the same kind, too short to be looked for
// inside of others.
var consentWords = []string{"gpc", "dnt", "dnc", "dns", "dnss", "baja", "sperre"}

// consentNames are the names that are read. One that differs from them by one
// slip of the pen was meant for them.
var consentNames = []string{
	"tcstring", "gppstring", "gppsid", "usprivacy", "optout", "aduserdata", "adpersonalization", "adsswitch",
}

// signals are other names that columns of consent signals have: those of the places
// where the IAB's programs keep them, and what people make of the standards' names.
var signals = map[string]string{
	"tcf": "tc_string", "tcfstring": "tc_string", "tcfconsent": "tc_string", "tcfconsentstring": "tc_string", "iabtcftcstring": "tc_string",
	"gpp": "gpp_string", "gppconsent": "gpp_string", "gppconsentstring": "gpp_string", "iabgpphdrgppstring": "gpp_string",
	"iabgppgppsid": "gpp_sid",
	"usp":          "us_privacy", "uspstring": "us_privacy", "usprivacystring": "us_privacy", "iabusprivacystring": "us_privacy", "ccpastring": "us_privacy",
}

// Signal returns the name by which a column of a consent signal is read, "" if the
// given one is no other name of it.
func Signal(name string) string { return signals[Key(name)] }

// LooksLikeConsent reports whether a column, of which the name is none that is
// read, seems to say whether somebody consented or opted out. To pass over it
// would be to take a refusal for nothing.
func LooksLikeConsent(name string) bool {
	key := plain(name)
	return slices.Contains(consentWords, key) ||
		slices.ContainsFunc(consentStems, func(stem string) bool { return strings.Contains(key, stem) }) ||
		slices.ContainsFunc(consentNames, func(known string) bool { return oneSlip(key, known) })
}

// unaccented has the letters with accents that the stems' languages have.
var unaccented = strings.NewReplacer("á", "a", "à", "a", "â", "a", "é", "e", "è", "e", "ê", "e", "í", "i", "î", "i", "ï", "i",
	"ó", "o", "ô", "o", "ú", "u", "ù", "u", "û", "u", "ç", "c", "ñ", "n")

// plain returns the letters of a name, in lower case and without accents.
func plain(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsLetter(r) {
			return -1
		}
		return r
	}, unaccented.Replace(Key(name)))
}

// oneSlip reports whether a is b, or b with one letter more, less or another, or
// with two neighbours exchanged.
func oneSlip(a, b string) bool {
	start := 0
	for start < len(a) && start < len(b) && a[start] == b[start] {
		start++
	}
	a, b = a[start:], b[start:]
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return len(a) <= 1 && len(b) <= 1 ||
		len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}
