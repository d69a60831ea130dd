package server

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

const (
	// helloTime is how long a call may go on without HELLO. An honest client sends
	// it with the call; whoever waits holds nothing but a turn at the door.
	helloTime = 10 * time.Second
	// placeTime is when a caller that found no place is asked to come back.
	placeTime = 30 * time.Second
	// helloBurst is how many sessions a partner may start without a pause.
	helloBurst = 32
	// againEvery is how often a partner may call to resume a session, on average,
	// and againBurst without a pause. A client pauses longer, but may have lost
	// several sessions at once.
	againEvery = time.Second
	againBurst = 32
	// queue is how many calls may wait at the door, for each place behind it.
	queue = 4
	// fewConnections is how many connections a partner may have in any case: what
	// broke is noticed after a while, and somebody may ask for health.
	fewConnections = 8
)

// door is what each call passes before its session: it has to say HELLO soon, not
// too often, and find a place. Each HELLO costs the platform a snapshot, but for
// one that resumes a session: that has its place.
type door struct {
	waiting *places // calls that have not said HELLO
	places  *places // sessions
	running *opened // those of them that can be resumed
	every   time.Duration
	// connections of each partner are as many as its calls may be, or a few. All of
	// them together are Limit's business.
	connections *places

	mu     sync.Mutex
	guests map[identity.ID]*guest // partners only, so there are few
}

func newDoor(sessions int, every time.Duration) *door {
	waiting, places := newPlaces(queue*sessions), newPlaces(sessions)
	return &door{
		waiting: waiting, places: places, running: newOpened(), every: every,
		connections: newPlacesOf(math.MaxInt, max(waiting.own+places.own, fewConnections)),
		guests:      map[identity.ID]*guest{},
	}
}

// guest is what the door remembers of a partner.
type guest struct {
	pace  *rate.Limiter // of new sessions
	again *rate.Limiter // of calls that resume one
	fetch *rate.Limiter // of downloads of published tables
	loud  rate.Sometimes
}

func (d *door) guest(id identity.ID) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.guests[id]
	if g == nil {
		g = &guest{rate.NewLimiter(rate.Every(d.every), helloBurst), rate.NewLimiter(rate.Every(againEvery), againBurst),
			rate.NewLimiter(rate.Every(d.every), helloBurst), rate.Sometimes{First: 3, Interval: 10 * time.Second}}
		d.guests[id] = g
	}
	return g
}

// warn logs why a call of a company was refused, but not each time: calls cost
// their caller nothing, and lines cost disk.
func (d *door) warn(log *slog.Logger, id identity.ID, err error) {
	d.guest(id).loud.Do(func() { log.Warn("session refused", "code", uint8(session.Code(err)), "error", err) })
}

// busyError asks a caller to come back.
type busyError struct {
	why   string
	after time.Duration
}

func (e *busyError) Error() string { return "server: " + e.why }
func (e *busyError) Unwrap() error { return psi.AbortBusy }

// enter lets a call in that has said HELLO, and returns it with HELLO still to
// be read. One that starts a session has its place, and leaves with leave.
func (d *door) enter(stream ampsiv1.Match_SessionServer, id identity.ID) (*begun, error) {
	if !d.waiting.take(id) {
		return nil, &busyError{"too many calls have not said HELLO", helloTime}
	}
	hello, err := firstFrame(stream)
	d.waiting.leave(id)
	if err != nil {
		return nil, err
	}
	call := &begun{Match_SessionServer: stream, hello: hello, resumes: session.Resumes(hello)}
	if call.resumes {
		if wait := tooFast(d.guest(id).again); wait > 0 {
			return nil, &busyError{"the partner resumes sessions too fast", wait}
		}
		return call, nil
	}
	// Its pace comes first: for a place, one of its own sessions may have to end.
	if wait := tooFast(d.guest(id).pace); wait > 0 {
		return nil, &busyError{"the partner starts sessions too fast", wait}
	}
	if !d.seat(stream.Context(), id) {
		return nil, &busyError{"no place is free", placeTime}
	}
	return call, nil
}

// download lets a call in that asks for a published table, which it has said with
// the call. It has a place, and leaves with leave.
func (d *door) download(call context.Context, id identity.ID) error {
	if wait := tooFast(d.guest(id).fetch); wait > 0 {
		return &busyError{"the partner asks for tables too fast", wait}
	}
	if !d.seat(call, id) {
		return &busyError{"no place is free", placeTime}
	}
	return nil
}

func (d *door) leave(id identity.ID) { d.places.leave(id) }

// tooFast returns when a call may come back that is not let in now, or 0.
func tooFast(pace *rate.Limiter) time.Duration {
	turn := pace.Reserve()
	wait := turn.Delay()
	if wait > 0 {
		turn.Cancel()
	}
	return wait
}

// seat takes a place for a session of a partner, if need be that of one of its own
// that waits for it to call again: whoever starts afresh does not mean to.
func (d *door) seat(call context.Context, id identity.ID) bool {
	if d.places.take(id) {
		return true
	}
	r := d.running.oldestBroken(id)
	if r == nil {
		return false
	}
	r.giveUp()
	timer := time.NewTimer(helloTime)
	defer timer.Stop()
	select {
	case <-r.over:
		return d.places.take(id)
	case <-timer.C: // its advertiser has just called
		return false
	case <-call.Done():
		return false
	}
}

// firstFrame waits for what should be HELLO. Recv, and so the goroutine, ends with
// the call.
func firstFrame(stream ampsiv1.Match_SessionServer) (*ampsiv1.Frame, error) {
	type first struct {
		f   *ampsiv1.Frame
		err error
	}
	got := make(chan first, 1)
	go func() {
		f, err := stream.Recv()
		got <- first{f, err}
	}()
	timer := time.NewTimer(helloTime)
	defer timer.Stop()
	select {
	case r := <-got:
		return r.f, unread(r.err)
	case <-timer.C:
		return nil, fmt.Errorf("server: no HELLO in time: %w", psi.AbortTimeout)
	}
}

// unread says why the transport has no frame: it refused one that is too large, or
// there is nobody any more. The text of a status is the peer's; its code is not.
func unread(err error) error {
	switch c := status.Code(err); {
	case err == nil:
		return nil
	case c == codes.ResourceExhausted || c == codes.Unimplemented:
		return fmt.Errorf("server: HELLO was refused by the transport: %w", psi.AbortMalformed)
	default:
		return fmt.Errorf("%w before HELLO: %v", session.ErrBroken, c)
	}
}

// begun is a call whose first frame was read already.
type begun struct {
	ampsiv1.Match_SessionServer
	hello   *ampsiv1.Frame
	resumes bool // it asks to continue a session
}

// Recv is called by one goroutine at a time, as gRPC demands.
func (b *begun) Recv() (f *ampsiv1.Frame, err error) {
	if f, b.hello = b.hello, nil; f != nil {
		return f, nil
	}
	return b.Match_SessionServer.Recv()
}
