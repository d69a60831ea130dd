package signal

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

const (
	// The specification's own example.
	example = "CQSbk4AQSbk4ANwAAAENAwCgAAAAAAAAAAYgACPAAAAA.IDKQA4AAgAKAGQAygAAA.YAAAAAAAAAAA"
	// Vendor 755 has consent for the purposes 1, 2, 3, 4 and 7.
	granting = "CQgcD4AQgcD4AAKADBFRB4FgAPIAAAAAAAqIF5wAgABALzAAAAA.IF5wAwAAgACAXm"
)

func TestExample(t *testing.T) {
	got, err := DecodeTCF(example)
	if err != nil {
		t.Fatal(err)
	}
	day := time.Date(2025, 6, 3, 0, 0, 0, 0, time.UTC)
	want := &TCF{
		Created: day, LastUpdated: day, CmpID: 880, ConsentLanguage: "EN", VendorListVersion: 48, PolicyVersion: 2,
		IsServiceSpecific: got.IsServiceSpecific, UseNonStandardTexts: got.UseNonStandardTexts,
		PurposeOneTreatment: got.PurposeOneTreatment, PublisherCC: "DE",
		VendorConsents: Vendors{{1, 4}}, HasDisclosed: true, Disclosed: Vendors{{1, 5}, {100, 100}, {404, 404}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want\n%+v", got, want)
	}
}

func TestGranting(t *testing.T) {
	got, err := DecodeTCF(granting)
	if err != nil {
		t.Fatal(err)
	}
	for n := -1; n <= 40; n++ {
		if want := n == 1 || n == 2 || n == 3 || n == 4 || n == 7; got.PurposesConsent.Has(n) != want {
			t.Errorf("purpose %d: %v", n, !want)
		}
	}
	if !got.Created.Equal(time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)) || got.PolicyVersion != 5 || !got.IsServiceSpecific ||
		!reflect.DeepEqual(got.VendorConsents, Vendors{{2, 2}, {755, 755}}) ||
		!reflect.DeepEqual(got.Disclosed, Vendors{{1, 1}, {2, 2}, {755, 755}}) {
		t.Errorf("%+v", got)
	}
	v := got.Judge(Terms{Vendor: 755})
	if v.Result != Granted || !v.OptIn || !v.At.Equal(got.Created) {
		t.Errorf("%+v", v)
	}
}

// base grants everything to vendor 755; tests spoil one thing of it.
func base() *TCF {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return &TCF{
		Created: at, LastUpdated: at, CmpID: 10, CmpVersion: 3, ConsentScreen: 1, ConsentLanguage: "FR", VendorListVersion: 81,
		PolicyVersion: 5, IsServiceSpecific: true, PurposesConsent: 1<<2 | 1<<3, PublisherCC: "FR",
		VendorConsents: Vendors{{755, 755}}, HasDisclosed: true, Disclosed: Vendors{{700, 800}},
	}
}

