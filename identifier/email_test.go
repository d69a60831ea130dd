package identifier

import (
	"math/rand"
	"strings"
	"testing"
)

var emailClasses = []Class{EmailUID2, EmailPlain, EmailGoogle}

// Each value but the last few fails a later step too, so that the table fixes
// the order of the steps.
var emailRefusals = func() (all []refusal) {
	long := strings.Repeat("x", maxEmail-len("@shop.example"))
	for _, r := range []struct {
		raw  string
		want Code
	}{
		{long + "x@shop.example", EmailTooLong},
		{strings.Repeat("a@b;", 64), EmailTooLong},
		{strings.Repeat("é", 127) + "x", EmailTooLong}, // bytes, not characters
		{"N/A", EmailPlaceholder},
		{"null", EmailPlaceholder},
		{"NULL", EmailPlaceholder},
		{"None", EmailPlaceholder},
		{"0", EmailPlaceholder},
		{"\u200bUnknown ", EmailPlaceholder},
		{"Test@Test.com", EmailPlaceholder},
		{"na@na.com", EmailPlaceholder},
		{"noemail@NOEMAIL.com", EmailPlaceholder},
		{"user@example.com;other@example.com", EmailMultipleValues},
		{"a b@c.d, <é@f.g>", EmailMultipleValues},
		{"un\u212anown@", EmailNonASCII}, // Kelvin sign: no k, so no placeholder
		{"user@exa mple.com", EmailSpace},
		{`"a b"@c.d`, EmailSpace},
		{"a,b c", EmailSpace}, // a separator, but not two addresses
		{"é\ta", EmailSpace},
		{"a\u0085b@c.d", EmailSpace}, // white space and a control
		{"\u0085user@example.com", EmailSpace},
		{"user@example.com\u2003", EmailSpace},
		{"us\u00a0er@example.com", EmailSpace},
		{"us\u202fer@example.com", EmailSpace},
		{"us\u3000er@example.com", EmailSpace},
		{"us\u1680er@example.com", EmailSpace},
		{"mailto:user@example.com", EmailCharacter},
		{"<ann@shop.example>", EmailCharacter},
		{"é<ann@shop.example>", EmailCharacter},
		{"us\x00er@example.com", EmailCharacter},
		{"us\x7fer@example.com", EmailCharacter},
		{"us\u0081er@example.com", EmailCharacter},
		{"us\u200ber@example.com", EmailCharacter},
		{"us\u00ader@example.com", EmailCharacter},     // soft hyphen
		{"\u202euser@example.com", EmailCharacter},     // bidi
		{"us\U000e0041er@example.com", EmailCharacter}, // tag
		{"a@[127.0.0.1]", EmailCharacter},
		{`a\b@c.d`, EmailCharacter},
		{"a,b", EmailCharacter},
		{"a(b@c.d", EmailCharacter},
		{"a)b@c.d", EmailCharacter},
		{"a;b@c.d", EmailCharacter},
		{`a"b@c.d`, EmailCharacter},
		{"user＠example.com", EmailNonASCII}, // full width
		{"İ", EmailNonASCII},
		{"user@exämple.com", EmailNonASCII},
		{"us\u0301er@@example.com", EmailNonASCII},
		{"user", EmailNoAt},
		{"+", EmailNoAt},
		{"+0", EmailNoAt}, // junk among hashes only
		{"0c7e6a405862e402eb76a70f8a26fc732d07c32931e9fae9ab1582911d2e8a3b", EmailNoAt},
		{"@@", EmailMultipleAt},
		{"a@ba@z.com", EmailMultipleAt},
		{"@", EmailEmptyLocal},
		{" @", EmailEmptyLocal},
		{"@b", EmailEmptyLocal},
		{"@b.com", EmailEmptyLocal},
		{"a@", EmailEmptyDomain},
		{"a@b", EmailDomain},
		{"a@.", EmailDomain},
		{"a@.b.c", EmailDomain},
		{"a@b..c", EmailDomain},
		{"user@example.com.", EmailDomain},
		{"a@" + strings.Repeat("b", 64) + ".c", EmailDomain},
		{"a@c." + strings.Repeat("b", 64), EmailDomain},
	} {
		for _, c := range emailClasses {
			all = append(all, refusal{profile: c.String(), raw: r.raw, want: r.want})
		}
	}
	for _, raw := range []string{"+@gmail.com", ".+@gmail.com", "...@GMAIL.com", "+a.b@gmail.com"} {
		all = append(all, refusal{profile: "email.uid2-1", raw: raw, want: EmailEmptyLocal},
			refusal{profile: "email.google-1", raw: raw, want: EmailEmptyLocal})
	}
	return append(all, refusal{profile: "email.google-1", raw: "+@googlemail.com", want: EmailEmptyLocal})
}()

