package server_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// A company that is no partner any more is not waited for, nor let in.
func TestRemovedWhileBroken(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.newAdvertiser("other")
		end := make(chan error, 1)
		sid := w.broken(t, end)
		must(t, w.server.SetPartners(w.partners[1:]))
		synctest.Wait()
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"connection lost"}) {
			t.Errorf("on record %v", got)
		}
		if files := w.leftovers(); len(files) > 0 {
			t.Errorf("files are left: %v", files)
		}
		w.shop.away(false)
		if err := <-end; err == nil {
			t.Error("the advertiser has no error")
		}
		must(t, w.server.SetPartners(w.partners))
		wantCode(t, w.shop.resume(sid), psi.AbortResume)
	})
}

// A broken session goes on as it was agreed, whatever has been agreed since.
func TestOtherPolicyWhileBroken(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		end := make(chan error, 1)
		w.broken(t, end)
		w.partners[0].Policy = agreed(t, "max_releases = 0", "resume_seconds = 0", "window = 5")
		must(t, w.server.SetPartners(w.partners))
		w.shop.away(false)
		must(t, <-end)
		wantAccounts(t, w, "spring", accountsOf(0, 5))
	})
}

// A session that waits for its advertiser has no longer to live than any other.
func TestDeadlineWhileBroken(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "session_seconds = 90"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		end := make(chan error, 1)
		w.broken(t, end)
		if err := <-end; err == nil {
			t.Error("the advertiser has no error")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{psi.AbortTimeout.Error()}) {
			t.Errorf("on record %v", got)
		}
		w.shop.away(false)
		steady.check("a deadline")
	})
}

// A session is one for whoever counts them, over however many calls it goes.
func TestResumedCountsOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		var mu sync.Mutex
		var told []string
		tell := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, what)
		}
		w.watch = server.Watch{Started: func(string) { tell("started") }, Ended: func(e server.Ended) { tell(e.Outcome) },
			Refused: func(_, reason string) { tell("refused: " + reason) }}
		w.restart()
		w.shop.on = breaking(w.shop, frame{sent, psi.FrameEvaluated}, true, 3)
		_, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		synctest.Wait()
		wantCode(t, w.shop.resume([32]byte{1}), psi.AbortResume)
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if want := []string{"started", "complete", "refused: resume"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// Calls that resume take no place, and have a pace of their own: a partner that
// makes them in a loop is told when to come back, and neither its own sessions
// nor anybody else's have to wait for that.
func TestResumesInALoop(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		conn := w.shop.dial()
		codes, after := map[psi.AbortCode]int{}, time.Duration(0)
		started := time.Now()
		for range 200 {
			stream := w.shop.call(conn, [32]byte{1})
			f, err := stream.Recv()
			must(t, err)
			if psi.FrameType(f.Type) != psi.FrameAbort || len(f.Body) != 1 {
				t.Fatalf("frame %d", f.Type)
			}
			codes[psi.AbortCode(f.Body[0])]++
			if _, err = stream.Recv(); retry(err) > 0 {
				after = retry(err)
			}
		}
		if took := time.Since(started); took > time.Second {
			t.Fatalf("the loop took %v", took)
		}
		if len(codes) != 2 || codes[psi.AbortResume] != 32 || after <= 0 || after > time.Second {
			t.Errorf("codes %v, to come back after %v", codes, after)
		}
		steady.serves("resumes in a loop")
		if _, err := w.newAdvertiser("other").match("spring", people(0, 5)...); err != nil {
			t.Errorf("another partner has %v", err)
		}
		conn.Close()
		steady.check("resumes in a loop")
		if size := len(w.log.String()); size > 32<<10 {
			t.Errorf("%d bytes were logged", size)
		}
	})
}

// Calls that resume a session at once, as many as a connection has streams, hold
// one session and one call of it, and none is left when it ends.
func TestManyCallsForOneSession(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		end := make(chan error, 1)
		sid := w.broken(t, end)
		beside := w.shop.again()
		var conns []*grpc.ClientConn
		var calls []ampsiv1.Match_SessionClient
		for range 5 {
			conn := beside.dial()
			conns = append(conns, conn)
			for range 4 {
				calls = append(calls, beside.call(conn, sid))
			}
		}
		synctest.Wait()
		w.shop.away(false)
		must(t, <-end)
		for _, call := range calls {
			for f, err := call.Recv(); err == nil; f, err = call.Recv() {
				if of := psi.FrameType(f.Type); of != psi.FrameResume && of != psi.FrameBlinded {
					t.Errorf("a call that was replaced has %v", of)
				}
			}
		}
		for _, conn := range conns {
			conn.Close()
		}
		wantAccounts(t, w, "spring", accountsOf(0, 5))
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"complete"}) {
			t.Errorf("on record %v", got)
		}
		steady.check("many calls")
	})
}

// Labels come over a second connection as over the first, each to its row.
func TestLabelsResumed(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "label_len = 12"), labelled(20), func(t *testing.T, w *world) {
		for _, mode := range []client.Mode{client.ALearns, client.MutualA} {
			for _, cut := range []frame{{sent, psi.FrameSeal}, {got, psi.FrameTable}} {
				w.shop.on = breaking(w.shop, cut, true, 1)
				labels, err := w.shop.labels(mode, people(0, 5)...)
				if err != nil || len(labels) != 5 {
					t.Errorf("%v, broken at %v: %d rows, %v", mode, cut.t, len(labels), err)
				}
				wantLabels(t, labels)
			}
		}
	})
}

// labelled are members whose labels are their accounts.
func labelled(n int) (facts []store.Fact) {
	for i, f := range members(n) {
		f.Label = account(i)
		facts = append(facts, f)
	}
	return facts
}

// labels matches people from the first on, and returns what each row is told.
func (a *advertiser) labels(mode client.Mode, people ...string) (labels map[uint64]string, err error) {
	a.w.t.Helper()
	labels = map[uint64]string{}
	a.Mode, a.Matched = mode, func(m client.Match) error { labels[m.Row] = m.Label; return nil }
	_, err = a.match(map[bool]string{true: "x"}[mode.FillsAudience()], people...)
	a.on, a.Mode, a.Matched = nil, 0, nil
	return labels, err
}

func wantLabels(t *testing.T, labels map[uint64]string) {
	t.Helper()
	for row, label := range labels {
		if label != account(int(row)-1) {
			t.Errorf("row %d is told %q", row, label)
		}
	}
}
