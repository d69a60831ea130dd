package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

// A field is one line of the document. The table of fields is the only place
// that knows their names, types, defaults, bounds and meaning.
type field struct {
	name   string                  // with its section and a dot if it has one: "consent.bases"
	means  string                  // one line for people
	want   string                  // completes "must be …"
	preset any                     // the value if the document has none, nil: it must have one
	read   func(*Policy, any) bool // takes what TOML gave; false: another type or form
	check  func(*Policy) bool      // in bounds
	show   func(*Policy) string
}

// or returns f with a default.
func (f field) or(preset any) field {
	f.preset = preset
	return f
}

// is returns f with its meaning.
func (f field) is(means string) field {
	f.means = means
	return f
}

// sections are the document's tables. Every field of one has a default, so that a
// document may do without.
var sections = []string{"consent", "hygiene"}

// fields are those of PROTOCOL.md §15 with their defaults, the document's own
// version and purpose, and its sections.
var fields = slices.Concat(topFields, consentFields, hygieneFields)

var topFields = []field{
	integer("version", 1, 1, func(p *Policy) *uint64 { return &p.Version }).
		is("the document's format"),
	purpose().is("what identifiers are used for; nothing else can be named"),
	text("universe", 64, "1 to 64 characters of a-z, 0-9, '.', '_' and '-'", isName,
		func(p *Policy) *string { return &p.Universe }).
		is("the platform's set of accounts"),
	list("classes", `1 to 16 different profiles, such as ["email.uid2-1", "phone.e164-1"]`, identifier.ParseClass,
		func(p *Policy) *[]identifier.Class { return &p.Classes }).
		is("how identifiers are spelled before they are compared"),
	list("modes", `a list of different modes, from "P_LEARNS", "A_LEARNS", "MUTUAL_A" and "MUTUAL_P"`, psi.ParseMode,
		func(p *Policy) *[]psi.Mode { return &p.Modes }).or([]any{"P_LEARNS"}).
		is("who learns which people match"),
	labelLen().or(int64(0)).
		is("room for what a match tells the advertiser of an account; 0: nothing"),

	// Sizes stay below what one key may evaluate, PROTOCOL.md §12.
	integer("max_q_hat", 1, 1<<40, func(p *Policy) *uint64 { return &p.MaxQHat }).
		is("items asked in one session, padded"),
	integer("max_n_hat", 1, 1<<40, func(p *Policy) *uint64 { return &p.MaxNHat }).
		is("items asked about in one session, padded"),
	integer("max_evaluations", 1, 1<<40, func(p *Policy) *uint64 { return &p.MaxEvaluations }).
		is("items asked in one epoch, over all sessions"),
	integer("max_releases", 0, 1000, func(p *Policy) *uint64 { return &p.MaxReleases }).
		is("counts an advertiser may be told in one epoch"),

	integer("tau", 1, release.MaxTau, func(p *Policy) *uint64 { return &p.Tau }).or(int64(100)).
		is("accounts below which no count is told"),
	epsilon().or("1/2").is("how much one person can change what is seen of one count"),
	delta().or(1e-9).is("chance that a count is told that should not be"),
	integer("t_extra", 1, release.MaxTExtra, func(p *Policy) *uint64 { return &p.TExtra }).or(int64(42)).
		is("margin above tau, accounts"),

	// The key lives as long as the epoch: 30 days at most, PROTOCOL.md §7.4.
	integer("epoch_seconds", 3600, 30*86_400, func(p *Policy) *uint64 { return &p.EpochSeconds }).or(int64(604_800)).
		is("length of an epoch, after which budgets start anew"),
	integer("resume_seconds", 0, 86_400, func(p *Policy) *uint64 { return &p.ResumeSeconds }).or(int64(600)).
		is("how long a broken session can be taken up again"),
	integer("session_seconds", 60, 7*86_400, func(p *Policy) *uint64 { return &p.SessionSeconds }).or(int64(86_400)).
		is("how long a session may last"),
	integer("release_step", 1, 3600, func(p *Policy) *uint64 { return &p.ReleaseStep }).or(int64(10)).
		is("a count leaves at a multiple of so many seconds"),
	integer("window", 4, 64, func(p *Policy) *uint64 { return &p.Window }).or(int64(8)).
		is("chunks under way at a time"),

	integer("retention_days", 1, 3650, func(p *Policy) *uint64 { return &p.RetentionDays }).
		is("how long the platform keeps what an audit needs"),
	integer("audit_samples", 1, 1_000_000, func(p *Policy) *uint64 { return &p.AuditSamples }).or(int64(4603)).
		is("positions of a session that an audit opens"),
	text("beacon", 255, `"none" or the name of a public beacon, 1 to 255 visible ASCII characters`, isVisible,
		func(p *Policy) *string { return &p.Beacon }).or("none").
		is("where an audit's random choice comes from"),
	integer("witnesses", 0, 16, func(p *Policy) *uint64 { return &p.Witnesses }).or(int64(2)).
		is("independent signatures that a published table needs"),
}

