package server_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// breaks are the moments at which a connection breaks after both OPENs, around
// every frame in either direction: what the advertiser sends and gets, by mode.
func breaks(mode client.Mode) (list []frame) {
	sends, gets := []psi.FrameType{psi.FrameEvaluated, psi.FrameTable, psi.FrameReceipt}, []psi.FrameType{psi.FrameBlinded, psi.FrameSeal}
	switch mode {
	case client.PLearns:
		gets = append(gets, psi.FrameRelease, psi.FrameReceipt)
	case client.MutualP:
		gets = append(gets, psi.FrameClaims, psi.FrameReceipt)
	default:
		sends, gets = []psi.FrameType{psi.FrameBlinded, psi.FrameSeal}, []psi.FrameType{psi.FrameOpenH, psi.FrameEvaluated, psi.FrameTable, psi.FrameReceipt}
		if mode.Claims() {
			sends = append(sends, psi.FrameClaims)
		}
		sends = append(sends, psi.FrameReceipt)
	}
	for _, t := range sends {
		list = append(list, frame{sending, t}, frame{sent, t})
	}
	for _, t := range gets {
		list = append(list, frame{got, t})
	}
	if !mode.AdvertiserAsks() {
		list = append(list, frame{sent, psi.FrameOpenH})
	}
	return list
}

// A session whose connection breaks, at any frame, once or twice, at once or when
// the platform has done all it could, ends as if nothing had been: the same
// results, one charge, one record, one receipt.
func TestResume(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_releases = 1000"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		for _, mode := range []client.Mode{client.PLearns, client.ALearns, client.MutualA, client.MutualP} {
			for i, cut := range breaks(mode) {
				if testing.Short() && i%3 != 0 {
					continue
				}
				for _, wait := range []bool{true, false} {
					if cut.t == psi.FrameOpenH && !wait {
						continue // the other side may not know yet that the session is open
					}
					for _, again := range []int{0, 1, 3} {
						if testing.Short() && again == 1 {
							continue
						}
						name := fmt.Sprintf("%v, broken at %v %v, waiting %v, again %d", mode, cut.m, cut.t, wait, again)
						r := w.wantOneSession(t, name, mode, func() { w.shop.on = breaking(w.shop, cut, wait, again) })
						steady.check(name)
						wantModeEvidence(t, w, r, mode)
					}
				}
			}
		}
		steady.serves("resumed sessions")
	})
}

// breaking cuts the connection at the frame, and so often again when the session
// is just about to go on.
func breaking(a *advertiser, cut frame, wait bool, again int) func(moment, *ampsiv1.Frame) {
	var mu sync.Mutex
	first := at(cut.m, cut.t, func(*ampsiv1.Frame) {
		if wait {
			synctest.Wait()
		}
		a.hangUp()
	})
	return func(m moment, f *ampsiv1.Frame) {
		first(m, f)
		mu.Lock()
		cutNow := again > 0 && psi.FrameType(f.Type) == psi.FrameResume && m == moment(again%3)
		if cutNow {
			again--
		}
		mu.Unlock()
		if cutNow {
			a.hangUp()
		}
	}
}

// wantOneSession matches people 0 to 4 in a mode, and wants all to be as it is
// without a break.
func (w *world) wantOneSession(t *testing.T, name string, mode client.Mode, prepare func()) *client.Report {
	t.Helper()
	audience := map[bool]string{true: "x"}[mode.FillsAudience()]
	before, charged := len(w.sessions()), w.charged()
	prepare()
	var rows []uint64
	w.shop.Mode, w.shop.Matched = mode, func(m client.Match) error { rows = append(rows, m.Row); return nil }
	r, err := w.shop.match(audience, people(0, 5)...)
	w.shop.on, w.shop.Mode, w.shop.Matched = nil, 0, nil
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	synctest.Wait()
	if mode.FillsAudience() {
		wantAccounts(t, w, audience, accountsOf(0, 5))
	}
	if mode != client.PLearns {
		wantRows(t, rows, rowsOf(1, 5))
	}
	if got := w.sessions(); len(got) != before+1 || got[before].Outcome != "complete" {
		t.Errorf("%s: on record %v", name, outcomes(got[before:]))
	}
	if got := w.charged(); got.sum() != charged.sum()+chargeOf(mode) {
		t.Errorf("%s: charges %+v, before %+v", name, got, charged)
	}
	return r
}

// charges are what the advertiser's journal and the platform's store count.
type charges struct{ sessions, spent uint64 }

func (c charges) sum() uint64 { return c.sessions + c.spent }