func TestEmailWhereProfilesPart(t *testing.T) {
	for _, v := range []struct{ raw, uid2, google, plain string }{
		{"Ann.Lee+News@gmail.com", "annlee@gmail.com", "annlee@gmail.com", "ann.lee+news@gmail.com"},
		{"Ann.Lee+news@googlemail.com", "ann.lee+news@googlemail.com", "annlee@googlemail.com", "ann.lee+news@googlemail.com"},
		{"Ann.Lee+news@shop.example", "ann.lee+news@shop.example", "ann.lee+news@shop.example", "ann.lee+news@shop.example"},
		{"+@gmail.com", "EMAIL_EMPTY_LOCAL", "EMAIL_EMPTY_LOCAL", "+@gmail.com"},
		{"user@exa mple.com", "EMAIL_SPACE", "EMAIL_SPACE", "EMAIL_SPACE"},
		{"a.b+c+d@GMail.Com", "ab@gmail.com", "ab@gmail.com", "a.b+c+d@gmail.com"},
		{"a.b+c@mail.gmail.com", "a.b+c@mail.gmail.com", "a.b+c@mail.gmail.com", "a.b+c@mail.gmail.com"},
		{"a.b+c@gmail.com.br", "a.b+c@gmail.com.br", "a.b+c@gmail.com.br", "a.b+c@gmail.com.br"},
		{"a.b@googlemail.com", "a.b@googlemail.com", "ab@googlemail.com", "a.b@googlemail.com"},
	} {
		for c, want := range map[Class]string{EmailUID2: v.uid2, EmailGoogle: v.google, EmailPlain: v.plain} {
			id, err := c.Normalize(v.raw, Options{})
			got := id.Normalized()
			if err != nil {
				got = string(codeOf(t, err))
			}
			if got != want {
				t.Errorf("%s of %q: %q, want %q", c, v.raw, got, want)
			}
		}
	}
}

// What is not checked is accepted as it stands: the aim is that two companies
// spell an address alike, not that mail would arrive.
func TestEmailAccepts(t *testing.T) {
	long := strings.Repeat("x", maxEmail-len("@shop.example")) + "@shop.example"
	label := strings.Repeat("b", maxLabel)
	for raw, want := range map[string]string{
		long:                                "",
		strings.Repeat(" ", 300) + long:     long,
		"a@" + label + "." + label:          "",
		".a..b.@-c.d_-":                     "",
		"o'brien!#$%&*/=?^_`{|}~@127.0.0.1": "",
		"A@XN--BCHER-KVA.Example":           "a@xn--bcher-kva.example",
		"nulls@none.com":                    "",
	} {
		if want == "" {
			want = raw
		}
		for _, c := range emailClasses {
			if id, err := c.Normalize(raw, Options{}); err != nil || id.Normalized() != want || id.Class() != c || id.Warning() != "" {
				t.Errorf("%s of %.40q: %.40q, %v", c, raw, id.Normalized(), err)
			}
		}
	}
}

