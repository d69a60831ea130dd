package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent"
)

// minimal returns a document with exactly the fields that have no default.
func minimal() []byte {
	return []byte(`version = 1
purpose = "ads_matching"
universe = "users"
classes = ["email.uid2-1", "phone.e164-1"]
max_q_hat = 16777216
max_n_hat = 16777216
max_evaluations = 268435456
max_releases = 10
retention_days = 180
`)
}

// with returns the document with lines in place of those of the same fields, or
// after the last.
func with(document []byte, lines ...string) []byte {
	doc := strings.Split(strings.TrimSuffix(string(document), "\n"), "\n")
next:
	for _, line := range lines {
		name, _, _ := strings.Cut(line, " = ")
		for i := range doc {
			if strings.HasPrefix(doc[i], name+" = ") {
				doc[i] = line
				continue next
			}
		}
		doc = append(doc, line)
	}
	return []byte(strings.Join(doc, "\n") + "\n")
}

// without returns the document without the field.
func without(document []byte, name string) []byte {
	var kept []string
	for line := range strings.Lines(string(document)) {
		if !strings.HasPrefix(line, name+" = ") {
			kept = append(kept, line)
		}
	}
	return []byte(strings.Join(kept, ""))
}

func TestFieldsWithoutDefault(t *testing.T) {
	for _, name := range []string{"version", "purpose", "universe", "classes", "max_q_hat", "max_n_hat",
		"max_evaluations", "max_releases", "retention_days"} {
		_, err := Parse(without(minimal(), name))
		want := "policy: " + name + " must be set, to "
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("without %s: %v", name, err)
		}
	}
}

