package audience

import (
	"strings"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
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
	// keep consent by person, and nothing holds for all.
	Granted
)

// word is what a consent cell says. The zero word is that of a column which the
// file doesn't have.
type word uint8

// In this order the worst word of a row decides, whatever the others say. Of one
// meaning a cell that says nothing is worse than consent: all its columns have
// to say so.
const (
	granted   word = iota + 1 //
	absent                    // nothing: also null, unspecified and their like
	undecided                 // it says that it isn't known, or can't be judged
	malformed                 // a word that isn't known here
	expired                   //
	denied                    //
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

// words are what databases, spreadsheets and vendors' exports write, as
// signal.Word returns them. A number with a fraction is what a spreadsheet makes
// of a column of ones, zeros and blanks.
var words = func() map[string]word {
	m := map[string]word{}
	group(m, granted, "granted given true t yes y 1 1.0 on opt_in optin opted_in consented consent_granted")
	group(m, denied, "denied refused withdrawn revoked false f no n 0 0.0 off opt_out optout opted_out consent_denied")
	group(m, expired, "expired")
	group(m, undecided, "unknown")
	return m
}()

// read returns what a cell of the advertiser's own record says.
func read(cell string) word {
	if signal.Absent(cell) {
		return absent
	}
	if w, ok := words[signal.Word(cell)]; ok {
		return w
	}
	return malformed
}

// meaning returns what a signal says of a row. That nobody opted out is nothing:
// it isn't consent. A consent given before oldest has expired.
func meaning(v signal.Verdict, oldest time.Time) word {
	switch v.Result {
	case 0:
		return absent
	case signal.Granted:
		switch {
		case !v.OptIn:
			return absent
		case v.At.Before(oldest):
			return expired
		}
		return granted
	case signal.Unknown:
		return undecided
	case signal.Exclude, signal.Denied:
		return denied
	}
	return malformed
}

// signals are what the consent columns of one row say.
type signals struct {
	record, userData, personalization word
	row                               signal.Row   // read when all of it is known
	more                              []signal.Row // one for each cell of which row has the meaning already
	optIn                             word         // granted if a string of it says so
	worst                             word
}

// note adds one cell to the signals.
func (s *signals) note(at cell, text string) {
	row := &s.row
	if at.again {
		s.more = append(s.more, signal.Row{})
		row = &s.more[len(s.more)-1]
	}
	switch at.role {
	case Consent:
		s.record = max(s.record, read(text))
	case AdUserData:
		s.userData = max(s.userData, read(text))
	case AdPersonalization:
		s.personalization = max(s.personalization, read(text))
	case OptOut:
		row.OptOut = text
	case GPC:
		row.GPC = text
	case USPrivacy:
		row.USPrivacy = text
	case TCString:
		row.TCString = text
	case GPPString:
		row.GPPString = text
	case GPPSID:
		row.GPPSID = text
	}
}

// judge reads the signals that other companies define, for a person under a
// regime.
func (s *signals) judge(o *Options, r signal.Regime, oldest time.Time) {
	s.worst = max(s.record, s.userData, s.personalization)
	s.heed(&s.row, o, r, oldest)
	for i := range s.more {
		s.heed(&s.more[i], o, r, oldest)
	}
}

// heed adds what the signals of one row come to.
func (s *signals) heed(row *signal.Row, o *Options, r signal.Regime, oldest time.Time) {
	for _, v := range row.Verdicts(o.Terms, r) {
		w := meaning(v, oldest)
		switch {
		case w == undecided && r == signal.OptOut && o.AdmitUSUnknown:
			w = absent
		case w == granted:
			s.optIn = granted
		}
		s.worst = max(s.worst, w)
	}
}

// ruling is OK and the basis on which a row may be used, or why it may not.
type ruling struct {
	code  identifier.Code
	basis consent.Basis
}

// decide returns OK if the row may be used, or why not:
//
//	eea      a record, both of the ad_ columns, or a TCF string
//	us       nothing against it
//	other    as eea, or the policy's default
//	unknown  as eea
//
// An explicit denial anywhere excludes, wherever the person is. That nothing is
// against it is a basis of its own, which a policy that asks for consent refuses.
func (s *signals) decide(o *Options, r signal.Regime) ruling {
	switch {
	case s.worst > absent:
		return ruling{code: exclusions[s.worst]}
	case s.record == granted, s.optIn == granted, s.userData == granted && s.personalization == granted,
		r == signal.Other && o.DefaultGranted:
		return ruling{identifier.OK, consent.BasisConsent}
	case r == signal.OptOut:
		return ruling{identifier.OK, consent.BasisNoticeOptOut}
	case r == signal.NoRegime:
		return ruling{code: identifier.JurisdictionUnknown}
	}
	return ruling{code: identifier.ConsentMissing}
}
