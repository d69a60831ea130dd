package policy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

// The values of PROTOCOL.md §15, and default.toml's for the fields that have no
// default there.
func wantDefault() *Policy {
	return &Policy{
		Version:        1,
		Universe:       "users",
		Classes:        []identifier.Class{identifier.EmailUID2, identifier.PhoneE164},
		Modes:          []psi.Mode{psi.PLearns},
		MaxQHat:        1 << 24,
		MaxNHat:        1 << 24,
		MaxEvaluations: 1 << 28,
		MaxReleases:    10,
		Tau:            100,
		Epsilon:        Epsilon{1, 2},
		Delta:          1e-9,
		TExtra:         42,
		EpochSeconds:   604_800,
		ResumeSeconds:  600,
		SessionSeconds: 86_400,
		ReleaseStep:    10,
		Window:         8,
		RetentionDays:  180,
		AuditSamples:   4603,
		Beacon:         "none",
		Witnesses:      2,
		Consent: Consent{
			Version:     1,
			Bases:       []consent.Basis{consent.BasisConsent, consent.BasisNoticeOptOut},
			TCFPurposes: []uint64{3, 4},
			Sources:     []Source{FirstParty},
		},
		Hygiene: Hygiene{MinList: 1000, Display: DisplayExact},
	}
}

func TestDefault(t *testing.T) {
	if lines := fieldDiff(Default(), wantDefault()); lines != nil {
		t.Errorf("default.toml differs from PROTOCOL.md §15: %q", lines)
	}
}

// fieldDiff is Diff of the fields alone.
func fieldDiff(a, b *Policy) []string {
	x, y := *a, *b
	x.document, y.document = nil, nil
	return Diff(&x, &y)
}

// A document without them gets the protocol's defaults.
func TestDefaultsOfFields(t *testing.T) {
	p, err := Parse(minimal())
	if err != nil {
		t.Fatal(err)
	}
	if lines := fieldDiff(p, wantDefault()); lines != nil {
		t.Errorf("defaults differ from PROTOCOL.md §15: %q", lines)
	}
}

func TestDefaultSetsEveryField(t *testing.T) {
	lines, err := fieldLines(Default().Bytes())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fields {
		if lines[f.name] == 0 {
			t.Errorf("default.toml doesn't explain %s", f.name)
		}
	}
}

// What the comments of default.toml tell a privacy officer.
func TestDefaultStatesWhatItCosts(t *testing.T) {
	p := Default()
	epsilon, delta := p.EpochTotal()
	if epsilon != 5 || math.Abs(delta-1e-8) > 1e-23 {
		t.Errorf("an epoch's releases add up to (%g, %g), the comment says (5, 1e-8)", epsilon, delta)
	}
	if got := p.Release().Smallest(); got != 141 {
		t.Errorf("smallest release %d, the comment says 141", got)
	}
	guess := func(epsilon float64) float64 { return math.Round(100 / (1 + math.Exp(-epsilon))) }
	if guess(0.5) != 62 || guess(2) != 88 || guess(epsilon) != 99 {
		t.Errorf("best guesses %g, %g and %g of 100, the comment says 62, 88 and 99", guess(0.5), guess(2), guess(epsilon))
	}
	for _, c := range []struct {
		releases int
		want     float64
	}{{4, 68}, {10, 78}, {20, 86}, {520, 100}} {
		if got := math.Round(100 * averageGuess(0.5, c.releases)); got != c.want {
			t.Errorf("after %d releases the average best guess is %g of 100, the comment says %g", c.releases, got, c.want)
		}
	}
	if got := release.MinTExtra(1, 10, p.Delta); got != 202 {
		t.Errorf("ε = 1/10 needs t_extra %d, the comment says 202", got)
	}
	if found := 1 - math.Pow(0.999, float64(p.AuditSamples)); found < 0.99 {
		t.Errorf("%d samples find one in a thousand with probability %g, the comment says 0.99", p.AuditSamples, found)
	}
}

// averageGuess is how often the best guess between c and c+1 is right, from even
// odds, after n releases with noise of the given ε: one half and half the total
// variation distance. Each release speaks for the truth, by a factor e^ε, with
// probability 1/(1+e^−ε), and against it otherwise.
func averageGuess(epsilon float64, n int) float64 {
	q := 1 / (1 + math.Exp(-epsilon))
	distance, ways := 0.0, 1.0
	for k := range n + 1 {
		here := ways * math.Pow(q, float64(n-k)) * math.Pow(1-q, float64(k))
		there := ways * math.Pow(q, float64(k)) * math.Pow(1-q, float64(n-k))
		distance += max(0, here-there)
		ways *= float64(n-k) / float64(k+1)
	}
	return 0.5 + distance/2
}

func TestDefaultIsFresh(t *testing.T) {
	Default().Modes[0] = psi.ALearns
	if got := Default().Modes[0]; got != psi.PLearns {
		t.Errorf("a caller changed the default to %v", got)
	}
}

