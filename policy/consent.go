package policy

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// Consent is the section [consent]: whose consent counts, and what a list's
// columns must say. The purpose is not in it, since there is one.
type Consent struct {
	Version        uint64          // of these rules, counted up by the companies; default 1
	Bases          []consent.Basis // admitted grounds in law, increasing; default consent and notice_opt_out
	Jurisdictions  []string        // admitted ones, sorted; none: all, also unknown ones
	MaxAgeDays     uint64          // of a consent; 0: no limit
	TCFVendor      uint64          // the platform's id in the IAB's vendor list; 0: TCF strings can't be judged
	TCFPurposes    []uint64        // 1–24, increasing: those a TCF string must consent to; default 3 and 4
	AdmitUSUnknown bool            // a US opt-out string that says neither; default false
	DefaultGranted bool            // where neither law nor list decides; default false
	Sources        []Source        // whose lists may be matched, increasing; default FirstParty
}

// Allows reports whether lists of that source may be matched.
func (c *Consent) Allows(s Source) bool { return slices.Contains(c.Sources, s) }

// Hygiene is the section [hygiene]: rules that other systems have and that people
// ask for. Each can be got around by padding a list, and none protects anybody:
// that is what the noised count and its budget are for.
type Hygiene struct {
	MinList     uint64  // people a list should have; 0: any list; default 1000
	RefuseSmall bool    // refuse a smaller one, or else say so; default false
	Display     Display // default DisplayExact
}

// Source says where an advertiser has its list from.
type Source uint8

// The sources.
const (
	FirstParty Source = iota + 1 // the advertiser's own customers
	ThirdParty                   // bought, or from a partner
)

var sourceNames = [...]string{FirstParty: "first_party", ThirdParty: "third_party"}

var (
	errInadmissible = errors.New("policy: the basis can't be admitted")
	errSource       = errors.New("policy: unknown source of a list")
	errDisplay      = errors.New("policy: unknown display")
)

// ParseSource returns the source of the given name. An unknown or empty name is
// an error.
func ParseSource(name string) (Source, error) {
	if i := slices.Index(sourceNames[:], name); i > 0 {
		return Source(i), nil
	}
	return 0, errSource
}

func (s Source) String() string {
	if s == 0 || int(s) >= len(sourceNames) {
		return fmt.Sprintf("Source(%d)", uint8(s))
	}
	return sourceNames[s]
}

// Display is how the advertiser's program shows the one count it is told. The
// receipt that both companies keep holds the count whatever the display.
type Display uint8

// The displays.
const (
	DisplayExact   Display = iota + 1 // the noised count
	DisplayPercent                    // of the list, in whole percent
	DisplayTop85                      // the same, but ">85%" for all above
)

var displayNames = [...]string{DisplayExact: "exact", DisplayPercent: "percent", DisplayTop85: "top85"}

// ParseDisplay returns the display of the given name. An unknown or empty name is
// an error.
func ParseDisplay(name string) (Display, error) {
	if i := slices.Index(displayNames[:], name); i > 0 {
		return Display(i), nil
	}
	return 0, errDisplay
}

func (d Display) valid() bool { return d > 0 && int(d) < len(displayNames) }

func (d Display) String() string {
	if !d.valid() {
		return fmt.Sprintf("Display(%d)", uint8(d))
	}
	return displayNames[d]
}

// Rate returns count as a share of people as this display has it: "37%", ">85%".
// It is "" if there are no people. More than all are all: the noise, or two
// accounts with one address, can say so.
func (d Display) Rate(count, people uint64) string {
	if people == 0 {
		return ""
	}
	percent := uint64(100)
	if count < people {
		percent = uint64(100*float64(count)/float64(people) + 0.5)
	}
	if d == DisplayTop85 && percent > 85 {
		return ">85%"
	}
	return fmt.Sprintf("%d%%", percent)
}

// Rule returns what admits a consent record under this policy.
func (p *Policy) Rule() consent.Rule {
	return consent.Rule{
		Classes:       slices.Clone(p.Classes),
		Bases:         slices.Clone(p.Consent.Bases),
		Jurisdictions: slices.Clone(p.Consent.Jurisdictions),
		MaxAge:        time.Duration(p.Consent.MaxAgeDays) * 24 * time.Hour,
	}
}
