package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// maxResumes is how often one session may be resumed: a peer must not have the
// same table sent to it for ever. Connections that live an hour, as a server's
// do, leave room for a week.
const maxResumes = 256

// survives reports whether this session goes on after its stream broke.
func (s *Session) survives() bool {
	if s.c.Policy.ResumeSeconds == 0 {
		return false
	}
	if s.party == partyA {
		return s.c.Reconnect != nil
	}
	return s.c.GiveUp != nil
}

// checkResumes checks a HELLO that continues a session: nothing else is in it but
// the version.
func (s *Session) checkResumes(h *ampsiv1.Hello) error {
	if s.c.GiveUp == nil {
		return fmt.Errorf("session: there is nothing to resume: %w", psi.AbortResume)
	}
	if len(h.GetResumeSid()) != 32 || !proto.Equal(h, &ampsiv1.Hello{Version: version, ResumeSid: h.GetResumeSid()}) {
		return fmt.Errorf("session: HELLO resumes and asks for something else: %w", psi.AbortMalformed)
	}
	return nil
}

// Resumes reports whether the first frame of a call asks to continue a session,
// before anything else is looked at: such a call needs no place of its own.
func Resumes(first *ampsiv1.Frame) bool {
	hello := new(ampsiv1.Hello)
	return psi.FrameType(first.GetType()) == psi.FrameHello && receipt.Decode(first.GetBody(), hello) == nil && len(hello.GetResumeSid()) > 0
}

// Resumes returns the id of the session that this call continues, if that is what
// it is for: then the platform hands it to that session's Rejoin, or to its
// Farewell.
func (s *Session) Resumes() (sid [32]byte, ok bool) {
	if s.resumeSID == nil {
		return sid, false
	}
	return *s.resumeSID, true
}

// Rejoin gives the session the call in place of its present one, which may not
// have been found to be broken yet. It may be called by other goroutines. It
// returns when the session has no more use for the call: since it is over, or
// with an error that wraps ErrBroken, since there is another call. If it wraps
// psi.AbortResume, the session was over before.
func (s *Session) Rejoin(call *Session) error {
	ch := call.ch.ch
	if !s.ch.offer(ch) {
		return fmt.Errorf("session: the session is over: %w", psi.AbortResume)
	}
	<-ch.stop
	if s.ch.isClosed() {
		return nil
	}
	return errReplaced
}

// BrokenSince returns since when the session has waited for its peer to call
// again; zero if it does not wait. It may be called by other goroutines.
func (s *Session) BrokenSince() time.Time { return s.ch.brokenSince() }

// mend waits for another stream and goes on there, or fails with an error that
// wraps ErrBroken if none comes in time (PROTOCOL.md §13).
func (s *Session) mend(ctx context.Context, broke error) error {
	for ; s.resumed < maxResumes; s.resumed++ {
		s.ch.lose()
		s.progress(StepResuming, 0, 0)
		ch, err := s.another(ctx)
		if ctx.Err() != nil {
			if ch != nil { // it came at the same moment, and whoever brought it waits
				ch.close()
			}
			return context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("%w; it was not resumed: %w", broke, err)
		}
		if !s.ch.adopt(ch) {
			return broke
		}
		if err = s.goOn(ctx); err == nil {
			s.resumed++
			return nil
		}
		if !passes(err) {
			return err
		}
	}
	return fmt.Errorf("session: it was resumed too often: %w", psi.AbortResume)
}

// passes reports whether what keeps a session from going on may be over with the
// next stream.
func passes(err error) bool {
	var peer *PeerAbort
	if errors.As(err, &peer) {
		return peer.Code == psi.AbortBusy
	}
	return errors.Is(err, ErrBroken) || errors.Is(err, psi.AbortTimeout)
}

// another returns the next stream, if it comes within resume_seconds. The platform
// counts them from the loss, whatever calls come to nothing meanwhile: to wait is
// not free.
func (s *Session) another(ctx context.Context) (*channel, error) {
	if s.party == partyP {
		return s.offered(ctx, s.left())
	}
	ctx, cancel := context.WithTimeout(ctx, s.resumeTime())
	defer cancel()
	st, err := s.c.Reconnect(ctx)
	if err != nil {
		return nil, err
	}
	return newChannel(st, s.ch.window), nil
}

func (s *Session) resumeTime() time.Duration {
	return time.Duration(s.c.Policy.ResumeSeconds) * time.Second
}

// left is how long the platform still waits for its peer.
func (s *Session) left() time.Duration { return s.resumeTime() - time.Since(s.ch.brokenSince()) }

