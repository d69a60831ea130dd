package client_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

type frame struct {
	m moment
	t psi.FrameType
}

// everyFrame is each moment at which a platform may be gone.
var everyFrame = []frame{
	{got, psi.FrameHello}, {sent, psi.FrameOpenQ}, {got, psi.FrameOpenH}, {sent, psi.FrameBlinded}, {got, psi.FrameEvaluated},
	{sent, psi.FrameSeal}, {got, psi.FrameTable}, {sent, psi.FrameRelease}, {sent, psi.FrameReceipt},
}

// frames returns each moment, or under -short a third of them: with the race
// detector a session takes a second.
func frames() (list []frame) {
	for i, f := range everyFrame {
		if !testing.Short() || i%3 == 2 {
			list = append(list, f)
		}
	}
	return list
}

// A connection that breaks at any frame is an error at once, and leaves nothing
// but the journal.
func TestPlatformIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100", "resume_seconds = 0"), 20, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		for _, cut := range frames() {
			w.there = at(cut.m, cut.t, func(*ampsiv1.Frame) {
				synctest.Wait()
				w.cut()
			})
			started := time.Now()
			r, err := w.match(t.Context(), "spring", 0, 5)
			if err == nil || r == nil || r.Released {
				t.Errorf("gone at %v: %v", cut.t, err)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("gone at %v: it takes %v", cut.t, took)
			}
			rest.check(fmt.Sprintf("gone at %v", cut.t))
		}
		_, err := w.match(t.Context(), "spring", 0, 5)
		must(t, err)
	})
}

// A platform that falls silent is given up after two minutes.
func TestPlatformIsSilent(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), 20, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		for _, stop := range frames() {
			if stop.m == sent || stop.t == psi.FrameHello {
				continue // as before the next frame is got; TestPlatformDoesNotAnswer
			}
			goOn := make(chan struct{})
			w.there = at(stop.m, stop.t, func(*ampsiv1.Frame) { <-goOn })
			started := time.Now()
			_, err := w.match(t.Context(), "spring", 0, 5)
			wantCode(t, err, psi.AbortTimeout)
			if took := time.Since(started); took < 2*time.Minute || took > 2*time.Minute+10*time.Second {
				t.Errorf("silent at %v: given up after %v", stop.t, took)
			}
			close(goOn)
			rest.check(fmt.Sprintf("silent at %v", stop.t))
		}
		_, err := w.match(t.Context(), "spring", 0, 5)
		must(t, err)
	})
}

// A platform that takes the call and says nothing is given up when it has had the
// time to cut its snapshot, or, if the policy has less, that of a session.
func TestPlatformDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		policy *policy.Policy
		want   time.Duration
	}{{agreed(t), 30 * time.Minute}, {agreed(t, "session_seconds = 60"), time.Minute}} {
		inBubble(t, c.policy, 1, func(t *testing.T, w *world) {
			var hungUp atomic.Bool
			w.instead = func(s grpc.ServerStream) error {
				<-s.Context().Done()
				hungUp.Store(true)
				return s.Context().Err()
			}
			conn := w.dial()
			defer conn.Close()
			m, err := client.New(conn, w.Config)
			must(t, err)
			started := time.Now()
			_, err = m.Match(t.Context(), "spring", w.list(0, 5))
			wantCode(t, err, psi.AbortTimeout)
			if c.want == time.Minute && !strings.Contains(err.Error(), "session_seconds") {
				t.Errorf("whose time is over: %v", err)
			}
			if took := time.Since(started); took < c.want || took > c.want+5*time.Second {
				t.Errorf("given up after %v, want %v", took, c.want)
			}
			synctest.Wait()
			if !hungUp.Load() { // though the connection is there
				t.Error("the call goes on")
			}
		})
	}
}

// stuckCall is a call whose transport takes no more frames from TABLE on, as
// when the platform does not read.
type stuckCall struct {
	grpc.ClientStream
	busy atomic.Bool
	both *atomic.Bool // CloseSend was called while SendMsg ran
}

func (s *stuckCall) SendMsg(m any) error {
	s.busy.Store(true)
	defer s.busy.Store(false)
	if psi.FrameType(m.(*ampsiv1.Frame).Type) == psi.FrameTable {
		<-s.Context().Done()
		return s.Context().Err()
	}
	return s.ClientStream.SendMsg(m)
}

func (s *stuckCall) CloseSend() error {
	if s.busy.Load() {
		s.both.Store(true)
	}
	return s.ClientStream.CloseSend()
}

// stuckConn opens such calls.
type stuckConn struct {
	*grpc.ClientConn
	both atomic.Bool
}

func (c *stuckConn) NewStream(ctx context.Context, d *grpc.StreamDesc, method string, o ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := c.ClientConn.NewStream(ctx, d, method, o...)
	return &stuckCall{ClientStream: s, both: &c.both}, err
}

