package signal

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

// vector is one entry of testdata/consent.json.
type vector struct {
	Kind     string `json:"kind"`
	String   string `json:"string"`
	Vendor   int    `json:"vendor"`
	Purposes []int  `json:"purposes"`
	Sections []int  `json:"sections"`
	Expect   string `json:"expect"`
	Why      string `json:"why"`
}

func vectors(t testing.TB) (list []vector) {
	t.Helper()
	text, err := os.ReadFile("testdata/consent.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &list); err != nil || len(list) < 30 {
		t.Fatalf("%d vectors: %v", len(list), err)
	}
	return list
}

func (v vector) judge() Verdict {
	terms := Terms{Vendor: v.Vendor, Purposes: v.Purposes}
	if v.Kind == "tcf" {
		return JudgeTCF(v.String, terms)
	}
	return JudgeGPP(v.String, terms, nil)
}

func TestVectors(t *testing.T) {
	for i, v := range vectors(t) {
		got := v.judge()
		if got.Result.String() != v.Expect {
			t.Errorf("%d: %v (%s), want %s: %s", i, got.Result, got.Why, v.Expect, v.Why)
		}
		if got.Why == "" {
			t.Errorf("%d: no reason", i)
		}
		if v.Kind == "gpp" {
			if ids, err := Sections(v.String); err != nil || !reflect.DeepEqual(ids, v.Sections) {
				t.Errorf("%d: sections %v (%v), want %v", i, ids, err, v.Sections)
			}
		}
	}
}

// The purposes of the vectors are the default.
func TestDefaultPurposes(t *testing.T) {
	for i, v := range vectors(t) {
		want := v.judge()
		v.Purposes = nil
		if got := v.judge(); got != want {
			t.Errorf("%d: %v, want %v", i, got, want)
		}
	}
}

func TestResults(t *testing.T) {
	var names []string
	last := Result(0)
	for _, r := range Results {
		if r <= last {
			t.Errorf("%v is not stricter than %v", r, last)
		}
		last = r
		text, err := r.MarshalText()
		if err != nil || string(text) != r.String() {
			t.Errorf("%s: %v", text, err)
		}
		names = append(names, r.String())
	}
	if got := strings.Join(names, " "); got != "GRANTED UNKNOWN EXCLUDE DENIED INVALID MALFORMED" {
		t.Error(got)
	}
	if got := Result(0).String() + Result(9).String(); got != "Result(0)Result(9)" {
		t.Error(got)
	}
}

func TestStricter(t *testing.T) {
	a, b := Verdict{Result: Granted, Why: "a"}, Verdict{Result: Granted, Why: "b"}
	consent := Verdict{Result: Granted, Why: "c", OptIn: true}
	denied := Verdict{Result: Denied}
	for _, c := range []struct{ a, b, want Verdict }{
		{Verdict{}, a, a}, {a, Verdict{}, a}, {a, b, a}, {b, a, b}, {a, consent, consent}, {consent, a, consent},
		{denied, consent, denied}, {consent, denied, denied}, {denied, Verdict{Result: Malformed}, Verdict{Result: Malformed}},
	} {
		if got := stricter(c.a, c.b); got != c.want {
			t.Errorf("of %v and %v: %v", c.a, c.b, got)
		}
	}
}

func TestTermsCheck(t *testing.T) {
	for _, c := range []struct {
		terms Terms
		want  error
	}{
		{Terms{}, nil}, {Terms{Vendor: 1, Purposes: []int{1, 24}}, nil}, {Terms{Vendor: 65535}, nil},
		{Terms{Vendor: 65536}, errVendor}, {Terms{Vendor: -1}, errVendor},
		{Terms{Purposes: []int{3, 0}}, errPurpose}, {Terms{Purposes: []int{25}}, errPurpose},
	} {
		if got := c.terms.Check(); got != c.want {
			t.Errorf("%v: %v", c.terms, got)
		}
	}
}

// A reason never holds a part of the string: the texts are a closed list, but for
// the purpose's number.
func TestReasonsAreClosed(t *testing.T) {
	for _, v := range vectors(t) {
		for _, part := range strings.FieldsFunc(v.String, func(c rune) bool { return strings.ContainsRune(".~", c) }) {
			if why := v.judge().Why; strings.Contains(why, part) {
				t.Errorf("%q shows a part of the string", why)
			}
		}
	}
}

func FuzzTCF(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.String)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := JudgeTCF(s, Terms{Vendor: 755})
		checkVerdict(t, v)
		decoded, err := DecodeTCF(s)
		if (err != nil) && v.Result != Malformed {
			t.Errorf("%v, and %v", err, v)
		}
		if err != nil {
			return
		}
		if n := len(decoded.VendorConsents) + len(decoded.VendorLegitimate) + len(decoded.Disclosed) + len(decoded.PublisherRestrictions); n > 6*len(s) {
			t.Errorf("%d entries of %d characters", n, len(s))
		}
		// What was read can be written and is read alike.
		if again, err := DecodeTCF(decoded.encode(false)); err != nil || !reflect.DeepEqual(again, decoded) {
			t.Errorf("%v\n%+v, want\n%+v", err, again, decoded)
		}
	})
}

func FuzzGPP(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.String, "2,7")
	}
	f.Fuzz(func(t *testing.T, s, sid string) {
		v := JudgeGPP(s, Terms{Vendor: 755}, nil)
		if v != (Verdict{}) {
			checkVerdict(t, v)
		}
		ids, err := Sections(s)
		if err != nil && v.Result != Malformed {
			t.Errorf("%v, and %v", err, v)
		}
		for i, id := range ids {
			if id < 1 || id > maxSection || i > 0 && id <= ids[i-1] {
				t.Fatalf("sections %v", ids)
			}
		}
		for _, r := range []Regime{NoRegime, OptIn, OptOut, Other} {
			// Looking at fewer sections is never stricter, unless one that
			// applies is missing.
			if got := JudgeGPP(s, Terms{Vendor: 755}, r.reads); got.Result > v.Result {
				t.Errorf("%d: %v, and %v of all sections", r, got, v)
			}
			(&Row{GPPString: s, GPPSID: sid}).Strictest(Terms{}, r)
		}
	})
}

func FuzzRow(f *testing.F) {
	f.Add("1YNN", "1", "opt out", "2_6")
	f.Fuzz(func(t *testing.T, usPrivacy, gpc, optOut, sid string) {
		checkVerdict(t, JudgeUSPrivacy(usPrivacy))
		row := Row{USPrivacy: usPrivacy, GPC: gpc, OptOut: optOut, GPPString: "DBABL~CVQqAAAAAABk.Q", GPPSID: sid}
		worst := row.Strictest(Terms{}, OptOut)
		for _, v := range row.Verdicts(Terms{}, OptOut) {
			if v.Result > worst.Result || v.Result != 0 && v.Why == "" {
				t.Errorf("%v, strictest %v", v, worst)
			}
		}
	})
}

func checkVerdict(t *testing.T, v Verdict) {
	t.Helper()
	if v.Result < Granted || v.Result > Malformed || v.Why == "" || v.OptIn && v.Result != Granted {
		t.Errorf("%+v", v)
	}
}
