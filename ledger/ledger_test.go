package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

const header = "account_id,kind,value,purpose,status,jurisdiction,collected_at,source,ads_switch," +
	"basis,notice,surface,reference,tc_string,gpp_string,gpp_sid,us_privacy,gpc,opt_out,label\n"

// good is a line that is OK, for tests that spoil one cell of it.
var good = [fields]string{"u1", "email", "ana@example.com", "ads_matching", "granted", "FR", "2026-01-02T03:04:05Z", "app", "on",
	"consent", "ads@3", "sign-up page", "c-17"}

// spoilt returns a line of which one cell differs from good's.
func spoilt(f field, cell string) string {
	cells := good
	cells[f] = cell
	return strings.Join(cells[:], ",") + "\n"
}

type outcome struct {
	codes  string // "number CODE", one a line
	lines  []Line
	report Report
	err    error
}

func run(t testing.TB, file string, o Options) (out outcome) {
	t.Helper()
	o.Line = func(number int, code Code) { out.codes += fmt.Sprintln(number, string(code)) }
	in, err := sheet.New(strings.NewReader(file), int64(len(file)), sheet.Options{})
	if err != nil {
		return outcome{err: err}
	}
	f, err := open(in, o)
	if err != nil {
		return outcome{err: err}
	}
	for line, err := range f.All() {
		if err != nil {
			out.err = err
			break
		}
		out.lines = append(out.lines, line)
	}
	out.report = f.Report()
	return out
}

func TestLine(t *testing.T) {
	got := run(t, header+spoilt(0, "u1"), Options{})
	if got.err != nil {
		t.Fatal(got.err)
	}
	want := []Line{{
		Number: 2, AccountID: "u1", Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte("ana@example.com")),
		Purpose: consent.AdsMatching, Status: consent.Granted, Jurisdiction: "FR",
		CollectedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Source: "app", Switch: On, Basis: consent.BasisConsent,
		Notice: "ads@3", Surface: "sign-up page", Reference: "c-17",
	}}
	if !reflect.DeepEqual(got.lines, want) {
		t.Errorf("a line reads otherwise")
	}
}

// A store can't keep a NUL, which past the start of a file doesn't make it binary.
func TestNUL(t *testing.T) {
	long := header + strings.Repeat(spoilt(account, "u1"), 1000)
	for _, f := range []field{account, source, notice, surface, reference, label} {
		got := run(t, long+spoilt(f, "a\x00b"), Options{})
		if got.err != nil || got.report.Codes[OK] != 1000 || got.report.Codes[NotUTF8] != 1 {
			t.Errorf("%s: %v (%v)", names[f], got.report.Codes, got.err)
		}
	}
}