// Each step alone, and before those after it.
func TestSteps(t *testing.T) {
	before := disclosureNeeded.Add(-100 * time.Millisecond)
	restrict := func(purpose int, kind RestrictionType, v ...Range) func(*TCF) {
		return func(t *TCF) { t.PublisherRestrictions = append(t.PublisherRestrictions, Restriction{purpose, kind, v}) }
	}
	undisclosed := func(t *TCF) { t.HasDisclosed, t.Disclosed = false, nil }
	none := func(t *TCF) { t.PurposesConsent, t.VendorConsents = 0, nil }
	for _, c := range []struct {
		why   string
		want  Result
		spoil []func(*TCF)
	}{
		{"the vendor and the purposes have consent", Granted, nil},
		{"T2: no disclosed vendors, and created since 1 March 2026", Malformed, []func(*TCF){undisclosed}},
		{"T2: no disclosed vendors, and created since 1 March 2026", Malformed, []func(*TCF){undisclosed, func(t *TCF) { t.PolicyVersion = 2 }, none,
			func(t *TCF) { t.Created = disclosureNeeded }}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){undisclosed, func(t *TCF) { t.Created = before }}},
		{"T3: the policy version is below 4", Invalid, []func(*TCF){func(t *TCF) { t.PolicyVersion, t.IsServiceSpecific = 3, false }, none}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){func(t *TCF) { t.PolicyVersion = 4 }}},
		{"T4: not service-specific", Invalid, []func(*TCF){func(t *TCF) { t.IsServiceSpecific = false }, none, restrict(3, NotAllowed, Range{755, 755})}},
		{"T5: a publisher restriction on purpose 4", Denied, []func(*TCF){restrict(4, NotAllowed, Range{1, 65535}), none}},
		{"T5: a publisher restriction on purpose 3", Denied, []func(*TCF){restrict(3, RequireLegitimateInterest, Range{755, 755})}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){restrict(3, RequireConsent, Range{755, 755})}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){restrict(3, 3, Range{755, 755})}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){restrict(2, NotAllowed, Range{755, 755})}},
		{"the vendor and the purposes have consent", Granted, []func(*TCF){restrict(3, NotAllowed, Range{1, 754}, Range{756, 65535})}},
		{"T6: purpose 4 lacks consent", Denied, []func(*TCF){func(t *TCF) { t.PurposesConsent, t.VendorConsents = ^Purposes(1<<3)&(1<<24-1), nil }}},
		{"T6: purpose 3 lacks consent", Denied, []func(*TCF){none, func(t *TCF) { t.PurposesLegitimate = 1<<24 - 1 }}},
		{"T7: the vendor lacks consent", Denied, []func(*TCF){func(t *TCF) {
			t.VendorConsents, t.VendorLegitimate, t.Disclosed = Vendors{{754, 754}, {756, 756}}, Vendors{{755, 755}}, nil
		}}},
		{"T7: the vendor was not disclosed", Denied, []func(*TCF){func(t *TCF) { t.Disclosed = Vendors{{1, 754}} }}},
	} {
		s := base()
		for _, spoil := range c.spoil {
			spoil(s)
		}
		for _, field := range []bool{false, true} {
			if got := JudgeTCF(s.encode(field), Terms{Vendor: 755}); got.Result != c.want || got.Why != c.why {
				t.Errorf("%v, %s; want %v, %s", got.Result, got.Why, c.want, c.why)
			}
		}
	}
}

func TestTerms(t *testing.T) {
	for _, c := range []struct {
		terms Terms
		want  Result
	}{
		{Terms{}, Unknown}, {Terms{Vendor: -755}, Unknown}, {Terms{Vendor: 754}, Denied}, {Terms{Vendor: 65536 + 755}, Denied},
		{Terms{Vendor: 755, Purposes: []int{3}}, Granted}, {Terms{Vendor: 755, Purposes: []int{1, 3}}, Denied},
		{Terms{Vendor: 755, Purposes: []int{0}}, Denied}, {Terms{Vendor: 755, Purposes: []int{27}}, Denied},
	} {
		if got := JudgeTCF(base().encode(false), c.terms); got.Result != c.want {
			t.Errorf("%v: %v (%s)", c.terms, got.Result, got.Why)
		}
	}
	// Without a vendor, what is wrong with the string itself is still said.
	if got := JudgeTCF("C", Terms{}); got.Result != Malformed {
		t.Error(got)
	}
}

// The earlier of the two times counts.
func TestAt(t *testing.T) {
	s := base()
	s.LastUpdated = s.Created.Add(time.Hour)
	if got := s.Judge(Terms{Vendor: 755}).At; !got.Equal(s.Created) {
		t.Error(got)
	}
	s.LastUpdated = s.Created.Add(-time.Hour)
	if got := s.Judge(Terms{Vendor: 755}).At; !got.Equal(s.LastUpdated) {
		t.Error(got)
	}
}

func TestMalformedTCF(t *testing.T) {
	core, disclosed, _ := strings.Cut(granting, ".")
	backwards := base()
	backwards.VendorConsents = Vendors{{9, 8}}
	restricted := base()
	restricted.PublisherRestrictions = []Restriction{{3, NotAllowed, Vendors{{9, 8}}}}
	undisclosed := base()
	undisclosed.Disclosed = Vendors{{9, 8}}
	for s, want := range map[string]fault{
		"":                                       faultCore,
		"C":                                      faultCore,
		".":                                      faultCore,
		"C.":                                     faultCore,
		"B" + core[1:]:                           faultVersion,
		"D" + core[1:]:                           faultVersion,
		core + "=":                               faultAlphabet,
		core[:9] + "+" + core[10:]:               faultAlphabet,
		core[:9] + "\xff" + core[10:]:            faultAlphabet,
		core + "." + disclosed + " ":             faultAlphabet,
		core + ".YAé":                            faultAlphabet,
		core + ".":                               faultSegment,
		core + "." + disclosed + ".":             faultSegment,
		core + ".I":                              faultSegment,
		core + ".IF5w":                           faultSegment,
		core + "." + disclosed + "." + disclosed: faultDisclosed,
		backwards.encode(false):                  faultRange,
		restricted.encode(false):                 faultRange,
		undisclosed.encode(false):                faultRange,
		core + ".I" + strings.Repeat("_", 1<<16): "",
		core + "." + disclosed + ".Y.A.4.Q.g":    "", // other types
		core + "AAAA." + disclosed + "____":      "", // padding
		core + "____." + disclosed:               "",
		strings.Repeat("A", 1<<20):               faultVersion,
		"C" + strings.Repeat("_", 1<<20):         faultCore, // it claims all vendors and all restrictions
	} {
		_, err := DecodeTCF(s)
		if want == "" && err != nil || want != "" && err != want {
			t.Errorf("%.60q: %v, want %v", s, err, want)
		}
	}
}

