package identifier

import (
	"regexp"
	"strings"
	"testing"
)

// Values that fail later steps too stand first among those of their step, so
// that the table fixes the order of the steps.
var phoneRefusals = func() (all []refusal) {
	for _, r := range []struct {
		raw  string
		o    Options
		want Code
	}{
		{`"="`, Options{}, Empty},
		{"\u200e\u202a", Options{}, Empty},
		{"\u3000 ' \u2003", Options{}, Empty},

		{"6.12346E+11", Options{Region: "FR"}, ExcelScientific},
		{"6,12346e11", Options{}, ExcelScientific},
		{"-6E-1", Options{}, ExcelScientific},
		{"=\"+3E5\"", Options{}, ExcelScientific},
		{"1512345001.0", Options{Region: "DE"}, ExcelScientific},
		{"\u200e33612345678.000", Options{}, ExcelScientific},

		{"1-800-FLOWERS", Options{Region: "US"}, PhoneLetters},
		{"n/a", Options{Region: "FR"}, PhoneLetters},
		{"ω०", Options{}, PhoneLetters},
		{"0612345678 ext 12345678", Options{Region: "FR"}, PhoneLetters}, // too long for an extension
		{"0612345678 x 12 ext 5", Options{Region: "FR"}, PhoneLetters},   // only the last one goes
		{"tel:tel:+33612345678", Options{}, PhoneLetters},

		{"०६१२३४५६७८", Options{}, PhoneInvalid}, // Devanagari, before the country
		{"+３３612345６7𝟖", Options{}, PhoneInvalid},

		{"0612345678", Options{}, PhoneNoCountry},
		{"0612345678+", Options{}, PhoneNoCountry},
		{"0", Options{}, PhoneNoCountry},
		{"+", Options{}, PhoneNoCountry}, // a plus, but before no digit

		{"06 12 34 50 05", Options{Region: "UK"}, PhoneBadCountry},
		{"--", Options{Region: "fr"}, PhoneBadCountry},
		{"0612345678", Options{Region: "001"}, PhoneBadCountry},
		{"0612345678", Options{Region: "ZZ"}, PhoneBadCountry},
		{"+999 12345678", Options{}, PhoneBadCountry},
		{"011 999 12345678", Options{Region: "US"}, PhoneBadCountry},
		{"+0612345678", Options{Region: "FR"}, PhoneBadCountry},
		{"+00 33 6 12 34 56 78", Options{Region: "FR"}, PhoneBadCountry}, // the library would try the region

		{"--", Options{Region: "FR"}, PhoneInvalid},
		{"tel:", Options{Region: "FR"}, PhoneInvalid},
		{"1", Options{Region: "US"}, PhoneInvalid},

		{"12", Options{Region: "US"}, PhoneLength},
		{"011 33", Options{Region: "US"}, PhoneLength},
		{"+" + strings.Repeat("3", 250), Options{}, PhoneLength},
		{"+" + strings.Repeat("3", 20), Options{}, PhoneLength},
		{"+1234567890", Options{}, PhoneLength},
		{"+49 30 1234567890120", Options{}, PhoneLength}, // valid to the library, not to E.164
		{"+49 30 123456789012", Options{}, PhoneLength},

		{"555-0100", Options{Region: "US"}, PhoneInvalid},
		{"555-0100", Options{Region: "US", Lenient: true}, PhoneInvalid}, // +15550100 would be a stranger
		{"06 12 34 50 06", Options{Region: "US"}, PhoneInvalid},
		{"+1 999 999 9999", Options{}, PhoneInvalid},
		{"0612345007;0612345008", Options{Region: "FR"}, PhoneInvalid},
		{"0612345678 # 12345678", Options{Region: "FR"}, PhoneInvalid},
		{"0612345678 # 12345678", Options{Region: "FR", Lenient: true}, PhoneInvalid},

		// Spelled +3758107347715, which the library then reads as another number.
		{"+37588107347715", Options{}, PhoneInvalid},
		{"88107347715", Options{Region: "BY"}, PhoneInvalid},
		{"+2700418749", Options{Lenient: true}, PhoneInvalid},
	} {
		for _, profile := range []string{"phone.e164-1", "phone.digits-1"} {
			all = append(all, refusal{profile, r.raw, r.o, r.want})
		}
	}
	return all
}()

