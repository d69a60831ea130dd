package server

import (
	"fmt"
	"log/slog"
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
	// queue is how many calls may wait at the door, for each place behind it.
	queue = 4
)

// door is what each call passes before its session: it has to say HELLO soon, not
// too often, and find a place. Each HELLO costs the platform a snapshot.
type door struct {
	waiting *places // calls that have not said HELLO
	places  *places // sessions
	every   time.Duration

	mu     sync.Mutex
	guests map[identity.ID]*guest // partners only, so there are few
}

func newDoor(sessions int, every time.Duration) *door {
	return &door{waiting: newPlaces(queue * sessions), places: newPlaces(sessions), every: every, guests: map[identity.ID]*guest{}}
}

// guest is what the door remembers of a partner.
type guest struct {
	pace *rate.Limiter
	loud rate.Sometimes
}

func (d *door) guest(id identity.ID) *guest {
	d.mu.Lock()
	defer d.mu.Unlock()
	g := d.guests[id]
	if g == nil {
		g = &guest{rate.NewLimiter(rate.Every(d.every), helloBurst), rate.Sometimes{First: 3, Interval: 10 * time.Second}}
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
// be read. The caller leaves with leave.
func (d *door) enter(stream ampsiv1.Match_SessionServer, id identity.ID) (ampsiv1.Match_SessionServer, error) {
	if !d.waiting.take(id) {
		return nil, &busyError{"too many calls have not said HELLO", helloTime}
	}
	hello, err := firstFrame(stream)
	d.waiting.leave(id)
	if err != nil {
		return nil, err
	}
	if !d.places.take(id) {
		return nil, &busyError{"no place is free", placeTime}
	}
	turn := d.guest(id).pace.Reserve()
	if wait := turn.Delay(); wait > 0 {
		turn.Cancel()
		d.places.leave(id)
		return nil, &busyError{"the partner starts sessions too fast", wait}
	}
	return &begun{Match_SessionServer: stream, hello: hello}, nil
}

func (d *door) leave(id identity.ID) { d.places.leave(id) }

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
	hello *ampsiv1.Frame
}

// Recv is called by one goroutine at a time, as gRPC demands.
func (b *begun) Recv() (f *ampsiv1.Frame, err error) {
	if f, b.hello = b.hello, nil; f != nil {
		return f, nil
	}
	return b.Match_SessionServer.Recv()
}
