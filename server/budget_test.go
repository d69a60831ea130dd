package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/session"
)

// An advertiser that has had its releases is refused before anything is done for
// it, over a restart too, until the epoch is over; others are not.
func TestReleasesAreUsedUp(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 2"), members(20), func(t *testing.T, w *world) {
		refused := func() {
			t.Helper()
			var frames tape
			w.shop.on = func(m moment, f *ampsiv1.Frame) {
				if m != sent {
					frames.note(f)
				}
			}
			_, err := w.shop.match("spring", people(5, 15)...)
			wantCode(t, err, psi.AbortBudget)
			frames.want(t, psi.FrameHello, psi.FrameAbort)
			w.shop.on = nil
		}
		for range 2 { // suppressed both times, and charged
			report, err := w.shop.match("spring", people(0, 10)...)
			must(t, err)
			if report.Released {
				t.Error("a count of 10 is released")
			}
		}
		wantAccounts(t, w, "spring", accountsOf(0, 10))

		// No snapshot is cut: there is no place where it could be.
		spill := filepath.Join(w.dir, "spill")
		must(t, errors.Join(os.Remove(spill), os.WriteFile(spill, nil, 0o600)))
		refused()
		_, err := w.newAdvertiser("blocked").match("spring", person(1))
		wantCode(t, err, psi.AbortInternal)
		must(t, os.Remove(spill))

		w.restart()
		refused()
		other := w.newAdvertiser("other")
		_, err = other.match("spring", people(5, 15)...)
		must(t, err)
		if got := w.accounts(other, "spring"); !slices.Equal(got, accountsOf(5, 15)) {
			t.Errorf("the other advertiser's audience is %v", got)
		}
		wantAccounts(t, w, "spring", accountsOf(0, 10)) // as before

		time.Sleep(time.Duration(w.policy.EpochSeconds) * time.Second)
		_, err = w.shop.match("spring", people(5, 15)...)
		must(t, err)
		wantAccounts(t, w, "spring", accountsOf(5, 15))
	})
}

// Two sessions at once, and one release left: one of them gets the audience and
// the count, the other neither.
func TestLastReleaseIsOneSessions(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 1"), members(20), func(t *testing.T, w *world) {
		w.places = 8 // two for each partner
		w.restart()
		var second error
		// The first has passed the look at the ledger when the second begins.
		first := w.shop.again()
		first.on = at(got, psi.FrameOpenQ, func(*ampsiv1.Frame) { _, second = w.shop.match("second", people(0, 10)...) })
		_, err := first.match("first", people(0, 10)...)
		must(t, second)
		wantCode(t, err, psi.AbortBudget)
		wantAccounts(t, w, "first", nil)
		wantAccounts(t, w, "second", accountsOf(0, 10))
		for _, s := range w.dossier() { // it was kept, and could not be charged for
			if !s.Signed {
				t.Errorf("of a session the evidence says %+v", s)
			}
		}
	})
}

// An advertiser that breaks off when the questions are signed has been charged: what
// the platform has to keep of its sessions is bounded by its releases.
func TestBreakingOffAfterSealIsCharged(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 2", "resume_seconds = 0"), members(20), func(t *testing.T, w *world) {
		kept := func() int {
			list, err := os.ReadDir(server.EvidenceDir(w.dir))
			must(t, err)
			return len(list)
		}
		for n := 1; n <= 2; n++ {
			w.shop.on = at(got, psi.FrameSeal, func(*ampsiv1.Frame) { w.shop.hangUp() })
			if _, err := w.shop.match("spring", people(0, 10)...); err == nil {
				t.Fatal("a session without an advertiser is complete")
			}
			synctest.Wait()
			if c := w.charged(); kept() != n || c.spent != uint64(n) {
				t.Errorf("after %d sessions evidence of %d is kept, and %+v charged", n, kept(), c)
			}
		}
		for range 3 {
			_, err := w.shop.match("spring", people(0, 10)...)
			wantCode(t, err, psi.AbortBudget)
		}
		if kept() != 2 {
			t.Errorf("evidence of %d sessions is kept", kept())
		}
		wantAccounts(t, w, "spring", nil)
	})
}

// A platform that was allowed no releases at all serves nobody.
func TestNoReleasesEver(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 0"), members(1), func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", person(0))
		wantCode(t, err, psi.AbortBudget)
	})
}