// Every string cut short is refused, wherever it is cut.
func TestCut(t *testing.T) {
	for _, field := range []bool{false, true} {
		s := base().encode(field)
		core := strings.IndexByte(s, '.')
		for n := range len(s) {
			if got := JudgeTCF(s[:n], Terms{Vendor: 755}); n != core && got.Result != Malformed {
				t.Errorf("cut at %d of %d: %v (%s)", n, len(s), got.Result, got.Why)
			}
		}
	}
}

// Counts that a string claims and doesn't have cost nothing: 4095 restrictions of
// 4095 ranges each, 65535 vendors.
func TestClaims(t *testing.T) {
	claim := func(ones int) string {
		t := base()
		t.PublisherRestrictions = nil
		core, _, _ := strings.Cut(t.encode(false), ".")
		return core[:len(core)-2] + strings.Repeat("_", ones)
	}
	for _, s := range []string{claim(3), claim(9), claim(20), granting[:36] + "____", "C" + strings.Repeat("_", 60)} {
		if got := JudgeTCF(s, Terms{Vendor: 755}); got.Result != Malformed {
			t.Errorf("%s: %v", s, got)
		}
		if n := testing.AllocsPerRun(10, func() { JudgeTCF(s, Terms{Vendor: 755}) }); n > 10 {
			t.Errorf("%s: %v allocations", s, n)
		}
	}
}

// What is written is read, whatever it is.
func TestRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		want := randomTCF(rng)
		for _, field := range []bool{false, true} {
			got, err := DecodeTCF(want.encode(field))
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("%v\n%+v, want\n%+v", err, got, want)
			}
		}
	}
}

func randomTCF(rng *rand.Rand) *TCF {
	at := func() time.Time { return decisecond(rng.Uint64N(1 << 36)) }
	letters := func() string { return string([]byte{'A' + byte(rng.IntN(26)), 'A' + byte(rng.IntN(26))}) }
	t := &TCF{
		Created: at(), LastUpdated: at(), CmpID: rng.IntN(1 << 12), CmpVersion: rng.IntN(1 << 12), ConsentScreen: rng.IntN(64),
		ConsentLanguage: letters(), VendorListVersion: rng.IntN(1 << 12), PolicyVersion: rng.IntN(64),
		IsServiceSpecific: rng.IntN(2) == 1, UseNonStandardTexts: rng.IntN(2) == 1,
		SpecialFeatureOptIns: Purposes(rng.IntN(1 << 12)), PurposesConsent: Purposes(rng.IntN(1 << 24)), PurposesLegitimate: Purposes(rng.IntN(1 << 24)),
		PurposeOneTreatment: rng.IntN(2) == 1, PublisherCC: letters(),
		VendorConsents: randomVendors(rng), VendorLegitimate: randomVendors(rng),
		HasDisclosed: rng.IntN(2) == 1,
	}
	if t.HasDisclosed {
		t.Disclosed = randomVendors(rng)
	}
	for range rng.IntN(3) {
		t.PublisherRestrictions = append(t.PublisherRestrictions, Restriction{rng.IntN(64), RestrictionType(rng.IntN(4)), randomVendors(rng)})
	}
	return t
}

// randomVendors returns ranges as both codings give them: in order, and with
// gaps between them.
func randomVendors(rng *rand.Rand) (v Vendors) {
	id := 1
	for range rng.IntN(5) {
		first := id + rng.IntN(300)
		last := first + rng.IntN(3)*rng.IntN(100)
		v = append(v, Range{uint16(first), uint16(last)})
		id = last + 2
	}
	return v
}

func BenchmarkTCF(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		JudgeTCF(granting, Terms{Vendor: 755})
	}
}