var errNotResumed = errors.New("session: the other side did not call again")

func (s *Session) offered(ctx context.Context, within time.Duration) (*channel, error) {
	if within <= 0 {
		return nil, errNotResumed
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		select {
		case <-s.c.GiveUp: // whoever has called is too late
			return nil, errNotResumed
		default:
		}
		if ch := s.ch.offered(); ch != nil {
			return ch, nil
		}
		select {
		case <-s.ch.came:
		case <-timer.C:
			return nil, errNotResumed
		case <-s.c.GiveUp:
			return nil, errNotResumed
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// goOn tells the peer what this side has, learns what the peer has, and sends
// what it misses. The platform speaks first.
func (s *Session) goOn(ctx context.Context) error {
	sid, within := s.params.SID, patience
	if s.party == partyA {
		hello, err := proto.Marshal(&ampsiv1.Hello{Version: version, ResumeSid: sid[:]})
		if err != nil {
			return fmt.Errorf("session: encode HELLO: %w", err)
		}
		if err := s.ch.tell(ctx, psi.Frame{Type: psi.FrameHello, Body: hello}); err != nil {
			return err
		}
		within = s.matching() // it may be at work, and notice only then
	} else {
		within = min(within, s.left()) // who calls and says no more is not there
	}
	peer, err := s.ch.greet(ctx, s.party, s.ch.state(sid), within)
	if err != nil {
		return err
	}
	s.ch.well()
	return s.ch.resend(ctx, stated(peer))
}

// greet exchanges RESUME.
func (l *line) greet(ctx context.Context, party uint32, state *ampsiv1.Resume, within time.Duration) (peer *ampsiv1.Resume, err error) {
	l.ch.readAhead()
	if party == partyA {
		if peer, err = l.readResume(ctx, state, within); err != nil {
			return nil, err
		}
		return peer, l.tellResume(ctx, state)
	}
	if err := l.tellResume(ctx, state); err != nil {
		return nil, err
	}
	return l.readResume(ctx, state, within)
}

func (l *line) tellResume(ctx context.Context, state *ampsiv1.Resume) error {
	body, err := proto.Marshal(state)
	if err != nil {
		return fmt.Errorf("session: encode RESUME: %w", err)
	}
	return l.tell(ctx, psi.Frame{Type: psi.FrameResume, Body: body})
}

func (l *line) readResume(ctx context.Context, state *ampsiv1.Resume, within time.Duration) (*ampsiv1.Resume, error) {
	f, err := l.ch.recv(ctx, psi.FrameResume, within)
	if err != nil {
		return nil, err
	}
	m := new(ampsiv1.Resume)
	if err := receipt.Decode(f.Body, m); err != nil {
		return nil, err
	}
	if f.Seq != 0 || string(m.GetSid()) != string(state.GetSid()) {
		return nil, fmt.Errorf("session: RESUME is of another session: %w", psi.AbortMalformed)
	}
	return m, nil
}

// Farewell is what a platform keeps of a session that is complete, for an
// advertiser whose connection broke before it could know. It holds no secret.
type Farewell struct {
	state   *ampsiv1.Resume
	receipt psi.Frame
}

// Farewell returns it, after the session has ended well.
func (s *Session) Farewell() *Farewell {
	r := &s.record
	f := psi.Frame{Type: psi.FrameReceipt, Body: r.ReceiptQ, Sig: r.ReceiptQSig}
	if s.role == psi.SenderHolder {
		f.Body, f.Sig = r.ReceiptH, r.ReceiptHSig
	}
	return &Farewell{s.ch.state(s.params.SID), f}
}

// Say answers a call that resumes the session. Its error has been told to the
// advertiser.
func (f *Farewell) Say(ctx context.Context, call *Session) error {
	err := func() error {
		peer, err := call.ch.greet(ctx, partyP, f.state, patience)
		if err != nil || peer.GetHasReceipt() {
			return err
		}
		return call.ch.tell(ctx, f.receipt)
	}()
	call.Abort(err)
	return err
}

// frames returns a function that makes frames from to below to of the same batches
// again.
func frames[T any](batches iter.Seq2[T, error], frame func(seq uint32, batch T) psi.Frame) func(from, to uint32, send func(psi.Frame) error) error {
	return func(from, to uint32, send func(psi.Frame) error) error {
		seq := uint32(0)
		for batch, err := range batches {
			if err != nil {
				return err
			}
			if seq >= from {
				if err := send(frame(seq, batch)); err != nil {
					return err
				}
			}
			if seq++; seq == to {
				return nil
			}
		}
		return nil
	}
}
