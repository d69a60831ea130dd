package ledger

import (
	"reflect"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/consent/signal"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/sheet"
)

// Strings of which vendor 755 is one.
const (
	granting = "CQgcD4AQgcD4AAKADBFRB4FgAPIAAAAAAAqIF5wAgABALzAAAAA.IF5wAwAAgACAXm"
	denying  = "CQgcD4AQgcD4AAKADBFRB4FgAPIAAAAAAAqIF5wAgABALzAAAAA.IABM"
	global   = "CQgcD4AQgcD4AAKADBFRB4FAAPIAAAAAAAqIF5wAgABALzAAAAA.IF5wAwAAgACAXm" // not service-specific
	notOut   = "DBABL~CVQqAAAAAABk.Q"
	out      = "DBABL~CVQWAAAAAABY.Q"
)

// signalled returns good's line with other cells.
func signalled(cells map[field]string) string {
	line := good
	for f, cell := range cells {
		line[f] = cell
	}
	return strings.Join(line[:], ",") + "\n"
}

// What a signal says against a granted line, in the EEA, the United States,
// Japan and nowhere; 0 is nothing.
func TestSignals(t *testing.T) {
	const (
		u, e, d, i, m = signal.Unknown, signal.Exclude, signal.Denied, signal.Invalid, signal.Malformed
	)
	for _, c := range []struct {
		cells map[field]string
		want  [4]signal.Result
	}{
		{nil, [4]signal.Result{}},
		{map[field]string{tcString: granting}, [4]signal.Result{}},
		{map[field]string{tcString: denying}, [4]signal.Result{d, d, d, d}},
		{map[field]string{tcString: global}, [4]signal.Result{i, i, i, i}},
		{map[field]string{tcString: "x"}, [4]signal.Result{m, m, m, m}},
		{map[field]string{tcString: "null", gpc: "0", optOut: "no", usPrivacy: "1YNN"}, [4]signal.Result{}},
		{map[field]string{gppString: notOut}, [4]signal.Result{}},
		{map[field]string{gppString: out}, [4]signal.Result{0, e, e, e}},
		{map[field]string{gppString: out, gppSID: "7"}, [4]signal.Result{e, e, e, e}},
		{map[field]string{gppString: notOut, gppSID: "2"}, [4]signal.Result{u, u, u, u}},
		{map[field]string{gppString: "DBABJg~BAAAAAAA"}, [4]signal.Result{0, u, u, u}},
		{map[field]string{usPrivacy: "1YYN"}, [4]signal.Result{e, e, e, e}},
		{map[field]string{usPrivacy: "1---"}, [4]signal.Result{0, u, 0, 0}},
		{map[field]string{gpc: "1"}, [4]signal.Result{e, e, e, e}},
		{map[field]string{optOut: "yes", tcString: granting}, [4]signal.Result{e, e, e, e}},
		{map[field]string{optOut: "perhaps"}, [4]signal.Result{m, m, m, m}},
		{map[field]string{optOut: "yes", tcString: denying, usPrivacy: "?"}, [4]signal.Result{m, m, m, m}},
	} {
		for n, place := range []string{"FR", "us-ca", "JP", ""} {
			cells := map[field]string{jurisdiction: place}
			for f, cell := range c.cells {
				cells[f] = cell
			}
			got := run(t, header+signalled(cells), Options{Terms: signal.Terms{Vendor: 755}})
			if got.err != nil || len(got.lines) != 1 {
				t.Fatalf("%v: %v, %s", cells, got.err, got.codes)
			}
			status, want := consent.Granted, map[string]uint64{}
			if c.want[n] != 0 {
				status, want = consent.Denied, map[string]uint64{c.want[n].String(): 1}
			}
			if got.lines[0].Status != status || !reflect.DeepEqual(got.report.Contradicted, want) || got.report.Statuses[status.String()] != 1 {
				t.Errorf("%v in %q: %v, %v, want %v", c.cells, place, got.lines[0].Status, got.report.Contradicted, want)
			}
		}
	}
}

// Without a vendor id, a TCF string that would grant says nothing good.
func TestNoVendor(t *testing.T) {
	got := run(t, header+signalled(map[field]string{tcString: granting}), Options{})
	if got.report.Contradicted["UNKNOWN"] != 1 || got.lines[0].Status != consent.Denied {
		t.Errorf("%v", got.report.Contradicted)
	}
}

// A signal can't grant, and is about advertising alone.
func TestSignalsElsewhere(t *testing.T) {
	o := Options{Terms: signal.Terms{Vendor: 755}}
	for _, s := range consent.Statuses {
		got := run(t, header+signalled(map[field]string{tcString: granting, status: s.String()}), o)
		if len(got.lines) != 1 || got.lines[0].Status != s || len(got.report.Contradicted) != 0 {
			t.Errorf("%v: %s", s, got.codes)
		}
		if s == consent.Granted {
			continue
		}
		got = run(t, header+signalled(map[field]string{tcString: denying, status: s.String()}), o)
		if len(got.lines) != 1 || got.lines[0].Status != s || len(got.report.Contradicted) != 0 {
			t.Errorf("%v: %s", s, got.codes)
		}
	}
	for _, p := range consent.Purposes {
		got := run(t, header+signalled(map[field]string{optOut: "yes", purpose: p.String()}), o)
		if denied := got.lines[0].Status == consent.Denied; denied != (p == consent.AdsMatching) {
			t.Errorf("%v: denied is %v", p, denied)
		}
	}
	// A line that isn't read isn't contradicted, and one of two classes is once.
	o.Classes = []identifier.Class{identifier.EmailUID2, identifier.EmailPlain}
	got := run(t, header+signalled(map[field]string{optOut: "yes", value: "x"})+signalled(map[field]string{gpc: "yes"}), o)
	if got.report.Contradicted["EXCLUDE"] != 1 || len(got.lines) != 2 || got.codes != "2 EMAIL_NO_AT\n3 OK\n" {
		t.Errorf("%v, %s", got.report.Contradicted, got.codes)
	}
}

func TestTerms(t *testing.T) {
	in, err := sheet.New(strings.NewReader(header+spoilt(account, "u1")), 0, sheet.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := open(in, Options{Terms: signal.Terms{Purposes: []int{25}}}); err == nil {
		t.Error("no such purpose")
	}
}
