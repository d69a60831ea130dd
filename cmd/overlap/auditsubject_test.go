package main

import (
	"testing"
	"time"

	"github.com/overlap-psi/overlap/store"
)

// Nobody is told that they were not on a list where the platform does not know.
func TestWhatASubjectIsTold(t *testing.T) {
	ended := time.Unix(1, 0)
	for _, c := range []struct {
		session store.Session
		matched bool
		changed bool
		want    string
	}{
		{store.Session{Mode: "P_LEARNS", Found: true, Ended: ended}, true, false, "on the list"},
		{store.Session{Mode: "P_LEARNS", Found: true, Ended: ended}, false, false, "asked about, not on the list"},
		{store.Session{Mode: "P_LEARNS", Ended: ended}, false, false, unknown + "the session ended before anything was found out"},
		{store.Session{Mode: "P_LEARNS"}, false, false, unknown + "the session has not ended"},
		{store.Session{Mode: "MUTUAL_P", Found: true, Ended: ended}, false, false, "asked about, not on the list"},
		{store.Session{Mode: "MUTUAL_P", Ended: ended}, false, false, unknown + "the session ended before anything was found out"},
		{store.Session{Mode: "A_LEARNS", Ended: ended}, false, false, unknown + "in this mode only the advertiser may have learned it"},
		{store.Session{Mode: "A_LEARNS"}, false, false, unknown + "in this mode only the advertiser may have learned it"},
		{store.Session{Mode: "MUTUAL_A", Found: true, Ended: ended}, true, false, "on the list"},
		{store.Session{Mode: "MUTUAL_A", Found: true, Ended: ended}, false, false, unknown + "the advertiser learned it first, and told the platform of others only"},
		{store.Session{Mode: "MUTUAL_A", Ended: ended}, false, false, unknown + "the session ended before the advertiser told what it may have learned"},
		{store.Session{Mode: "P_LEARNS", Found: true, Ended: ended}, false, true, "asked about, not on the list"},
		{store.Session{Mode: "MUTUAL_P", Found: true, Ended: ended}, true, true, "on the list"},
		{store.Session{Mode: "MUTUAL_P", Found: true, Ended: ended}, false, true, unknown + "the ledger changed meanwhile, and of who may no longer be matched nothing is kept"},
		{store.Session{Mode: "MUTUAL_A", Found: true, Ended: ended}, false, true, unknown + "the ledger changed meanwhile, and of who may no longer be matched nothing is kept"},
		{store.Session{Mode: "MUTUAL_P", Ended: ended}, false, true, unknown + "the session ended before anything was found out"},
	} {
		x := newExposure(&store.Exposure{Session: c.session, Matched: c.matched, Changed: c.changed})
		if got := x.inWords(); got != c.want || (x.Matched == nil) != (x.Unknown != "") {
			t.Errorf("%s, found %v, matched %v: %q", c.session.Mode, c.session.Found, c.matched, got)
		}
	}
}

const unknown = "whether it was on the list is not known to the platform: "
