package server_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/store"
)

// One account with 300 identifiers, all of them on the list, several times: it
// counts once, so that noise for one account hides it. Of 300 accounts a count
// would be released.
func TestAttackOnePersonCountsManyTimes(t *testing.T) {
	t.Parallel()
	var facts []store.Fact
	for i := range 300 {
		f := granted("one", person(i))
		f.CollectedAt = members(1)[0].CollectedAt
		facts = append(facts, f)
	}
	inBubble(t, agreed(t), facts, func(t *testing.T, w *world) {
		list := slices.Concat(people(0, 300), people(0, 300), people(100, 200))
		report, err := w.shop.match("spring", list...)
		must(t, err)
		if report.Released || report.Count != 0 {
			t.Errorf("a count of %d for one account", report.Count)
		}
		wantAccounts(t, w, "spring", []string{"one"})
		w.put(members(300)...)
		report, err = w.shop.match("spring", list...)
		must(t, err)
		wantAbout(t, report, 301)
	})
}

// All that an advertiser sent in a session, sent again: over the same connection
// its OPEN has been seen, over another it belongs to the first, over a restart it
// stays seen. Nothing is evaluated, asked, charged or put on record for it.
func TestAttackReplayedSession(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_evaluations = 4096"), members(20), func(t *testing.T, w *world) {
		for _, mode := range []client.Mode{client.PLearns, client.ALearns, client.MutualA, client.MutualP} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			a := w.shop.again()
			a.Mode = mode
			var mu sync.Mutex
			var sent []*ampsiv1.Frame
			a.on = func(m moment, f *ampsiv1.Frame) {
				mu.Lock()
				defer mu.Unlock()
				if m == sending {
					sent = append(sent, proto.Clone(f).(*ampsiv1.Frame))
				}
			}
			conn := a.dial()
			_, err := a.matchOver(t.Context(), conn, name, people(0, 5)...)
			must(t, err)
			a.on = nil
			sessions := len(w.sessions())
			wantReplay(t, mode, conn, sent, psi.AbortReplay)
			must(t, conn.Close())
			again := a.dial()
			wantReplay(t, mode, again, sent, psi.AbortAuth)
			must(t, again.Close())
			w.restart()
			again = a.dial()
			wantReplay(t, mode, again, sent, psi.AbortAuth)
			must(t, again.Close())
			if n := len(w.sessions()); n != sessions {
				t.Errorf("%v: %d sessions on record for a replay", mode, n-sessions)
			}
		}
		// Two of the four modes have been charged once each.
		for range 2 {
			_, _, err := w.shop.matchIn(client.ALearns, "", person(1))
			must(t, err)
		}
		_, _, err := w.shop.matchIn(client.ALearns, "", person(1))
		if !errors.Is(err, client.ErrAsked) && !errors.Is(err, psi.AbortBudget) {
			t.Errorf("a fifth question: %v", err)
		}
	})
}

// wantReplay sends the frames over the connection in a call of their own. What the
// platform says must be an ABORT, and before it at most its OPEN.
func wantReplay(t *testing.T, mode client.Mode, conn *grpc.ClientConn, frames []*ampsiv1.Frame, want psi.AbortCode) {
	t.Helper()
	stream, err := ampsiv1.NewMatchClient(conn).Session(t.Context())
	must(t, err)
	var heard []string
	for _, f := range frames {
		if stream.Send(f) != nil {
			break // the platform has ended the call
		}
		synctest.Wait()
	}
	for {
		f, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				t.Errorf("%v: a replayed session ends well", mode)
			}
			break
		}
		heard = append(heard, fmt.Sprint(psi.FrameType(f.Type), f.Body[:1]))
	}
	end := fmt.Sprint(psi.FrameAbort, []byte{byte(want)})
	if len(heard) == 0 || heard[len(heard)-1] != end || len(heard) > 2 {
		t.Errorf("%v: the platform answers %v, want %s", mode, heard, end)
	}
}
