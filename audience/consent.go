package audience

import (
	"strings"

	"github.com/overlap-psi/overlap/identifier"
)

// Statement is what the advertiser says of the whole list.
type Statement uint8

// The statements.
const (
	// Unset says nothing: the file's own columns decide, and a person of whom
	// they say nothing is left out wherever consent is needed.
	Unset Statement = iota

	// Granted attests, under the policy that both companies signed, that
	// everybody on the list consented to advertising. It decides for files
	// without any consent column. Where a file has one, the advertiser does
	// keep consent by person, and Granted is only the default for countries
	// that are neither opt-in nor opt-out.
	Granted
)

// word is what a consent cell says.
type word uint8

// In this order the worst word of a row decides, whatever the others say.
const (
	absent    word = iota // nothing: also null, unspecified and their like
	granted               //
	undecided             // it says that it isn't known, or can't be judged here
	malformed             // a word that isn't known here
	expired               //
	denied                //
)

var exclusions = map[word]identifier.Code{
	undecided: identifier.ConsentUnknown,
	malformed: identifier.ConsentMalformed,
	expired:   identifier.ConsentExpired,
	denied:    identifier.ConsentDenied,
}

func group(m map[string]word, w word, words string) {
	for s := range strings.FieldsSeq(words) {
		m[s] = w
	}
}

// words are what databases, spreadsheets and vendors' exports write, in lower
// case and with underscores for spaces and hyphens. A number with a fraction is
// what a spreadsheet makes of a column of ones, zeros and blanks; \N is a
// database's NULL.
var words = func() map[string]word {
	m := map[string]word{"": absent}
	group(m, granted, "granted given true t yes y 1 1.0 on opt_in optin opted_in consented consent_granted")
	group(m, denied, "denied refused withdrawn revoked false f no n 0 0.0 off opt_out optout opted_out consent_denied")
	group(m, expired, "expired")
	group(m, undecided, "unknown")
	group(m, absent, `null \n none nil n/a na nan undefined unspecified consent_status_unspecified not_set`)
	return m
}()

// flags are the words of a column in which true excludes: opt_out and gpc.
var flags = func() map[string]word {
	m := map[string]word{"": absent}
	group(m, denied, "true t yes y 1 1.0 on opt_out optout opted_out")
	group(m, absent, "false f no n 0 0.0 off opt_in optin opted_in")
	group(m, undecided, "unknown")
	group(m, absent, `null \n none nil n/a na nan undefined unspecified not_set`)
	return m
}()

var spelling = strings.NewReplacer(" ", "_", "-", "_")

// read returns what a cell says, in a vocabulary of words or flags.
func read(vocabulary map[string]word, cell string) word {
	if w, ok := vocabulary[cell]; ok { // most cells, without a copy
		return w
	}
	key := strings.Trim(strings.ToLower(cell), "\t\n\v\f\r \u00a0\ufeff\u200b")
	if w, ok := vocabulary[spelling.Replace(key)]; ok {
		return w
	}
	return malformed
}

// readUSPrivacy reads the four characters of the US Privacy string, of which
// the third is the opt-out of sale.
func readUSPrivacy(cell string) word {
	s := strings.TrimSpace(cell)
	if len(s) == 4 && s[0] == '1' && strings.Trim(s[1:], "YN-") == "" {
		switch s[2] {
		case 'Y':
			return denied
		case 'N':
			return absent // not opted out, which isn't opted in
		}
		return undecided
	}
	if read(words, s) == absent {
		return absent
	}
	return malformed
}

// signals are what the consent columns of one row say.
type signals struct {
	record, userData, personalization word
	worst                             word
}

// note adds one cell to the signals. The US Privacy string is undecided for
// everybody whom it isn't about, and then isn't read.
func (s *signals) note(role Role, cell string, r regime) {
	var w word
	switch role {
	case Consent:
		w = read(words, cell)
		s.record = w
	case AdUserData:
		w = read(words, cell)
		s.userData = w
	case AdPersonalization:
		w = read(words, cell)
		s.personalization = w
	case OptOut, GPC:
		w = read(flags, cell)
	case USPrivacy:
		if w = readUSPrivacy(cell); w == undecided && r != us {
			w = absent
		}
	case TCString, GPPString:
		if read(words, cell) != absent {
			w = undecided
		}
	}
	s.worst = max(s.worst, w)
}

// decide returns OK if the row may be used, or why not:
//
//	eea      a record, or both of the ad_ columns
//	us       nothing against it
//	other    as eea, or the list's default
//	unknown  as eea
//
// An explicit denial anywhere excludes, wherever the person is.
func (s *signals) decide(r regime, list Statement) identifier.Code {
	switch {
	case s.worst > granted:
		return exclusions[s.worst]
	case s.record == granted, s.userData == granted && s.personalization == granted:
		return identifier.OK
	case r == us, r == other && list == Granted:
		return identifier.OK
	case r == unknown:
		return identifier.JurisdictionUnknown
	}
	return identifier.ConsentMissing
}