func TestBounds(t *testing.T) {
	const wide = `epsilon = "1/1000"` // needs a t_extra above 14 000
	for _, c := range []struct{ name, good, bad string }{
		{"version", "1", "0 2 -1 1.0 '1'"},
		{"universe", "'a' '0' 'a.b_c-9' '" + strings.Repeat("u", 64) + "'", "'' 'A' 'a/b' 'é' '" + strings.Repeat("u", 65) + "' 1 ['users']"},
		{"classes", `["email.uid2-1"] ["phone.e164-1","email.plain-1","email.google-1","phone.digits-1","email.uid2-1"]`,
			`[] ["email"] ["email.uid2-1","email.uid2-1"] [1] "email.uid2-1" [["email.uid2-1"]] ["EMAIL.UID2-1"] [""]`},
		{"modes", `["P_LEARNS"] ["A_LEARNS"] ["MUTUAL_A"] ["MUTUAL_P","A_LEARNS"]`,
			`[] ["SPLIT"] ["p_learns"] ["P_LEARNS","P_LEARNS"] [2] "P_LEARNS" 2`},
		{"label_len", "0 2 34 480", "1 -1 481 2.0 '2' true"},
		{"max_q_hat", "1 1024 0x400 1099511627776", "0 -1 1099511627777 9223372036854775807 1.5 true '1'"},
		{"max_n_hat", "1 1024 1_024 1099511627776", "0 -1 1099511627777 9223372036854775807 1.5 true '1'"},
		{"max_evaluations", "1 1099511627776", "0 -1 1099511627777 1e6 inf '1'"},
		{"max_releases", "0 1 1000", "-1 1001 1.0 '4' 1979-05-27"},
		{"tau", "1 100 1000000000", "0 -100 1000000001 100.0 nan 'a'"},
		{"epsilon", `"1/2" "2/3" "4/1" "1000000/1000000" "2/4"`,
			`"0/1" "1/0" "0/0" "5/1" "1000001/1000000" "1/1000001" "1/1001" 0.5 1 ["1/2"] ` +
				`"" "/" "1" "0.5" "1/2/3" "-1/2" "+1/2" "1/-2" "01/2" "1/02" "1_0/20" "1\u0020/2" "1e0/2" "0x1/2" "½" "18446744073709551617/2"`},
		{"delta", "1e-9 1e-6 0.000_000_5", "1e-5 1.1e-6 0.0 -1e-9 1 0 nan inf -inf '1e-9' 1e-19 -0.0"},
		{"t_extra", "42 43 1000000000", "41 0 1 -42 1000000001 42.0 '42'"},
		{"epoch_seconds", "3600 2592000", "3599 0 -1 2592001 3600.0 '3600'"},
		{"resume_seconds", "0 86400", "-1 86401 0.0 ''"},
		{"session_seconds", "60 604800", "59 0 -1 604801 60.0 ''"},
		{"release_step", "1 3600", "0 -1 3601 1.0 ''"},
		{"window", "4 64", "3 0 -4 65 4.0 ''"},
		{"retention_days", "1 3650", "0 -1 3651 1.0 ''"},
		{"audit_samples", "1 1000000", "0 -1 1000001 1.0 ''"},
		{"beacon", "'none' 'drand:8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce' '" + strings.Repeat("b", 255) + "'",
			`'' "a\u0020b" "a\u0009b" "é" 1 '` + strings.Repeat("b", 256) + "'"},
		{"witnesses", "0 16", "-1 17 2.0 ''"},
		{"consent.version", "1 2147483647", "0 -1 2147483648 1.0 '1'"},
		{"consent.purposes", `["ads_matching"]`, `[] "ads_matching" ["ads_matching","ads_matching"] [1] [["ads_matching"]] ["ADS_MATCHING"]`},
		{"consent.bases", `["consent"] ["notice_opt_out"] ["legitimate_interests","notice_opt_out","consent"]`,
			`[] ["contract"] ["legal_obligation"] ["consent","contract"] ["consent","consent"] [""] ["Consent"] [1] "consent" 1`},
		{"consent.jurisdictions", `[] ["FR"] ["US-CA","FR","EU"]`, `[""] ["fr"] ["UK"] ["FR","FR"] ["US_CA"] [1] "FR" {}`},
		{"consent.max_age_days", "0 1 36500", "-1 36501 1.0 ''"},
		{"consent.tcf_vendor", "0 755 65535", "-1 65536 1.0 ''"},
		{"consent.tcf_purposes", "[3,4] [24] [4,1]", "[] [0] [25] [3,3] [-1] [3.0] ['3'] 3"},
		{"consent.us_unknown", "'exclude' 'admit'", "'' 'Admit' true 1 ['admit']"},
		{"consent.list_default", "'none' 'granted'", "'' 'denied' true 1 ['granted']"},
		{"consent.data_source", `["first_party"] ["third_party"] ["third_party","first_party"]`,
			`[] [""] ["second_party"] ["first_party","first_party"] "first_party" [1]`},
		{"hygiene.min_list", "0 1000 1099511627776", "-1 1099511627777 1.0 ''"},
		{"hygiene.small_list", "'warn' 'refuse'", "'' 'ignore' true 1"},
		{"hygiene.display", "'exact' 'percent' 'top85'", "'' 'Exact' 'top90' 85 true ['exact']"},
	} {
		for _, v := range strings.Fields(c.good) {
			if _, err := Parse(with(minimal(), c.name+" = "+v)); err != nil {
				t.Errorf("%s = %s: %v", c.name, v, err)
			}
		}
		for _, v := range strings.Fields(c.bad) {
			document := with(minimal(), c.name+" = "+v)
			_, err := Parse(document)
			var refused *FieldError
			if !errors.As(err, &refused) || refused.Field != c.name || refused.Line != lineOf(document, c.name) {
				t.Errorf("%s = %s: %v", c.name, v, err)
			}
		}
	}
	// A margin long enough makes the smallest ε and δ good too.
	if _, err := Parse(with(minimal(), wide, "delta = 1e-18", "t_extra = 50000")); err != nil {
		t.Error(err)
	}
}

func lineOf(document []byte, name string) int {
	before, _, _ := strings.Cut(string(document), name+" = ")
	return 1 + strings.Count(before, "\n")
}

func TestEveryFieldHasItsBoundsTested(t *testing.T) {
	if len(fields) != 23+10+3 {
		t.Errorf("%d fields: give a new one its row in TestBounds", len(fields))
	}
}

