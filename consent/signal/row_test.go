package signal

import (
	"strings"
	"testing"
)

func TestFlags(t *testing.T) {
	for r, cells := range map[Result]string{
		Exclude:   "true|T|yes|Y|1|1.0|on|opted out|opt-out| TRUE \r",
		Granted:   "false|F|no|N|0|0.0|off|opted_in|Opt In",
		0:         "||  |NULL|\\N|none|n/a|NaN|unspecified|\ufeff",
		Unknown:   "unknown|UNKNOWN",
		Malformed: "granted|denied|2|-1|x|\xff1|yes no|ＹＥＳ",
	} {
		for cell := range strings.SplitSeq(cells, "|") {
			if got := JudgeFlag(cell); got.Result != r || got.OptIn {
				t.Errorf("%q: %+v, want %v", cell, got, r)
			}
			if absent := Absent(cell); absent != (r == 0) {
				t.Errorf("%q: absent is %v", cell, absent)
			}
		}
	}
}

func TestRegimes(t *testing.T) {
	for r, codes := range map[Regime]string{
		OptIn: "FR GB CH EU NO IS LI RE FR-75 GB-ENG EU-1", OptOut: "US US-CA", Other: "JP CA CA-ON PR TR",
		NoRegime: "XX -US UK F U US- us-ca FRA",
	} {
		for code := range strings.FieldsSeq(codes) {
			if got := RegimeOf(code); got != r {
				t.Errorf("%s: %d", code, got)
			}
		}
	}
	if RegimeOf("") != NoRegime {
		t.Error("nowhere has a regime")
	}
}

// What a row says where. The regimes are: unknown, opt-in, opt-out, other.
func TestRows(t *testing.T) {
	const (
		g, u, e, d, i, m = Granted, Unknown, Exclude, Denied, Invalid, Malformed
		none             = Result(0)
	)
	denied := base()
	denied.PurposesConsent = 0
	eu := func(s string) string { return gppHeader([]int{2}, false) + "~" + s }
	const nat = "CVQqAAAAAABk.Q"
	deniedAndNat := gppHeader([]int{2, 7}, true) + "~" + denied.encode(true) + "~" + nat
	grantedAndOut := gppHeader([]int{2, 7}, true) + "~" + granting + "~CVQWAAAAAABY.Q"
	for _, c := range []struct {
		row  Row
		want [4]Result
	}{
		{Row{}, [4]Result{}},
		{Row{"null", "", "7", " ", "none", "\\N"}, [4]Result{}},
		{Row{TCString: granting}, [4]Result{g, g, g, g}},
		{Row{TCString: " " + granting + " "}, [4]Result{g, g, g, g}},
		{Row{TCString: denied.encode(true)}, [4]Result{d, d, d, d}},
		{Row{TCString: "yes"}, [4]Result{m, m, m, m}},
		{Row{GPPString: eu(granting)}, [4]Result{g, g, none, g}},
		{Row{GPPString: "DBABL~" + nat}, [4]Result{g, none, g, g}},
		{Row{GPPString: "DBABJg~BAAAAAAA"}, [4]Result{u, none, u, u}},
		{Row{GPPString: gppHeader([]int{5}, false) + "~CA"}, [4]Result{u, none, none, u}},
		{Row{GPPString: "DBABL"}, [4]Result{m, m, m, m}},
		{Row{GPPString: deniedAndNat}, [4]Result{d, d, g, d}},
		{Row{GPPString: deniedAndNat, GPPSID: "7"}, [4]Result{g, g, g, g}},
		{Row{GPPString: deniedAndNat, GPPSID: "2"}, [4]Result{d, d, d, d}},
		{Row{GPPString: deniedAndNat, GPPSID: "2,7"}, [4]Result{d, d, d, d}},
		{Row{GPPString: deniedAndNat, GPPSID: "-1"}, [4]Result{}},
		{Row{GPPString: deniedAndNat, GPPSID: "null"}, [4]Result{d, d, g, d}},
		{Row{GPPString: deniedAndNat, GPPSID: "seven"}, [4]Result{m, m, m, m}},
		{Row{GPPString: deniedAndNat, GPPSID: "8"}, [4]Result{u, u, u, u}},
		{Row{GPPString: deniedAndNat, GPPSID: "7,8"}, [4]Result{u, u, u, u}},
		{Row{GPPString: grantedAndOut}, [4]Result{e, g, e, e}},
		{Row{GPPString: grantedAndOut, GPPSID: "2"}, [4]Result{g, g, g, g}},
		{Row{GPPString: grantedAndOut, GPPSID: "8"}, [4]Result{u, u, u, u}},
		{Row{GPPString: grantedAndOut, GPPSID: "7 8"}, [4]Result{e, e, e, e}},
		{Row{USPrivacy: "1YNN"}, [4]Result{g, g, g, g}},
		{Row{USPrivacy: "1YYN"}, [4]Result{e, e, e, e}},
		{Row{USPrivacy: "1---"}, [4]Result{none, none, u, none}},
		{Row{USPrivacy: "1yyn"}, [4]Result{m, m, m, m}},
		{Row{GPC: "1"}, [4]Result{e, e, e, e}},
		{Row{GPC: "0", OptOut: "false"}, [4]Result{g, g, g, g}},
		{Row{GPC: "0", OptOut: "?"}, [4]Result{m, m, m, m}},
		{Row{TCString: granting, OptOut: "yes"}, [4]Result{e, e, e, e}},
		{Row{TCString: example, OptOut: "yes", GPC: "unknown"}, [4]Result{i, i, i, i}},
	} {
		for n, r := range []Regime{NoRegime, OptIn, OptOut, Other} {
			if got := c.row.Strictest(Terms{Vendor: 755}, r); got.Result != c.want[n] {
				t.Errorf("%+v in %d: %v (%s), want %v", c.row, r, got.Result, got.Why, c.want[n])
			}
		}
	}
}

// Only what a person consented to is an opt-in.
func TestOptIn(t *testing.T) {
	for _, c := range []struct {
		row  Row
		want bool
	}{
		{Row{TCString: granting}, true}, {Row{TCString: granting, GPC: "0"}, true},
		{Row{GPPString: gppHeader([]int{2, 6}, false) + "~" + granting + "~1YNN"}, true},
		{Row{GPPString: gppHeader([]int{6}, false) + "~1YNN"}, false}, {Row{USPrivacy: "1YNN", GPC: "0", OptOut: "no"}, false},
		{Row{TCString: granting, OptOut: "yes"}, false},
	} {
		if got := c.row.Strictest(Terms{Vendor: 755}, NoRegime); got.OptIn != c.want {
			t.Errorf("%+v: %+v", c.row, got)
		}
	}
}
