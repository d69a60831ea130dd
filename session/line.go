package session

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// line is the way of a session's frames: over one stream, and over the next when
// that breaks. It counts frames both ways and keeps those that the peer may miss,
// so that they are sent again as they were (PROTOCOL.md §13). What is above it
// sees every frame once.
type line struct {
	window int
	mend   func(ctx context.Context, broke error) error // nil: a broken stream is a broken session
	sent   uint64                                       // bytes of bodies over streams that are gone
	have   counts                                       // frames taken from the peer
	gave   counts                                       // frames made for it
	kept   []psi.Frame
	reread map[psi.FrameType]func(from, to uint32, send func(psi.Frame) error) error // those too many to keep

	mu     sync.Mutex
	ch     *channel
	next   *channel      // has come to replace ch
	came   chan struct{} // says so
	broken time.Time     // since when nothing gets through; zero while all is well
	closed bool
}

// counts are the numbers of frames of each type, which are those of the next.
type counts [psi.FrameProof + 1]uint32

func newLine(st Stream, window int) *line {
	return &line{window: window, ch: newChannel(st, window), came: make(chan struct{}, 1),
		reread: map[psi.FrameType]func(uint32, uint32, func(psi.Frame) error) error{}}
}

func (l *line) bytesSent() uint64 { return l.sent + l.ch.lastSent }

// recv is channel.recv, on as many streams as it takes.
func (l *line) recv(ctx context.Context, t psi.FrameType, within time.Duration) (psi.Frame, error) {
	for {
		f, err := l.ch.recv(ctx, t, within)
		if err == nil {
			l.took(f)
			return f, nil
		}
		if err := l.mended(ctx, err); err != nil {
			return psi.Frame{}, err
		}
	}
}

// send is channel.send, on as many streams as it takes: to mend is to send all
// that the peer misses, f too. Of a chunk it is channel.post, since the next one
// takes as long to make as this one to write.
func (l *line) send(ctx context.Context, f psi.Frame) error {
	l.gave[f.Type] = f.Seq + 1
	if l.mend != nil && l.reread[f.Type] == nil {
		l.kept = append(l.kept, f)
	}
	send := l.ch.send
	if f.Type == psi.FrameBlinded || f.Type == psi.FrameEvaluated {
		send = l.ch.post
	}
	if err := send(ctx, f); err != nil {
		return l.mended(ctx, err)
	}
	return nil
}

// tell sends a frame that is no part of the session, if it can be sent.
func (l *line) tell(ctx context.Context, f psi.Frame) error { return l.ch.send(ctx, f) }

// end is channel.end, on as many streams as it takes.
func (l *line) end(ctx context.Context) error {
	for {
		err := l.ch.end(ctx)
		if err == nil {
			return nil
		}
		if err := l.mended(ctx, err); err != nil {
			return err
		}
	}
}

func (l *line) mended(ctx context.Context, err error) error {
	if l.mend == nil || !errors.Is(err, ErrBroken) {
		return err
	}
	return l.mend(ctx, err)
}

// took counts a frame, and forgets what it shows to have arrived.
func (l *line) took(f psi.Frame) {
	l.have[f.Type] = f.Seq + 1
	switch window := uint32(l.window); {
	case f.Type == psi.FrameEvaluated:
		l.forget(psi.FrameBlinded, f.Seq)
	case f.Type == psi.FrameBlinded && f.Seq >= window: // which is asked once EVALUATED of one window before is verified
		l.forget(psi.FrameEvaluated, f.Seq-window)
	case f.Type == psi.FrameSeal:
		l.arrived(psi.FrameEvaluated)
	case f.Type == psi.FrameTable:
		l.arrived(psi.FrameSeal)
	case f.Type == psi.FrameClaims, f.Type == psi.FrameRelease:
		l.arrived(psi.FrameTable)
	case f.Type == psi.FrameReceipt:
		l.arrived(psi.FrameSeal, psi.FrameTable, psi.FrameClaims, psi.FrameRelease, psi.FrameReceipt)
	}
}

// arrived forgets all frames of these types: a peer that asks for them again lies.
func (l *line) arrived(types ...psi.FrameType) {
	for _, t := range types {
		delete(l.reread, t)
		l.forget(t, math.MaxUint32)
	}
}

