package server_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// hello is a HELLO that the platform accepts.
func hello(t *testing.T, p *policy.Policy) *ampsiv1.Frame {
	t.Helper()
	hash := p.Hash()
	var classes []byte
	for _, c := range p.Classes {
		classes = append(classes, byte(c))
	}
	body, err := proto.Marshal(&ampsiv1.Hello{Version: 1, Mode: uint32(psi.PLearns), PolicyHash: hash[:], Universe: p.Universe,
		Classes: classes, TableKind: 1, Release: true, Audience: "spring"})
	must(t, err)
	return &ampsiv1.Frame{Type: uint32(psi.FrameHello), Body: body}
}

// retry returns how long the status of a call asks its caller to stay away.
func retry(err error) time.Duration {
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok {
			return info.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

// open opens a call, and sends HELLO if there is one.
func open(t *testing.T, conn *grpc.ClientConn, hello *ampsiv1.Frame) ampsiv1.Match_SessionClient {
	t.Helper()
	stream, err := ampsiv1.NewMatchClient(conn).Session(t.Context())
	must(t, err)
	if hello != nil {
		must(t, stream.Send(hello))
	}
	return stream
}

// wantRefused wants ABORT, and returns when the caller may come back.
func wantRefused(t *testing.T, stream ampsiv1.Match_SessionClient, want psi.AbortCode) time.Duration {
	t.Helper()
	f, err := stream.Recv()
	must(t, err)
	if psi.FrameType(f.Type) != psi.FrameAbort || len(f.Body) != 1 || psi.AbortCode(f.Body[0]) != want {
		t.Fatalf("frame %d, body %v; want code %d", f.Type, f.Body, want)
	}
	_, err = stream.Recv()
	return retry(err)
}

// Who does not say HELLO takes nobody's place, and is sent away after ten seconds.
func TestNoHello(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		steady := newSteady(t, w)
		conn, more := w.shop.dial(), w.shop.dial()
		started := time.Now()
		silent := open(t, conn, nil) // a place at the door, of as many as it has for a partner
		synctest.Wait()
		_, err := w.newAdvertiser("other").match("spring", people(0, 5)...)
		must(t, err) // though there is one place for all
		if after := wantRefused(t, open(t, more, nil), psi.AbortBusy); after != 10*time.Second {
			t.Errorf("a second call without HELLO may come back after %v", after)
		}
		wantRefused(t, silent, psi.AbortTimeout)
		if took := time.Since(started); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it is refused after %v", took)
		}
		conn.Close()
		more.Close()
		steady.check("silence")
		steady.serves("silence")
	})
}

// Each HELLO costs a snapshot: a partner that says it in a loop is told when to
// come back, and that is the time when it may. Others are as before.
func TestHelloInALoop(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		conn := w.shop.dial()
		defer conn.Close()
		hello := hello(t, w.policy)
		started := time.Now()
		snapshots, after := 0, time.Duration(0)
		for range 200 {
			stream := open(t, conn, hello)
			f, err := stream.Recv()
			must(t, err)
			if psi.FrameType(f.Type) == psi.FrameOpenQ {
				snapshots++
				must(t, stream.Send(&ampsiv1.Frame{Type: uint32(psi.FrameAbort), Body: []byte{byte(psi.AbortCancelled)}}))
			}
			for err == nil {
				_, err = stream.Recv()
			}
			if wait := retry(err); wait > 0 {
				after = wait
			}
			if after > 0 && snapshots == 0 {
				t.Fatal("the first HELLO is refused")
			}
		}
		if took := time.Since(started); took > time.Second {
			t.Fatalf("the loop took %v", took)
		}
		if snapshots != 32 {
			t.Errorf("%d snapshots were cut", snapshots)
		}
		if after <= 0 || after > 10*time.Second {
			t.Fatalf("to be tried again after %v", after)
		}
		_, err := w.newAdvertiser("other").match("spring", people(0, 5)...)
		must(t, err)
		time.Sleep(after)
		stream := open(t, conn, hello)
		if f, err := stream.Recv(); err != nil || psi.FrameType(f.Type) != psi.FrameOpenQ {
			t.Errorf("after the time it was told: %v, %v", f.GetType(), err)
		}
		must(t, stream.CloseSend())
		conn.Close()
		steady.check("HELLOs in a loop")
		if size := len(w.log.String()); size > 32<<10 {
			t.Errorf("%d bytes were logged", size)
		}
		steady.serves("HELLOs in a loop")
	})
}
