package session

import (
	"context"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// deadStream carries nothing until it ends.
type deadStream struct{ end chan struct{} }

func (s deadStream) Send(*ampsiv1.Frame) error     { <-s.end; return context.Canceled }
func (s deadStream) Recv() (*ampsiv1.Frame, error) { <-s.end; return nil, context.Canceled }

// A call that resumes a session in the moment in which its time is over returns, too.
func TestCallAtTheVeryEnd(t *testing.T) {
	for range 50 {
		c := Config{Policy: policy.Default(), GiveUp: make(chan struct{}), Now: time.Now}
		first, second := deadStream{make(chan struct{})}, deadStream{make(chan struct{})}
		s := &Session{c: c, ch: newLine(first, 8), party: partyP}
		s.ch.mend = s.mend
		call := &Session{c: c, ch: newLine(second, 8), party: partyP}
		ctx, cancel := context.WithCancel(context.Background())
		joined := make(chan error, 1)
		go func() { joined <- s.Rejoin(call) }()
		<-s.ch.ch.replaced // it has called
		cancel()           // the session's time is over
		_ = s.ch.send(ctx, psi.Frame{Type: psi.FrameRelease})
		s.Close()
		close(first.end)
		close(second.end) // the advertiser hangs up
		select {
		case <-joined:
		case <-time.After(10 * time.Second):
			t.Fatal("it never returns")
		}
	}
}
