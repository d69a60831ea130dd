package identifier

import (
	"crypto/sha256"
	"errors"
	"regexp"
	"strings"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// PhoneMetadata names the numbering plans that decide which phone numbers are
// valid, for reports: validity changes between releases of the library, the
// spelling of a given number does not.
const PhoneMetadata = "pn1.8.1"

const (
	maxE164      = 15 // digits, ITU-T E.164 §6
	maxExtension = 7  // digits; more are a second number
)

var (
	scientific = regexp.MustCompile(`^[+-]?[0-9]+([.,][0-9]+)?[eE][+-]?[0-9]+$`)
	float      = regexp.MustCompile(`^[0-9]+\.0+$`)
	extension  = regexp.MustCompile(`(?i)[ .,;-]*(;ext=|extension|extn|ext|poste|x)[ .:]*[0-9]{1,7}$`)
)

// normalizePhone spells the stripped value s in E.164. The steps before the
// library's are there because it guesses: it reads letters as digits, the ".0"
// of a spreadsheet as one more digit, and a second number as an extension; and
// its ports to other languages disagree on digits of other scripts.
func (c Class) normalizePhone(s string, o Options) (Identifier, error) {
	s, err := cleanPhone(s)
	if err != nil {
		return Identifier{}, err
	}
	region, err := checkPhone(s, o)
	if err != nil {
		return Identifier{}, err
	}
	number, err := phonenumbers.Parse(s, region)
	if err != nil {
		return Identifier{}, parseCode(err)
	}
	spelling := phonenumbers.Format(number, phonenumbers.E164)
	warning, err := checkNumber(number, spelling, o.Lenient)
	if err != nil {
		return Identifier{}, err
	}
	sameDigits := region == "" && asciiDigits(s) == spelling[1:]
	if !sameDigits && !readsBack(spelling) {
		return Identifier{}, PhoneInvalid
	}
	if c == PhoneDigits {
		spelling = strings.TrimPrefix(spelling, "+")
	}
	return Identifier{class: c, warning: warning, sum: sha256.Sum256([]byte(spelling)), normalized: spelling}, nil
}

// cleanPhone takes off what is not part of the number: invisible characters,
// the marks by which spreadsheets keep a number text, "tel:", an extension.
func cleanPhone(s string) (string, error) {
	s = strings.Trim(strings.Map(visible, s), ` '"=`)
	switch {
	case s == "":
		return "", Empty
	case scientific.MatchString(s), float.MatchString(s):
		return "", ExcelScientific
	}
	const scheme = "tel:" // RFC 3966 §3
	if len(s) >= len(scheme) && strings.EqualFold(s[:len(scheme)], scheme) {
		s = s[len(scheme):]
	}
	if at := extension.FindStringIndex(s); at != nil {
		s = s[:at[0]]
	}
	return s, nil
}

// visible maps white space of any kind to a space and deletes format characters.
func visible(r rune) rune {
	switch {
	case unicode.IsSpace(r):
		return ' '
	case unicode.Is(unicode.Cf, r):
		return -1
	}
	return r
}

// KnownRegion reports whether Options.Region may be the text: a country in ISO
// 3166-1 alpha-2 capitals whose numbers are known.
func KnownRegion(region string) bool { return phonenumbers.GetSupportedRegions()[region] }

// checkPhone returns the region in which to read s, "" if s names its country
// itself.
func checkPhone(s string, o Options) (region string, err error) {
	if !o.Vanity && strings.ContainsFunc(s, unicode.IsLetter) {
		return "", PhoneLetters
	}
	if strings.ContainsFunc(s, isOtherDigit) {
		return "", PhoneInvalid
	}
	first := strings.IndexFunc(s, unicode.IsDigit)
	switch {
	case first >= 0 && strings.ContainsAny(s[:first], "+＋"):
		return "", nil
	case o.Region == "":
		return "", PhoneNoCountry
	case !KnownRegion(o.Region):
		return "", PhoneBadCountry
	}
	return o.Region, nil
}

// isOtherDigit reports whether r is a decimal digit, but not an ASCII,
// full-width or Arabic-Indic one.
func isOtherDigit(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= '０' && r <= '９', r >= '\u0660' && r <= '\u0669', r >= '\u06f0' && r <= '\u06f9':
		return false
	}
	return unicode.IsDigit(r)
}

func parseCode(err error) Code {
	switch {
	case errors.Is(err, phonenumbers.ErrInvalidCountryCode):
		return PhoneBadCountry
	case errors.Is(err, phonenumbers.ErrTooShortNSN),
		errors.Is(err, phonenumbers.ErrTooShortAfterIDD),
		errors.Is(err, phonenumbers.ErrNumTooLong):
		return PhoneLength
	}
	return PhoneInvalid
}

// checkNumber returns nil for a number that somebody can have and, if lenient,
// PhoneInvalid as a warning for one of a possible length. A number without its
// area code is refused either way: in E.164 it would be another number.
func checkNumber(number *phonenumbers.PhoneNumber, spelling string, lenient bool) (warning Code, err error) {
	possible := phonenumbers.IsPossibleNumberWithReason(number)
	switch {
	case possible != phonenumbers.IS_POSSIBLE && possible != phonenumbers.IS_POSSIBLE_LOCAL_ONLY,
		len(spelling) > len("+")+maxE164:
		return "", PhoneLength
	case len(number.GetExtension()) > maxExtension:
		return "", PhoneInvalid
	case phonenumbers.IsValidNumber(number):
		return "", nil
	case lenient && possible == phonenumbers.IS_POSSIBLE:
		return PhoneInvalid, nil
	}
	return "", PhoneInvalid
}

// asciiDigits returns the digits of s. Where they are those of the spelling, the
// library has read just what readsBack would have it read again, at the cost of
// all other steps together.
func asciiDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, s)
}

// readsBack reports whether the library reads spelling as the number it is the
// spelling of. In Belarus, where 8 is dialled before national numbers and 810
// before foreign ones, it cuts the start of some numbers twice, and so anywhere
// of numbers that only Options.Lenient admits. Those have no one spelling.
func readsBack(spelling string) bool {
	number, err := phonenumbers.Parse(spelling, "")
	return err == nil && phonenumbers.Format(number, phonenumbers.E164) == spelling
}
