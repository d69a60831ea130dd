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
		want    string
	}{
		{store.Session{Mode: "P_LEARNS", Found: true, Ended: ended}, true, "on the list"},
		{store.Session{Mode: "P_LEARNS", Found: true, Ended: ended}, false, "asked about, not on the list"},
		{store.Session{Mode: "P_LEARNS", Ended: ended}, false, unknown + "the session ended before anything was found out"},
		{store.Session{Mode: "P_LEARNS"}, false, unknown + "the session has not ended"},
		{store.Session{Mode: "MUTUAL_P", Found: true, Ended: ended}, false, "asked about, not on the list"},
		{store.Session{Mode: "MUTUAL_P", Ended: ended}, false, unknown + "the session ended before anything was found out"},
		{store.Session{Mode: "A_LEARNS", Ended: ended}, false, unknown + "in this mode only the advertiser may have learned it"},
		{store.Session{Mode: "A_LEARNS"}, false, unknown + "in this mode only the advertiser may have learned it"},
		{store.Session{Mode: "MUTUAL_A", Found: true, Ended: ended}, true, "on the list"},
		{store.Session{Mode: "MUTUAL_A", Found: true, Ended: ended}, false, unknown + "the advertiser learned it first, and told the platform of others only"},
		{store.Session{Mode: "MUTUAL_A", Ended: ended}, false, unknown + "the session ended before the advertiser told what it may have learned"},
	} {
		x := newExposure(&store.Exposure{Session: c.session, Matched: c.matched})
		if got := x.inWords(); got != c.want || (x.Matched == nil) != (x.Unknown != "") {
			t.Errorf("%s, found %v, matched %v: %q", c.session.Mode, c.session.Found, c.matched, got)
		}
	}
}

const unknown = "whether it was on the list is not known to the platform: "
