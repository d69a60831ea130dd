// Package signal reads the consent strings of the advertising industry and says
// what each of them means for matching one company's list with another's: IAB
// TCF 2.3, IAB GPP 1.0 with its sections tcfeuv2, uspv1, usnat and usca, the US
// Privacy string, and the true-or-false columns gpc and opt_out.
//
// A string is what a person's browser was given long ago by a site that neither
// company runs, so every doubt is decided against using it: a layout that isn't
// known is UNKNOWN, a string cut short is MALFORMED, and of several answers the
// strictest wins. Sources: IAB Tech Lab, "Consent string and vendor list formats
// v2" (TCF 2.3), "Global Privacy Platform" 1.0 and its section documents, "US
// Privacy String" 1.0.
//
// The steps that a Verdict names, in order; the first that applies wins:
//
//	T1  a character outside base64url, a segment shorter than its fields, a
//	    range that ends before it starts, Version ≠ 2            MALFORMED
//	T2  no DisclosedVendors, created since 1 March 2026          MALFORMED
//	T3  TcfPolicyVersion < 4                                     INVALID
//	T4  IsServiceSpecific = 0                                    INVALID
//	T5  a restriction of the publisher bars consent, on a
//	    required purpose, for the vendor                         DENIED
//	T6  a required purpose has no consent                        DENIED
//	T7  the vendor has no consent, or wasn't disclosed           DENIED
//
//	G1  the header can't be read, or announces other sections    MALFORMED
//	G2  section 2 is a TCF string, section 6 a US Privacy string
//	G3  sections 7 and 8: shorter than its layout                MALFORMED
//	    opted out of sale, sharing or targeting, or GPC          EXCLUDE
//	    not opted out of each of them                            GRANTED
//	    anything else                                            UNKNOWN
//	G4  another version, another section                         UNKNOWN
//	G5  of several sections the strictest wins
//
// The package is pure: no file, network, clock, randomness or log. Nothing here
// panics or allocates more than in proportion to the string, whatever counts the
// string claims.
package signal

import (
	"fmt"
	"slices"
	"time"
)

// Result is what a signal comes to. The list is closed and in the order of
// strictness: of several results the greatest decides. The zero Result is none:
// nothing was said.
type Result uint8

// The results.
const (
	Granted   Result = iota + 1 // consent, or no opt-out where that is what the law asks for
	Unknown                     // a signal that doesn't say, or can't be judged
	Exclude                     // opted out
	Denied                      // no consent
	Invalid                     // well formed, and not to be used
	Malformed                   // not readable
)

// Results has every Result once.
var Results = [...]Result{Granted, Unknown, Exclude, Denied, Invalid, Malformed}

var resultNames = [...]string{
	Granted:   "GRANTED",
	Unknown:   "UNKNOWN",
	Exclude:   "EXCLUDE",
	Denied:    "DENIED",
	Invalid:   "INVALID",
	Malformed: "MALFORMED",
}

// String returns the result's name, such as "GRANTED".
func (r Result) String() string {
	if Granted <= r && r <= Malformed {
		return resultNames[r]
	}
	return fmt.Sprintf("Result(%d)", uint8(r))
}

// MarshalText returns the result's name.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Verdict is a Result and its reason. The zero Verdict says nothing.
type Verdict struct {
	Result Result

	// Why names the step and the reason, in words of this package. Ids of
	// purposes and sections are all that it says of the signal.
	Why string

	// OptIn says that the result rests on a consent which the person gave.
	// Without it, GRANTED only says that nobody opted out, which is nothing
	// where the law asks for consent.
	OptIn bool

	// At is when the consent was given, or the zero time if the signal doesn't
	// say.
	At time.Time
}

// stricter returns the stricter of two verdicts, and the first of equally strict
// ones; of two grants, the one that rests on consent.
func stricter(a, b Verdict) Verdict {
	switch {
	case a.Result > b.Result:
		return a
	case a.Result < b.Result:
		return b
	case b.OptIn && !a.OptIn:
		return b
	}
	return a
}

// Terms are what a TCF string is asked.
type Terms struct {
	// Vendor is the platform's id in the Global Vendor List, 1 to 65535. Zero:
	// no TCF string can be judged, and those that could be are UNKNOWN.
	Vendor int

	// Purposes are the purposes that need consent, 1 to 24. Nil means 3 and 4:
	// a profile for personalised advertising, and its use.
	Purposes []int
}

var defaultPurposes = []int{3, 4}

const (
	maxVendor  = 1<<16 - 1
	maxPurpose = 24
)

var (
	errVendor  = fmt.Errorf("signal: a vendor id is between 1 and %d", maxVendor)
	errPurpose = fmt.Errorf("signal: a purpose is between 1 and %d", maxPurpose)
)

// Check reports a vendor or a purpose that no string can hold. No vendor is not
// an error.
func (t Terms) Check() error {
	if t.Vendor < 0 || t.Vendor > maxVendor {
		return errVendor
	}
	if slices.ContainsFunc(t.Purposes, func(p int) bool { return p < 1 || p > maxPurpose }) {
		return errPurpose
	}
	return nil
}

func (t Terms) purposes() []int {
	if len(t.Purposes) == 0 {
		return defaultPurposes
	}
	return t.Purposes
}

// fault is why a string can't be read, after the step that found out.
type fault string

func (f fault) Error() string { return "signal: " + string(f) }

func (f fault) verdict() Verdict { return Verdict{Result: Malformed, Why: string(f)} }
