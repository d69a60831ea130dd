package audience

import (
	"errors"
	"strings"
	"testing"
)

func TestRecognise(t *testing.T) {
	for role, names := range map[Role]string{
		Email:       "Email|email|EMAIL|EMAIL1|EMAIL2|email_10|em|EM1|mail|e-mail|E-Mail|E Mail|courriel|Courriel 2|E-Mail-Adresse|E-Mail-Adresse 2|Adresse e-mail|Correo|Correo 2|Correo electrónico|\ufeffEmail",
		EmailSHA256: "Email_SHA256|Email_SHA 256|email_hash|EMAIL_SHA256|email1_SHA-256|EMAIL2_SHA-256|hashed_email|hem|HEM|Hashed Email",
		Phone: "Phone|phone|PHONE1|PHONE3|mobile|Mobile 2|tel|TEL.|telephone|Téléphone|Telefon|Telefon 2|Telefonnummer|TELEFONNUMMER1|Handy|Handynummer|Mobil|Mobil 1|" +
			"Portable|Téléphone 2|Numéro de téléphone|Teléfono|Telefono 2|Móvil|Celular",
		PhoneSHA256:       "Phone_SHA256|phone_hash|PHONE_SHA256|phone2_sha-256|hashed_phone",
		device:            "madid|MAID|googleaid|idfa|IDFA|Mobile Device ID|mobile_device_id",
		hashed:            "hash|HASH|sha256|SHA-256|id_hash|hashed_id",
		contact:           "contact|identifier",
		Consent:           "consent|Consent|opt_in|Opt-In|opted_in",
		AdUserData:        "ad_user_data|AdUserDataConsentStatus|Ad User Data",
		AdPersonalization: "ad_personalization|AdPersonalizationConsentStatus",
		OptOut:            "opt_out|Opt-Out|optout|opted_out|unsubscribed|Do Not Sell",
		GPC:               "gpc|GPC",
		USPrivacy:         "us_privacy|USPrivacy|usp|USP String|us_privacy_string|IABUSPrivacy_String|ccpa_string",
		TCString:          "tc_string|tcString|tcf|TCF String|tcf_consent|tcf_consent_string|IABTCF_TCString",
		GPPString:         "gpp_string|gpp|GPP Consent|gpp_consent_string|IABGPP_HDR_GppString",
		GPPSID:            "gpp_sid|IABGPP_GppSID",
		Country:           "Country|country",
		Region:            "region",
		State:             "STATE|state",
		Jurisdiction:      "jurisdiction",
		Ignore: "First Name|fn|FIRSTNAME|firstname|Last Name|Surname|ln|LASTNAME|Zip|zip|postal_code|ct|st|ADDRESS1|ADDRESS2|CITY|" +
			"extern_id|external_id|user_id|customer_id|id",
	} {
		for name := range strings.SplitSeq(names, "|") {
			if name == "TEL." {
				continue // a dot isn't one of the characters that don't matter
			}
			if got, known := recognise(name); got != role || !known {
				t.Errorf("%q is %q (%v), want %q", name, got, known, role)
			}
		}
	}
	// What isn't one of the names isn't taken for one that it resembles.
	for _, name := range []string{"", "Email Address Type", "email_opt_in", "emails", "employee", "phone_type", "phonetic", "Tel.", "mailing",
		"email_md5", "email_sha1", "1email", "emailsha2561", "number", "consent_date", "subscribed", "mobilität", "telefonica", "states", "hem2"} {
		if got, known := recognise(name); got != Ignore || known {
			t.Errorf("%q is %q (%v)", name, got, known)
		}
	}
}

func TestAnswers(t *testing.T) {
	header := []string{"email", "2", "Email", "Courriel pro"}
	for _, c := range []struct {
		answers map[string]string
		want    string // the roles
	}{
		{nil, "email ignore email ignore"},
		{map[string]string{"EMAIL": "ignore", "courriel-pro": "email"}, "ignore ignore ignore email"}, // a name: all that have it
		{map[string]string{"3": "email_sha256"}, "email ignore email_sha256 ignore"},
		{map[string]string{"2": "phone"}, "email phone email ignore"}, // a column of that name, before a position
		{map[string]string{"email": "ignore", "1": "email"}, "email ignore ignore ignore"},
		{map[string]string{"1": "email", "email": "phone"}, "email ignore phone ignore"},
	} {
		cols, err := columns(header, c.answers)
		var got []string
		for _, col := range cols {
			got = append(got, string(col.Role))
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%v: %v, want %s (%v)", c.answers, got, c.want, err)
		}
	}
	for _, c := range []struct {
		answers map[string]string
		want    Problem
	}{
		{map[string]string{"0": "email"}, UnknownColumn},
		{map[string]string{"5": "email"}, UnknownColumn},
		{map[string]string{"-1": "email"}, UnknownColumn},
		{map[string]string{"": "email"}, UnknownColumn},
		{map[string]string{"e.mail": "email"}, UnknownColumn},
		{map[string]string{"email": ""}, UnknownRole},
		{map[string]string{"email": "?device"}, UnknownRole},
		{map[string]string{"email": "ignore"}, NoIdentifier},
	} {
		_, err := columns(header, c.answers)
		var e *HeaderError
		if !errors.As(err, &e) || e.Problem != c.want {
			t.Errorf("%v: %v", c.answers, err)
		}
	}
}