// Every security purpose, every other purpose and every way around the field.
func TestOnlyAdsMatching(t *testing.T) {
	purposes := []string{"account_security_2fa", "account_recovery", "account_reauth", "", "ADS_MATCHING", "ads_matching ", " ads_matching",
		"ads_matching,account_security_2fa", "ads-matching", "*", "all"}
	for p := consent.Purpose(0); p == 0 || p.Valid(); p++ {
		if p != consent.AdsMatching {
			purposes = append(purposes, p.String())
		}
	}
	for _, p := range purposes {
		_, err := Parse(with(minimal(), fmt.Sprintf("purpose = %q", p)))
		var refused *FieldError
		if !errors.As(err, &refused) || refused.Field != "purpose" {
			t.Errorf("purpose %q: %v", p, err)
		}
	}
	for _, lines := range []string{
		`purpose = ["ads_matching", "account_security_2fa"]`,
		`purpose = ["ads_matching"]`,
		`purpose = 1`,
		`purpose = { ads_matching = true }`,
		"purpose = \"ads_matching\"\npurposes = [\"account_recovery\"]",
		"purpose = \"ads_matching\"\npurpose = \"account_recovery\"",
		"purpose = \"ads_matching\"\nPurpose = \"account_recovery\"",
		"purpose = \"ads_matching\"\n\"purpose\" = \"account_recovery\"",
		"purpose = \"ads_matching\"\n[allowed]\npurpose = \"account_recovery\"",
		"purpose.ads_matching = true",
	} {
		document := append(without(minimal(), "purpose"), lines...)
		if _, err := Parse(document); err == nil {
			t.Errorf("parsed:\n%s", lines)
		}
	}
}

// The same for the purposes of [consent], alone and beside the right one.
func TestOnlyAdsMatchingInConsent(t *testing.T) {
	for p := consent.Purpose(1); p.Valid(); p++ {
		for _, list := range []string{`[%q]`, `["ads_matching", %q]`, `[%q, "ads_matching"]`} {
			if p == consent.AdsMatching && list == `[%q]` {
				continue
			}
			_, err := Parse(append(minimal(), fmt.Sprintf("[consent]\nversion = 2\npurposes = "+list, p)...))
			const want = `policy: line 12: consent.purposes must be ["ads_matching"]: ` +
				"what was given for security, recovery or signing up, or for anything else, is never matched"
			if err == nil || err.Error() != want {
				t.Errorf("%s with %v: %v", list, p, err)
			}
		}
	}
}

