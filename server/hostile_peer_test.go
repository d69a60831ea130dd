package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/server"
)

// scripted is the advertiser's end of a call whose frames become others on their
// way: none, several, or those of another session.
type scripted struct {
	grpc.ClientStream
	change func(*ampsiv1.Frame) []*ampsiv1.Frame
}

func (s *scripted) SendMsg(m any) error {
	for _, f := range s.change(proto.Clone(m.(*ampsiv1.Frame)).(*ampsiv1.Frame)) {
		if f == nil {
			return s.CloseSend()
		}
		if err := s.ClientStream.SendMsg(f); err != nil {
			return err
		}
	}
	return nil
}

// through is a dial option for such calls.
func through(change func(*ampsiv1.Frame) []*ampsiv1.Frame) grpc.DialOption {
	return grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, d, conn, method, o...)
		return &scripted{s, change}, err
	})
}

// Every frame of an advertiser, sent twice, left out, as another type, with another
// number, before its time, or taken from another session with everything valid in
// it: the session ends, nobody is in an audience, and the next one is as any other.
func TestFramesOutOfPlace(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		other := map[uint32]*ampsiv1.Frame{} // of a session of the same company, list and keys apart
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			if m == sent {
				other[f.Type] = proto.Clone(f).(*ampsiv1.Frame)
			}
		}
		_, err := w.shop.match("other", people(0, 5)...)
		must(t, err)
		w.shop.on = nil
		types := []psi.FrameType{psi.FrameHello, psi.FrameOpenH, psi.FrameEvaluated, psi.FrameTable, psi.FrameReceipt}
		for name, become := range map[string]func(f *ampsiv1.Frame) []*ampsiv1.Frame{
			"twice":    func(f *ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{f, f} },
			"left out": func(f *ampsiv1.Frame) []*ampsiv1.Frame { return nil },
			"renamed": func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				f.Type = f.Type%9 + 1
				return []*ampsiv1.Frame{f}
			},
			"numbered": func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				f.Seq++
				return []*ampsiv1.Frame{f}
			},
			"of another session": func(f *ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{other[f.Type]} },
			"after the next of another session": func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				for i, t := range types[:len(types)-1] {
					if f.Type == uint32(t) {
						return []*ampsiv1.Frame{other[uint32(types[i+1])], f}
					}
				}
				return []*ampsiv1.Frame{other[uint32(psi.FrameHello)], f}
			},
		} {
			for _, at := range types {
				if name == "of another session" && at == psi.FrameHello {
					continue // which is the same in each
				}
				conn := w.shop.dial(through(func(f *ampsiv1.Frame) []*ampsiv1.Frame {
					if f.Type == uint32(at) {
						return become(f)
					}
					return []*ampsiv1.Frame{f}
				}))
				audience := "spring"
				if name == "of another session" {
					audience = "other"
				}
				before := len(w.accounts(w.shop, audience))
				_, err := w.shop.matchOver(t.Context(), conn, audience, people(10, 20)...)
				conn.Close()
				synctest.Wait()
				last := at == psi.FrameReceipt // by then all is done, but the platform has no signature for it
				if err == nil && !(last && name == "twice") {
					t.Errorf("%v %s: no error", at, name)
				}
				// A frame after the whole table is noticed when the next one is due.
				whole := at == psi.FrameTable && name == "twice"
				if got := len(w.accounts(w.shop, audience)); got != before && !last && !whole {
					t.Errorf("%v %s: %d accounts matched", at, name, got)
				}
				if sessions := w.sessions(); last && sessions[len(sessions)-1].Outcome == "complete" && name != "twice" {
					t.Errorf("%v %s: complete", at, name)
				}
				time.Sleep(11 * time.Second) // the pace of the door
			}
		}
		steady.check("frames out of place")
		steady.serves("frames out of place")
	})
}