// One cell at a time: what it may be, and the code if it may not.
func TestCells(t *testing.T) {
	for _, c := range []struct {
		f     field
		cells string
		want  Code
	}{
		{account, "u1|  u 2 |0", OK},
		{account, "| |\t", AccountMissing},
		{account, "\xff", NotUTF8},
		{kind, "email|Email| EMAIL ", OK},
		{kind, "|mail|e-mail|device|email_md5", KindUnknown},
		{purpose, "account_signup|account_security_2fa|account_recovery|account_reauth|profile_contact|ads_matching|uploaded_by_other|import_unknown|ADS_Matching ", OK},
		{purpose, "|ads|ads matching|ads-matching|2fa|marketing|unknown|Purpose(6)", PurposeUnknown},
		{status, "granted|given|denied|refused|withdrawn|expired|Granted", OK},
		{status, "|yes|1|true|unknown|pending", StatusUnknown},
		{jurisdiction, "|FR|fr|US-CA|GB-ENG|UK|uk-eng|EL|EU|EEA", OK},
		{jurisdiction, "EEA-1234|FRA|France|XX|US-|US-CALI|F|-|FR-é|\xff", JurisdictionMalformed},
		{collectedAt, "1970-01-01|2026-01-02|2026-01-02T03:04:05Z|2026-01-02T03:04:05.123+02:00", OK},
		{collectedAt, "|2026-13-01|2026-02-30|01/02/2026|2026-01-02 03:04:05|1767323045|2026-01-02T03:04:05|now", TimeMalformed},
		{source, "|web form|école", OK},
		{collectedAt, "1900-01-01|1969-12-31|0001-01-01T00:00:00Z|1970-01-01T01:00:00+02:00", TimeMalformed},
		{source, "\xff", NotUTF8},
		{notice, "|ads@3|publicité", OK}, {surface, "|app", OK}, {reference, "| c-17 ", OK},
		{notice, "\xff", NotUTF8}, {surface, "\xff", NotUTF8}, {reference, "\xff", NotUTF8},
		{source, strings.Repeat("x", consent.MaxText), OK}, {source, strings.Repeat("x", consent.MaxText+1), TextTooLong},
		{notice, strings.Repeat("é", consent.MaxText/2+1), TextTooLong}, {surface, strings.Repeat("x", 2000), TextTooLong},
		{reference, strings.Repeat("x", 2000), TextTooLong}, {account, strings.Repeat("x", 256), OK}, {account, strings.Repeat("é", 128) + "x", TextTooLong},
		{basis, "|consent|Consent |notice_opt_out|legitimate_interests|contract|legal_obligation", OK},
		{basis, "none|yes|opt_out|legitimate interests|null|Basis(1)", BasisUnknown},
		{tcString, "|x|" + granting, OK}, {gppString, "x", OK}, {gppSID, "x", OK}, {usPrivacy, "x", OK}, {gpc, "x", OK}, {optOut, "\xff", OK},
		{label, "| segment 7 |é|=1+1", OK}, {label, strings.Repeat("x", consent.MaxLabel), OK},
		{label, "\xff", NotUTF8}, {label, strings.Repeat("x", consent.MaxLabel+1), TextTooLong},
		{adsSwitch, "|on|off|OFF", OK},
		{adsSwitch, "1|true|yes|opt_out", SwitchUnknown},
		{value, "ana@example.com| ANA@example.com", OK},
		{value, "", "EMPTY"},
		{value, "ana", "EMAIL_NO_AT"},
		{value, "a@b@c.de", "EMAIL_MULTIPLE_AT"},
		{value, "\xff@example.com", "NOT_UTF8"},
	} {
		for cell := range strings.SplitSeq(c.cells, "|") {
			got := run(t, header+spoilt(c.f, cell), Options{})
			if got.err != nil || got.codes != "2 "+string(c.want)+"\n" {
				t.Errorf("%s %q: %q (%v), want %s", names[c.f], cell, got.codes, got.err, string(c.want))
			}
			if (len(got.lines) == 1) != (c.want == OK) {
				t.Errorf("%s %q: %d lines", names[c.f], cell, len(got.lines))
			}
		}
	}
}

// What the words become.
func TestWords(t *testing.T) {
	at := func(line string) Line {
		got := run(t, header+line, Options{})
		if len(got.lines) != 1 {
			t.Fatalf("%q", got.codes)
		}
		return got.lines[0]
	}
	for _, p := range consent.Purposes {
		if at(spoilt(purpose, p.String())).Purpose != p {
			t.Errorf("%v", p)
		}
	}
	for word, want := range map[string]consent.Status{"granted": consent.Granted, "given": consent.Granted, "denied": consent.Denied,
		"refused": consent.Denied, "withdrawn": consent.Withdrawn, "expired": consent.Expired} {
		if at(spoilt(status, word)).Status != want {
			t.Errorf("%s", word)
		}
	}
	for _, b := range consent.Bases {
		if at(spoilt(basis, b.String())).Basis != b {
			t.Errorf("%v", b)
		}
	}
	if at(spoilt(basis, " ")).Basis != consent.BasisConsent {
		t.Error("a line without a basis")
	}
	for word, want := range map[string]Switch{"": Unset, "on": On, "off": Off} {
		if got := at(spoilt(adsSwitch, word)).Switch; got != want || got.String() != word {
			t.Errorf("%q", word)
		}
	}
	for cell, want := range map[string]time.Time{
		"2026-01-02":                time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T01:00:00+02:00": time.Date(2026, 1, 1, 23, 0, 0, 0, time.UTC),
	} {
		if got := at(spoilt(collectedAt, cell)).CollectedAt; !got.Equal(want) || got.Location() != time.UTC {
			t.Errorf("%s: %v", cell, got)
		}
	}
	if at(spoilt(jurisdiction, "us-ca")).Jurisdiction != "US-CA" {
		t.Error("us-ca")
	}
	if at(spoilt(account, " u 2 ")).AccountID != "u 2" {
		t.Error("the account's name")
	}
}