// chargeOf is one session of the platform's in the journal, and a release in the
// store, or else the questions there.
func chargeOf(mode client.Mode) uint64 {
	switch mode {
	case client.PLearns:
		return 2
	case client.MutualP:
		return 1
	}
	return 1024
}

func (w *world) charged() (c charges) {
	w.t.Helper()
	list, err := client.Budgets(w.shop.Dir)
	if err != nil {
		return c // no session yet
	}
	for _, b := range list {
		c.sessions += b.Sessions
	}
	for b, err := range w.db.Budgets(w.t.Context()) {
		must(w.t, err)
		c.spent += b.Spent
	}
	return c
}

// broken starts a match whose connection breaks for good at BLINDED, and returns
// the session's id. Its advertiser goes on trying until goOn is closed.
func (w *world) broken(t *testing.T, end chan error) (sid [32]byte) {
	t.Helper()
	w.shop.on = at(got, psi.FrameBlinded, func(*ampsiv1.Frame) {
		w.shop.away(true)
		w.shop.hangUp()
	})
	go func() {
		_, err := w.shop.match("spring", people(0, 5)...)
		end <- err
	}()
	time.Sleep(time.Second)
	synctest.Wait()
	list := w.sessions()
	if len(list) == 0 || list[len(list)-1].Outcome != "open" {
		t.Fatalf("the session does not wait: %v", outcomes(list))
	}
	return list[len(list)-1].SID
}

// Whoever comes back after resume_seconds finds nothing, and nor does the
// platform keep anything.
func TestResumeTooLate(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		end := make(chan error, 1)
		sid := w.broken(t, end)
		if err := <-end; !errors.Is(err, session.ErrBroken) {
			t.Errorf("the advertiser has %v", err)
		}
		w.shop.away(false)
		steady.check("too late")
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"connection lost"}) {
			t.Errorf("on record %v", got)
		}
		wantCode(t, w.shop.resume(sid), psi.AbortResume)
		steady.check("resumed too late")
	})
}

// A platform that was restarted says clearly that it can't resume.
func TestResumeAfterRestart(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		end := make(chan error, 1)
		w.broken(t, end)
		w.restart()
		w.shop.away(false)
		if err := <-end; !errors.Is(err, client.ErrNotResumed) || session.Code(err) != psi.AbortResume {
			t.Errorf("the advertiser has %v", err)
		}
		if got := w.charged(); got != (charges{sessions: 1}) {
			t.Errorf("charges %+v", got)
		}
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"connection lost"}) {
			t.Errorf("on record %v", got)
		}
	})
}

// Only the advertiser of a session can resume it; another is told what it is told
// of a session that never was, and the session is none the worse.
func TestResumeOfAnother(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		other := w.newAdvertiser("other")
		end := make(chan error, 1)
		sid := w.broken(t, end)
		wantCode(t, other.resume(sid), psi.AbortResume)
		wantCode(t, other.resume([32]byte{1}), psi.AbortResume)
		w.shop.away(false)
		must(t, <-end)
		wantCode(t, other.resume(sid), psi.AbortResume) // complete by now
	})
}

// A partner that starts afresh gets the place of its own session that waits.
func TestNewSessionInsteadOfABrokenOne(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		end := make(chan error, 1)
		w.broken(t, end)
		again := w.shop.again()
		_, err := again.match("summer", people(0, 5)...)
		must(t, err)
		w.shop.away(false)
		if err := <-end; !errors.Is(err, client.ErrNotResumed) {
			t.Errorf("the first has %v", err)
		}
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"connection lost", "complete"}) {
			t.Errorf("on record %v", got)
		}
	})
}

// One that starts too often gets no place, and so ends no session of its own.
func TestTooOftenInsteadOfABrokenOne(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		other := hello(t, agreed(t, "max_releases = 7"))
		conn := w.shop.again().dial() // which stays, while the first has no network
		defer conn.Close()
		for range 31 { // of 32 without a pause
			wantRefused(t, open(t, conn, other), psi.AbortTerms)
		}
		end := make(chan error, 1)
		w.broken(t, end)
		time.Sleep(8 * time.Second)
		for range 3 {
			wantRefused(t, open(t, conn, other), psi.AbortBusy)
		}
		w.shop.away(false)
		if err := <-end; err != nil {
			t.Errorf("the first has %v", err)
		}
	})
}

// A platform that stops does not wait for those who are gone.
func TestStopWithABrokenSession(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		end := make(chan error, 1)
		w.broken(t, end)
		started := time.Now()
		w.server.Close()
		w.grpc.GracefulStop()
		if took := time.Since(started); took > time.Second {
			t.Errorf("it takes %v", took)
		}
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"connection lost"}) {
			t.Errorf("on record %v", got)
		}
		if <-end == nil {
			t.Error("the advertiser has no error")
		}
	})
}

