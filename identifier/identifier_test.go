package identifier

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
)

var classes = []Class{EmailUID2, PhoneE164, EmailPlain, EmailGoogle, PhoneDigits}

// refusal is a value, and the code of the first step that it fails.
type refusal struct {
	profile, raw string
	options      Options
	want         Code
}

// refusals of step 0, which all profiles share, are these; those of a kind's
// own steps stand with the kind.
var sharedRefusals = []refusal{
	{raw: "user\xff@example.com", want: NotUTF8},
	{raw: "\xc0\x80", want: NotUTF8},
	{raw: " \xed\xa0\x80 ", want: NotUTF8}, // a surrogate
	{raw: "+33 6 12 34 56 78\xe2\x80", want: NotUTF8},
	{raw: "0c7e6a405862e402eb76a70f8a26fc732d07c32931e9fae9ab1582911d2e8a3b\x80", want: NotUTF8},
	{raw: "", want: Empty},
	{raw: "\t\n\v\f\r \u00a0\ufeff\u200b\u200c\u200d\u2060", want: Empty},
}

func allRefusals() []refusal {
	all := make([]refusal, 0, 256)
	for _, r := range sharedRefusals {
		for _, c := range classes {
			r.profile = c.String()
			all = append(all, r)
		}
		r.profile = sumProfile
		all = append(all, r)
	}
	all = append(all, emailRefusals...)
	all = append(all, phoneRefusals...)
	return append(all, sumRefusals...)
}

func TestRefusals(t *testing.T) {
	for _, r := range allRefusals() {
		p, err := ParseProfile(r.profile)
		if err != nil {
			t.Fatal(err)
		}
		id, err := p.Normalize(r.raw, r.options)
		if got := codeOf(t, err); got != r.want {
			t.Errorf("%s of %.80q: %s, want %s", p, r.raw, got, r.want)
		}
		if err != nil && id != (Identifier{}) {
			t.Errorf("%s of %.80q: an identifier beside an error", p, r.raw)
		}
	}
}

// Every code that a value can have is had by one of the refusals, and no other.
func TestCodes(t *testing.T) {
	listed := map[Code]bool{}
	for _, c := range Codes {
		if listed[c] {
			t.Errorf("%s is listed twice", string(c))
		}
		listed[c] = true
		if got, want := c.Error(), "identifier: "+string(c); got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
	}
	if len(listed) != 35 {
		t.Errorf("%d codes, want 35", len(listed))
	}
	reached := map[Code]bool{}
	for _, r := range allRefusals() {
		reached[r.want] = true
	}
	// The codes of rows, which this package names and others give.
	for _, c := range []Code{OK, OKDuplicate, RowWidth, Suppressed, ConsentDenied, ConsentMissing,
		ConsentUnknown, ConsentMalformed, ConsentExpired, JurisdictionUnknown} {
		if reached[c] {
			t.Errorf("%s is no refusal of a value", string(c))
		}
		reached[c] = true
	}
	for c := range listed {
		if !reached[c] {
			t.Errorf("no value is refused as %s", string(c))
		}
	}
	for c := range reached {
		if !listed[c] {
			t.Errorf("%s is not in Codes", string(c))
		}
	}
}

func TestStrip(t *testing.T) {
	const ends = " \u200b\ufeff\t\u00a0\r\n\u2060\v\u200d\f\u200c"
	for _, c := range classes {
		for _, raw := range []string{"ann.lee@shop.example", "+33612345678"} {
			want, err := c.Normalize(raw, Options{})
			if err != nil {
				continue // the other kind
			}
			if got, err := c.Normalize(ends+raw+ends, Options{}); got != want {
				t.Errorf("%s: stripped ends change the identifier: %v", c, err)
			}
		}
	}
}

func TestClass(t *testing.T) {
	bytesOf := map[string]Class{
		"email.uid2-1": 0x01, "phone.e164-1": 0x02, "email.plain-1": 0x03, "email.google-1": 0x10, "phone.digits-1": 0x11,
	}
	for name, want := range bytesOf {
		c, err := ParseClass(name)
		if c != want || err != nil || c.String() != name {
			t.Errorf("ParseClass(%q) = %v, %v", name, c, err)
		}
		if kind, _, _ := strings.Cut(name, "."); c.Kind().String() != kind {
			t.Errorf("%s is of kind %s", c, c.Kind())
		}
	}
	for _, name := range []string{"", "email", "email.uid2", "EMAIL.UID2-1", "email.uid2-1 ", sumProfile, "Class(0x01)"} {
		if c, err := ParseClass(name); err == nil || c != 0 {
			t.Errorf("ParseClass(%q) = %v", name, c)
		}
	}
	if got := fmt.Sprint(Class(0x7f), Class(0x7f).Kind(), Email); got != "Class(0x7f) Kind(0) email" {
		t.Errorf("printed as %q", got)
	}
}