// A time may be ahead of the clock by as much as clocks differ, and a date by as
// much as days do: to the instant.
func TestTimeAhead(t *testing.T) {
	now := time.Date(2026, 1, 2, 10, 0, 0, 0, time.UTC)
	for cell, want := range map[string]Code{
		"2026-01-02T10:00:00Z":      OK,
		"2026-01-02T10:01:00Z":      OK,
		"2026-01-02T10:01:01Z":      TimeAhead,
		"2026-01-02T12:01:00+02:00": OK,
		"2026-01-02T10:00:00-01:00": TimeAhead,
		"2026-01-03":                OK,
		"2026-01-04":                TimeAhead,
		"2099-01-02":                TimeAhead,
	} {
		got := run(t, header+spoilt(collectedAt, cell), Options{Now: func() time.Time { return now }})
		if got.err != nil || got.codes != "2 "+string(want)+"\n" || (len(got.lines) == 1) != (want == OK) {
			t.Errorf("%s: %q, %d lines (%v), want %s", cell, got.codes, len(got.lines), got.err, string(want))
		}
	}
}

// A line with several faults has the code that comes first in Codes, an
// identifier's own last; each code of the package can occur.
func TestOrder(t *testing.T) {
	bad := [fields]string{account: "", source: "\xff", notice: strings.Repeat("x", 2000), kind: "x", purpose: "x", status: "x", basis: "x", jurisdiction: "x", collectedAt: "x", adsSwitch: "x", value: "x"}
	mend := []field{account, source, notice, kind, purpose, status, basis, jurisdiction, collectedAt, collectedAt, adsSwitch, value}
	want := append(append([]Code(nil), Codes[2:]...), "EMAIL_NO_AT", OK)
	for i := range want {
		got := run(t, header+strings.Join(bad[:], ",")+"\n", Options{})
		if got.codes != "2 "+string(want[i])+"\n" {
			t.Errorf("%d cells mended: %q, want %s", i, got.codes, string(want[i]))
		}
		switch {
		case i == len(mend):
		case mend[i] == collectedAt && bad[collectedAt] == "x":
			bad[collectedAt] = "9999-01-02"
		default:
			bad[mend[i]] = good[mend[i]]
		}
	}
	if got := run(t, header+"a,b\n", Options{}); got.codes != "2 ROW_WIDTH\n" {
		t.Errorf("%q", got.codes)
	}
}