func integer(name string, least, most uint64, at func(*Policy) *uint64) field {
	want := fmt.Sprintf("an integer from %d to %d", least, most)
	if least == most {
		want = strconv.FormatUint(least, 10)
	}
	return field{
		name: name,
		want: want,
		read: func(p *Policy, v any) bool {
			n, ok := v.(int64)
			*at(p) = uint64(n) // a negative one is now far out of bounds
			return ok
		},
		check: func(p *Policy) bool { return *at(p) >= least && *at(p) <= most },
		show:  func(p *Policy) string { return strconv.FormatUint(*at(p), 10) },
	}
}

// text is a string of 1 to most bytes of the given alphabet.
func text(name string, most int, want string, alphabet func(rune) bool, at func(*Policy) *string) field {
	outside := func(r rune) bool { return !alphabet(r) }
	return field{
		name: name,
		want: want,
		read: func(p *Policy, v any) (ok bool) {
			*at(p), ok = v.(string)
			return ok
		},
		check: func(p *Policy) bool {
			s := *at(p)
			return len(s) >= 1 && len(s) <= most && !strings.ContainsFunc(s, outside)
		},
		show: func(p *Policy) string { return strconv.Quote(*at(p)) },
	}
}

func isName(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

func isVisible(r rune) bool { return r > 0x20 && r < 0x7F }

// list is a set of 1 to 16 names, kept in the order of their codes whatever the
// document's order.
func list[T interface {
	~uint8
	String() string
}](name, want string, parse func(string) (T, error), at func(*Policy) *[]T) field {
	return field{
		name: name,
		want: want,
		read: func(p *Policy, v any) bool {
			names, ok := v.([]any)
			codes := make([]T, 0, len(names))
			for _, n := range names {
				s, isString := n.(string)
				code, err := parse(s)
				ok = ok && isString && err == nil
				codes = append(codes, code)
			}
			slices.Sort(codes)
			*at(p) = codes
			return ok
		},
		check: func(p *Policy) bool {
			codes := *at(p)
			ok := len(codes) >= 1 && len(codes) <= 16
			for i, code := range codes {
				_, err := parse(code.String())
				ok = ok && err == nil && (i == 0 || codes[i-1] < code)
			}
			return ok
		},
		show: func(p *Policy) string {
			var names []string
			for _, code := range *at(p) {
				names = append(names, code.String())
			}
			return strings.Join(names, ", ")
		},
	}
}

// purpose has one value, so a Policy does not hold it. It stands in the document
// for whoever signs it.
func purpose() field {
	ads := consent.AdsMatching.String()
	return field{
		name:  "purpose",
		want:  strconv.Quote(ads) + ", the only purpose anything is matched for",
		read:  func(_ *Policy, v any) bool { return v == ads },
		check: func(*Policy) bool { return true },
		show:  func(*Policy) string { return ads },
	}
}

// labelLen is PROTOCOL.md §7.3's: two bytes of length and the label.
func labelLen() field {
	f := integer("label_len", 0, psi.MaxLabelLen, func(p *Policy) *uint64 { return &p.LabelLen })
	f.want = fmt.Sprintf("0, or an integer from 2 to %d", psi.MaxLabelLen)
	inBounds := f.check
	f.check = func(p *Policy) bool { return inBounds(p) && psi.CheckLabelLen(int(p.LabelLen)) == nil }
	return f
}

// epsilon's bounds, and t_extra's from below, are release.Params.Check's.
func epsilon() field {
	return field{
		name: "epsilon",
		want: `a fraction of whole numbers, "s/t", such as "1/2"`,
		read: func(p *Policy, v any) (ok bool) {
			s, _ := v.(string)
			p.Epsilon, ok = parseEpsilon(s)
			return ok
		},
		check: func(*Policy) bool { return true },
		show:  func(p *Policy) string { return p.Epsilon.String() },
	}
}

// parseEpsilon reads "s/t" in the one spelling that String gives.
func parseEpsilon(s string) (e Epsilon, ok bool) {
	num, den, _ := strings.Cut(s, "/")
	e.Num, _ = strconv.ParseUint(num, 10, 64)
	e.Den, _ = strconv.ParseUint(den, 10, 64)
	return e, e.String() == s
}

func delta() field {
	return field{
		name: "delta",
		want: fmt.Sprintf("a number from %g to %g", release.MinDelta, release.MaxDelta),
		read: func(p *Policy, v any) (ok bool) {
			p.Delta, ok = v.(float64)
			return ok
		},
		check: func(p *Policy) bool { return p.Delta >= release.MinDelta && p.Delta <= release.MaxDelta },
		show:  func(p *Policy) string { return strconv.FormatFloat(p.Delta, 'g', -1, 64) },
	}
}