func TestUnknownClassPanics(t *testing.T) {
	for name, call := range map[string]func(){
		"Normalize": func() { Class(0x04).Normalize("ann@shop.example", Options{}) },
		"ParseSum":  func() { Class(0).ParseSum(strings.Repeat("ab", 32)) },
		"Profile":   func() { new(Profile).Normalize("ann@shop.example", Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				text, ok := recover().(string)
				if !ok || strings.Contains(text, "ann") || strings.Contains(text, "abab") {
					t.Errorf("panic of %q", text)
				}
			}()
			call()
		})
	}
}

func TestProfile(t *testing.T) {
	for _, c := range classes {
		p, err := ParseProfile(c.String())
		if err != nil || p.String() != c.String() {
			t.Errorf("ParseProfile(%q) = %s, %v", c, p, err)
		}
		if id, err := p.Normalize("+33612345678", Options{}); err == nil && id.Class() != c {
			t.Errorf("%s reads class %s", p, id.Class())
		}
	}
	p, err := ParseProfile("hash.sha256")
	if err != nil || p.String() != "hash.sha256" {
		t.Fatalf("ParseProfile = %s, %v", p, err)
	}
	id, err := p.Normalize(strings.Repeat("aB", 32), Options{})
	if err != nil || id.Class() != 0 || id.Normalized() != strings.Repeat("ab", 32) {
		t.Errorf("%s: %v, class %s", p, err, id.Class())
	}
	if p, err := ParseProfile("address.google-1"); err == nil || p != (Profile{}) {
		t.Error("an unknown profile was parsed")
	}
}

func TestRedacted(t *testing.T) {
	raw, err := EmailUID2.Normalize("Ann.Lee@shop.example", Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := raw.Sum()
	sha, err := PhoneE164.ParseSum(fmt.Sprintf("%x", sum))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []Identifier{raw, sha} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "% x", "%08b", "%T|%v"} {
			args := []any{id}
			if strings.Count(verb, "%") == 2 {
				args = append(args, &id)
			}
			got := fmt.Sprintf(verb, args...)
			if strings.TrimPrefix(got, "identifier.Identifier|") != "REDACTED" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
		if got := fmt.Sprintf("%v %+v", []Identifier{id}, map[string]Identifier{"k": id}); got != "[REDACTED] map[k:REDACTED]" {
			t.Errorf("inside others it prints %q", got)
		}
		if b, err := json.Marshal(map[string]any{"k": id}); string(b) != `{"k":{}}` || err != nil {
			t.Errorf("JSON is %q, %v", b, err)
		}
		var text, lines bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("read", "identifier", id)
		slog.New(slog.NewJSONHandler(&lines, nil)).Info("read", "identifier", id)
		if !strings.Contains(text.String(), "identifier=REDACTED") || !strings.Contains(lines.String(), `"identifier":"REDACTED"`) {
			t.Errorf("logged as %q and %q", text.String(), lines.String())
		}
	}
}

// A report that names another release than the one compiled in would be wrong
// about which numbers are valid.
func TestPhoneMetadata(t *testing.T) {
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	want := "github.com/nyaruka/phonenumbers v" + strings.TrimPrefix(PhoneMetadata, "pn")
	for line := range strings.Lines(string(mod)) {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) >= 2 && fields[0]+" "+fields[1] == want {
			return
		}
	}
	t.Errorf("go.mod does not require %s", want)
}

// checkRead checks what holds of every read value, whatever its bytes: a code
// and nothing else; or the SHA-256 of a canonical spelling that reads as itself.
func checkRead(t *testing.T, id Identifier, err error, canonical func(string) bool, again func(string) (Identifier, error)) {
	t.Helper()
	if err != nil {
		code := codeOf(t, err)
		if code == OK || id != (Identifier{}) {
			t.Fatalf("refused as %s with an identifier", string(code))
		}
		return
	}
	n := id.Normalized()
	if !canonical(n) {
		t.Fatalf("%q is not canonical", n)
	}
	if same, err := again(n); same != id {
		t.Fatalf("%q reads as %q, %v", n, same.Normalized(), err)
	}
}

// checkSum checks that id carries the SHA-256 of its spelling.
func checkSum(t *testing.T, id Identifier) {
	t.Helper()
	if id.Sum() != sha256.Sum256([]byte(id.Normalized())) {
		t.Fatalf("sum of %q is not its SHA-256", id.Normalized())
	}
}
