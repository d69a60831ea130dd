package dossier

import (
	"testing"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/receipt"
)

// Where the platform was asked there are no openings; what it says of matches is
// held against the log and the mode.
func TestUnopened(t *testing.T) {
	sid := audit.Hash{1}
	somebody := map[uint64]*Person{0: {SID: sid, Matched: true}}
	nobody := map[uint64]*Person{0: {SID: sid}}
	for what, c := range map[string]struct {
		session Session
		people  map[uint64]*Person
		fixed   bool
		good    bool
	}{
		"A_LEARNS":                    {Session{Mode: "A_LEARNS"}, nobody, false, true},
		"A_LEARNS, somebody matched":  {Session{Mode: "A_LEARNS"}, somebody, false, false},
		"A_LEARNS, matches in log":    {Session{Mode: "A_LEARNS"}, nobody, true, false},
		"both":                        {Session{Mode: "A_LEARNS"}, somebody, true, false},
		"MUTUAL_A":                    {Session{Mode: "MUTUAL_A"}, somebody, true, true},
		"MUTUAL_A, nobody matched":    {Session{Mode: "MUTUAL_A"}, nobody, true, true},
		"MUTUAL_A, broke before":      {Session{Mode: "MUTUAL_A"}, nobody, false, true},
		"MUTUAL_A, nothing in log":    {Session{Mode: "MUTUAL_A"}, somebody, false, false},
		"MUTUAL_A, matches disclosed": {Session{Mode: "MUTUAL_A", Matched: true}, somebody, true, false},
		"MUTUAL_A, audited":           {Session{Mode: "MUTUAL_A", Audited: true}, somebody, true, false},
	} {
		c.session.SID = sid
		v := &verifier{matched: map[audit.Hash]audit.Matched{}}
		if c.fixed {
			v.matched[sid] = audit.Matched{SID: sid}
		}
		if err := v.unopened(&c.session, c.people); (err == nil) != c.good {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A session that found nothing is one that broke, and of which the log has no
// matches; it says so of nobody that they matched.
func TestNothingFound(t *testing.T) {
	sid := audit.Hash{1}
	whole := &receipt.Receipt{Seal: []byte{1}, ReceiptQ: []byte{1}, ReceiptH: []byte{1}}
	for what, c := range map[string]struct {
		outcome              string
		matched, fixed, both bool // both: companies signed how it ended
		good                 bool
	}{
		"broke":                           {outcome: "failed", good: true},
		"complete":                        {outcome: "complete"},
		"somebody matched":                {outcome: "failed", matched: true},
		"matches in the log":              {outcome: "failed", fixed: true},
		"said to have failed, and signed": {outcome: "failed", both: true},
	} {
		v := &verifier{matched: map[audit.Hash]audit.Matched{}}
		if c.fixed {
			v.matched[sid] = audit.Matched{SID: sid}
		}
		s, r, people := &Session{SID: sid, Outcome: c.outcome}, whole.UpToSeal(), map[uint64]*Person{0: {SID: sid, Matched: c.matched}}
		if c.both {
			r = whole
		} else if err := v.unsigned(s, people); (err == nil) != c.good {
			t.Errorf("%s, not signed: %v", what, err)
		}
		if err := v.noneFound(s, r, people); (err == nil) != c.good {
			t.Errorf("%s, signed: %v", what, err)
		}
	}
}
