// Package identifier turns an e-mail address or a phone number into the one
// spelling that both companies hash, or says why there is none.
//
// Vendors normalise differently, so a rule of normalisation has a name and a
// version, its profile. A Class fixes kind and profile, travels in the
// handshake and enters x (PROTOCOL.md §3): two companies with different
// profiles fail at OPEN instead of matching less. Normalisation refuses more
// than PROTOCOL.md §3 does (placeholders, several values in a field, numbers
// nobody was given) and never spells differently.
//
// The package reads no file, network or clock, and logs nothing.
package identifier

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"unicode/utf8"
)

// Kind is what a value is: an e-mail address or a phone number.
type Kind byte

// The kinds.
const (
	Email Kind = iota + 1
	Phone
)

// String returns "email" or "phone".
func (k Kind) String() string {
	switch k {
	case Email:
		return "email"
	case Phone:
		return "phone"
	}
	return fmt.Sprintf("Kind(%d)", byte(k))
}

// Class is the byte that stands for a kind and a profile (PROTOCOL.md §3).
type Class byte

// The classes. Those below 0x10 are the protocol's, the others the policy's.
const (
	EmailUID2   Class = 0x01 // UID2's operator: Gmail's rule for gmail.com
	PhoneE164   Class = 0x02 // E.164, with the plus
	EmailPlain  Class = 0x03 // no rule of any provider
	EmailGoogle Class = 0x10 // Google: Gmail's rule for googlemail.com too
	PhoneDigits Class = 0x11 // E.164 without the plus
)

var classNames = map[Class]string{
	EmailUID2:   "email.uid2-1",
	PhoneE164:   "phone.e164-1",
	EmailPlain:  "email.plain-1",
	EmailGoogle: "email.google-1",
	PhoneDigits: "phone.digits-1",
}

var errProfile = errors.New("identifier: unknown profile")

// ParseClass returns the class of the given profile, such as "email.uid2-1".
func ParseClass(profile string) (Class, error) {
	for c, name := range classNames {
		if name == profile {
			return c, nil
		}
	}
	return 0, errProfile
}

// String returns the name of the profile.
func (c Class) String() string {
	if name, ok := classNames[c]; ok {
		return name
	}
	return fmt.Sprintf("Class(%#02x)", byte(c))
}

// Kind returns the kind of value that c is for, 0 if there is no class c.
func (c Class) Kind() Kind {
	switch c {
	case EmailUID2, EmailPlain, EmailGoogle:
		return Email
	case PhoneE164, PhoneDigits:
		return Phone
	}
	return 0
}

// Options says how to read phone numbers; e-mail addresses have no options.
type Options struct {
	Region  string // of numbers without a plus: ISO 3166-1 alpha-2 in capitals, or empty
	Vanity  bool   // read letters as the digits of their keys
	Lenient bool   // admit numbers of a possible length that no operator has; see Identifier.Warning
}

// Identifier is one e-mail address or phone number in the spelling of its
// class, and the SHA-256 of that spelling. It prints as REDACTED, and so does
// its hash: a dictionary inverts it. Only Normalize and ParseSum make one.
type Identifier struct {
	class      Class
	warning    Code
	sum        [32]byte
	normalized string
}

// Class returns the class under which the identifier was read.
func (id Identifier) Class() Class { return id.class }

// Sum returns h of PROTOCOL.md §3, the SHA-256 of the normalised spelling.
func (id Identifier) Sum() [32]byte { return id.sum }

// Normalized returns the spelling that was hashed, in ASCII; of a value that
// came hashed, its 64 lower-case hexadecimal digits.
func (id Identifier) Normalized() string { return id.normalized }

// Warning returns the code that Options.Lenient let pass, or "".
func (id Identifier) Warning() Code { return id.warning }

// Format prints REDACTED whatever the verb.
func (Identifier) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the identifier out of structured logs.
func (Identifier) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// Normalize reads one raw value of c's kind. The error is the Code of the first
// step that the value fails. It panics if there is no class c.
func (c Class) Normalize(raw string, o Options) (Identifier, error) {
	s, err := strip(raw)
	if err != nil {
		return Identifier{}, err
	}
	switch c.Kind() {
	case Email:
		return c.normalizeEmail(s)
	case Phone:
		return c.normalizePhone(s, o)
	}
	panic("identifier: Normalize of a class that does not exist")
}

// sumProfile is the profile of values that came hashed. It is no class: it does
// not say what was hashed, nor how that was spelled.
const sumProfile = "hash.sha256"

// Profile is what a field may be said to hold: raw values of a class, or SHA-256
// sums of values of a class not named. Only ParseProfile makes one.
type Profile struct {
	class Class
	sums  bool
}

// ParseProfile returns the profile of the given name: a class's, or
// "hash.sha256".
func ParseProfile(name string) (Profile, error) {
	if name == sumProfile {
		return Profile{sums: true}, nil
	}
	c, err := ParseClass(name)
	return Profile{class: c}, err
}

// String returns the name of the profile.
func (p Profile) String() string {
	if p.sums {
		return sumProfile
	}
	return p.class.String()
}

// Normalize reads one value as Class.Normalize and Class.ParseSum do. The
// identifier of a sum has Class 0, which admits it nowhere.
func (p Profile) Normalize(raw string, o Options) (Identifier, error) {
	if p.sums {
		return parseSum(0, raw)
	}
	return p.class.Normalize(raw, o)
}

// strip takes what exports leave around a value (blanks, byte-order marks,
// zero-width characters) off both ends of raw. Other white space stays, to be
// refused by the kind's own steps.
func strip(raw string) (string, error) {
	if !utf8.ValidString(raw) {
		return "", NotUTF8
	}
	s := strings.TrimFunc(raw, isStripped)
	if s == "" {
		return "", Empty
	}
	return s, nil
}

func isStripped(r rune) bool {
	switch {
	case r >= '\t' && r <= '\r', r == ' ', r == '\u00a0', r == '\ufeff', r >= '\u200b' && r <= '\u200d', r == '\u2060':
		return true
	}
	return false
}

// lower appends s to dst with A–Z, and nothing else, in lower case: Unicode's
// mapping would turn the Kelvin sign into a k and join two spellings.
func lower(dst []byte, s string) []byte {
	for i := range len(s) {
		b := s[i]
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	return dst
}
