package server_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

type frame struct {
	m moment
	t psi.FrameType
}

// everyFrame is each moment at which an advertiser may be gone.
var everyFrame = []frame{
	{sent, psi.FrameHello}, {got, psi.FrameOpenQ}, {sent, psi.FrameOpenH}, {got, psi.FrameBlinded}, {sent, psi.FrameEvaluated},
	{got, psi.FrameSeal}, {sent, psi.FrameTable}, {got, psi.FrameRelease}, {got, psi.FrameReceipt}, {sent, psi.FrameReceipt},
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

// A connection that breaks, after any frame, leaves nothing behind at the
// platform but the record of the session, and the next session is as any other.
func TestAdvertiserIsGone(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100", "resume_seconds = 0"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		for _, cut := range frames() {
			before := len(w.sessions())
			w.shop.on = at(cut.m, cut.t, func(*ampsiv1.Frame) {
				synctest.Wait() // the platform does what it can with all it has got
				w.shop.hangUp()
			})
			_, err := w.shop.match("spring", people(0, 5)...)
			name := fmt.Sprintf("gone at %v", cut.t)
			last := cut.m == sent && cut.t == psi.FrameReceipt // then nothing is missing
			if (err == nil) != last {
				t.Errorf("%s: the advertiser has %v", name, err)
			}
			steady.check(name)
			sessions := w.sessions()
			opened := cut.t != psi.FrameHello && cut.t != psi.FrameOpenQ
			if (len(sessions) > before) != opened {
				t.Fatalf("%s: %d sessions on record, %d before", name, len(sessions), before)
			}
			want := "connection lost"
			if last {
				want = "complete"
			}
			if opened && sessions[before].Outcome != want {
				t.Errorf("%s: the session is on record as %q", name, sessions[before].Outcome)
			}
			switch cut.t {
			case psi.FrameOpenQ, psi.FrameBlinded, psi.FrameTable, psi.FrameReceipt: // a session each would take long
				steady.serves(name)
			}
		}
	})
}

// An advertiser that says nothing more, or reads nothing more, is told so after
// two minutes, and its place is free.
func TestAdvertiserIsSilent(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		steady := newSteady(t, w)
		for _, stop := range frames() {
			if stop.m == sent {
				continue // as before the next frame is got
			}
			name := fmt.Sprintf("silent at %v", stop.t)
			goOn := make(chan struct{})
			w.shop.on = at(stop.m, stop.t, func(*ampsiv1.Frame) { <-goOn })
			started, failed := time.Now(), len(w.failures())
			conn := w.shop.dial()
			go func() {
				_, err := w.shop.matchOver(t.Context(), conn, "spring", people(0, 5)...)
				if err == nil {
					t.Errorf("%s: the advertiser has no error", name)
				}
			}()
			for len(w.failures()) == failed && time.Since(started) < time.Hour {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if took := time.Since(started).Round(time.Second); took < 2*time.Minute || took > 2*time.Minute+8*time.Second {
				t.Errorf("%s: the platform gives up after %v", name, took)
			}
			if codes := w.failures(); codes[len(codes)-1] != psi.AbortTimeout {
				t.Errorf("%s: code %d", name, codes[len(codes)-1])
			}
			if files := w.leftovers(); len(files) > 0 { // though the advertiser is still there
				t.Errorf("%s: %v", name, files)
			}
			close(goOn)
			synctest.Wait()
			conn.Close()
			steady.check(name)
		}
		steady.serves("silence")
	})
}

func (w *world) failures() []psi.AbortCode {
	codes, _ := w.log.failures(w.t)
	return codes
}

// A peer that stops reading blocks what the platform sends, for two minutes.
func TestAdvertiserDoesNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		w.sending = func(ctx context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) == psi.FrameBlinded {
				<-ctx.Done() // as in the transport, while the window is closed
			}
		}
		started := time.Now()
		_, err := w.shop.match("spring", people(0, 5)...)
		wantCode(t, err, psi.AbortTimeout)
		if took := time.Since(started); took > 3*time.Minute {
			t.Errorf("it takes %v", took)
		}
		w.sending = nil
		steady.check("not reading")
		if codes := w.failures(); !slices.Equal(codes, []psi.AbortCode{psi.AbortTimeout}) {
			t.Errorf("codes %v", codes)
		}
		steady.serves("not reading")
	})
}

// Whoever has not shown a certificate, or never calls, is disconnected.
func TestConnectionWithoutCall(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		for name, after := range map[string]func(net.Conn) error{
			"TCP only": func(net.Conn) error { return nil },
			"TLS only": func(raw net.Conn) error { return tls.Client(raw, w.shop.tls()).Handshake() },
			"no TLS":   func(raw net.Conn) error { _, err := raw.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")); return err },
		} {
			raw, err := w.listener.DialContext(t.Context())
			must(t, err)
			must(t, after(raw))
			started := time.Now()
			_, err = io.Copy(io.Discard, raw)
			if took := time.Since(started); took > 10*time.Second {
				t.Errorf("%s: disconnected after %v: %v", name, took, err)
			}
			raw.Close()
			steady.check(name)
		}
		steady.serves("connections without a call")
	})
}

func (a *advertiser) tls() *tls.Config {
	c := a.identity.ClientTLS(a.Platform)
	c.NextProtos = []string{"h2"}
	return c
}

// A session has until the policy's deadline, however busy its advertiser looks.
func TestSessionDeadline(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "session_seconds = 60"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		started := time.Now()
		w.shop.on = at(sending, psi.FrameTable, func(*ampsiv1.Frame) { time.Sleep(90 * time.Second) })
		_, err := w.shop.match("spring", people(0, 5)...)
		wantCode(t, err, psi.AbortTimeout)
		if took := time.Since(started); took > 70*time.Second {
			t.Errorf("the advertiser gives up after %v", took)
		}
		steady.check("late")
		if codes := w.failures(); !slices.Equal(codes, []psi.AbortCode{psi.AbortTimeout}) {
			t.Errorf("codes %v", codes)
		}
		steady.serves("late")
	})
}

