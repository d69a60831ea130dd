package client

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// ErrNotResumed says that the connection was lost in mid-session and the platform
// could not go on: it was started again, or had given the session up. Another match
// is another session. Both companies know of the broken one, and what it was
// charged counts once.
var ErrNotResumed = errors.New("client: the connection was lost and the platform cannot resume the session, " +
	"since it was restarted or too much time had passed; match the list again: nothing was charged twice")

// Between two tries to reach the platform again: the first is made at once.
const (
	firstPause   = 500 * time.Millisecond
	longestPause = 10 * time.Second
)

// call is the connection of a session with the platform, over as many calls as it
// takes.
type call struct {
	c        *Client
	stream   ampsiv1.Match_SessionClient
	platform identity.Peer
	hangUp   context.CancelFunc
	began    time.Time // the last
	pause    time.Duration
}

func (r *run) dial(ctx context.Context) (*call, error) {
	a := &call{c: r.c}
	return a, a.open(ctx)
}

func (a *call) open(ctx context.Context) (err error) {
	a.stream, a.platform, a.hangUp, err = a.c.open(ctx)
	a.began = time.Now()
	return err
}

func (a *call) end() { a.hangUp() }

func (a *call) session() session.Config {
	return session.Config{Identity: a.c.c.Identity, Peer: a.platform, Policy: a.c.c.Policy, Progress: a.c.progress, Reconnect: a.again}
}

// again calls the platform until it is there. Calls that break soon, too, are
// followed by longer and longer pauses.
func (a *call) again(ctx context.Context) (session.Stream, error) {
	a.hangUp()
	if time.Since(a.began) > time.Minute {
		a.pause = 0
	}
	a.c.c.Log.WarnContext(ctx, "connection lost, resuming")
	var last error // says more than that the time is over
	for {
		if err := a.wait(ctx); err != nil {
			return nil, cmp.Or(last, err)
		}
		err := a.open(ctx)
		if err == nil {
			return a.stream, nil
		}
		if errors.Is(err, identity.ErrUnknown) || ctx.Err() != nil && last == nil {
			return nil, err
		}
		if ctx.Err() == nil {
			last = err
		}
	}
}

// wait waits before the next try.
func (a *call) wait(ctx context.Context) error {
	timer := time.NewTimer(a.pause)
	defer timer.Stop()
	a.pause = min(max(2*a.pause, firstPause), longestPause)
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// notResumed says what it means that a platform can't resume.
func notResumed(err error) error { return meaning(err, psi.AbortResume, ErrNotResumed) }

// meant is an error that says what another one means. That, and its code, is for
// programs.
type meant struct {
	error
	cause error
}

func (m *meant) Unwrap() []error { return []error{m.error, m.cause} }

// meaning returns what it means that the platform ended a call with the code, and
// every other error as it is.
func meaning(err error, code psi.AbortCode, means error) error {
	var refused *session.PeerAbort
	if errors.As(err, &refused) && refused.Code == code {
		return &meant{means, err}
	}
	return err
}