func TestHashIsOfTheBytes(t *testing.T) {
	document, err := os.ReadFile("presets/default.toml")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	if p.Hash() != sha256.Sum256(document) || p.Hash() != Default().Hash() {
		t.Error("the hash is not SHA-256 of the document")
	}
	for name, other := range map[string][]byte{
		"CRLF":             bytes.ReplaceAll(document, []byte("\n"), []byte("\r\n")),
		"comment":          append(bytes.Clone(document), "# agreed\n"...),
		"no final newline": bytes.TrimSuffix(document, []byte("\n")),
	} {
		q, err := Parse(other)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if q.Hash() == p.Hash() {
			t.Errorf("%s: the hash didn't change", name)
		}
		if fieldDiff(p, q) != nil {
			t.Errorf("%s: the fields changed", name)
		}
	}
}

// The hash of one fixed document, computed with sha256sum.
func TestHashKnownAnswer(t *testing.T) {
	p, err := Parse(minimal())
	if err != nil {
		t.Fatal(err)
	}
	const want = "ac1b0c276848ddddb5c8b7c85f1ef904111def211803c2b1a8181f1166cbe51c"
	if hash := p.Hash(); hex.EncodeToString(hash[:]) != want {
		t.Errorf("hash %x, want %s", hash, want)
	}
}

func TestPolicyKeepsItsOwnBytes(t *testing.T) {
	document := minimal()
	p, err := Parse(document)
	if err != nil {
		t.Fatal(err)
	}
	hash := p.Hash()
	clear(document)
	clear(p.Bytes())
	if p.Hash() != hash || !bytes.Equal(p.Bytes(), minimal()) {
		t.Error("a caller's slice reaches into the policy")
	}
}

func TestRule(t *testing.T) {
	p := Default()
	rule := p.Rule()
	at := time.Unix(1_795_392_000, 0)
	for class, want := range map[identifier.Class]error{
		identifier.EmailUID2:  nil,
		identifier.PhoneE164:  nil,
		identifier.EmailPlain: consent.RefusedClass,
	} {
		record := consent.Record{Class: class, Sum: [32]byte{1}, Purpose: consent.AdsMatching, Status: consent.Granted, Basis: consent.BasisConsent, CollectedAt: at}
		if _, err := rule.Admit(&record, at); err != want {
			t.Errorf("%v: %v, want %v", class, err, want)
		}
	}
	rule.Classes[0], rule.Bases[0] = identifier.EmailPlain, consent.BasisContract
	if p.Classes[0] != identifier.EmailUID2 || p.Consent.Bases[0] != consent.BasisConsent {
		t.Error("a caller's rule reaches into the policy")
	}
}

// Each line of [consent] that a Rule has a field for reaches it.
func TestRuleOfSection(t *testing.T) {
	at := time.Unix(1_795_392_000, 0)
	day := 24 * time.Hour
	for _, c := range []struct {
		line  string
		basis consent.Basis
		place string
		age   time.Duration
		want  error
	}{
		{`consent.version = 2`, consent.BasisConsent, "", 9999 * day, nil},
		{`consent.version = 2`, consent.BasisNoticeOptOut, "US", 0, nil},
		{`consent.version = 2`, consent.BasisNoticeOptOut, "FR", 0, consent.RefusedBasis},
		{`consent.version = 2`, consent.BasisLegitimateInterests, "US", 0, consent.RefusedBasis},
		{`consent.bases = ["consent"]`, consent.BasisNoticeOptOut, "US", 0, consent.RefusedBasis},
		{`consent.bases = ["legitimate_interests"]`, consent.BasisLegitimateInterests, "US", 0, nil},
		{`consent.bases = ["legitimate_interests"]`, consent.BasisConsent, "US", 0, consent.RefusedBasis},
		{`consent.jurisdictions = ["US-CA", "FR"]`, consent.BasisConsent, "FR", 0, nil},
		{`consent.jurisdictions = ["US-CA", "FR"]`, consent.BasisConsent, "US", 0, consent.RefusedJurisdiction},
		{`consent.jurisdictions = ["US-CA", "FR"]`, consent.BasisConsent, "", 0, consent.RefusedJurisdiction},
		{`consent.max_age_days = 30`, consent.BasisConsent, "US", 30 * day, nil},
		{`consent.max_age_days = 30`, consent.BasisConsent, "US", 30*day + 1, consent.RefusedAge},
		{`consent.max_age_days = 36500`, consent.BasisConsent, "US", 9999 * day, nil},
	} {
		p, err := Parse(with(minimal(), c.line))
		if err != nil {
			t.Fatal(err)
		}
		record := consent.Record{Class: identifier.EmailUID2, Sum: [32]byte{1}, Purpose: consent.AdsMatching, Status: consent.Granted,
			Basis: c.basis, Jurisdiction: c.place, CollectedAt: at.Add(-c.age)}
		if _, err := p.Rule().Admit(&record, at); err != c.want {
			t.Errorf("%s: %v in %q, %v old: %v, want %v", c.line, c.basis, c.place, c.age, err, c.want)
		}
	}
}