func (l *line) forget(t psi.FrameType, upTo uint32) {
	l.kept = slices.DeleteFunc(l.kept, func(f psi.Frame) bool { return f.Type == t && f.Seq <= upTo })
}

// state is what this side has of the other.
func (l *line) state(sid [32]byte) *ampsiv1.Resume {
	return &ampsiv1.Resume{
		Sid:       sid[:],
		Blinded:   l.have[psi.FrameBlinded],
		Evaluated: l.have[psi.FrameEvaluated],
		Table:     l.have[psi.FrameTable],
		Claims:    l.have[psi.FrameClaims],
		HasSeal:   l.have[psi.FrameSeal] > 0, HasRelease: l.have[psi.FrameRelease] > 0, HasReceipt: l.have[psi.FrameReceipt] > 0,
	}
}

// stated is what a RESUME says its sender has.
func stated(m *ampsiv1.Resume) (c counts) {
	once := map[bool]uint32{true: 1}
	c[psi.FrameBlinded], c[psi.FrameEvaluated] = m.GetBlinded(), m.GetEvaluated()
	c[psi.FrameTable], c[psi.FrameClaims] = m.GetTable(), m.GetClaims()
	c[psi.FrameSeal], c[psi.FrameRelease], c[psi.FrameReceipt] = once[m.GetHasSeal()], once[m.GetHasRelease()], once[m.GetHasReceipt()]
	return c
}

// resumable are the frames that may be sent again, in the order of a session.
var resumable = [...]psi.FrameType{psi.FrameBlinded, psi.FrameEvaluated, psi.FrameSeal, psi.FrameTable, psi.FrameClaims, psi.FrameRelease, psi.FrameReceipt}

// resend sends again what a peer that has so much misses.
func (l *line) resend(ctx context.Context, peer counts) error {
	for _, t := range resumable {
		if peer[t] > l.gave[t] {
			return fmt.Errorf("session: RESUME has more %v than were sent: %w", t, psi.AbortMalformed)
		}
		if first := l.oldest(t); peer[t] < first {
			return fmt.Errorf("session: RESUME lacks %v that had arrived: %w", t, psi.AbortMalformed)
		}
	}
	send := func(f psi.Frame) error { return l.ch.send(ctx, f) }
	for _, t := range resumable {
		if again := l.reread[t]; again != nil && peer[t] < l.gave[t] {
			if err := again(peer[t], l.gave[t], send); err != nil {
				return err
			}
		}
		for _, f := range l.kept {
			if f.Type == t && f.Seq >= peer[t] {
				if err := send(f); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// oldest returns the number of the first frame of type t that can be sent again.
func (l *line) oldest(t psi.FrameType) uint32 {
	if l.reread[t] != nil {
		return 0
	}
	for _, f := range l.kept {
		if f.Type == t {
			return f.Seq
		}
	}
	return l.gave[t]
}

// lose gives up the stream, which is broken.
func (l *line) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken.IsZero() {
		l.broken = time.Now()
	}
	l.ch.close()
}

// adopt makes ch the stream. It reports false if the session is over.
func (l *line) adopt(ch *channel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		ch.close()
		return false
	}
	l.ch.close()
	l.sent += l.ch.lastSent
	l.ch = ch
	return true
}

// well says that both sides are there again.
func (l *line) well() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = time.Time{}
}

// offer hands over a stream that comes in place of the present one, from another
// goroutine. It reports false if the session is over.
func (l *line) offer(ch *channel) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	if l.next != nil {
		l.next.close()
	}
	l.next = ch
	l.ch.replace()
	select {
	case l.came <- struct{}{}:
	default:
	}
	return true
}

// offered returns the stream that was handed over last, or nil.
func (l *line) offered() *channel {
	l.mu.Lock()
	defer l.mu.Unlock()
	ch := l.next
	l.next = nil
	return ch
}

func (l *line) brokenSince() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.broken
}

func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.ch.close()
	if l.next != nil {
		l.next.close()
	}
	l.kept = nil
}

func (l *line) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}