func TestKinds(t *testing.T) {
	const file = "kind,value,account_id,purpose,status,jurisdiction,collected_at\n" +
		"email,Ana.Lee@gmail.com,u1,ads_matching,granted,,2026-01-02\n" +
		"phone,06 12 34 56 78,u1,account_security_2fa,granted,,2026-01-02\n" +
		"email_sha256,tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ=,u2,ads_matching,granted,,2026-01-02\n" +
		"phone_sha256,10E6F0B47054A83359477DCB35231DB6DE5C69FB1816E1A6B98E192DE9E5B9EE,u2,ads_matching,granted,,2026-01-02\n"
	e1, e3, p1, p2 := identifier.EmailUID2, identifier.EmailPlain, identifier.PhoneE164, identifier.PhoneDigits
	for _, c := range []struct {
		o    Options
		want string // "class value", separated by bars
	}{
		{Options{Region: "FR"},
			fmt.Sprint(e1, " analee@gmail.com|", p1, " +33612345678|", e1, " user@example.com|", p1, " +12345678901|")},
		{Options{Region: "FR", Classes: []identifier.Class{e3, p2, e1}},
			fmt.Sprint(e3, " ana.lee@gmail.com|", e1, " analee@gmail.com|", p2, " 33612345678|", e3, " user@example.com|", p2, " +12345678901|")},
		{Options{Region: "FR", Classes: []identifier.Class{e3, p2}, HashedEmailClass: e1, HashedPhoneClass: p1},
			fmt.Sprint(e3, " ana.lee@gmail.com|", p2, " 33612345678|", e1, " user@example.com|", p1, " +12345678901|")},
		{Options{Classes: []identifier.Class{e1}}, fmt.Sprint(e1, " analee@gmail.com|", e1, " user@example.com|")},
	} {
		got := run(t, file, c.o)
		if got.err != nil {
			t.Fatal(got.err)
		}
		want := strings.Split(strings.TrimSuffix(c.want, "|"), "|")
		if len(got.lines) != len(want) {
			t.Errorf("%d lines, want %d: %s", len(got.lines), len(want), got.codes)
			continue
		}
		for i, w := range want {
			profile, value, _ := strings.Cut(w, " ")
			if got.lines[i].Class.String() != profile || got.lines[i].Sum != sha256.Sum256([]byte(value)) {
				t.Errorf("line %d isn't %s", i, w)
			}
		}
	}
	// A kind without a class is refused, and so is a number without a country.
	got := run(t, file, Options{Classes: []identifier.Class{p1}})
	if got.codes != "2 KIND_UNKNOWN\n3 PHONE_NO_COUNTRY\n4 KIND_UNKNOWN\n5 OK\n" {
		t.Errorf("%q", got.codes)
	}
	// A value that one of several classes refuses is refused.
	got = run(t, header+spoilt(value, "+@gmail.com"), Options{Classes: []identifier.Class{e3, e1}})
	if got.codes != "2 EMAIL_EMPTY_LOCAL\n" || len(got.lines) != 0 {
		t.Errorf("%q, %d lines", got.codes, len(got.lines))
	}
	for _, o := range []Options{{Classes: []identifier.Class{0x7f}}, {HashedEmailClass: p1}, {HashedPhoneClass: e1}} {
		if got := run(t, file, o); !errors.Is(got.err, errClass) {
			t.Errorf("%v", got.err)
		}
	}
}

func TestHeader(t *testing.T) {
	// Any order, any spelling that Key doesn't tell apart, more columns.
	const file = "\ufeffCollected At;STATUS;value;Purpose;Shoe size;jurisdiction;ACCOUNT-ID;Kind;x\n" +
		"2026-01-02;granted;ana@example.com;ads_matching;43;FR;u1;email;y\n"
	got := run(t, file, Options{})
	if got.err != nil || len(got.lines) != 1 || !reflect.DeepEqual(got.report.Ignored, []string{"Shoe size", "x"}) {
		t.Errorf("%v, %q, ignored %q", got.err, got.codes, got.report.Ignored)
	}
	for first, want := range map[string]HeaderError{
		"account_id,kind,value,purpose,jurisdiction":           {Missing: []string{"status", "collected_at"}},
		strings.TrimSpace(header) + ",Status,ACCOUNT_ID":       {Repeated: []string{"status", "account_id"}},
		"u1,email,ana@example.com,ads_matching,granted":        {Missing: names[:required], NoHeader: true},
		strings.TrimSpace(header) + ",tc_sting,x,Unsubscribed": {Doubtful: []string{"tc_sting", "Unsubscribed"}},
		"account_id,consent":                                   {Missing: names[1:required]},
		"a,b":                                                  {Missing: names[:required]},
		"account_id,kind,value,purpose,status,jurisdiction":    {Missing: []string{"collected_at"}},
	} {
		got := run(t, first+"\n"+first+"\n", Options{})
		var e *HeaderError
		if !errors.As(got.err, &e) || !reflect.DeepEqual(*e, want) {
			t.Errorf("%q: %+v", first, got.err)
		}
		if strings.Contains(got.err.Error(), "ana@") || !strings.HasPrefix(got.err.Error(), "ledger: ") {
			t.Errorf("%q: says %q", first, got.err)
		}
	}
}

