package signal

import (
	"strconv"
	"strings"
	"time"
)

// TCF is a decoded TC string, for people who want to look. What a string of
// another version holds is not known, so there is none of another version.
type TCF struct {
	Created, LastUpdated  time.Time // of a tenth of a second; the specification wants whole days
	CmpID, CmpVersion     int
	ConsentScreen         int
	ConsentLanguage       string // two capitals, ISO 639-1
	VendorListVersion     int
	PolicyVersion         int
	IsServiceSpecific     bool
	UseNonStandardTexts   bool
	SpecialFeatureOptIns  Purposes
	PurposesConsent       Purposes
	PurposesLegitimate    Purposes // transparency of legitimate interest; never consent
	PurposeOneTreatment   bool
	PublisherCC           string // two capitals, ISO 3166-1
	VendorConsents        Vendors
	VendorLegitimate      Vendors
	PublisherRestrictions []Restriction

	// Disclosed are the vendors of the DisclosedVendors segment, if
	// HasDisclosed: the segment is there.
	HasDisclosed bool
	Disclosed    Vendors
}

// Purposes is a set of numbers from 1 to 24: bit 0 is number 1.
type Purposes uint32

// Has reports whether the set has number n.
func (p Purposes) Has(n int) bool { return n >= 1 && p>>(n-1)&1 == 1 }

// Vendors is a set of vendor ids, in ranges as the string has them.
type Vendors []Range

// Range is the ids from First to Last, both included.
type Range struct{ First, Last uint16 }

// Has reports whether the set has the vendor.
func (v Vendors) Has(id int) bool {
	for _, r := range v {
		if int(r.First) <= id && id <= int(r.Last) {
			return true
		}
	}
	return false
}

// RestrictionType is what a publisher asks of some vendors for one purpose.
type RestrictionType uint8

// The restriction types. 3 is not defined.
const (
	NotAllowed                RestrictionType = iota // the purpose, whatever the basis
	RequireConsent                                   // which a vendor that relies on consent meets
	RequireLegitimateInterest                        // so consent is no basis
)

// Restriction is a publisher's restriction.
type Restriction struct {
	Purpose int
	Type    RestrictionType
	Vendors Vendors
}

// The faults of a TC string.
const (
	faultAlphabet  fault = "T1: a character outside base64url"
	faultVersion   fault = "T1: the version is not 2"
	faultCore      fault = "T1: the core segment is too short"
	faultSegment   fault = "T1: a segment is too short"
	faultRange     fault = "T1: a range ends before it starts"
	faultDisclosed fault = "T1: two segments of disclosed vendors"
)

const (
	tcfVersion       = 2
	disclosedVendors = 1 // the segment's type
)

// DecodeTCF reads a TC string of version 2. The error is of constant text.
func DecodeTCF(s string) (*TCF, error) {
	t, f := decodeTCF(s)
	if f != "" {
		return nil, f
	}
	return t, nil
}

func decodeTCF(s string) (*TCF, fault) {
	core, rest, more := strings.Cut(s, ".")
	if !encoded(core) {
		return nil, faultAlphabet
	}
	t := new(TCF)
	if f := t.readCore(&bits{chars: core}); f != "" {
		return nil, f
	}
	for more {
		var segment string
		segment, rest, more = strings.Cut(rest, ".")
		if f := t.readSegment(segment); f != "" {
			return nil, f
		}
	}
	return t, ""
}

func (t *TCF) readCore(b *bits) (f fault) {
	if version := b.int(6); !b.short && version != tcfVersion {
		return faultVersion
	}
	t.Created = decisecond(b.uint(36))
	t.LastUpdated = decisecond(b.uint(36))
	t.CmpID = b.int(12)
	t.CmpVersion = b.int(12)
	t.ConsentScreen = b.int(6)
	t.ConsentLanguage = letters(b)
	t.VendorListVersion = b.int(12)
	t.PolicyVersion = b.int(6)
	t.IsServiceSpecific = b.bool()
	t.UseNonStandardTexts = b.bool()
	t.SpecialFeatureOptIns = readPurposes(b, 12)
	t.PurposesConsent = readPurposes(b, 24)
	t.PurposesLegitimate = readPurposes(b, 24)
	t.PurposeOneTreatment = b.bool()
	t.PublisherCC = letters(b)
	if t.VendorConsents, f = readVendors(b); f == "" {
		t.VendorLegitimate, f = readVendors(b)
	}
	if f == "" {
		t.PublisherRestrictions, f = readRestrictions(b)
	}
	if f == "" && b.short {
		f = faultCore
	}
	return f
}

// readSegment reads a segment after the core. Of their types only one matters
// here.
func (t *TCF) readSegment(segment string) (f fault) {
	if !encoded(segment) {
		return faultAlphabet
	}
	b := bits{chars: segment}
	kind := b.int(3)
	switch {
	case b.short:
		return faultSegment
	case kind != disclosedVendors:
		return ""
	case t.HasDisclosed:
		return faultDisclosed
	}
	t.HasDisclosed = true
	if t.Disclosed, f = readVendors(&b); f == "" && b.short {
		f = faultSegment
	}
	return f
}