// A partner that is removed ends its running session, and has no other: neither
// on the connection it has, nor on a new one.
func TestRemovedPartner(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		other := w.newAdvertiser("other")
		all := w.partners
		must(t, w.server.SetPartners(all[:1]))
		_, err := other.match("spring", people(0, 10)...)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("a stranger: %v", err)
		}
		must(t, w.server.SetPartners(all))

		conn := w.shop.dial()
		defer conn.Close()
		w.shop.on = at(got, psi.FrameOpenQ, func(*ampsiv1.Frame) { must(t, w.server.SetPartners(all[1:])) })
		_, err = w.shop.matchOver(t.Context(), conn, "spring", people(0, 10)...)
		must(t, err)
		wantAccounts(t, w, "spring", accountsOf(0, 10))
		sessions := len(w.sessions())

		_, err = w.shop.matchOver(t.Context(), conn, "spring", people(5, 15)...)
		wantCode(t, err, psi.AbortAuth)
		_, err = w.shop.match("spring", people(5, 15)...)
		if status.Code(err) != codes.Unavailable {
			t.Errorf("a removed partner on a new connection: %v", err)
		}
		if len(w.sessions()) != sessions {
			t.Error("a session of a removed partner is on record")
		}
		wantAccounts(t, w, "spring", accountsOf(0, 10))
		_, err = other.match("spring", people(0, 10)...)
		must(t, err)

		must(t, w.server.SetPartners(all))
		_, err = w.shop.match("spring", people(5, 15)...)
		must(t, err)
		if w.server.SetPartners(nil) == nil {
			t.Error("a platform without partners")
		}
		_, err = w.shop.match("spring", people(5, 15)...) // a list that is refused changes nothing
		must(t, err)
	})
}

// One partner does not keep the others out, and all together do not overload
// the platform; whoever is refused may come again.
func TestBusy(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.places = 2 // one for each partner
		w.restart()
		second, third := w.newAdvertiser("second"), w.newAdvertiser("third")
		goOn := make(chan struct{})
		ended := make(chan error, 2)
		for _, a := range []*advertiser{w.shop, second} {
			holding := make(chan struct{})
			a.on = at(sending, psi.FrameEvaluated, func(*ampsiv1.Frame) { close(holding); <-goOn })
			go func() {
				_, err := a.match("spring", people(0, 10)...)
				ended <- err
			}()
			<-holding
			_, err := a.again().match("summer", people(0, 10)...)
			wantCode(t, err, psi.AbortBusy)
		}
		_, err := third.match("spring", people(0, 10)...)
		wantCode(t, err, psi.AbortBusy)
		if n := len(w.sessions()); n != 2 {
			t.Errorf("%d sessions were begun, want 2", n)
		}
		close(goOn)
		must(t, errors.Join(<-ended, <-ended))
		_, err = third.match("spring", people(0, 10)...)
		must(t, err)
	})
}

// Whoever is refused learns one code, in a frame, and the call's status is the
// protocol's.
func TestRefusalIsAFrameAndAStatus(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		conn, other := w.shop.dial(), w.newAdvertiser("other")
		defer conn.Close()
		all := w.partners
		refusals := func(want psi.AbortCode, call ampsiv1.MatchClient) {
			t.Helper()
			stream, err := call.Session(t.Context())
			must(t, err)
			_ = stream.Send(&ampsiv1.Frame{Body: []byte{8, 9}}) // version 9; the platform may have ended the call before
			f, err := stream.Recv()
			must(t, err)
			if psi.FrameType(f.Type) != psi.FrameAbort || !slices.Equal(f.Body, []byte{byte(want)}) {
				t.Errorf("frame %d, body %v; want code %d", f.Type, f.Body, want)
			}
			_, err = stream.Recv()
			if status.Code(err) != codes.Aborted || !strings.HasSuffix(err.Error(), "desc = "+want.Error()) {
				t.Errorf("status: %v", err)
			}
		}
		refusals(psi.AbortVersion, ampsiv1.NewMatchClient(conn))

		goOn, ended := make(chan struct{}), make(chan error)
		other.on = at(got, psi.FrameOpenQ, func(*ampsiv1.Frame) { <-goOn }) // holds the only place
		go func() {
			_, err := other.match("spring", person(1))
			ended <- err
		}()
		synctest.Wait()
		refusals(psi.AbortBusy, ampsiv1.NewMatchClient(conn))
		close(goOn)
		must(t, <-ended)

		must(t, w.server.SetPartners(all[1:]))
		refusals(psi.AbortAuth, ampsiv1.NewMatchClient(conn))
	})
}

// The advertiser's own limit, as the platform sees it.
func TestPlatformIsToldOfTheAdvertisersBudget(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_evaluations = 1024"), members(20), func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", people(0, 10)...)
		must(t, err)
		var last *ampsiv1.Frame
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			if m == sent {
				last = f
			}
		}
		_, err = w.shop.match("spring", people(5, 15)...)
		wantCode(t, err, psi.AbortBudget)
		if psi.FrameType(last.GetType()) != psi.FrameAbort || !slices.Equal(last.GetBody(), []byte{byte(psi.AbortBudget)}) {
			t.Errorf("the last frame sent is %v", psi.FrameType(last.GetType()))
		}
		wantAccounts(t, w, "spring", accountsOf(0, 10))
		codes, errs := w.log.failures(t)
		want := (&session.PeerAbort{Code: psi.AbortBudget}).Error()
		if !slices.Equal(codes, []psi.AbortCode{psi.AbortBudget}) || errs[0] != want {
			t.Errorf("the platform logs codes %v: %q", codes, errs)
		}
	})
}
