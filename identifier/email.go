package identifier

import (
	"bytes"
	"crypto/sha256"
	"unicode"
)

const (
	maxEmail = 254 // bytes of an address, RFC 5321 §4.5.3.1.3 less the brackets
	maxLabel = 63  // bytes of a label of its domain, RFC 1035 §2.3.4
)

// placeholders are what forms and exports hold in place of an address.
var placeholders = [...]string{
	"null", "none", "n/a", "0", "unknown", "test@test.com", "na@na.com", "noemail@noemail.com",
}

// trait is a set of what one character, or any in a value, is.
type trait byte

const (
	separator trait = 1 << iota // stands between the values of a list
	space
	forbidden // a control, an invisible character, or syntax around an address
	nonASCII
)

var asciiTraits = func() (t [0x80]trait) {
	for r := range t {
		if unicode.IsControl(rune(r)) {
			t[r] |= forbidden
		}
		if unicode.IsSpace(rune(r)) {
			t[r] |= space
		}
	}
	for _, r := range `()<>[]:;\,"` {
		t[r] |= forbidden
	}
	t[','] |= separator
	t[';'] |= separator
	return t
}()

func traitOf(r rune) trait {
	if r < 0x80 {
		return asciiTraits[r]
	}
	t := nonASCII
	if unicode.IsSpace(r) {
		t |= space
	}
	if unicode.In(r, unicode.Cc, unicode.Cf) {
		t |= forbidden
	}
	return t
}

// normalizeEmail spells the stripped value s as PROTOCOL.md §3 says for c.
// Beyond that it checks what makes two spellings join, not what makes an
// address deliverable.
func (c Class) normalizeEmail(s string) (Identifier, error) {
	if len(s) > maxEmail {
		return Identifier{}, EmailTooLong
	}
	var buf [maxEmail]byte
	address := lower(buf[:0], s)
	if isPlaceholder(address) {
		return Identifier{}, EmailPlaceholder
	}
	if err := checkCharacters(s); err != nil {
		return Identifier{}, err
	}
	at := bytes.IndexByte(address, '@')
	local, domain := address[:at], address[at+1:]
	switch {
	case len(local) == 0:
		return Identifier{}, EmailEmptyLocal
	case len(domain) == 0:
		return Identifier{}, EmailEmptyDomain
	case !isDomain(domain):
		return Identifier{}, EmailDomain
	}
	if c.isGmail(domain) {
		local = mailbox(local)
		if len(local) == 0 {
			return Identifier{}, EmailEmptyLocal
		}
		address = append(local, address[at:]...)
	}
	return Identifier{class: c, sum: sha256.Sum256(address), normalized: string(address)}, nil
}

func isPlaceholder(address []byte) bool {
	for _, p := range placeholders {
		if string(address) == p {
			return true
		}
	}
	return false
}

// checkCharacters returns nil if s is ASCII without blanks, controls and
// syntax, and has one @.
func checkCharacters(s string) error {
	var found trait
	ats := 0
	for _, r := range s {
		found |= traitOf(r)
		if r == '@' {
			ats++
		}
	}
	switch {
	case ats > 1 && found&separator != 0:
		return EmailMultipleValues
	case found&space != 0:
		return EmailSpace
	case found&forbidden != 0:
		return EmailCharacter
	case found&nonASCII != 0:
		return EmailNonASCII
	case ats == 0:
		return EmailNoAt
	case ats > 1:
		return EmailMultipleAt
	}
	return nil
}

// isDomain reports whether d is two labels or more, none empty or too long.
func isDomain(d []byte) bool {
	labels := 0
	for more := true; more; labels++ {
		var label []byte
		label, d, more = bytes.Cut(d, []byte{'.'})
		if len(label) == 0 || len(label) > maxLabel {
			return false
		}
	}
	return labels > 1
}

// isGmail reports whether c applies Gmail's rule to the domain.
func (c Class) isGmail(domain []byte) bool {
	switch string(domain) {
	case "gmail.com":
		return c == EmailUID2 || c == EmailGoogle
	case "googlemail.com":
		return c == EmailGoogle
	}
	return false
}

// mailbox cuts local, in place, to what tells one Gmail account from another:
// everything before the first plus, without its dots.
func mailbox(local []byte) []byte {
	name, _, _ := bytes.Cut(local, []byte{'+'})
	kept := local[:0]
	for _, b := range name {
		if b != '.' {
			kept = append(kept, b)
		}
	}
	return kept
}