// The advertiser's operator stops a match: the platform is told, and has
// nothing left of it.
func TestAdvertiserCancels(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		conn := w.shop.dial()
		defer conn.Close()
		for _, in := range []psi.FrameType{psi.FrameOpenQ, psi.FrameBlinded, psi.FrameSeal} {
			ctx, cancel := context.WithCancel(t.Context())
			w.shop.on = at(got, in, func(*ampsiv1.Frame) { cancel() })
			_, err := w.shop.matchOver(ctx, conn, "spring", people(0, 5)...)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled at %v: %v", in, err)
			}
		}
		conn.Close()
		steady.check("cancelled")
		told := (&session.PeerAbort{Code: psi.AbortCancelled}).Error()
		if _, errs := w.log.failures(t); !slices.Equal(errs, []string{told, told, told}) {
			t.Errorf("the platform logs %q", errs)
		}
		for _, outcome := range outcomes(w.sessions()) {
			if outcome != psi.AbortCancelled.Error() {
				t.Errorf("a cancelled session is on record as %q", outcome)
			}
		}
		steady.serves("cancelled")
	})
}

// The platform's operator stops it in mid-session: when the stop returns, every
// session has ended and is on record, so that the store can be closed.
func TestPlatformStops(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		goOn, ended := make(chan struct{}), make(chan error)
		w.shop.on = at(got, psi.FrameBlinded, func(*ampsiv1.Frame) { <-goOn })
		go func() {
			_, err := w.shop.match("spring", people(0, 5)...)
			ended <- err
		}()
		synctest.Wait()
		w.server.Close()
		w.grpc.Stop()
		if files := w.leftovers(); len(files) > 0 {
			t.Errorf("files are left: %v", files)
		}
		sessions := w.sessions()
		if got := outcomes(sessions); !slices.Equal(got, []string{"connection lost"}) {
			t.Errorf("the session is on record as %q", got)
		}
		close(goOn)
		if <-ended == nil {
			t.Error("the advertiser has no error")
		}
		w.restart()
		w.shop.on = nil
		_, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
	})
}

func outcomes(sessions []store.Session) (list []string) {
	for _, s := range sessions {
		list = append(list, s.Outcome)
	}
	return list
}

// The record of a session is there before the first question leaves, and says
// in the end how it ended.
func TestSessionIsOnRecordBeforeTheFirstQuestion(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		var atBlinded []store.Session
		w.sending = func(_ context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) == psi.FrameBlinded {
				atBlinded = w.sessions()
			}
		}
		w.shop.on = at(sending, psi.FrameEvaluated, func(f *ampsiv1.Frame) { f.Body[0] ^= 1 })
		_, err := w.shop.match("spring", people(0, 5)...)
		if err == nil {
			t.Fatal("a wrong answer is accepted")
		}
		synctest.Wait()
		if len(atBlinded) != 1 {
			t.Fatalf("%d sessions are on record before the first question", len(atBlinded))
		}
		if atBlinded[0].Outcome != "open" || atBlinded[0].QHat != 1024 || atBlinded[0].NHat != 1024 ||
			atBlinded[0].Peer != w.shop.identity.ID() || atBlinded[0].Audience != "spring" || len(atBlinded[0].Receipt) == 0 {
			t.Errorf("before the first question: %v", outcomes(atBlinded))
		}
		sessions := w.sessions()
		codes := w.failures()
		if len(sessions) != 1 || len(codes) != 1 || sessions[0].Outcome != codes[0].Error() || sessions[0].SID != atBlinded[0].SID {
			t.Errorf("afterwards: %v, codes %v", outcomes(sessions), codes)
		}
		if w.accounts(w.shop, "spring") != nil {
			t.Error("a session that failed filled an audience")
		}
	})
}

// steady is a platform at rest, to compare with.
type steady struct {
	t          *testing.T
	w          *world
	goroutines int
}

// newSteady looks at the platform before its first session.
func newSteady(t *testing.T, w *world) *steady {
	synctest.Wait()
	n, _ := goroutines(t)
	return &steady{t, w, n}
}

// goroutines returns how many there are in this bubble, and their stacks.
func goroutines(t *testing.T) (n int, stacks string) {
	t.Helper()
	b := make([]byte, 1<<22)
	stacks = string(b[:runtime.Stack(b, true)])
	bubble := regexp.MustCompile(`^goroutine \d+ \[running, (synctest bubble \d+\]:)`).FindStringSubmatch(stacks)
	if bubble == nil {
		t.Fatal("a stack does not say its bubble")
	}
	return strings.Count(stacks, bubble[1]), stacks
}

// check waits for what may still be under way and looks for what is left.
func (s *steady) check(when string) {
	s.t.Helper()
	s.w.shop.on = nil
	time.Sleep(time.Hour)
	synctest.Wait()
	if n, stacks := goroutines(s.t); n != s.goroutines {
		s.t.Errorf("%s: %d goroutines, %d before:\n%s", when, n, s.goroutines, stacks)
	}
	if files := s.w.leftovers(); len(files) > 0 {
		s.t.Errorf("%s: files are left: %v", when, files)
	}
}

// serves runs a session that should succeed.
func (s *steady) serves(when string) {
	s.t.Helper()
	s.w.shop.on = nil
	if _, err := s.w.shop.match("spring", people(3, 9)...); err != nil {
		s.t.Errorf("the session after %s: %v", when, err)
	}
	wantAccounts(s.t, s.w, "spring", accountsOf(3, 9))
}