// operatorEmail is the algorithm of UID2's operator: spaces at the ends go, and
// all others before the @; A–Z is lowered; there is one @ with something on
// both sides; at gmail.com, dots and what follows a plus go.
func operatorEmail(raw string) (string, bool) {
	local, domain, found := strings.Cut(strings.ToLower(raw), "@")
	local = strings.ReplaceAll(local, " ", "")
	domain = strings.TrimRight(domain, " ")
	if !found || domain == "" || strings.Contains(domain, "@") {
		return "", false
	}
	if domain == "gmail.com" {
		local, _, _ = strings.Cut(local, "+")
		local = strings.ReplaceAll(local, ".", "")
	}
	return local + "@" + domain, local != ""
}

// checkOperator fails t if both accept raw, in printable ASCII, and differ; or
// if we accept what the operator refuses. It reports whether both accept.
func checkOperator(t *testing.T, raw string) bool {
	t.Helper()
	id, err := EmailUID2.Normalize(raw, Options{})
	want, ok := operatorEmail(raw)
	if err == nil && (!ok || id.Normalized() != want) {
		t.Fatalf("%q: %q, the operator's %q, %t", raw, id.Normalized(), want, ok)
	}
	return err == nil
}

func TestEmailIsTheOperators(t *testing.T) {
	parts := []string{"@", "@", ".", "+", " ", "gmail.com", "GMAIL.COM", "googlemail.com", "shop.example", "a", "B", "Ann.Lee", "+news", "c.d"}
	r := rand.New(rand.NewSource(2019))
	accepted := 0
	for range 200_000 {
		var raw strings.Builder
		for range 1 + r.Intn(7) {
			if r.Intn(6) == 0 {
				raw.WriteByte(byte(0x20 + r.Intn(0x5f)))
			} else {
				raw.WriteString(parts[r.Intn(len(parts))])
			}
		}
		if checkOperator(t, raw.String()) {
			accepted++
		}
	}
	if accepted < 10_000 {
		t.Errorf("only %d values were accepted", accepted)
	}
}

// An e-mail costs its spelling and nothing else: lists have tens of millions.
func TestEmailAllocates(t *testing.T) {
	for _, raw := range []string{"first.last@shop.example", " First.Last+News@gmail.com "} {
		n := testing.AllocsPerRun(100, func() {
			if _, err := EmailUID2.Normalize(raw, Options{}); err != nil {
				t.Fatal(err)
			}
		})
		if n > 1 {
			t.Errorf("%q: %v allocations", raw, n)
		}
	}
}

// isCanonicalEmail is PROTOCOL.md §3 on email.plain-1, of a spelling.
func isCanonicalEmail(s string) bool {
	for _, b := range []byte(s) {
		if b < 0x21 || b > 0x7e || b >= 'A' && b <= 'Z' || strings.IndexByte(`<>,;:"()[]\`, b) >= 0 {
			return false
		}
	}
	local, domain, _ := strings.Cut(s, "@")
	labels := strings.Split(domain, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return len(s) <= 254 && strings.Count(s, "@") == 1 && local != "" && len(labels) > 1
}

func FuzzEmail(f *testing.F) {
	for _, v := range readVectors(f) {
		if v.Profile == "email.uid2-1" {
			f.Add(v.Input)
		}
	}
	for _, r := range append(emailRefusals, sharedRefusals...) {
		f.Add(r.raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		var plain Identifier
		for _, c := range []Class{EmailPlain, EmailUID2, EmailGoogle} {
			id, err := c.Normalize(raw, Options{})
			checkRead(t, id, err, isCanonicalEmail, func(s string) (Identifier, error) { return c.Normalize(s, Options{}) })
			if c == EmailPlain {
				plain = id
			}
			if err != nil {
				continue
			}
			checkSum(t, id)
			if at := strings.IndexByte(id.Normalized(), '@'); !strings.HasSuffix(plain.Normalized(), id.Normalized()[at:]) {
				t.Fatalf("%s changes the domain of %q", c, raw)
			}
		}
		if isPrintable(raw) {
			checkOperator(t, raw)
		}
	})
}

func isPrintable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e }) < 0
}
