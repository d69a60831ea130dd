package dossier

import (
	"testing"

	"github.com/overlap-psi/overlap/audit"
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
