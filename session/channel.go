package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// Stream is either end of a Match.Session call; both generated stream types
// have it.
type Stream interface {
	Send(*ampsiv1.Frame) error
	Recv() (*ampsiv1.Frame, error)
}

// patience is how long one frame may take to come, or to be taken by the peer,
// when the protocol names no other time.
const patience = 2 * time.Minute

// PeerAbort is the error of a session that the other side ended with ABORT.
type PeerAbort struct{ Code psi.AbortCode }

func (e *PeerAbort) Error() string {
	return "session: the other side ended the session: " + e.Code.Error()
}

// Unwrap returns the code.
func (e *PeerAbort) Unwrap() error { return e.Code }

// ErrBroken is a connection that ended without ABORT.
var ErrBroken = errors.New("session: the connection broke")

// channel carries frames both ways. Reading and writing have a goroutine each,
// so that neither waits for the other; both end when the call ends. The reader
// keeps at most window frames and has one more in its hands, but reads the first
// only until it is known what the call is for.
type channel struct {
	in       chan received
	out      chan *ampsiv1.Frame
	sent     chan error
	known    chan struct{} // closed when it is known what the call is for
	knows    sync.Once
	stop     chan struct{} // closed when nobody will read from in or write to out any more
	stopped  sync.Once
	replaced chan struct{} // closed when another stream has come in this one's place
	succeed  sync.Once
	writing  *psi.Frame // nil: none is
	lastSent uint64
}

type received struct {
	frame psi.Frame
	err   error
}

func newChannel(st Stream, window int) *channel {
	c := &channel{
		in:   make(chan received, window),
		out:  make(chan *ampsiv1.Frame),
		sent: make(chan error, 1),

		known:    make(chan struct{}),
		stop:     make(chan struct{}),
		replaced: make(chan struct{}),
	}
	go c.read(st)
	go c.write(st)
	return c
}

// close lets both goroutines end. The caller ends the call itself.
func (c *channel) close() { c.stopped.Do(func() { close(c.stop) }) }

// readAhead lets the reader go on after the first frame.
func (c *channel) readAhead() { c.knows.Do(func() { close(c.known) }) }

// replace breaks the channel for whoever waits for it, since the peer has turned
// to another stream.
func (c *channel) replace() { c.succeed.Do(func() { close(c.replaced) }) }

var errReplaced = fmt.Errorf("%w: the other side has turned to another", ErrBroken)

func (c *channel) read(st Stream) {
	defer close(c.in)
	for {
		r := receive(st)
		select {
		case c.in <- r:
		case <-c.stop:
			return
		}
		if r.err != nil {
			return
		}
		select {
		case <-c.known:
		case <-c.stop:
			return
		}
	}
}

func (c *channel) write(st Stream) {
	for {
		select {
		case f := <-c.out:
			c.sent <- st.Send(f)
		case <-c.stop:
			return
		}
	}
}

// receive reads one frame and checks its shape. Nothing of a frame that fails
// here is seen by anybody.
func receive(st Stream) received {
	m, err := st.Recv()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return received{err: io.EOF}
		}
		// A frame over the size limit, or compressed, never becomes a message.
		if c := status.Code(err); c == codes.ResourceExhausted || c == codes.Unimplemented {
			return received{err: fmt.Errorf("session: frame refused by the transport: %w", psi.AbortMalformed)}
		}
		return received{err: broken(err)}
	}
	f, err := DecodeFrame(m)
	if err == nil && f.Type >= psi.FrameManifest {
		return received{err: fmt.Errorf("session: %v is of no session: %w", f.Type, psi.AbortMalformed)}
	}
	return received{f, err}
}

// broken is the error of a connection that broke. The text of a status is the peer's;
// its code is one of gRPC's, of which Unavailable says no more, nor Unknown, which is
// a write to a stream that has ended.
func broken(err error) error {
	if c := status.Code(err); c != codes.Unavailable && c != codes.Unknown {
		return fmt.Errorf("%w: %v", ErrBroken, c)
	}
	return ErrBroken
}