func TestPhoneAccepts(t *testing.T) {
	fr := Options{Region: "FR"}
	for _, v := range []struct {
		raw  string
		o    Options
		want string
	}{
		{"'0612345003", fr, "+33612345003"},
		{`="0612345003"`, fr, "+33612345003"},
		{"06\u202f12\u202f34\u202f50\u202f01", fr, "+33612345001"},
		{"06\u00ad12\u200b34\u206050\u200e01", fr, "+33612345001"},
		{"\u202a+33 6 12 34 50 02\u202c", Options{}, "+33612345002"},
		{"TEL:+33612345678", Options{}, "+33612345678"},
		{"tel: 06 12 34 56 78", fr, "+33612345678"},
		{"+33612345678;ext=12", Options{}, "+33612345678"},
		{"+33612345678 EXTENSION: 12", Options{}, "+33612345678"},
		{"+33612345678, extn.1234567", Options{}, "+33612345678"},
		{"+33612345678x1", Options{}, "+33612345678"},
		{"06 12 34 50 04 poste 12", fr, "+33612345004"},
		{"+33612345678#12345", Options{}, "+33612345678"}, // the library's own extension
		{"０６ 12 34 50 09", fr, "+33612345009"},
		{"٠٦١٢٣٤٥٦٧٩", fr, "+33612345679"},
		{"۰۶۱۲۳۴۵۶۷۹", fr, "+33612345679"},
		{"＋33612345678", Options{}, "+33612345678"},
		{"(+33) 6 12 34 56 78", Options{}, "+33612345678"},
		{"+33 (0)6 12 34 56 78", Options{Region: "UK"}, "+33612345678"}, // the plus wins
		{"00 33 6 12 34 56 78", fr, "+33612345678"},
		{"011 33 6 12 34 56 78", Options{Region: "US"}, "+33612345678"},
		{"33612345678", fr, "+33612345678"},
		{"06 698 12345", Options{Region: "IT"}, "+390669812345"},
		{"011 15 2345 6789", Options{Region: "AR"}, "+5491123456789"},
		{"+800 1234 5678", Options{}, "+80012345678"},         // no country, a calling code
		{"+49 30 12345678901", Options{}, "+493012345678901"}, // 15 digits
		{"+683 4001", Options{}, "+6834001"},
		{"1-800-FLOWERS", Options{Region: "US", Vanity: true}, "+18003569377"},
	} {
		id, err := PhoneE164.Normalize(v.raw, v.o)
		if err != nil || id.Normalized() != v.want || id.Class() != PhoneE164 || id.Warning() != "" {
			t.Errorf("%q: %q, %v, want %q", v.raw, id.Normalized(), err, v.want)
		}
		id, err = PhoneDigits.Normalize(v.raw, v.o)
		if err != nil || "+"+id.Normalized() != v.want || id.Class() != PhoneDigits {
			t.Errorf("%q: %q, %v, want %q less its plus", v.raw, id.Normalized(), err, v.want)
		}
	}
}

func TestPhoneLenient(t *testing.T) {
	for _, v := range []struct {
		raw, region, want string
		warning           Code
	}{
		{"+1 999 999 9999", "", "+19999999999", PhoneInvalid},
		{"06 12 34 50 06", "US", "+10612345006", PhoneInvalid},
		{"+33612345678", "", "+33612345678", ""},
	} {
		id, err := PhoneE164.Normalize(v.raw, Options{Region: v.region, Lenient: true})
		if err != nil || id.Normalized() != v.want || id.Warning() != v.warning {
			t.Errorf("%q: %q, warning %q, %v", v.raw, id.Normalized(), string(id.Warning()), err)
		}
	}
}

var (
	isCanonicalE164   = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`).MatchString
	isCanonicalDigits = regexp.MustCompile(`^[1-9][0-9]{1,14}$`).MatchString
)

func FuzzPhone(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Profile == "phone.e164-1" {
			f.Add(v.Input, v.Region, false, false)
		}
	}
	for _, r := range append(phoneRefusals, sharedRefusals...) {
		f.Add(r.raw, r.options.Region, r.options.Vanity, r.options.Lenient)
	}
	f.Add("tel:0612345678;phone-context=+33", "US", true, false)
	f.Fuzz(func(t *testing.T, raw, region string, vanity, lenient bool) {
		o := Options{Region: region, Vanity: vanity, Lenient: lenient}
		id, err := PhoneE164.Normalize(raw, o)
		checkRead(t, id, err, isCanonicalE164, func(s string) (Identifier, error) {
			return PhoneE164.Normalize(s, Options{Lenient: lenient})
		})
		digits, digitsErr := PhoneDigits.Normalize(raw, o)
		checkRead(t, digits, digitsErr, isCanonicalDigits, func(s string) (Identifier, error) {
			return PhoneDigits.Normalize("+"+s, Options{Lenient: lenient}) // which it lacks a country without
		})
		if err != digitsErr || id.Warning() != digits.Warning() || strings.TrimPrefix(id.Normalized(), "+") != digits.Normalized() {
			t.Fatalf("the profiles differ by more than the plus: %v, %v", err, digitsErr)
		}
		if err == nil {
			checkSum(t, id)
			checkSum(t, digits)
		}
	})
}