// Every question has an answer that it names itself.
func TestQuestionsCanBeAnswered(t *testing.T) {
	for name, header := range map[string][]string{
		"hash":    {"name", "hash"},
		"kind":    {"contact"},
		"device":  {"email", "IDFA"},
		"consent": {"email", "marketing_consent"},
	} {
		_, err := columns(header, nil)
		var e *HeaderError
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", name, err)
		}
		_, flag, _ := strings.Cut(err.Error(), "--column ")
		answer := strings.FieldsFunc(flag, func(r rune) bool { return r == ' ' || r == ',' })[0]
		which, role, _ := strings.Cut(answer, "=")
		if _, err := columns(header, map[string]string{which: role}); err != nil {
			t.Errorf("%s: answered %s: %v", name, answer, err)
		}
	}
}

// Which of two GPP strings a gpp_sid speaks of can't be told; and to leave one of
// them out, which may be a refusal, is not what the question offers.
func TestTwoStringsOfGPP(t *testing.T) {
	for _, header := range [][]string{{"email", "gpp_string", "GPP String"}, {"email", "gpp_sid", "x", "gpp_sid", "gpp_string"}} {
		_, err := columns(header, nil)
		var e *HeaderError
		if !errors.As(err, &e) || e.Problem != SameMeaning || len(e.Columns) != 2 || strings.Contains(err.Error(), "ignore") {
			t.Errorf("%q: %v", header, err)
		}
	}
}

// A question shows names shortened, cleaned, and not more than twenty.
func TestQuestionIsClean(t *testing.T) {
	header := []string{"\x1b[2Jred\n", strings.Repeat("long ", 100), "\xff\xfe"}
	for range 100 {
		header = append(header, "x")
	}
	_, err := columns(header, nil)
	text := err.Error()
	if len(text) > 1000 || strings.ContainsAny(text, "\x1b\n") || !strings.HasSuffix(text, "and 83 more") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
}

// The first row of a file without a header isn't shown, whatever it is, unless
// it can't be told from names.
func TestNoHeader(t *testing.T) {
	for _, row := range []string{
		"ana@example.com", "Ana,ana@example.com", "+33 6 12 34 56 78", "0612345678",
		"b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514", "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ=",
	} {
		_, err := columns(strings.Split(row, ","), nil)
		var e *HeaderError
		if !errors.As(err, &e) || e.Problem != NoHeader || len(e.Columns) > 0 {
			t.Errorf("%q: %v", row, err)
		}
	}
}

// A column that may hold refusals is a question, whatever else the file has; its
// answer may be any of those that the question gives.
func TestAboutConsent(t *testing.T) {
	for name := range strings.SplitSeq("marketing_consent|Consent?|consent_status|accepts_marketing|Email Opt Out|Einwilligung|suppressed|tc_sting|unsubscribed_at", "|") {
		header := []string{"email", "opt_out", name}
		_, err := columns(header, nil)
		var e *HeaderError
		if !errors.As(err, &e) || e.Problem != AboutConsent || len(e.Columns) != 1 || e.Columns[0].Position != 3 {
			t.Errorf("%q: %v", name, err)
			continue
		}
		for _, role := range []Role{Consent, OptOut, TCString, GPPString, USPrivacy, GPC, Ignore} {
			if !strings.Contains(err.Error(), "="+string(role)) {
				t.Errorf("%q is not asked whether it is %s: %v", name, role, err)
			}
			if _, err := columns(header, map[string]string{"3": string(role)}); err != nil {
				t.Errorf("%q, answered %s: %v", name, role, err)
			}
		}
	}
	// It isn't asked of a first row that is somebody.
	_, err := columns([]string{"ana@example.com", "gave consent"}, nil)
	var e *HeaderError
	if !errors.As(err, &e) || e.Problem != NoHeader {
		t.Errorf("%v", err)
	}
}

// A column of a first row that is somebody is told by its number alone, though
// the answers name another as the e-mail address.
func TestColumnsOfSomebody(t *testing.T) {
	cols, err := columns([]string{"ana@example.com", "Ana", ""}, map[string]string{"1": "email"})
	if err != nil || list(cols) != "1, 2, 3" {
		t.Errorf("%s (%v)", list(cols), err)
	}
	if _, err := columns([]string{"ana@example.com", "Ana consented"}, map[string]string{"1": "email"}); err == nil || strings.Contains(err.Error(), "Ana") {
		t.Errorf("%v", err)
	}
	if cols, _ := columns([]string{"email", "Shoe size"}, nil); list(cols) != `1 ("email"), 2 ("Shoe size")` {
		t.Error(list(cols))
	}
}