func TestRelease(t *testing.T) {
	p, err := Parse(with(minimal(), "tau = 1000", `epsilon = "1/10"`, "delta = 1e-8", "t_extra = 300"))
	if err != nil {
		t.Fatal(err)
	}
	want := release.Params{Tau: 1000, EpsilonNum: 1, EpsilonDen: 10, Delta: 1e-8, TExtra: 300}
	if got := p.Release(); got != want || got.Check() != nil {
		t.Errorf("Release() = %+v, want %+v", got, want)
	}
}

func TestEpoch(t *testing.T) {
	p := Default()
	for _, c := range []struct {
		unix int64
		want uint64
	}{
		{math.MinInt64, 0}, {-1, 0}, {0, 0}, {604_799, 0}, {604_800, 1}, {604_801, 1},
		{1_795_392_000, 2968}, // 23 November 2026
	} {
		if got := p.Epoch(time.Unix(c.unix, 0)); got != c.want {
			t.Errorf("epoch of %d is %d, want %d", c.unix, got, c.want)
		}
	}
	if p.Epoch(time.Time{}) != 0 {
		t.Error("the zero time is in a late epoch")
	}
}

func TestDiff(t *testing.T) {
	a := Default()
	b, err := Parse([]byte(`
		version = 1
		purpose = "ads_matching"
		universe = "shop"
		classes = ["phone.e164-1"]
		modes = ["MUTUAL_P", "A_LEARNS"]
		label_len = 34
		max_q_hat = 1
		max_n_hat = 2
		max_evaluations = 3
		max_releases = 0
		tau = 1000
		epsilon = "1/10"
		delta = 1e-8
		t_extra = 300
		epoch_seconds = 3600
		resume_seconds = 0
		session_seconds = 60
		release_step = 1
		window = 64
		retention_days = 1
		audit_samples = 1
		beacon = "drand:8990e7a9"
		witnesses = 0
		[hygiene]
		min_list = 0
		small_list = "refuse"
		display = "top85"
		[consent]
		version = 2
		purposes = ["ads_matching"]
		bases = ["consent"]
		jurisdictions = ["US-CA", "FR"]
		max_age_days = 365
		tcf_vendor = 755
		tcf_purposes = [7, 4, 3]
		us_unknown = "admit"
		list_default = "granted"
		data_source = ["third_party", "first_party"]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`universe: "users" ≠ "shop"`,
		"classes: email.uid2-1, phone.e164-1 ≠ phone.e164-1",
		"modes: P_LEARNS ≠ A_LEARNS, MUTUAL_P",
		"label_len: 0 ≠ 34",
		"max_q_hat: 16777216 ≠ 1",
		"max_n_hat: 16777216 ≠ 2",
		"max_evaluations: 268435456 ≠ 3",
		"max_releases: 10 ≠ 0",
		"tau: 100 ≠ 1000",
		"epsilon: 1/2 ≠ 1/10",
		"delta: 1e-09 ≠ 1e-08",
		"t_extra: 42 ≠ 300",
		"epoch_seconds: 604800 ≠ 3600",
		"resume_seconds: 600 ≠ 0",
		"session_seconds: 86400 ≠ 60",
		"release_step: 10 ≠ 1",
		"window: 8 ≠ 64",
		"retention_days: 180 ≠ 1",
		"audit_samples: 4603 ≠ 1",
		`beacon: "none" ≠ "drand:8990e7a9"`,
		"witnesses: 2 ≠ 0",
		"consent.version: 1 ≠ 2",
		"consent.bases: consent, notice_opt_out ≠ consent",
		"consent.jurisdictions: all ≠ FR, US-CA",
		"consent.max_age_days: 0 ≠ 365",
		"consent.tcf_vendor: 0 ≠ 755",
		"consent.tcf_purposes: 3, 4 ≠ 3, 4, 7",
		"consent.us_unknown: exclude ≠ admit",
		"consent.list_default: none ≠ granted",
		"consent.data_source: first_party ≠ first_party, third_party",
		"hygiene.min_list: 1000 ≠ 0",
		"hygiene.small_list: warn ≠ refuse",
		"hygiene.display: exact ≠ top85",
	}
	if got := Diff(a, b); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := Diff(a, Default()); got != nil {
		t.Errorf("a policy differs from itself: %q", got)
	}
}

func TestDiffOfBytesOnly(t *testing.T) {
	other, err := Parse(append(Default().Bytes(), '\n'))
	if err != nil {
		t.Fatal(err)
	}
	got := Diff(Default(), other)
	if len(got) != 1 || !strings.Contains(got[0], "the bytes differ") {
		t.Errorf("got %q", got)
	}
}
