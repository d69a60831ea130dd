package ledger

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
)

// field is a column of the file.
type field int

const (
	account field = iota
	kind
	value
	purpose
	status
	jurisdiction
	collectedAt
	source // the first that a file may lack
	adsSwitch
	basis
	notice
	surface
	reference
	tcString
	gppString
	gppSID
	usPrivacy
	gpc
	optOut
	label
	fields
)

// required is how many fields a file must have, which are the first.
const required = source

var names = [fields]string{
	"account_id", "kind", "value", "purpose", "status", "jurisdiction", "collected_at", // required
	"source", "ads_switch", "basis", "notice", "surface", "reference",
	"tc_string", "gpp_string", "gpp_sid", "us_privacy", "gpc", "opt_out", "label",
}

// reader reads the cells of one row and keeps the code of the first that can't
// be read.
type reader struct {
	cells   []string
	columns *columns
	code    Code // OK until then
}

// cell returns the cell of a field, "" if the file has no such column.
func (r *reader) cell(f field) string {
	if i := r.columns.at[f]; i >= 0 {
		return r.cells[i]
	}
	return ""
}

// word returns the cell of a field that holds a word of a closed list.
func (r *reader) word(f field) string { return word(r.cell(f)) }

func word(cell string) string { return strings.ToLower(strings.TrimSpace(cell)) }

// text returns the cell of a field that holds the platform's own words.
func (r *reader) text(f field) string {
	s := strings.TrimSpace(r.cell(f))
	if !utf8.ValidString(s) || strings.Contains(s, "\x00") {
		r.fail(NotUTF8)
	}
	return s
}

func (r *reader) fail(c Code) {
	if r.code == OK {
		r.code = c
	}
}

func (r *reader) account() string {
	s := r.text(account)
	if s == "" {
		r.fail(AccountMissing)
	}
	return s
}

func (r *reader) kind() (k identifier.Kind, hashed bool) {
	switch r.word(kind) {
	case "email":
		return identifier.Email, false
	case "phone":
		return identifier.Phone, false
	case "email_sha256":
		return identifier.Email, true
	case "phone_sha256":
		return identifier.Phone, true
	}
	r.fail(KindUnknown)
	return 0, false
}

func (r *reader) purpose() consent.Purpose {
	p, err := consent.ParsePurpose(r.word(purpose))
	if err != nil {
		r.fail(PurposeUnknown)
	}
	return p
}

func (r *reader) status() consent.Status {
	s, err := consent.ParseStatus(r.word(status))
	if err != nil {
		r.fail(StatusUnknown)
	}
	return s
}

// iso has the ISO 3166-1 codes of what people and the European Union's own
// documents write otherwise.
var iso = map[string]string{"UK": "GB", "EL": "GR", "EEA": "EU"}

// jurisdiction reads a country or a subdivision of one, in either case; nothing
// is an unknown one.
func (r *reader) jurisdiction() string {
	s := strings.ToUpper(strings.TrimSpace(r.cell(jurisdiction)))
	country, _, _ := strings.Cut(s, "-")
	if code := iso[country]; code != "" {
		s = code + s[len(country):]
	}
	if !consent.ValidJurisdiction(s) {
		r.fail(JurisdictionMalformed)
	}
	return s
}

// layouts are how a time may be written, and how far ahead of now it may be: as
// far as clocks differ, and a date as far as days do between places.
var layouts = [...]struct {
	layout string
	ahead  time.Duration
}{{time.RFC3339, time.Minute}, {time.DateOnly, 24 * time.Hour}}

// firstYear is the first of which anything is kept: a date before it is a slip.
const firstYear = 1970

// time reads RFC 3339, or a date, which is the start of that day in UTC.
func (r *reader) time(now time.Time) time.Time {
	s := strings.TrimSpace(r.cell(collectedAt))
	for _, l := range layouts {
		t, err := time.Parse(l.layout, s)
		if err != nil {
			continue
		}
		switch t = t.UTC(); {
		case t.Year() < firstYear:
			r.fail(TimeMalformed)
		case t.After(now.Add(l.ahead)):
			r.fail(TimeAhead)
		}
		return t
	}
	r.fail(TimeMalformed)
	return time.Time{}
}

// texts reads what shows that the rest is so, in the platform's words.
func (r *reader) texts(l *Line) {
	texts := [...]*string{source: &l.Source, notice: &l.Notice, surface: &l.Surface, reference: &l.Reference}
	for f, to := range texts {
		if to != nil {
			*to = r.text(field(f))
		}
	}
	if len(l.AccountID) > MaxAccountID {
		r.fail(TextTooLong)
	}
	for _, text := range texts {
		if text != nil && len(*text) > consent.MaxText {
			r.fail(TextTooLong)
		}
	}
}

// label reads what a match may tell of the account. Only of identifiers that may be
// matched at all is one kept.
func (r *reader) label(p consent.Purpose) string {
	if p != consent.AdsMatching {
		return ""
	}
	s := r.text(label)
	if len(s) > consent.MaxLabel {
		r.fail(TextTooLong)
	}
	return s
}

// basis reads the ground in law. A platform that has but one doesn't write it,
// and that one is consent.
func (r *reader) basis() consent.Basis {
	word := r.word(basis)
	if word == "" {
		return consent.BasisConsent
	}
	b, err := consent.ParseBasis(word)
	if err != nil {
		r.fail(BasisUnknown)
	}
	return b
}

// strictest returns what the signals of the row come to for a person under a
// regime.
func (r *reader) strictest(terms signal.Terms, regime signal.Regime) signal.Result {
	row := signal.Row{
		TCString: r.cell(tcString), GPPString: r.cell(gppString), GPPSID: r.cell(gppSID),
		USPrivacy: r.cell(usPrivacy), GPC: r.cell(gpc), OptOut: r.cell(optOut),
	}
	worst := row.Strictest(terms, regime).Result
	for _, a := range r.columns.again {
		var row signal.Row
		switch cell := r.cells[a.index]; a.field {
		case tcString:
			row.TCString = cell
		case usPrivacy:
			row.USPrivacy = cell
		case gpc:
			row.GPC = cell
		case optOut:
			row.OptOut = cell
		}
		worst = max(worst, row.Strictest(terms, regime).Result)
	}
	return worst
}

func (r *reader) adsSwitch() Switch {
	state := r.switchIn(r.cell(adsSwitch))
	for _, a := range r.columns.again {
		if a.field == adsSwitch {
			state = max(state, r.switchIn(r.cells[a.index]))
		}
	}
	return state
}

func (r *reader) switchIn(cell string) Switch {
	switch word(cell) {
	case "":
		return Unset
	case "on":
		return On
	case "off":
		return Off
	}
	r.fail(SwitchUnknown)
	return Unset
}

// String returns the word of the file for a switch.
func (s Switch) String() string {
	switch s {
	case Unset:
		return ""
	case On:
		return "on"
	case Off:
		return "off"
	}
	return fmt.Sprintf("Switch(%d)", uint8(s))
}
