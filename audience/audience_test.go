package audience

import (
	"bytes"
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

func testRule() consent.Rule {
	return consent.Rule{
		Classes: []identifier.Class{identifier.EmailUID2, identifier.PhoneE164},
		Bases:   []consent.Basis{consent.BasisConsent, consent.BasisNoticeOptOut},
	}
}

func write(t testing.TB, file string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadOnce(t *testing.T) {
	l, err := Open(write(t, "email\na@example.com\n"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, err = range l.All() {
		}
	}
	if !errors.Is(err, errTwice) || l.Report().Rows != 1 {
		t.Errorf("%v, %d rows", err, l.Report().Rows)
	}
}

// A caller that stops in the middle of a row has a report of whole rows.
func TestStops(t *testing.T) {
	l, err := Open(write(t, "email,email\na@example.com,b@example.com\nc@example.com,d@example.com\n"), testOptions())
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range l.All() {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	r := l.Report()
	if err := r.check(); err != nil || r.Rows != 1 || r.Identifiers != 2 || r.Kept.Email != 2 {
		t.Errorf("%+v, %v", r, err)
	}
}

// check finds a code too few or too many, wherever it is.
func TestCheck(t *testing.T) {
	whole := run(t, []byte("email,phone\na@example.com,1\n,\n"), testOptions()).report
	if err := whole.check(); err != nil {
		t.Fatal(err)
	}
	for name, breakIt := range map[string]func(*Report){
		"rows":             func(r *Report) { r.Rows++ },
		"row codes":        func(r *Report) { r.RowCodes[identifier.Empty]++ },
		"identifiers":      func(r *Report) { r.Identifiers-- },
		"identifier codes": func(r *Report) { delete(r.IdentifierCodes, identifier.PhoneNoCountry) },
		"kept":             func(r *Report) { r.Kept.Email++ },
		"kept, by kind":    func(r *Report) { r.Kept = Kept{Phone: r.Kept.Email, Email: r.Kept.Phone} },
	} {
		r := run(t, []byte("email,phone\na@example.com,1\n,\n"), testOptions()).report
		if breakIt(&r); r.check() == nil {
			t.Errorf("%s: not found", name)
		}
	}
}

func TestClasses(t *testing.T) {
	const file = "email,phone,email_hash\nAna.Lee@gmail.com,+12345678901,b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514\n"
	o := testOptions()
	o.EmailClass, o.PhoneClass = identifier.EmailPlain, identifier.PhoneDigits
	if got := run(t, []byte(file), o); !errors.Is(got.err, ErrClass) {
		t.Errorf("a policy of other profiles: %v", got.err)
	}
	o.Rule.Classes = []identifier.Class{identifier.EmailPlain, identifier.PhoneDigits}
	got := run(t, []byte(file), o)
	compareKept(t, got.kept, "email.plain-1 ana.lee@gmail.com\nphone.digits-1 12345678901\nemail.plain-1 user@example.com")

	// The same hash under two profiles is two identifiers.
	o.HashedEmailClass = identifier.EmailGoogle
	o.Rule.Classes = append(o.Rule.Classes, identifier.EmailGoogle)
	got = run(t, []byte("email,email_hash\nuser@example.com,b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514\n"), o)
	compareKept(t, got.kept, "email.plain-1 user@example.com\nemail.google-1 user@example.com")

	// Only the classes of the file's columns have to be admitted.
	if got := run(t, []byte("email\na@example.com\n"), Options{ListConsent: Granted, Rule: consent.Rule{Classes: []identifier.Class{identifier.EmailUID2}}}); got.err != nil {
		t.Error(got.err)
	}
	for _, o := range []Options{
		{EmailClass: identifier.PhoneE164}, {PhoneClass: identifier.EmailUID2}, {HashedEmailClass: identifier.PhoneE164},
		{HashedPhoneClass: identifier.EmailPlain}, {EmailClass: 0x7f},
	} {
		if _, err := Open(write(t, file), o); !errors.Is(err, errClass) {
			t.Errorf("%v", err)
		}
	}
}

func TestReport(t *testing.T) {
	const file = "Email,Phone SHA256,Country,opt_out,Shoe size\n" +
		"a@example.com,,FR,,\n" +
		"b@example.com,bad!,US,,\n" +
		"c@example.com,,US,yes,\n" +
		"d@example.com,,JP,,\n" +
		"e@example.com,,,,,\n" +
		"f@example.com,,,,\n"
	o := testOptions()
	o.DefaultGranted = true
	r := run(t, []byte(file), o).report
	if r.Consent != "rows" || r.Bytes != int64(len(file)) {
		t.Errorf("judged by %s, %d bytes", r.Consent, r.Bytes)
	}
	if want := map[string]Jurisdictions{"eea": {1, 0}, "us": {2, 1}, "other": {1, 1}, "unknown": {1, 0}}; !reflect.DeepEqual(r.Jurisdictions, want) {
		t.Errorf("jurisdictions %v", r.Jurisdictions)
	}
	if want := map[Role]Kind{
		Email:       {5, Tally{identifier.OK: 2, identifier.ConsentMissing: 1, identifier.ConsentDenied: 1, identifier.JurisdictionUnknown: 1}},
		PhoneSHA256: {1, Tally{identifier.HashAlphabet: 1}},
	}; !reflect.DeepEqual(r.Kinds, want) {
		t.Errorf("kinds %v", r.Kinds)
	}
	if want := []Column{{1, "Email", Email, true}, {2, "Phone SHA256", PhoneSHA256, true}, {3, "Country", Country, true},
		{4, "opt_out", OptOut, true}, {5, "Shoe size", Ignore, false}}; !reflect.DeepEqual(r.Columns, want) {
		t.Errorf("columns %v", r.Columns)
	}
	if got := r.NotUnderstood(); got != `5 ("Shoe size")` {
		t.Errorf("not understood: %s", got)
	}
	o.ListConsent = Unset
	if r := run(t, []byte("email,country\na@example.com,FR\n"), o).report; r.Consent != "none" || r.Kept.Email != 0 || r.NotUnderstood() != "" {
		t.Errorf("judged by %s, kept %d, not understood %q", r.Consent, r.Kept.Email, r.NotUnderstood())
	}
	r = run(t, []byte("email,country\na@example.com,FR\n"), testOptions()).report
	if r.Consent != "list" || r.Jurisdictions["eea"] != (Jurisdictions{1, 1}) {
		t.Errorf("judged by %s, %v", r.Consent, r.Jurisdictions)
	}
}

// The first jurisdiction that can be read decides, in the order of the roles.
func TestWhere(t *testing.T) {
	for cells, want := range map[string]string{
		"US,,,": "us", ",US,,": "us", ",,US-CA,": "us", "FR,US,,": "us", "US,FR,,": "eea", "?,n/a,JP,": "unknown",
		"?,n/a,,JP-13": "other", ",,CA,US": "us", "JP,,FR,US": "other", ",,,": "unknown",
	} {
		// The columns stand in another order than the roles.
		file := "country,jurisdiction,state,region,email\n" + cells + ",a@example.com\n"
		if r := run(t, []byte(file), testOptions()).report; r.Jurisdictions[want].Rows != 1 {
			t.Errorf("%s: %v, want %s", cells, r.Jurisdictions, want)
		}
	}
}

func TestLenient(t *testing.T) {
	const file = "phone\n06 12 34 50 05\n06 12 34 50 06\n"
	o := testOptions()
	o.Region = "US"
	if r := run(t, []byte(file), o).report; r.Kept.Phone != 0 || len(r.Warnings) != 0 {
		t.Errorf("kept %d, warnings %v", r.Kept.Phone, r.Warnings)
	}
	o.Lenient = true
	r := run(t, []byte(file), o).report
	if r.Kept.Phone != 2 || r.Warnings[identifier.PhoneInvalid] != 2 {
		t.Errorf("kept %d, warnings %v", r.Kept.Phone, r.Warnings)
	}
	o.Lenient, o.Vanity = false, true
	if r := run(t, []byte("phone\n1-800-FLOWERS\n"), o).report; r.Kept.Phone != 1 {
		t.Errorf("kept %d", r.Kept.Phone)
	}
}

// What the Rule itself refuses has a code too.
func TestRule(t *testing.T) {
	o := testOptions()
	o.Rule.Jurisdictions = []string{"FR", "US-CA"}
	file := "email,country,email_hash\na@example.com,FR,\nb@example.com,US-CA,\nc@example.com,US,\nd@example.com,,\ne@example.com,FR-75," +
		strings.Repeat("0", 64) + "\n"
	got := run(t, []byte(file), o)
	if want := (Tally{identifier.OK: 3, identifier.JurisdictionUnknown: 2, identifier.HashOfJunk: 1}); got.err != nil ||
		!reflect.DeepEqual(got.report.IdentifierCodes, want) {
		t.Errorf("%v, %v", got.report.IdentifierCodes, got.err)
	}
	// A consent that has a maximum age is of the time of the list.
	o = testOptions()
	o.Rule.MaxAge, o.At = time.Hour, time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	if got := run(t, []byte("email\na@example.com\n"), o); len(got.kept) != 1 {
		t.Errorf("%v", got.report.IdentifierCodes)
	}
}

func TestOpenErrors(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "none"), testOptions()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	_, err := Open(write(t, ""), testOptions())
	var e *sheet.Error
	if !errors.As(err, &e) || e.Reason != sheet.Empty {
		t.Errorf("%v", err)
	}
}

const canary = "kanarie7Qx"

// No message, report or print of anything shows a cell, whatever is wrong with
// it.
func TestCanary(t *testing.T) {
	const header = "email,phone,email_sha256,phone_sha256,country,consent,opt_out,us_privacy,tc_string,name,id\n"
	files := map[string]string{
		"cells":      header + strings.Repeat(canary+",", 10) + canary + "\n",
		"width":      header + canary + "," + canary + "\n",
		"good":       "email,phone\n" + canary + "@example.com,+12345678901\n",
		"twice":      "email\n" + canary + "@example.com\n" + canary + "@example.com\n",
		"open quote": "email\n\"" + canary + "@example.com\n",
		"long":       "email\n" + strings.Repeat(canary, 10_000) + "\n",
		"not UTF-8":  "email,consent\n" + canary + "\xff," + canary + "\xff\n",
		"no header":  canary + "@example.com\n" + canary + "@example.org\n",
		"question":   "hash\n" + canary + "\n",
		"consent":    "email,consent\n" + canary + "@example.com," + canary + "\n",
		"binary":     "email\n" + canary + "\x00\n",
		"UTF-16":     "\xff\xfe" + canary,
		"JSON":       `{"email":"` + canary + `"}`,
	}
	for name, file := range files {
		path := write(t, file)
		l, err := Open(path, testOptions())
		said := fmt.Sprint(err)
		if err == nil {
			for e, err := range l.All() {
				said += fmt.Sprintf("%v %+v %#v %s", err, e, e, l)
			}
			report, err := json.Marshal(l.Report())
			said += fmt.Sprintf("%s %v %+v %#v %d", report, err, l, l, l)
		}
		if strings.Contains(strings.ToLower(said), strings.ToLower(canary)) {
			t.Errorf("%s: shown", name)
		}
		if err != nil && !strings.Contains(said, path) {
			t.Errorf("%s: the file is not named", name)
		}
	}
}

// Whatever the bytes, the codes add up, nothing that isn't counted is kept, and
// no message shows a cell.
func FuzzList(f *testing.F) {
	f.Add([]byte("email,phone,country,consent"), []byte("a@example.com,+12345678901,FR,yes\nb@,,US,no\n,"), byte(0))
	f.Add([]byte("em;em;hem;opt_out"), []byte("a@b.c;\"d@e.f\";x;1\r\n;;;\r\n\"\"\"\n\";;"), byte(1))
	f.Add([]byte("\ufeffemail\tus_privacy\tstate"), []byte("a@b.c\t1YNN\tUS-CA\r\ra@b.c\t1---\tUS"), byte(2))
	f.Add([]byte("hash"), []byte("x"), byte(3))
	f.Add([]byte("\x1f\x8bemail"), []byte("PK"), byte(0))
	paths, _ := filepath.Glob("testdata/*.txtar")
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		header, body, _ := strings.Cut(parseArchive(string(text)).sections["file"], "\n")
		f.Add([]byte(header), []byte(body), byte(4))
	}
	f.Fuzz(func(t *testing.T, header, body []byte, flags byte) {
		o := testOptions()
		if flags&1 != 0 {
			o.ListConsent = Unset
		}
		if flags&2 != 0 {
			o.Region = "US"
		}
		if flags&4 != 0 {
			o.Columns = map[string]string{"1": "email"}
		}
		planted := bytes.ReplaceAll(body, []byte(","), []byte(canary+","))
		planted = bytes.ReplaceAll(planted, []byte("\n"), []byte(canary+"\n"))
		for _, rows := range [][]byte{body, planted} {
			got := run(t, append(append(bytes.Clone(header), '\n'), rows...), o)
			checkOutcome(t, got)
			report, err := json.Marshal(got.report)
			if err != nil {
				t.Fatal(err)
			}
			if said := fmt.Sprint(got.err, string(report)); !reachesRows(header) && strings.Contains(said, canary) {
				t.Fatal("a cell is shown")
			}
		}
	})
}

// reachesRows reports whether the header, as the file's first line, isn't its
// header row, or not all of it: a name may then be a cell's text.
func reachesRows(header []byte) bool {
	text := strings.ToLower(strings.Trim(string(header), "\ufeff\"\r\n"))
	return text == "" || strings.HasPrefix(text, "sep=") || bytes.Contains(header, []byte(`"`))
}

func checkOutcome(t *testing.T, got outcome) {
	t.Helper()
	if err := got.report.check(); err != nil {
		t.Fatal(err)
	}
	if n := uint64(strings.Count(got.rows, "\n")); n != got.report.Rows {
		t.Fatalf("%d rows told of, %d counted", n, got.report.Rows)
	}
	if n := got.report.Kept; uint64(len(got.kept)) != n.Email+n.Phone {
		t.Fatalf("%d kept, %v counted", len(got.kept), n)
	}
	closed := map[identifier.Code]bool{}
	for _, c := range identifier.Codes {
		closed[c] = true
	}
	for c, n := range got.report.RowCodes {
		if !closed[c] || n == 0 || c == identifier.OKDuplicate {
			t.Fatalf("row code %q: %d", string(c), n)
		}
	}
	for c, n := range got.report.IdentifierCodes {
		if !closed[c] || n == 0 || c == identifier.Empty || c == identifier.RowWidth {
			t.Fatalf("identifier code %q: %d", string(c), n)
		}
	}
	once := map[consent.Eligible]bool{}
	for _, e := range got.kept {
		if once[e] {
			t.Fatal("an identifier is kept twice")
		}
		once[e] = true
	}
}

func BenchmarkList(b *testing.B) {
	for name, row := range map[string]string{"emails": "person%d@example.com,Person Number %d\n", "hashes": "%064x,Person Number %d\n", "phones": "+1201555%04d,Person Number %d\n"} {
		b.Run(name, func(b *testing.B) {
			const rows = 200_000
			var file strings.Builder
			file.WriteString(map[string]string{"emails": "email,name\n", "hashes": "email_sha256,name\n", "phones": "phone,name\n"}[name])
			for i := range rows {
				fmt.Fprintf(&file, row, i+1, i)
			}
			path := write(b, file.String())
			b.ReportAllocs()
			for b.Loop() {
				l, err := Open(path, testOptions())
				if err != nil {
					b.Fatal(err)
				}
				for _, err := range l.All() {
					if err != nil {
						b.Fatal(err)
					}
				}
				if r := l.Report(); r.Rows != rows {
					b.Fatalf("%d rows", r.Rows)
				}
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// Of each code the report says where it is first, of rows and of identifiers, and no
// more than three lines.
func TestFirstLines(t *testing.T) {
	got := run(t, []byte("email,email\nann@example.com,bob\n\nx,y\nz,\nbob@example.com,q\n\"\na\",b\n,\na\nb\n"), testOptions())
	if got.err != nil {
		t.Fatal(got.err)
	}
	rows := Lines{identifier.EmailNoAt: {4, 5, 7}, identifier.Empty: {9}, identifier.RowWidth: {10, 11}}
	identifiers := Lines{identifier.EmailNoAt: {2, 4, 5}}
	if r := got.report; !reflect.DeepEqual(r.RowLines, rows) || !reflect.DeepEqual(r.IdentifierLines, identifiers) {
		t.Errorf("%v, want %v; %v, want %v", r.RowLines, rows, r.IdentifierLines, identifiers)
	}
}