// DecodeFrame turns a message into a frame, or an ABORT into a *PeerAbort. What it
// refuses is in PROTOCOL.md §5.4 and §13.
func DecodeFrame(m *ampsiv1.Frame) (psi.Frame, error) {
	t := psi.FrameType(m.GetType())
	if m.GetType() > uint32(psi.FrameProof) || len(m.ProtoReflect().GetUnknown()) > 0 {
		return psi.Frame{}, fmt.Errorf("session: unknown frame: %w", psi.AbortMalformed)
	}
	if t == psi.FrameAbort {
		if len(m.GetBody()) != 1 || !psi.AbortCode(m.GetBody()[0]).Valid() {
			return psi.Frame{}, &PeerAbort{psi.AbortMalformed}
		}
		return psi.Frame{}, &PeerAbort{psi.AbortCode(m.GetBody()[0])}
	}
	if want := map[bool]int{true: 64, false: 0}[t.Signed()]; len(m.GetSig()) != want {
		return psi.Frame{}, fmt.Errorf("session: %v has a signature of another length: %w", t, psi.AbortMalformed)
	}
	if len(m.GetBody()) > t.MaxBody() {
		return psi.Frame{}, fmt.Errorf("session: %v is longer than any may be: %w", t, psi.AbortMalformed)
	}
	return psi.Frame{Type: t, Seq: m.GetSeq(), Body: m.GetBody(), Sig: m.GetSig()}, nil
}

// recv returns the next frame, which must be of type t, within the given time.
func (c *channel) recv(ctx context.Context, t psi.FrameType, within time.Duration) (psi.Frame, error) {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case r, open := <-c.in:
		switch {
		case !open || errors.Is(r.err, io.EOF):
			return psi.Frame{}, fmt.Errorf("%w while waiting for %v", ErrBroken, t)
		case r.err != nil:
			return psi.Frame{}, r.err
		case r.frame.Type != t:
			return psi.Frame{}, fmt.Errorf("session: want %v, have %v: %w", t, r.frame.Type, psi.AbortMalformed)
		}
		return r.frame, nil
	case <-timer.C:
		return psi.Frame{}, fmt.Errorf("session: the other side sent no %v in time: %w", t, psi.AbortTimeout)
	case <-c.replaced:
		return psi.Frame{}, errReplaced
	case <-ctx.Done():
		return psi.Frame{}, context.Cause(ctx)
	}
}

// end waits for the orderly end of the stream: no frame may follow the last.
func (c *channel) end(ctx context.Context) error {
	select {
	case r, open := <-c.in:
		if !open || errors.Is(r.err, io.EOF) {
			return nil
		}
		if r.err != nil {
			return r.err
		}
		return fmt.Errorf("session: %v after the end: %w", r.frame.Type, psi.AbortMalformed)
	case <-time.After(patience):
		return fmt.Errorf("session: the other side does not end the stream: %w", psi.AbortTimeout)
	case <-c.replaced:
		return errReplaced
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// send hands a frame to the writer and returns when the transport has taken it.
// A peer that stops reading is a timeout, not a hang. A frame the peer sent
// meanwhile is left for recv, except that an ABORT explains a broken write.
func (c *channel) send(ctx context.Context, f psi.Frame) error {
	if err := c.post(ctx, f); err != nil {
		return err
	}
	return c.written(ctx)
}

// post is send, but returns while the frame is being written: the caller makes the
// next one meanwhile, and the wire does not wait for it. What becomes of the frame is
// found by the next send or post. Its body must stay as it is until then.
func (c *channel) post(ctx context.Context, f psi.Frame) error {
	if err := c.written(ctx); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case c.out <- &ampsiv1.Frame{Type: uint32(f.Type), Seq: f.Seq, Body: f.Body, Sig: f.Sig}:
		c.writing = &f
		return nil
	case <-c.stop:
		return fmt.Errorf("%w before %v was sent", ErrBroken, f.Type)
	case <-timer.C:
		return notTaken(f.Type)
	case <-c.replaced:
		return errReplaced
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// written returns when the transport has taken the frame that is being written, if
// there is one.
func (c *channel) written(ctx context.Context) error {
	f := c.writing
	if f == nil {
		return nil
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-c.sent:
		c.writing = nil
		if err != nil {
			return c.why(fmt.Errorf("%w while sending %v", broken(err), f.Type))
		}
		c.lastSent += uint64(len(f.Body))
		return nil
	case <-timer.C:
		return notTaken(f.Type)
	case <-c.replaced:
		return errReplaced
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func notTaken(t psi.FrameType) error {
	return fmt.Errorf("session: the other side does not take %v: %w", t, psi.AbortTimeout)
}

// why looks for the reason of a failed write among the frames that arrived.
func (c *channel) why(err error) error {
	c.readAhead() // of what is dropped here
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	for {
		select {
		case r, open := <-c.in:
			if !open {
				return err
			}
			if r.err != nil && !errors.Is(r.err, io.EOF) {
				return r.err
			}
		case <-timer.C:
			return err
		}
	}
}
