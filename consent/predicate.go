package consent

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

// Predicate says which records are meant when something turns out to have been
// wrong: those collected for a purpose that never allowed it, those of a source
// that was mislabelled, those under a notice that misled. A field that is empty
// means any; the zero Predicate means every record.
type Predicate struct {
	Purposes      []Purpose
	Bases         []Basis
	Kinds         []identifier.Kind // of the identifier
	Sources       []string
	Notices       []string
	Surfaces      []string
	References    []string
	Jurisdictions []string  // a country's code means its subdivisions too; "" is unknown
	Since         time.Time // collected at this time or later
	Until         time.Time // collected before this time
}

// Matches reports whether the record is one of those meant.
func (p *Predicate) Matches(r *Record) bool {
	return among(p.Purposes, r.Purpose) && among(p.Bases, r.Basis) && p.Covers(r.Class) &&
		among(p.Sources, r.Source) && among(p.Notices, r.Notice) && among(p.Surfaces, r.Surface) && among(p.References, r.Reference) &&
		p.coversJurisdiction(r.Jurisdiction) &&
		!r.CollectedAt.Before(p.Since) && (p.Until.IsZero() || r.CollectedAt.Before(p.Until))
}

func among[T comparable](list []T, v T) bool { return len(list) == 0 || slices.Contains(list, v) }

// Covers reports whether identifiers of the class are meant.
func (p *Predicate) Covers(c identifier.Class) bool { return among(p.Kinds, c.Kind()) }

func (p *Predicate) coversJurisdiction(j string) bool {
	return among(p.Jurisdictions, j) || len(j) > 2 && slices.Contains(p.Jurisdictions, j[:2])
}

// Affects reports whether an identifier whose valid records are these was misused
// if it was used: all of them are meant. One that is not is reason enough for the
// use, so a number given for security and for advertising is not misused; and if
// no record held at all, there was no reason.
func (p *Predicate) Affects(c identifier.Class, valid []Record) bool {
	if !p.Covers(c) {
		return false
	}
	for i := range valid {
		if !p.Matches(&valid[i]) {
			return false
		}
	}
	return true
}

// Errors of ParsePredicate. They hold nothing of the words.
var (
	errPredicateWord  = errors.New("consent: predicate: not of the form key=value|value")
	errPredicateKey   = errors.New("consent: predicate: unknown key; there are purpose, basis, kind, source, notice, surface, reference, jurisdiction, since and until")
	errPredicateKind  = errors.New("consent: predicate: kind is neither email nor phone")
	errPredicatePlace = errors.New("consent: predicate: not a jurisdiction")
	errPredicateText  = errors.New("consent: predicate: value longer than any record's")
	errPredicateTime  = errors.New("consent: predicate: since and until are one date or one RFC 3339 time each, since the earlier")
)

// ParsePredicate reads words such as
//
//	purpose=account_security_2fa|account_recovery source=crm-7 kind=phone since=2026-01-01
//
// one word an element. Values of one key are alternatives, whether in one word or
// in several; a record must meet every key. A backslash makes the character after
// it an ordinary one. Dates are the first moment of the day in UTC. An unknown key
// or value is an error: a predicate that is not understood would count wrongly.
func ParsePredicate(words []string) (Predicate, error) {
	var p Predicate
	for _, word := range words {
		key, list, ok := strings.Cut(word, "=")
		if !ok {
			return Predicate{}, errPredicateWord
		}
		values, err := splitValues(list)
		if err != nil {
			return Predicate{}, err
		}
		for _, v := range values {
			if err := p.add(key, v); err != nil {
				return Predicate{}, err
			}
		}
	}
	if !p.Until.IsZero() && !p.Since.Before(p.Until) {
		return Predicate{}, errPredicateTime
	}
	return p, nil
}

func (p *Predicate) add(key, value string) error {
	switch key {
	case "purpose":
		return parseInto(&p.Purposes, value, ParsePurpose)
	case "basis":
		return parseInto(&p.Bases, value, ParseBasis)
	case "kind":
		return parseInto(&p.Kinds, value, parseKind)
	case "source":
		return parseInto(&p.Sources, value, parseText)
	case "notice":
		return parseInto(&p.Notices, value, parseText)
	case "surface":
		return parseInto(&p.Surfaces, value, parseText)
	case "reference":
		return parseInto(&p.References, value, parseText)
	case "jurisdiction":
		return parseInto(&p.Jurisdictions, value, parseJurisdiction)
	case "since":
		return parseTime(&p.Since, value)
	case "until":
		return parseTime(&p.Until, value)
	}
	return errPredicateKey
}

func parseInto[T comparable](list *[]T, value string, parse func(string) (T, error)) error {
	v, err := parse(value)
	if err == nil && !slices.Contains(*list, v) {
		*list = append(*list, v)
	}
	return err
}

func parseText(s string) (string, error) {
	if len(s) > MaxText {
		return "", errPredicateText
	}
	return s, nil
}

func parseKind(s string) (identifier.Kind, error) {
	for _, k := range []identifier.Kind{identifier.Email, identifier.Phone} {
		if k.String() == s {
			return k, nil
		}
	}
	return 0, errPredicateKind
}

func parseJurisdiction(s string) (string, error) {
	if !ValidJurisdiction(s) {
		return "", errPredicatePlace
	}
	return s, nil
}

// parseTime takes one value only: of two, neither is meant for certain.
func parseTime(t *time.Time, s string) (err error) {
	if !t.IsZero() {
		return errPredicateTime
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339Nano} {
		if *t, err = time.Parse(layout, s); err == nil && !t.IsZero() {
			*t = t.UTC()
			return nil
		}
	}
	return errPredicateTime
}

// splitValues splits at every bar that no backslash stands before.
func splitValues(list string) (values []string, err error) {
	var value strings.Builder
	for rest := list; ; rest = rest[1:] {
		switch {
		case rest == "":
			return append(values, value.String()), nil
		case rest[0] == '|':
			values = append(values, value.String())
			value.Reset()
			continue
		case rest[0] == '\\':
			if rest = rest[1:]; rest == "" {
				return nil, errPredicateWord
			}
		}
		value.WriteByte(rest[0])
	}
}

// String returns the words, separated by spaces: what an incident is defined by
// on record. The zero Predicate is "".
func (p Predicate) String() string { return strings.Join(p.Words(), " ") }

// Words returns words that ParsePredicate reads as the same predicate, in one
// order whatever the order of the values.
func (p Predicate) Words() (words []string) {
	word := func(key string, values []string) {
		for i, v := range values {
			values[i] = escapeValue.Replace(v)
		}
		slices.Sort(values)
		if len(values) > 0 {
			words = append(words, key+"="+strings.Join(values, "|"))
		}
	}
	word("purpose", names(p.Purposes))
	word("basis", names(p.Bases))
	word("kind", names(p.Kinds))
	word("source", slices.Clone(p.Sources))
	word("notice", slices.Clone(p.Notices))
	word("surface", slices.Clone(p.Surfaces))
	word("reference", slices.Clone(p.References))
	word("jurisdiction", slices.Clone(p.Jurisdictions))
	word("since", timeText(p.Since))
	word("until", timeText(p.Until))
	return words
}

var escapeValue = strings.NewReplacer(`\`, `\\`, `|`, `\|`)

func names[T interface{ String() string }](list []T) (names []string) {
	for _, v := range list {
		names = append(names, v.String())
	}
	return names
}

func timeText(t time.Time) []string {
	if t.IsZero() {
		return nil
	}
	return []string{t.UTC().Format(time.RFC3339Nano)}
}
