package policy

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/release"
)

func preset(t testing.TB, name string) *Policy {
	t.Helper()
	p, err := Preset(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every preset is a whole policy whose margin is the least that its ε and δ allow:
// one more account would be waste, one less does not parse.
func TestPresets(t *testing.T) {
	for _, name := range Presets {
		p := preset(t, name)
		if err := p.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if least := release.MinTExtra(p.Epsilon.Num, p.Epsilon.Den, p.Delta); p.TExtra != least {
			t.Errorf("%s: t_extra %d, needed are %d", name, p.TExtra, least)
		}
		if p.MaxEvaluations < p.MaxQHat*min(p.MaxReleases, 8) {
			t.Errorf("%s: the releases of an epoch need more evaluations than there are", name)
		}
		if !p.Consent.Allows(FirstParty) || p.Consent.Allows(ThirdParty) {
			t.Errorf("%s: sources %v", name, p.Consent.Sources)
		}
		for _, f := range p.Fields() {
			if f.Name == "" || f.Value == "" || f.Means == "" || strings.HasSuffix(f.Means, ".") {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	for _, name := range []string{"", "Default", "pair.toml", "../policy", "presets"} {
		if p, err := Preset(name); err == nil || p != nil {
			t.Errorf("there is a preset %q", name)
		}
	}
	if Default().Hash() != preset(t, Presets[0]).Hash() {
		t.Error("the first preset is not the default")
	}
}

// What the comments of pair.toml say, clause by clause.
func TestPairMeetsItsClauses(t *testing.T) {
	p := preset(t, "pair")
	if p.Tau != 1000 || p.Release().Smallest() != 1201 {
		t.Errorf("tau %d, smallest %d", p.Tau, p.Release().Smallest())
	}
	if p.EpochSeconds != 30*86_400 {
		t.Errorf("an epoch of %d seconds", p.EpochSeconds)
	}
	if epsilon, _ := p.EpochTotal(); epsilon != 1 {
		t.Errorf("an epoch's releases add up to %g", epsilon)
	}
	if p.Hygiene != (Hygiene{MinList: 1000, RefuseSmall: true, Display: DisplayTop85}) {
		t.Errorf("hygiene %+v", p.Hygiene)
	}
	if p.Classes[0] != identifier.PhoneE164 || p.Classes[1] != identifier.EmailPlain {
		t.Errorf("classes %v", p.Classes)
	}
	text := string(p.Bytes())
	for _, clause := range []string{"DCR 1:", "DCR 7:", "DCR 8a", "8b", "DCR 8c", "DCR 8d", "DCR 8e", "DCR 10:", "DCR 11:", "Advertiser 1:"} {
		if !strings.Contains(text, clause) {
			t.Errorf("clause %s is not named", clause)
		}
	}
}

func TestStrictIsStricter(t *testing.T) {
	strict, ordinary := preset(t, "strict"), Default()
	epsilon, _ := strict.EpochTotal()
	if epsilon != 0.2 || math.Round(100/(1+math.Exp(-epsilon))) != 55 {
		t.Errorf("an epoch's releases add up to %g", epsilon)
	}
	if strict.Release().Smallest() != 1448 || strict.EpochSeconds <= ordinary.EpochSeconds || strict.MaxEvaluations >= ordinary.MaxEvaluations {
		t.Error("strict is no stricter than the default, or not as its comments say")
	}
	if fmt.Sprint(strict.Consent.Bases) != fmt.Sprint([]consent.Basis{consent.BasisConsent}) || strict.Consent.MaxAgeDays != 365 ||
		strict.Consent.AdmitUSUnknown || strict.Consent.DefaultGranted {
		t.Errorf("consent %+v", strict.Consent)
	}
}

func TestFieldsSayWhatIsSet(t *testing.T) {
	p, err := Parse(with(minimal(), "consent.tcf_vendor = 755"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range p.Fields() {
		inDocument := strings.Contains("\n"+string(p.Bytes()), "\n"+f.Name+" = ")
		if f.Set != inDocument {
			t.Errorf("%s: set is %v", f.Name, f.Set)
		}
	}
}

func TestRate(t *testing.T) {
	for _, c := range []struct {
		count, people  uint64
		percent, top85 string
	}{
		{0, 0, "", ""}, {5, 0, "", ""},
		{0, 1000, "0%", "0%"}, {4, 1000, "0%", "0%"}, {5, 1000, "1%", "1%"}, {374, 1000, "37%", "37%"}, {375, 1000, "38%", "38%"},
		{854, 1000, "85%", "85%"}, {855, 1000, "86%", ">85%"}, {999, 1000, "100%", ">85%"}, {1000, 1000, "100%", ">85%"},
		{1010, 1000, "100%", ">85%"}, {math.MaxUint64, 1, "100%", ">85%"}, {1 << 39, 1 << 40, "50%", "50%"},
	} {
		if got := DisplayPercent.Rate(c.count, c.people); got != c.percent {
			t.Errorf("percent of %d of %d: %q, want %q", c.count, c.people, got, c.percent)
		}
		if got := DisplayTop85.Rate(c.count, c.people); got != c.top85 {
			t.Errorf("top85 of %d of %d: %q, want %q", c.count, c.people, got, c.top85)
		}
	}
}
