package consent

import (
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

// openRule admits as much as a rule can.
var openRule = Rule{Classes: []identifier.Class{
	identifier.EmailUID2, identifier.PhoneE164, identifier.EmailPlain, identifier.EmailGoogle, identifier.PhoneDigits,
}}

// Every purpose at every status and either position of the switch, also those
// outside the lists: one of 131 072 combinations passes.
func TestOneCombinationPasses(t *testing.T) {
	passed := 0
	for purpose := range 256 {
		for status := range 256 {
			for _, off := range []bool{false, true} {
				rec := granted()
				rec.Jurisdiction = "JP" // nothing but the rule asks for consent there
				rec.Purpose, rec.Status, rec.SwitchedOff = Purpose(purpose), Status(status), off
				e, err := openRule.Admit(&rec, noon)
				if err != nil {
					if e != (Eligible{}) {
						t.Fatal("a refused record gives an Eligible")
					}
					continue
				}
				passed++
				if rec.Purpose != AdsMatching || rec.Status != Granted || off {
					t.Errorf("admitted: %v, %v, switched off %v", rec.Purpose, rec.Status, off)
				}
			}
		}
	}
	if passed != 1 {
		t.Errorf("%d combinations pass, want 1", passed)
	}
}

// A rule that could name a purpose or a status could admit another one.
func TestRuleCannotNameAPurpose(t *testing.T) {
	rule := reflect.TypeFor[Rule]()
	want := map[string]reflect.Type{
		"Classes":       reflect.TypeFor[[]identifier.Class](),
		"Bases":         reflect.TypeFor[[]Basis](), // Admissible ones only, and where consent is needed only that
		"Jurisdictions": reflect.TypeFor[[]string](),
		"MaxAge":        reflect.TypeFor[time.Duration](),
	}
	for i := range rule.NumField() {
		if f := rule.Field(i); want[f.Name] != f.Type {
			t.Errorf("Rule has a field %s %v: say here why it cannot admit another purpose", f.Name, f.Type)
		}
	}
	eligible := reflect.TypeFor[Eligible]()
	for i := range eligible.NumField() {
		if f := eligible.Field(i); f.IsExported() {
			t.Errorf("Eligible has an exported field %s", f.Name)
		}
	}
}

func TestRefusals(t *testing.T) {
	ruled := Rule{
		Classes:       []identifier.Class{identifier.EmailUID2},
		Jurisdictions: []string{"FR", "US-CA"},
		MaxAge:        24 * time.Hour,
	}
	wide := Rule{Classes: openRule.Classes, Bases: []Basis{BasisNoticeOptOut, BasisLegitimateInterests, BasisContract, BasisLegalObligation}}
	tests := []struct {
		name   string
		rule   Rule
		change func(*Record)
		want   Refusal
	}{
		{"as it is", openRule, func(r *Record) {}, ""},
		{"as it is, narrow rule", ruled, func(r *Record) {}, ""},
		{"sign-up", openRule, func(r *Record) { r.Purpose = AccountSignup }, RefusedPurpose},
		{"2FA", openRule, func(r *Record) { r.Purpose = AccountSecurity2FA }, RefusedPurpose},
		{"no purpose", openRule, func(r *Record) { r.Purpose = 0 }, RefusedPurpose},
		{"denied", openRule, func(r *Record) { r.Status = Denied }, RefusedDenied},
		{"withdrawn", openRule, func(r *Record) { r.Status = Withdrawn }, RefusedWithdrawn},
		{"expired", openRule, func(r *Record) { r.Status = Expired }, RefusedExpired},
		{"no status", openRule, func(r *Record) { r.Status = 0 }, RefusedStatus},
		{"switched off", openRule, func(r *Record) { r.SwitchedOff = true }, RefusedSwitchedOff},
		{"no identifier", openRule, func(r *Record) { r.Sum = [32]byte{} }, RefusedZero},
		{"class the rule lacks", ruled, func(r *Record) { r.Class = identifier.PhoneE164 }, RefusedClass},
		{"no such class, though the rule has it", Rule{Classes: []identifier.Class{0x7f}}, func(r *Record) { r.Class = 0x7f }, RefusedClass},
		{"class zero, though the rule has it", Rule{Classes: []identifier.Class{0}}, func(r *Record) { r.Class = 0 }, RefusedClass},
		{"zero rule", Rule{}, func(r *Record) {}, RefusedClass},
		{"malformed jurisdiction", openRule, func(r *Record) { r.Jurisdiction = "fr" }, RefusedJurisdictionMalformed},
		{"malformed, though the rule has it", Rule{Classes: openRule.Classes, Jurisdictions: []string{"UK"}}, func(r *Record) { r.Jurisdiction = "UK" }, RefusedJurisdictionMalformed},
		{"unknown jurisdiction", openRule, func(r *Record) { r.Jurisdiction = "" }, ""},
		{"unknown jurisdiction, listed ones", ruled, func(r *Record) { r.Jurisdiction = "" }, RefusedJurisdiction},
		{"other country", ruled, func(r *Record) { r.Jurisdiction = "DE" }, RefusedJurisdiction},
		{"subdivision of a listed country", ruled, func(r *Record) { r.Jurisdiction = "FR-75" }, ""},
		{"listed subdivision", ruled, func(r *Record) { r.Jurisdiction = "US-CA" }, ""},
		{"other subdivision", ruled, func(r *Record) { r.Jurisdiction = "US-NY" }, RefusedJurisdiction},
		{"country of a listed subdivision", ruled, func(r *Record) { r.Jurisdiction = "US" }, RefusedJurisdiction},
		{"no basis", openRule, func(r *Record) { r.Basis = 0 }, RefusedBasis},
		{"told, may opt out, no such rule", openRule, func(r *Record) { r.Jurisdiction, r.Basis = "US", BasisNoticeOptOut }, RefusedBasis},
		{"told, may opt out", wide, func(r *Record) { r.Jurisdiction, r.Basis = "US-CA", BasisNoticeOptOut }, ""},
		{"told, may opt out, in France", wide, func(r *Record) { r.Basis = BasisNoticeOptOut }, RefusedBasis},
		{"told, may opt out, in a part of Switzerland", wide, func(r *Record) { r.Jurisdiction, r.Basis = "CH-ZH", BasisLegitimateInterests }, RefusedBasis},
		{"told, may opt out, nobody knows where", wide, func(r *Record) { r.Jurisdiction, r.Basis = "", BasisNoticeOptOut }, RefusedBasis},
		{"a contract, though the rule has it", wide, func(r *Record) { r.Jurisdiction, r.Basis = "US", BasisContract }, RefusedBasis},
		{"consent, which the rule lacks", wide, func(r *Record) { r.Jurisdiction = "US" }, RefusedBasis},
		{"retracted", openRule, func(r *Record) { r.Status = Retracted }, RefusedRetracted},
		{"collected now", openRule, func(r *Record) { r.CollectedAt = noon }, ""},
		{"collected a nanosecond later", openRule, func(r *Record) { r.CollectedAt = noon.Add(1) }, RefusedFuture},
		{"of the maximum age", ruled, func(r *Record) { r.CollectedAt = noon.Add(-24 * time.Hour) }, ""},
		{"a nanosecond older", ruled, func(r *Record) { r.CollectedAt = noon.Add(-24*time.Hour - 1) }, RefusedAge},
		{"no time, a maximum age", ruled, func(r *Record) { r.CollectedAt = time.Time{} }, RefusedAge},
		{"no time, no maximum age", openRule, func(r *Record) { r.CollectedAt = time.Time{} }, ""},
		{"no account, as at the advertiser", openRule, func(r *Record) { r.Account, r.Secret = Handle{}, [32]byte{} }, ""},
		{"purpose before all else", Rule{}, func(r *Record) { *r = Record{} }, RefusedPurpose},
	}
	for _, test := range tests {
		rec := granted()
		test.change(&rec)
		_, err := test.rule.Admit(&rec, noon)
		var got Refusal
		if err != nil && !errors.As(err, &got) {
			t.Errorf("%s: error is no Refusal", test.name)
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestRefusalsAreListedOnce(t *testing.T) {
	seen := map[Refusal]bool{}
	for _, r := range Refusals {
		if r == "" || seen[r] {
			t.Errorf("%q is empty or twice in Refusals", r)
		}
		seen[r] = true
		if got := r.Error(); got != "consent: refused: "+string(r) {
			t.Errorf("error text %q", got)
		}
	}
}

func TestEligible(t *testing.T) {
	rec := granted()
	e, err := openRule.Admit(&rec, noon)
	if err != nil {
		t.Fatal(err)
	}
	if e.Account() != rec.Account || e.Class() != rec.Class || e.Sum() != rec.Sum {
		t.Error("account, class or sum differ from the record's")
	}
	// PROTOCOL.md §16, x(alice@example.com, class 1).
	x := e.Input()
	const want = "414d5053492d563031000101ff8d9819fc0e12bf0d24892e45987e249a28dce836a85cad60e28eaaa8c6d976"
	if got := hexOf(x.Bytes()[:]); got != want {
		t.Errorf("x = %s, want %s", got, want)
	}
}

func TestZeroEligibleIsUnusable(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("the zero Eligible has an Input, which would be a pad")
		}
	}()
	var e Eligible
	e.Input()
}

// Whatever rule and record: what passes is granted for ads matching by an
// account holder who did not switch it off.
func FuzzAdmit(f *testing.F) {
	f.Add(uint8(AdsMatching), uint8(Granted), false, byte(1), "FR", "FR", int64(-1), int64(0), uint64(1))
	f.Add(uint8(AccountSecurity2FA), uint8(Granted), false, byte(2), "", "", int64(0), int64(math.MaxInt64), uint64(2))
	f.Add(uint8(AdsMatching), uint8(Withdrawn), true, byte(0x11), "US-CA", "US", int64(5), int64(1), uint64(3))
	f.Fuzz(func(t *testing.T, purpose, status uint8, off bool, class byte, jurisdiction, listed string, offset, maxAge int64, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 0))
		rec := Record{
			Class:        identifier.Class(class),
			Sum:          [32]byte{byte(random.Uint32())},
			Purpose:      Purpose(purpose),
			Status:       Status(status),
			Jurisdiction: jurisdiction,
			CollectedAt:  noon.Add(time.Duration(offset)),
			SwitchedOff:  off,
		}
		rule := Rule{Classes: []identifier.Class{identifier.Class(byte(random.Uint32())), identifier.Class(class)}, MaxAge: time.Duration(maxAge)}
		if listed != "" {
			rule.Jurisdictions = []string{listed}
		}
		e, err := rule.Admit(&rec, noon)
		if err != nil {
			return
		}
		x := e.Input()
		switch {
		case rec.Purpose != AdsMatching, rec.Status != Granted, rec.SwitchedOff:
			t.Fatal("admitted what never is")
		case rec.CollectedAt.After(noon), !ValidJurisdiction(jurisdiction), rec.Class.Kind() == 0, rec.Sum == [32]byte{}:
			t.Fatal("admitted a record that is not sound")
		case listed != "" && jurisdiction != listed && jurisdiction[:2] != listed:
			t.Fatal("admitted a jurisdiction that is not listed")
		case x.Bytes()[10] != 0x01 || x.Bytes()[11] != class:
			t.Fatal("x has another purpose or class")
		}
	})
}
