package signal

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// The codes of the specification.
func TestFibonacci(t *testing.T) {
	for n, want := range map[int]string{1: "11", 2: "011", 3: "0011", 4: "1011", 5: "00011", 6: "10011", 7: "01011"} {
		var w writer
		for _, bit := range want {
			w.bool(bit == '1')
		}
		b := bits{chars: w.string()}
		if got := b.fibonacci(7); got != n || b.at != len(want) || b.short {
			t.Errorf("%s reads as %d", want, got)
		}
		if n > 1 {
			if got := (&bits{chars: w.string()}).fibonacci(n - 1); got != 0 {
				t.Errorf("%s reads as %d though that is too much", want, got)
			}
		}
	}
	for n := 1; n <= maxSection; n++ {
		var w writer
		w.fibonacci(n)
		if got := (&bits{chars: w.string()}).fibonacci(maxSection); got != n {
			t.Errorf("%d reads as %d", n, got)
		}
	}
	for zeros := range 200 { // F(93) is beyond 64 bits
		for _, end := range []string{"w", "_", "M"} {
			if got := (&bits{chars: strings.Repeat("A", 3+zeros) + end}).fibonacci(maxSection); got != 0 {
				t.Errorf("far away reads as %d", got)
			}
		}
	}
	for _, s := range []string{"", "A", strings.Repeat("A", 1<<16), strings.Repeat("q", 1<<16), "V"} {
		if got := (&bits{chars: s}).fibonacci(maxSection); got != 0 {
			t.Errorf("%.10q reads as %d", s, got)
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		var want []int
		for id := 1; id < 40; id++ {
			if rng.IntN(3) > 0 {
				want = append(want, id*(1+rng.IntN(2)*rng.IntN(30)))
			}
		}
		slices.Sort(want)
		want = slices.Compact(want)
		for _, grouped := range []bool{false, true} {
			s := gppHeader(want, grouped) + strings.Repeat("A", rng.IntN(3))
			if got, err := Sections(s); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v (%v), want %v", got, err, want)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, s := range []string{
		"", "D", "DB", "DBA", "CBABM", "DAABM", "DCABM", "DBABM=", "DBAB M", "DBAB", "DBABA", "DBACM", "DBABMB", "DBAB\xff", "dBABM", "DBAB____",
		"DBD_" + strings.Repeat("_", 1000),              // 255 items, all groups
		"DBAB" + "gAAAAAAAAAAAAAAD", "DBABwAAAAAAAAAAY", // far away, and as wide
	} {
		ids, err := Sections(s)
		if err != faultHeader {
			t.Errorf("%.20q: %d sections, %v", s, len(ids), err)
		}
		if got := JudgeGPP(s, Terms{}, nil); got != faultHeader.verdict() {
			t.Errorf("%.20q: %+v", s, got)
		}
	}
	if ids, err := Sections("DBAA"); err != nil || len(ids) != 0 {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestSectionCount(t *testing.T) {
	two := gppHeader([]int{6, 10}, false)
	for _, c := range []struct {
		s    string
		want Result
	}{
		{"DBAA", 0}, {"DBAA~", Malformed}, {"DBAA~1YNN", Malformed},
		{two, Malformed}, {two + "~1YNN", Malformed}, {two + "~1YNN~x", Unknown}, {two + "~1YNN~", Unknown}, {two + "~1YNN~x~y", Malformed},
		{two + "~~", Malformed},
	} {
		if got := JudgeGPP(c.s, Terms{}, nil); got.Result != c.want {
			t.Errorf("%s: %v (%s)", c.s, got.Result, got.Why)
		}
	}
}

// usSection writes a section of two-bit fields: notices, opt-outs and the rest.
func usSection(version, notices int, optOuts []int, after int) string {
	var w writer
	w.int(version, 6)
	for range notices {
		w.int(1, 2) // a notice of 1 is not an opt-out
	}
	for _, o := range optOuts {
		w.int(o, 2)
	}
	for range after {
		w.int(1, 2)
	}
	return w.string()
}

func gpc(on bool) string {
	var w writer
	w.int(1, 2)
	w.bool(on)
	return "." + w.string()
}

// Every combination of opt-outs, in every layout, with and without the control.
func TestUSSections(t *testing.T) {
	for _, c := range []struct {
		id, version, notices, optOuts, after int
	}{
		{SectionUSNat, 1, 6, 3, 12 + 2 + 4}, {SectionUSNat, 2, 6, 3, 16 + 3 + 4}, {SectionUSCA, 1, 3, 2, 9 + 2 + 4},
	} {
		head := gppHeader([]int{c.id}, false) + "~"
		for n := range 1 << (2 * c.optOuts) {
			fields := make([]int, c.optOuts)
			for i := range fields {
				fields[i] = n >> (2 * i) & 3
			}
			want := Granted
			switch {
			case slices.Contains(fields, 1):
				want = Exclude
			case slices.Contains(fields, 0) || slices.Contains(fields, 3):
				want = Unknown
			}
			s := head + usSection(c.version, c.notices, fields, c.after)
			for sub, least := range map[string]Result{"": Granted, gpc(false): Granted, gpc(true): Exclude, gpc(false) + gpc(true): Exclude,
				".": Malformed, ".=": Malformed, ".g": Unknown, ".A": Unknown} {
				if got := JudgeGPP(s+sub, Terms{}, nil); got.Result != max(want, least) || got.OptIn {
					t.Errorf("section %d of version %d, %v%s: %v (%s)", c.id, c.version, fields, sub, got.Result, got.Why)
				}
			}
		}
		// One bit less than the layout, or another version.
		short := usSection(c.version, c.notices, make([]int, c.optOuts), c.after)
		if got := JudgeGPP(head+short[:len(short)-1]+gpc(true), Terms{}, nil); got.Result != Malformed {
			t.Errorf("section %d of version %d, short: %v", c.id, c.version, got)
		}
		for _, version := range []int{0, 3, 63} {
			if got := JudgeGPP(head+usSection(version, c.notices, []int{1, 1}, c.after)+gpc(true), Terms{}, nil); got.Result != Unknown || !strings.HasPrefix(got.Why, "G4") {
				t.Errorf("section %d of version %d: %v", c.id, version, got)
			}
		}
	}
	if got := JudgeGPP("DBABBg~CUoAAABYAAAAAA", Terms{}, nil); got.Result != Unknown { // usca has no version 2 yet
		t.Error(got)
	}
	for _, s := range []string{"DBABL~", "DBABL~.Q", "DBABL~C VQqAAAAAABk", "DBABL~CVQqAAAAAABk.Q="} {
		if got := JudgeGPP(s, Terms{}, nil); got.Result != Malformed {
			t.Errorf("%s: %v", s, got)
		}
	}
}

// Every section that isn't read is UNKNOWN, whatever it holds.
func TestOtherSections(t *testing.T) {
	for id := 1; id <= 30; id++ {
		if id == SectionTCFEU || id >= SectionUSPV1 && id <= SectionUSCA {
			continue
		}
		for _, content := range []string{"", "BAAAAAAA", "!", granting} {
			if got := JudgeGPP(gppHeader([]int{id}, false)+"~"+content, Terms{Vendor: 755}, nil); got.Result != Unknown {
				t.Errorf("section %d: %v", id, got)
			}
		}
	}
}

// Of two sections the stricter wins, in either place.
func TestStrictest(t *testing.T) {
	us := map[Result]string{Granted: "1YNN", Unknown: "1---", Exclude: "1YYN", Malformed: "1"}
	invalid, denied := base(), base()
	invalid.IsServiceSpecific = false
	denied.PurposesConsent = 0
	tcf := map[Result]string{Granted: base().encode(false), Denied: denied.encode(false), Invalid: invalid.encode(false), Malformed: "C"}
	for a, eu := range tcf {
		for b, us := range us {
			s := gppHeader([]int{2, 6}, false) + "~" + eu + "~" + us
			if got := JudgeGPP(s, Terms{Vendor: 755}, nil); got.Result != max(a, b) || got.OptIn != (got.Result == Granted) {
				t.Errorf("%v and %v: %v", a, b, got)
			}
			for id, want := range map[int]Result{2: a, 6: b, 7: 0} {
				got := JudgeGPP(s, Terms{Vendor: 755}, func(section int) bool { return section == id })
				if got.Result != want || got.OptIn != (id == 2 && want == Granted) {
					t.Errorf("%v and %v, section %d alone: %v", a, b, id, got)
				}
			}
		}
	}
}

func TestUSPrivacy(t *testing.T) {
	for r, list := range map[Result]string{
		Granted:   "1YNN 1NNN 1-N- 1YNY 1NNY",
		Exclude:   "1YYN 1-Y- 1NYY",
		Unknown:   "1--- 1Y-N 1N-Y 1--N",
		Malformed: "2YNN 1YN 1YNNN YYYY 1ynn 1XNN 1YNX yes 1YN\xff 1YÿN",
	} {
		for s := range strings.FieldsSeq(list) {
			if got := JudgeUSPrivacy(s); got.Result != r {
				t.Errorf("%q: %v", s, got)
			}
			if got := JudgeGPP("DBABT~"+s, Terms{}, nil); got.Result != r {
				t.Errorf("section 6 %q: %v", s, got)
			}
		}
	}
	if got := JudgeUSPrivacy(""); got.Result != Malformed {
		t.Error(got)
	}
}

func TestSID(t *testing.T) {
	for cell, want := range map[string][]int{
		"7": {7}, "2,6": {2, 6}, "[2, 7]": {2, 7}, "2_6": {2, 6}, "2|6;8": {2, 6, 8}, "7.0": {7}, " 7 ": {7}, "7,7": {7}, "4095": {4095}, "-1": nil, "[-1]": nil,
	} {
		if got, ok := readSID(cell); !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v, %v", cell, got, ok)
		}
	}
	for _, cell := range []string{"", ",", "0", "-2", "2,-1", "x", "7.5", "4096", "99999999999999999999", "٧", "1e1"} {
		if got, ok := readSID(cell); ok {
			t.Errorf("%q: %v", cell, got)
		}
	}
}