func TestReport(t *testing.T) {
	file := header + spoilt(account, "u1") + spoilt(purpose, "account_recovery") + spoilt(adsSwitch, "off") + spoilt(status, "withdrawn") +
		spoilt(purpose, "who knows") + spoilt(value, "nobody") + "\n" + "a,b\n"
	got := run(t, file, Options{Classes: []identifier.Class{identifier.EmailUID2, identifier.EmailPlain}})
	if got.err != nil {
		t.Fatal(got.err)
	}
	b, err := json.Marshal(got.report)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"lines":7,"codes":{"EMAIL_NO_AT":1,"OK":4,"PURPOSE_UNKNOWN":1,"ROW_WIDTH":1},` +
		`"first_lines":{"EMAIL_NO_AT":[7],"PURPOSE_UNKNOWN":[6],"ROW_WIDTH":[9]},` +
		`"purposes":{"account_recovery":1,"ads_matching":3},"statuses":{"granted":3,"withdrawn":1},"kinds":{"email":4},"switched_off":1,` +
		fmt.Sprintf(`"bytes":%d}`, len(file))
	if string(b) != want {
		t.Errorf("\n%s, want\n%s", b, want)
	}
	if len(got.lines) != 8 { // two classes each
		t.Errorf("%d lines", len(got.lines))
	}
	for name, breakIt := range map[string]func(*Report){
		"lines":    func(r *Report) { r.Lines++ },
		"codes":    func(r *Report) { r.Codes[TimeMalformed]++ },
		"purposes": func(r *Report) { delete(r.Purposes, "ads_matching") },
		"statuses": func(r *Report) { r.Statuses["expired"]++ },
		"kinds":    func(r *Report) { r.Kinds["phone"]++ },
		"signals":  func(r *Report) { r.Contradicted["DENIED"]++ },
	} {
		r := run(t, file, Options{}).report
		if breakIt(&r); r.check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "users.csv")
	if err := os.WriteFile(path, []byte(header+spoilt(account, "u1")), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range f.All() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	for _, err = range f.All() {
	}
	if n != 1 || !errors.Is(err, errTwice) {
		t.Errorf("%d lines, then %v", n, err)
	}
	if _, err := Open(filepath.Join(dir, "none"), Options{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte("a,b\n1,2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var h *HeaderError
	if f, err := Open(path, Options{}); f != nil || !errors.As(err, &h) {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path, []byte(header), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	for _, err = range f.All() {
	}
	var e *sheet.Error
	if !errors.As(err, &e) || e.Reason != sheet.HeaderOnly {
		t.Errorf("%v", err)
	}
}

const canary = "kanarie7Qx"

// No message, report or print of anything shows a cell.
func TestCanary(t *testing.T) {
	file := header
	for f := range field(fields) {
		file += spoilt(f, canary) + spoilt(f, canary+"\xff") + spoilt(f, "\""+canary+"\n\"")
	}
	file += canary + "\n" + spoilt(value, canary+"@example.com") + "\"" + canary
	in, err := sheet.New(strings.NewReader(file), 0, sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := open(in, Options{Line: func(_ int, c Code) {
		if strings.Contains(c.Error(), canary) {
			t.Error("a code shows a cell")
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	said := ""
	for line, err := range f.All() {
		said += fmt.Sprintf("%v %+v %#v %d %s %x %v|", err, line, line, line, line, line, line.LogValue())
	}
	report, err := json.Marshal(f.Report())
	said += fmt.Sprintf("%s %v %+v %#v", report, err, f, f)
	if strings.Contains(strings.ToLower(said), strings.ToLower(canary)) {
		t.Error("a cell is shown")
	}
	if !strings.Contains(said, "REDACTED") || !strings.Contains(said, "never closed") {
		t.Error("the test says nothing")
	}
}

// Whatever the bytes, the codes add up and come from the closed list, and a
// line that is returned is whole.
func FuzzLedger(f *testing.F) {
	f.Add([]byte(header + spoilt(account, "u1") + spoilt(kind, "phone") + "x\n"))
	f.Add([]byte("value;kind;purpose;status;jurisdiction;collected_at;account_id\n+12345678901;phone;ads_matching;given;;2026-01-02;u1\n"))
	f.Add([]byte(spoilt(account, "u1")))
	f.Add(bytes.ReplaceAll([]byte(header+spoilt(value, "\"\"\"")+spoilt(adsSwitch, "off")), []byte("\n"), []byte("\r")))
	closed := map[Code]bool{}
	for _, c := range Codes {
		closed[c] = true
	}
	for _, c := range identifier.Codes {
		closed[Code(c)] = true
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, text := range []string{string(file), header + string(file)} {
			got := run(t, text, Options{})
			if err := got.report.check(); err != nil {
				t.Fatal(err)
			}
			if uint64(len(got.lines)) != got.report.Codes[OK] || uint64(strings.Count(got.codes, "\n")) != got.report.Lines {
				t.Fatalf("%d lines, %v", len(got.lines), got.report.Codes)
			}
			for c := range got.report.Codes {
				if !closed[c] {
					t.Fatalf("code %q", string(c))
				}
			}
			for _, l := range got.lines {
				if l.AccountID == "" || !l.Purpose.Valid() || !l.Status.Valid() || l.Class.Kind() == 0 || !l.Basis.Valid() ||
					l.Sum == [32]byte{} && !strings.Contains(text, strings.Repeat("0", 64)) && !strings.Contains(text, strings.Repeat("A", 43)) ||
					!consent.ValidJurisdiction(l.Jurisdiction) || l.CollectedAt.IsZero() && !strings.Contains(text, "0001-01-01") {
					t.Fatal("a line lacks something")
				}
			}
		}
	})
}

func BenchmarkLedger(b *testing.B) {
	const lines = 100_000
	var file strings.Builder
	file.WriteString(header)
	for i := range lines {
		file.WriteString(spoilt(value, fmt.Sprintf("person%d@example.com", i)))
	}
	b.ReportAllocs()
	for b.Loop() {
		in, err := sheet.New(strings.NewReader(file.String()), 0, sheet.Options{})
		if err != nil {
			b.Fatal(err)
		}
		f, err := open(in, Options{})
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range f.All() {
			if err != nil {
				b.Fatal(err)
			}
		}
		if f.Report().Codes[OK] != lines {
			b.Fatal("lines are lost")
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

// A label is kept of what may be matched, and of nothing else.
func TestLabels(t *testing.T) {
	const rest = ",granted,FR,2026-01-02,segment 7\n"
	var file strings.Builder
	file.WriteString("account_id,kind,value,purpose,status,jurisdiction,collected_at,Label\n")
	for _, purpose := range consent.Purposes {
		file.WriteString("u1,email,ana@example.com," + purpose.String() + rest)
	}
	got := run(t, file.String(), Options{})
	if got.err != nil || len(got.lines) != len(consent.Purposes) {
		t.Fatalf("%d lines: %v", len(got.lines), got.err)
	}
	for i := range got.lines {
		l := &got.lines[i]
		if want := map[bool]string{true: "segment 7"}[l.Purpose == consent.AdsMatching]; l.Label != want {
			t.Errorf("%v: label %q", l.Purpose, l.Label)
		}
	}
}

// Of each code the report says where it is first, and no more than three lines.
func TestFirstLines(t *testing.T) {
	bad := spoilt(status, "yes")
	got := run(t, header+spoilt(account, "")+bad+"\n"+bad+spoilt(account, "u1")+bad+bad, Options{})
	want := map[Code][]int{AccountMissing: {2}, StatusUnknown: {3, 5, 7}}
	if got.err != nil || !reflect.DeepEqual(got.report.FirstLines, want) {
		t.Errorf("%v, want %v (%v)", got.report.FirstLines, want, got.err)
	}
}