// Sizes that are declared cost nothing: a table of 10^12 entries is refused before
// anything is made for it.
func TestDeclaredSizes(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		for _, n := range []uint64{0, 1, 1023, 1025, 1_000_000_000_000, psi.PadSize(1_000_000_000_000), 1 << 40, 1<<40 + 1, 1 << 62, 1<<64 - 1} {
			conn := w.shop.dial(through(func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				if psi.FrameType(f.Type) == psi.FrameOpenH {
					m := new(ampsiv1.OpenH)
					must(t, proto.Unmarshal(f.Body, m))
					m.NHat = n
					f.Body, _ = proto.Marshal(m) // of what was a body
					f.Sig = psi.Sign(w.shop.identity.Key(), psi.FrameOpenH, psi.SenderHolder, nil, f.Body)
				}
				return []*ampsiv1.Frame{f}
			}))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := w.shop.matchOver(t.Context(), conn, "spring", people(0, 5)...)
			runtime.ReadMemStats(&after)
			want := psi.AbortMalformed
			if psi.PadSize(min(n, 1<<40)) == n {
				want = psi.AbortBudget
			}
			wantCode(t, err, want)
			// Other tests run beside this one, so the bound is a wide one; an array of
			// a byte each would be 2^40.
			if got := after.TotalAlloc - before.TotalAlloc; got > 8<<30 {
				t.Errorf("%d entries: %d bytes were allocated", n, got)
			}
			conn.Close()
			steady.check(fmt.Sprintf("%d entries", n))
		}
		if n := len(w.sessions()); n != 0 {
			t.Errorf("%d sessions are on record", n)
		}
		steady.serves("declared sizes")
	})
}

// A frame that comes a byte a second is as silence, however often it starts anew;
// and so is one whose sender answers pings and no more.
func TestFrameOfAByteASecond(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		for name, c := range map[string]struct {
			first []byte
			limit time.Duration
		}{
			"in HELLO":    {nil, 10 * time.Second},
			"after HELLO": {framed(t, hello(t, w.policy)), 2 * time.Minute},
		} {
			r := rawPartner(t, w)
			must(t, errors.Join(r.call(1), r.out.Flush()))
			if c.first != nil {
				must(t, errors.Join(r.WriteData(1, false, c.first), r.out.Flush()))
			}
			must(t, errors.Join(r.WriteData(1, false, []byte{0, 0, 1, 0, 0}), r.out.Flush())) // 64 KiB will come
			started, failed := time.Now(), w.refusals()
			for w.refusals() == failed && time.Since(started) < time.Hour {
				time.Sleep(time.Second)
				r.mu.Lock()
				_ = errors.Join(r.WriteData(1, false, []byte{0}), r.out.Flush()) // the call may be over
				r.mu.Unlock()
			}
			if took := time.Since(started); took < c.limit || took > c.limit+8*time.Second {
				t.Errorf("%s: the platform gives up after %v", name, took)
			}
			r.Close()
			steady.check(name)
		}
		// Half of a frame of HTTP/2, when the connection has been made, and nobody
		// who would answer a ping.
		r := rawPartner(t, w)
		_, err := r.Conn.Write([]byte{0, 0x10, 0, 0, 0})
		must(t, err)
		started := time.Now()
		<-r.ended
		if took := time.Since(started); took > 5*time.Minute+time.Second {
			t.Errorf("half of a frame is waited for for %v", took)
		}
		r.Close()
		steady.check("half of a frame")
		steady.serves("a byte a second")
	})
}

// rawPeer is a partner that reads in the background, and answers nothing.
type rawPeer struct {
	*raw
	ended chan struct{}
}

func rawPartner(t *testing.T, w *world) *rawPeer {
	t.Helper()
	conn, err := w.reach(t.Context())
	must(t, err)
	c, err := shown(conn, w.shop.identity, w.identity.ID())
	must(t, err)
	r, err := speak(c)
	must(t, err)
	p := &rawPeer{raw: r, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		for {
			if _, err := r.ReadFrame(); err != nil {
				return
			}
		}
	}()
	return p
}

// refusals is how many calls failed, at the door or behind it.
func (w *world) refusals() int {
	n := 0
	for _, msg := range []string{`"session failed"`, `"session refused"`} {
		n += strings.Count(w.log.String(), msg)
	}
	return n
}