// An advertiser that resumes for ever is sent away in the end: after 256 times, or
// if it does not even say what it has, resume_seconds after the loss.
func TestResumeForEver(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		polite      bool
		least, most int
	}{"saying what it has": {true, 250, 256}, "saying nothing": {false, 32, 80}} {
		inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
			steady := newSteady(t, w)
			resumes, started := 0, time.Now()
			w.shop.on = func(m moment, f *ampsiv1.Frame) {
				switch of := psi.FrameType(f.Type); {
				case of == psi.FrameResume && c.polite && m == sent:
					synctest.Wait()
					resumes++
					w.shop.hangUp()
				case of == psi.FrameResume && !c.polite && m == got:
					resumes++
					w.shop.hangUp()
				case of == psi.FrameBlinded && m == got:
					w.shop.hangUp()
				}
			}
			if _, err := w.shop.match("spring", people(0, 5)...); err == nil || session.Code(err) != psi.AbortResume {
				t.Errorf("%s: the advertiser has %v", name, err)
			}
			if resumes < c.least || resumes > c.most {
				t.Errorf("%s: %d resumes", name, resumes)
			}
			if took := time.Since(started); !c.polite && took > 11*time.Minute {
				t.Errorf("%s: the platform waits for %v", name, took)
			}
			steady.check("resumed for ever")
			list := w.sessions()
			if last := list[len(list)-1]; last.Outcome == "open" || last.Outcome == "complete" {
				t.Errorf("%s: on record as %q", name, last.Outcome)
			}
		})
	}
}

// Calls that each take the place of the one before, and say nothing more than that
// they resume, do not make a session wait for longer than resume_seconds.
func TestResumesThatOverlap(t *testing.T) {
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		end := make(chan error, 1)
		sid := w.broken(t, end)
		beside := w.shop.again()
		conn := beside.dial()
		defer conn.Close()
		started := time.Now()
		for time.Since(started) < time.Hour {
			if f, err := beside.call(conn, sid).Recv(); err != nil || psi.FrameType(f.Type) != psi.FrameResume {
				break
			}
			time.Sleep(100 * time.Second)
		}
		if took := time.Since(started); took > 12*time.Minute {
			t.Errorf("the session waited for %v", took)
		}
		list := w.sessions()
		if last := list[len(list)-1]; last.Outcome == "open" || last.Outcome == "complete" {
			t.Errorf("on record as %q", last.Outcome)
		}
		w.shop.away(false)
		<-end
	})
}

// Of two calls that resume a session at once the later has it; the earlier ends.
func TestResumeTwiceAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		end := make(chan error, 1)
		sid := w.broken(t, end)
		beside := w.shop.again()
		conn := beside.dial()
		greeted := func() ampsiv1.Match_SessionClient {
			stream := beside.call(conn, sid)
			if f, err := stream.Recv(); err != nil || psi.FrameType(f.Type) != psi.FrameResume {
				t.Errorf("the platform answers %v, %v", f.GetType(), err)
			}
			return stream
		}
		first, second := greeted(), greeted()
		if _, err := first.Recv(); err == nil {
			t.Error("the first goes on")
		}
		w.shop.away(false)
		must(t, <-end)
		if _, err := second.Recv(); err == nil {
			t.Error("the second goes on")
		}
		conn.Close()
		wantAccounts(t, w, "spring", accountsOf(0, 5))
		steady.check("two calls at once")
	})
}

// away takes the advertiser off the network, or back.
func (a *advertiser) away(gone bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = gone
}

// resume calls the platform to resume a session, whosever it is, and returns why
// not.
func (a *advertiser) resume(sid [32]byte) error {
	a.w.t.Helper()
	conn := a.dial()
	defer conn.Close()
	f, err := a.call(conn, sid).Recv()
	must(a.w.t, err)
	if psi.FrameType(f.Type) != psi.FrameAbort || len(f.Body) != 1 {
		return fmt.Errorf("%v", psi.FrameType(f.Type))
	}
	return psi.AbortCode(f.Body[0])
}

// call sends a HELLO that resumes.
func (a *advertiser) call(conn *grpc.ClientConn, sid [32]byte) ampsiv1.Match_SessionClient {
	a.w.t.Helper()
	stream, err := ampsiv1.NewMatchClient(conn).Session(a.w.t.Context())
	must(a.w.t, err)
	body, err := proto.Marshal(&ampsiv1.Hello{Version: 1, ResumeSid: sid[:]})
	must(a.w.t, err)
	must(a.w.t, stream.Send(&ampsiv1.Frame{Type: uint32(psi.FrameHello), Body: body}))
	return stream
}