func decisecond(n uint64) time.Time { return time.UnixMilli(int64(n) * 100).UTC() }

// letters reads two letters of six bits, A being 0.
func letters(b *bits) string {
	var s [2]byte
	for i := range s {
		s[i] = '?'
		if n := b.int(6); n < 26 {
			s[i] = 'A' + byte(n)
		}
	}
	return string(s[:])
}

// readPurposes reads n bits, of which the first stands for number 1.
func readPurposes(b *bits, n int) (p Purposes) {
	for i := range n {
		p |= Purposes(b.uint(1)) << i
	}
	return p
}

// readVendors reads a set of vendors: a bit for each up to the greatest, or
// ranges.
func readVendors(b *bits) (Vendors, fault) {
	greatest := b.int(16)
	if b.bool() {
		return readRanges(b)
	}
	var v Vendors
	for id := 1; id <= greatest && !b.short; id++ {
		switch last := len(v) - 1; {
		case !b.bool():
		case last >= 0 && int(v[last].Last) == id-1:
			v[last].Last++
		default:
			v = append(v, Range{uint16(id), uint16(id)})
		}
	}
	return v, ""
}

func readRanges(b *bits) (v Vendors, f fault) {
	for n := b.int(12); n > 0; n-- {
		many := b.bool()
		r := Range{First: uint16(b.uint(16))}
		r.Last = r.First
		if many {
			r.Last = uint16(b.uint(16))
		}
		switch {
		case b.short:
			return nil, ""
		case r.Last < r.First:
			return nil, faultRange
		}
		v = append(v, r)
	}
	return v, ""
}

func readRestrictions(b *bits) (list []Restriction, f fault) {
	for n := b.int(12); n > 0 && !b.short; n-- {
		r := Restriction{Purpose: b.int(6), Type: RestrictionType(b.uint(2))}
		if r.Vendors, f = readRanges(b); f != "" {
			return nil, f
		}
		list = append(list, r)
	}
	return list, ""
}

// disclosureNeeded is when TCF 2.3 made the DisclosedVendors segment mandatory;
// a string of an earlier day stays usable without it.
var disclosureNeeded = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

// leastPolicy is the oldest TcfPolicyVersion that is still valid, since
// 30 September 2023.
const leastPolicy = 4

// JudgeTCF says what a TC string means for the vendor and the purposes, by
// consent: steps T1 to T7. A string that T1 to T4 let pass is UNKNOWN without a
// vendor.
func JudgeTCF(s string, terms Terms) Verdict {
	t, f := decodeTCF(s)
	if f != "" {
		return f.verdict()
	}
	return t.Judge(terms)
}

// Judge does steps T2 to T7. The verdict's time is the earlier of the string's
// two.
func (t *TCF) Judge(terms Terms) Verdict {
	v := t.judge(terms)
	v.OptIn = v.Result == Granted
	v.At = t.LastUpdated
	if t.Created.Before(v.At) {
		v.At = t.Created
	}
	return v
}

func (t *TCF) judge(terms Terms) Verdict {
	switch {
	case !t.HasDisclosed && !t.Created.Before(disclosureNeeded):
		return Verdict{Result: Malformed, Why: "T2: no disclosed vendors, and created since 1 March 2026"}
	case t.PolicyVersion < leastPolicy:
		return Verdict{Result: Invalid, Why: "T3: the policy version is below 4"}
	case !t.IsServiceSpecific:
		return Verdict{Result: Invalid, Why: "T4: not service-specific"}
	case terms.Vendor <= 0:
		return Verdict{Result: Unknown, Why: "no vendor id to judge a TCF string for"}
	}
	for _, r := range t.PublisherRestrictions {
		if r.bars(terms) {
			return Verdict{Result: Denied, Why: "T5: a publisher restriction on purpose " + strconv.Itoa(r.Purpose)}
		}
	}
	for _, p := range terms.purposes() {
		if !t.PurposesConsent.Has(p) {
			return Verdict{Result: Denied, Why: "T6: purpose " + strconv.Itoa(p) + " lacks consent"}
		}
	}
	switch {
	case !t.VendorConsents.Has(terms.Vendor):
		return Verdict{Result: Denied, Why: "T7: the vendor lacks consent"}
	case t.HasDisclosed && !t.Disclosed.Has(terms.Vendor):
		return Verdict{Result: Denied, Why: "T7: the vendor was not disclosed"}
	}
	return Verdict{Result: Granted, Why: "the vendor and the purposes have consent"}
}

// bars reports whether a restriction keeps the vendor from a required purpose.
func (r *Restriction) bars(terms Terms) bool {
	if r.Type != NotAllowed && r.Type != RequireLegitimateInterest || !r.Vendors.Has(terms.Vendor) {
		return false
	}
	for _, p := range terms.purposes() {
		if p == r.Purpose {
			return true
		}
	}
	return false
}