// As many advertisers as there are places have sessions at the same time, all of
// them right and none much slower than another; one more is told to come back, and
// when. OVERLAP_ADVERTISERS=50 is the size of a large platform.
func TestAdvertisersAtOnce(t *testing.T) {
	n := 11
	if text := os.Getenv("OVERLAP_ADVERTISERS"); text != "" {
		var err error
		n, err = strconv.Atoi(text)
		must(t, err)
	}
	w := newWorld(t, agreed(t), members(40*n), &server.Config{})
	w.places = n
	w.restart()
	shops := make([]*advertiser, n+1)
	for i := range shops {
		shops[i] = w.newAdvertiser(fmt.Sprintf("shop %d", i))
	}
	// All have their place before anybody goes on.
	var placed, ended sync.WaitGroup
	placed.Add(n)
	goOn := make(chan struct{})
	took := make([]time.Duration, n)
	var started time.Time
	for i, a := range shops[:n] {
		a.on = at(got, psi.FrameOpenQ, func(*ampsiv1.Frame) { placed.Done(); <-goOn })
		ended.Go(func() {
			_, err := a.match("spring", people(40*i, 40*i+25)...)
			took[i] = time.Since(started)
			if err != nil {
				t.Errorf("advertiser %d of %d: %v", i, n, err)
			}
		})
	}
	placed.Wait()
	conn := shops[n].dial()
	after := wantRefused(t, open(t, conn, hello(t, w.policy)), psi.AbortBusy)
	conn.Close()
	if after <= 0 || after > time.Minute {
		t.Errorf("one more is told to come back after %v", after)
	}
	started = time.Now()
	close(goOn)
	ended.Wait()
	fastest, slowest := took[0], took[0]
	for i := range shops[:n] {
		if got := w.accounts(shops[i], "spring"); !slices.Equal(got, accountsOf(40*i, 40*i+25)) {
			t.Errorf("advertiser %d has %d accounts", i, len(got))
		}
		fastest, slowest = min(fastest, took[i]), max(slowest, took[i])
	}
	t.Logf("%d advertisers at once: %v to %v", n, fastest, slowest)
	if slowest > 3*fastest {
		t.Errorf("the slowest advertiser took %v, the fastest %v", slowest, fastest)
	}
	_, err := shops[n].match("spring", people(0, 25)...)
	must(t, err)
}

// Thousands of connections from one address are no more than its share, and the
// others are served.
func TestSiegeOfOneAddress(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux has more than one address of its own; TestLimit has the rest")
		return
	}
	w := newWorld(t, agreed(t), members(20), &server.Config{MaxConnections: 100, PerAddress: 20}, grpc.ConnectionTimeout(time.Minute))
	before := openFiles()
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}, Timeout: 5 * time.Second}
	var conns []net.Conn
	for range 1000 {
		conn, err := from.Dial("tcp", w.address)
		if err != nil {
			continue // the platform was faster
		}
		conns = append(conns, conn)
	}
	open := 0
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			open++
		}
	}
	if open > 20 || open == 0 {
		t.Errorf("%d of 1000 connections of an address are open", open)
	}
	_, err := w.shop.match("spring", people(0, 10)...)
	must(t, err)
	for _, conn := range conns {
		conn.Close()
	}
	for deadline := time.Now().Add(recovery); openFiles() > before+filesAfter; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d files are open, %d before", openFiles(), before)
		}
	}
	conn, err := from.Dial("tcp", w.address)
	must(t, err)
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, io.EOF) {
		t.Error("the address is shut out for good")
	}
}

// A partner has as many connections as it may have calls, whatever their addresses;
// nobody else has fewer for it, and one that is closed makes room.
func TestConnectionsOfAPartner(t *testing.T) {
	w := newWorld(t, agreed(t), members(20), &server.Config{PerAddress: -1})
	const most = 20 // four sessions, and sixteen calls at the door
	in := func(conn net.Conn, err error) bool {
		t.Helper()
		must(t, err)
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err = conn.Read(make([]byte, 1)) // of SETTINGS
		return err == nil
	}
	enter := func() (net.Conn, error) {
		conn, err := w.reach(t.Context())
		must(t, err)
		return shown(conn, w.shop.identity, w.identity.ID())
	}
	var conns []net.Conn
	for i := range most + 5 {
		conn, err := enter()
		conns = append(conns, conn)
		if in(conn, err) != (i < most) {
			t.Errorf("connection %d of a partner", i+1)
		}
	}
	if _, err := w.newAdvertiser("other").match("spring", people(0, 10)...); err != nil {
		t.Errorf("another partner has %v", err)
	}
	conns[0].Close()
	for deadline := time.Now().Add(recovery); ; time.Sleep(20 * time.Millisecond) {
		conn, err := enter()
		conns = append(conns, conn)
		if in(conn, err) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("what a partner has closed makes no room")
		}
	}
	for _, conn := range conns {
		conn.Close()
	}
	for deadline := time.Now().Add(recovery); ; time.Sleep(20 * time.Millisecond) {
		if _, err := w.shop.match("spring", people(0, 10)...); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("when all are closed: %v", err)
		}
	}
}
