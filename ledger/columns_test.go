package ledger

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/consent"
)

// wider returns a file of good's line with more columns after it.
func wider(names, cells string) string {
	return strings.TrimSpace(header) + "," + names + "\n" + strings.TrimSpace(spoilt(account, "u1")) + "," + cells + "\n"
}

// An answer says what a column is of which the name doesn't, by its name or by its
// position; one that is left out is reported.
func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		answers map[string]string
		denied  bool
		ignored []string
	}{
		{map[string]string{"werbesperre": "opt_out"}, true, nil},
		{map[string]string{"21": "opt_out"}, true, nil},
		{map[string]string{"Werbe-Sperre": "gpc"}, true, nil},
		{map[string]string{"werbesperre": "ignore"}, false, []string{"Werbesperre"}},
		{map[string]string{"werbesperre": "ignore", "21": "opt_out"}, true, nil},
		{map[string]string{"werbesperre": "opt_out", "opt_out": "opt_out"}, true, nil},
	} {
		got := run(t, wider("Werbesperre", "1"), Options{Columns: c.answers})
		if got.err != nil || len(got.lines) != 1 {
			t.Errorf("%v: %v, %s", c.answers, got.err, got.codes)
			continue
		}
		if denied := got.lines[0].Status == consent.Denied; denied != c.denied || !reflect.DeepEqual(got.report.Ignored, c.ignored) {
			t.Errorf("%v: denied is %v, ignored %q", c.answers, denied, got.report.Ignored)
		}
	}
	// Not only of consent.
	got := run(t, strings.Replace(header, "value", "mail", 1)+spoilt(account, "u1"), Options{Columns: map[string]string{"mail": "value"}})
	if got.err != nil || len(got.lines) != 1 {
		t.Errorf("%v, %s", got.err, got.codes)
	}
}

// No answer takes away what a column says for sure of who may be matched; and the
// first line of a file without a header, which may be a refusal, is no header.
func TestWhatIsNoAnswer(t *testing.T) {
	for which, role := range map[string]string{
		"opt_out": "ignore", "Opt-Out": "ignore", "19": "ignore", "gpc": "ignore", "18": "opt_out", "us_privacy": "ignore",
		"tc_string": "notice", "gpp_string": "ignore", "gpp_sid": "ignore", "ads_switch": "ignore", "status": "ignore", "purpose": "ignore",
		"source": "?", "surface": "tcf", "notice": "", "nobody": "ignore", "0": "ignore", "21": "ignore", "": "ignore",
	} {
		got := run(t, header+spoilt(account, "u1"), Options{Columns: map[string]string{which: role}})
		var e *ColumnError
		if !errors.As(got.err, &e) || !strings.HasPrefix(got.err.Error(), "ledger: --column") {
			t.Errorf("%s=%s: %v", which, role, got.err)
		}
	}
	answers := map[string]string{"1": "account_id", "2": "kind", "3": "value", "4": "purpose", "5": "status", "6": "jurisdiction", "7": "collected_at"}
	const line = "u1,email,ana@example.com,ads_matching,denied,FR,2026-01-02\n"
	got := run(t, line+line, Options{Columns: answers})
	var e *HeaderError
	if !errors.As(got.err, &e) || !e.NoHeader || strings.Contains(got.err.Error(), "ana") {
		t.Errorf("%v", got.err)
	}
}

// Of several columns of one meaning the strictest decides, wherever it stands.
func TestSeveralColumnsOfOneMeaning(t *testing.T) {
	for _, c := range []struct {
		names, cells string
		want         consent.Status
		switched     Switch
	}{
		{"opt_out", "1", consent.Denied, On},
		{"opt_out,opt_out", "1,0", consent.Denied, On},
		{"opt_out,opt_out", "0,", consent.Granted, On},
		{"GPC", "1", consent.Denied, On},
		{"us_privacy", "1YYN", consent.Denied, On},
		{"tc_string", "x", consent.Denied, On},
		{"tcf", "x", consent.Denied, On},
		{"TCF consent", "x", consent.Denied, On},
		{"usp", "1YYN", consent.Denied, On},
		{"Ads Switch", "off", consent.Granted, Off},
		{"Ads Switch", "", consent.Granted, On},
		{"Ads Switch,ads-switch", "off,on", consent.Granted, Off},
	} {
		got := run(t, wider(c.names, c.cells), Options{})
		if got.err != nil || len(got.lines) != 1 {
			t.Errorf("%s: %v, %s", c.names, got.err, got.codes)
			continue
		}
		if l := got.lines[0]; l.Status != c.want || l.Switch != c.switched {
			t.Errorf("%s %s: %v, %q", c.names, c.cells, l.Status, l.Switch)
		}
	}
	if got := run(t, wider("ads_switch", "perhaps"), Options{}); got.codes != "2 SWITCH_UNKNOWN\n" {
		t.Errorf("%v, %s", got.err, got.codes)
	}
	for _, name := range []string{"gpp_string", "gpp", "gpp_sid", "status", "purpose"} {
		var e *HeaderError
		if got := run(t, wider(name, "x"), Options{}); !errors.As(got.err, &e) || len(e.Repeated) != 1 || !strings.HasPrefix(e.Repeated[0], name) {
			t.Errorf("%s: %v", name, got.err)
		}
	}
}