// A section may be written in any of TOML's ways; whatever the way, an unknown
// field is found.
func TestSections(t *testing.T) {
	for _, section := range []string{
		"[consent]\nversion = 7\n", "consent.version = 7\n", "consent = { version = 7, tcf_vendor = 1 }\n", "\"consent\".'version' = 7\n",
		"[hygiene]\nmin_list = 5\n[consent]\nversion = 7",
	} {
		p, err := Parse(append(minimal(), section...))
		if err != nil || p.Consent.Version != 7 {
			t.Errorf("%q: %v", section, err)
		}
	}
	for section, want := range map[string]string{
		"[consent]\nversion = 1\nbasis = 1\n":             "line 12: unknown field",
		"[consent]\nversion = 1\nVersion = 1\n":           "line 12: unknown field",
		"[Consent]\nversion = 1\n":                        "line 10: unknown field",
		"[consent]\n[Consent]\nversion = 1\n":             "line 11: unknown field",
		"[consent]\n[consent.deep]\nversion = 1\n":        "line 11: unknown field",
		"[consent.version]\nversion = 1\n":                "line 10: consent.version must be an integer from 1 to 2147483647",
		"[[consent]]\nversion = 1\n":                      "line 10: consent must be a table, [consent]",
		"consent = 1\n":                                   "line 10: consent must be a table, [consent]",
		"consent = { version = 1, basis = 1 }\n":          "line 10: consent must be a table of known fields",
		"consent = { Version = 1 }\n":                     "line 10: consent must be a table of known fields",
		"consent = { tau = 1 }\n":                         "line 10: consent must be a table of known fields",
		"consent = { version = 0 }\n":                     "line 10: consent.version must be an integer from 1 to 2147483647",
		"\"consent.version\" = 1\n":                       "line 10: unknown field",
		"[hygiene]\nbases = []\n":                         "line 11: unknown field",
		"[hygiene]\ndisplay = 'exact'\ndisplay = 'exact'": "line 12: not valid TOML, or a field that is set twice",
		"[consent]\nversion = 1\n[consent]\nbases = []\n": "line 12: not valid TOML, or a field that is set twice",
		"[consent]\ntau = 100\n":                          "line 11: unknown field",
	} {
		_, err := Parse(append(minimal(), section...))
		if err == nil || err.Error() != "policy: "+want {
			t.Errorf("%q: %v, want %s", section, err, want)
		}
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct{ document, want string }{
		{"version = 1\nTau = 100\n", "policy: line 2: unknown field"},
		{"version = 1\n\nmax_releses = 3\n", "policy: line 3: unknown field"},
		{"version = 1\r\n\r\nmax_releses = 3\r\n", "policy: line 3: unknown field"},
		{"[limits]\ntau = 100\n", "policy: line 1: unknown field"},
		{string(minimal()) + "[[tau]]\nx = 1\n", "policy: line 10: tau must be an integer from 1 to 1000000000"},
		{"tau.x = 1\n", "policy: line 1: unknown field"},
		{"version = 1\nversion = 1\n", "policy: line 2: not valid TOML, or a field that is set twice"},
		{"version = 1\n\"version\" = 1\n", "policy: line 2: not valid TOML, or a field that is set twice"},
		{"version = \n", "policy: line 1: not valid TOML, or a field that is set twice"},
		{"email,phone\na@example.com,+491701234567\n", "policy: line 1: not valid TOML, or a field that is set twice"},
		{"version = 99999999999999999999\n", "policy: line 1: not valid TOML, or a field that is set twice"}, // over 64 bits
		{"", "policy: version must be set, to 1"},
		{"# nothing\n", "policy: version must be set, to 1"},
		{"version = 2\n", "policy: purpose must be set, to \"ads_matching\", the only purpose anything is matched for"},
		{string(with(minimal(), "version = 2")), "policy: line 1: version must be 1"},
		{string(with(minimal(), "window = 3")), "policy: line 10: window must be an integer from 4 to 64"},
		{string(with(minimal(), "window = 'x'")), "policy: line 10: window must be an integer from 4 to 64"},
		{string(with(minimal(), `epsilon = "1/10"`)),
			"policy: t_extra must be an integer from 202, for this epsilon and delta, to 1000000000"},
		{string(with(minimal(), `epsilon = "1/10"`, "t_extra = 201")),
			"policy: line 11: t_extra must be an integer from 202, for this epsilon and delta, to 1000000000"},
		{string(with(minimal(), `epsilon = "0.5"`)),
			`policy: line 10: epsilon must be a fraction of whole numbers, "s/t", such as "1/2"`},
		{string(with(minimal(), `epsilon = "9/2"`)),
			"policy: line 10: epsilon must be from 1/1000 to 4, in whole numbers of at most 1000000"},
		{strings.Repeat("#", MaxBytes+1), "policy: the document is longer than 65536 bytes"},
	} {
		_, err := Parse([]byte(c.document))
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
}

// An error holds no value, even if the wrong file was taken for a policy.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "alice@example.com"
	for _, line := range []string{
		secret,
		`"` + secret + `" = 1`,
		`universe = "` + secret + `"`,
		`tau = "` + secret + `"`,
		`classes = ["` + secret + `"]`,
		`epsilon = "` + secret + `"`,
		`beacon = " ` + secret + `"`,
		`consent.bases = ["` + secret + `"]`,
		`consent.purposes = ["` + secret + `"]`,
		`consent.jurisdictions = ["` + secret + `"]`,
		`hygiene.display = "` + secret + `"`,
		`consent = { "` + secret + `" = 1 }`,
		"[\"" + secret + "\"]",
		"x = { \"" + secret + "\" = 1, \"" + secret + "\" = 2 }",
	} {
		for _, document := range [][]byte{[]byte(line), with(minimal(), line), append(minimal(), line+"\n"+line...)} {
			_, err := Parse(document)
			if err == nil {
				t.Errorf("parsed with %s", line)
			} else if text := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(text, "alice") {
				t.Errorf("the error quotes the document: %s", text)
			}
		}
	}
}

func TestLongestDocument(t *testing.T) {
	document := append(minimal(), strings.Repeat("#", MaxBytes-len(minimal()))...)
	if _, err := Parse(document); err != nil {
		t.Error(err)
	}
	if _, err := Parse(append(document, '#')); err == nil {
		t.Error("parsed one byte more than MaxBytes")
	}
}

// Check also covers a Policy that didn't come from Parse.
func TestCheckByHand(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*Policy)
	}{
		{"classes", func(p *Policy) { p.Classes = nil }},
		{"classes", func(p *Policy) { p.Classes[0] = 0x7F }},
		{"classes", func(p *Policy) { p.Classes[0], p.Classes[1] = p.Classes[1], p.Classes[0] }},
		{"modes", func(p *Policy) { p.Modes = append(p.Modes, 0x05) }}, // SPLIT
		{"modes", func(p *Policy) { p.Modes = append(p.Modes, p.Modes...) }},
		{"universe", func(p *Policy) { p.Universe = "Users" }},
		{"epsilon", func(p *Policy) { p.Epsilon = Epsilon{} }},
		{"t_extra", func(p *Policy) { p.TExtra-- }},
		{"consent.bases", func(p *Policy) { p.Consent.Bases[1] = consent.BasisContract }},
		{"consent.bases", func(p *Policy) { p.Consent.Bases = nil }},
		{"consent.jurisdictions", func(p *Policy) { p.Consent.Jurisdictions = []string{"US", "FR"} }},
		{"consent.tcf_purposes", func(p *Policy) { p.Consent.TCFPurposes = nil }},
		{"consent.data_source", func(p *Policy) { p.Consent.Sources = []Source{0} }},
		{"hygiene.display", func(p *Policy) { p.Hygiene.Display = 0 }},
		{"hygiene.display", func(p *Policy) { p.Hygiene.Display = 4 }},
	} {
		p := Default()
		if err := p.Check(); err != nil {
			t.Fatal(err)
		}
		c.change(p)
		var refused *FieldError
		if err := p.Check(); !errors.As(err, &refused) || refused.Field != c.field {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}

// FuzzParse: no document panics; whatever parses is in bounds, keeps its bytes
// and can make a release.
func FuzzParse(f *testing.F) {
	for _, name := range Presets {
		f.Add(preset(f, name).Bytes())
	}
	f.Add([]byte("consent = { version = 1 }\n[hygiene]\n"))
	f.Add(minimal())
	f.Add(with(minimal(), `epsilon = "1/10"`, "t_extra = 202", `modes = ["A_LEARNS", "MUTUAL_P"]`))
	f.Add([]byte("[[tau]]\n"))
	f.Add([]byte("tau = { x = [1, 2.0, \"3\", 1979-05-27T07:32:00Z] }\r\n"))
	f.Fuzz(func(t *testing.T, document []byte) {
		p, err := Parse(document)
		if err != nil {
			var refused *FieldError
			if !errors.As(err, &refused) || p != nil {
				t.Fatalf("Parse: %v, %v", p, err)
			}
			return
		}
		if err := p.Check(); err != nil {
			t.Errorf("parsed, but %v", err)
		}
		if string(p.Bytes()) != string(document) {
			t.Error("the bytes changed")
		}
		if c := p.Release().Apply(p.Tau - 1); c.Released {
			t.Error("a count below tau was released")
		}
		if again, err := Parse(p.Bytes()); err != nil || Diff(p, again) != nil {
			t.Error("a second parse differs")
		}
	})
}