// A platform that does not read is given up too, in time and without a call that
// gRPC forbids beside another.
func TestPlatformDoesNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 20, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		for _, cancelled := range []bool{false, true} {
			conn := &stuckConn{ClientConn: w.dial()}
			c, err := client.New(conn, w.Config)
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			want := psi.AbortTimeout
			if cancelled {
				want = psi.AbortCancelled
				time.AfterFunc(time.Minute, cancel)
			}
			started := time.Now()
			_, err = c.Match(ctx, "spring", w.list(0, 5))
			wantCode(t, err, want)
			if took := time.Since(started); took > 2*time.Minute+10*time.Second {
				t.Errorf("it takes %v", took)
			}
			if conn.both.Load() {
				t.Error("CloseSend is called while SendMsg runs")
			}
			cancel()
			conn.Close()
			rest.check("not read")
		}
	})
}

// Who cancels gets the reason back, the platform is told, and nothing is left.
func TestCancel(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 20, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		for _, cancelAt := range frames() {
			if cancelAt.t == psi.FrameHello {
				continue // there is no session yet
			}
			in := cancelAt.t
			ctx, cancel := context.WithCancel(t.Context())
			var aborts []psi.AbortCode
			w.here = at(sent+got-cancelAt.m, in, func(*ampsiv1.Frame) { cancel() }) // at this end
			w.there = func(m moment, f *ampsiv1.Frame) {
				if m == got && psi.FrameType(f.Type) == psi.FrameAbort {
					aborts = append(aborts, psi.AbortCode(f.Body[0]))
				}
			}
			started := time.Now()
			r, err := w.match(ctx, "spring", 0, 5)
			if !errors.Is(err, context.Canceled) || r == nil {
				t.Errorf("cancelled at %v: %v", in, err)
			}
			if took := time.Since(started); took > 5*time.Second {
				t.Errorf("cancelled at %v: it takes %v", in, took)
			}
			rest.check(fmt.Sprintf("cancelled at %v", in))
			if !slices.Equal(aborts, []psi.AbortCode{psi.AbortCancelled}) {
				t.Errorf("cancelled at %v: the platform is told %v", in, aborts)
			}
		}
	})
}

// A platform nobody can reach is given up when the caller gives up.
func TestCancelWhileConnecting(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 1, func(t *testing.T, w *world) {
		rest := atRest(t, w)
		connect := w.connect
		w.connect = func(ctx context.Context) (c net.Conn, err error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		started := time.Now()
		_, err := w.match(ctx, "spring", 0, 5)
		wantCode(t, err, psi.AbortTimeout)
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("it takes %v", took)
		}
		w.connect = connect
		rest.check("not connected")
	})
}

// rest is an advertiser between two sessions, to compare with.
type rest struct {
	t          *testing.T
	w          *world
	goroutines int
}

func atRest(t *testing.T, w *world) *rest {
	t.Helper()
	r := &rest{t: t, w: w}
	r.goroutines, _ = r.wait()
	return r
}

// wait waits for what may still be under way, and returns the goroutines of the
// bubble.
func (r *rest) wait() (n int, stacks string) {
	r.t.Helper()
	time.Sleep(time.Hour)
	synctest.Wait()
	b := make([]byte, 1<<22)
	stacks = string(b[:runtime.Stack(b, true)])
	bubble := regexp.MustCompile(`^goroutine \d+ \[running, (synctest bubble \d+\]:)`).FindStringSubmatch(stacks)
	if bubble == nil {
		r.t.Fatal("a stack does not say its bubble")
	}
	return strings.Count(stacks, bubble[1]), stacks
}

// check looks for what is left after something.
func (r *rest) check(after string) {
	r.t.Helper()
	r.w.here, r.w.there = nil, nil
	if n, stacks := r.wait(); n != r.goroutines {
		r.t.Errorf("%s: %d goroutines, %d before:\n%s", after, n, r.goroutines, stacks)
	}
	for _, name := range r.w.files() {
		if name != "journal.jsonl" && name != "journal.jsonl.lock" {
			r.t.Errorf("%s: %s is left", after, name)
		}
	}
}

// A platform that goes in the middle of a session and stays away is told as that, not
// as the time that ran out over it.
func TestPlatformStaysAway(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100", "resume_seconds = 5"), 20, func(t *testing.T, w *world) {
		connect := w.connect
		w.there = at(got, psi.FrameOpenH, func(*ampsiv1.Frame) {
			w.connect = func(context.Context) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
			}
			synctest.Wait()
			w.cut()
		})
		_, err := w.match(t.Context(), "spring", 0, 5)
		var away *client.UnreachableError
		if !errors.Is(err, session.ErrBroken) || !errors.As(err, &away) || away.Obstacle != client.Refused || strings.Contains(err.Error(), "deadline") {
			t.Errorf("away: %v", err)
		}
		w.connect = connect
	})
}
