package server

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// opened are the sessions that can be resumed (PROTOCOL.md §13): those that run,
// of which some wait for their advertiser to call again, and for a while what is
// left of those that are complete. They are memory only: a platform that starts
// again resumes none.
type opened struct {
	mu     sync.Mutex
	closed bool
	runs   map[[32]byte]*run
	past   map[[32]byte]past
}

// past is a session that is complete.
type past struct {
	of       identity.ID
	farewell *session.Farewell
	until    time.Time
}

func newOpened() *opened { return &opened{runs: map[[32]byte]*run{}, past: map[[32]byte]past{}} }

func (o *opened) add(r *run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.runs[r.session.SID()] = r
	if o.closed {
		r.giveUp()
	}
}

// remove forgets a session that has ended; what is left of it stays where there is
// something.
func (o *opened) remove(r *run, left *session.Farewell) {
	o.mu.Lock()
	defer o.mu.Unlock()
	sid, now := r.session.SID(), time.Now()
	delete(o.runs, sid)
	for old, p := range o.past {
		if p.until.Before(now) {
			delete(o.past, old)
		}
	}
	if left != nil {
		o.past[sid] = past{r.advertiser.ID, left, now.Add(resumeTime(r.partner))}
	}
}

func resumeTime(p *Partner) time.Duration { return time.Duration(p.Policy.ResumeSeconds) * time.Second }

// find returns the advertiser's session, or what is left of it.
func (o *opened) find(sid [32]byte, of identity.ID) (*run, *session.Farewell) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.runs[sid]; r != nil && r.advertiser.ID == of {
		return r, nil
	}
	if p, ok := o.past[sid]; ok && p.of == of && p.until.After(time.Now()) {
		return nil, p.farewell
	}
	return nil, nil
}

// oldestBroken returns the session of an advertiser that has waited longest for
// it to call again, or nil.
func (o *opened) oldestBroken(of identity.ID) (oldest *run) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var since time.Time
	for _, r := range o.runs {
		if at := r.session.BrokenSince(); r.advertiser.ID == of && !at.IsZero() && (oldest == nil || at.Before(since)) {
			oldest, since = r, at
		}
	}
	return oldest
}

// giveUp lets no session of such companies wait for its advertiser any more.
func (o *opened) giveUp(of func(identity.ID) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, r := range o.runs {
		if of(r.advertiser.ID) {
			r.giveUp()
		}
	}
}

func (o *opened) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.giveUp(func(identity.ID) bool { return true })
}

// survive lets the session go on without its first call, now that both OPENs are
// exchanged.
func (r *run) survive() {
	if r.partner.Policy.ResumeSeconds > 0 {
		r.outlive()
		r.s.door.running.add(r)
	}
}

// forget takes the session out of those that can be resumed.
func (r *run) forget(failure error) {
	if r.session.SID() == ([32]byte{}) {
		return
	}
	var left *session.Farewell
	if failure == nil && r.partner.Policy.ResumeSeconds > 0 {
		left = r.session.Farewell()
	}
	r.s.door.running.remove(r, left)
}

// giveUp ends the wait for an advertiser to call again.
func (r *run) giveUp() { r.gaveUp.Do(func() { close(r.alone) }) }

// Close lets no session wait any more for an advertiser whose connection broke:
// those that do end, and those whose connection breaks from now on end with it. It
// comes before the grpc.Server's Stop or GracefulStop, which return when every
// session has ended. Published tables are closed with their last session. Ends that
// the store could not take are tried once more, which may take a minute.
func (s *Server) Close() {
	s.door.running.close()
	if err := s.shelf.Close(); err != nil {
		s.c.Log.Error("published tables not closed", "error", err)
	}
	s.late.close()
}

// Stop is Close, and ends at once the sessions that wait for the time of their count,
// which may be as long as two of release_step and 5 µs an item. A log that has their
// end then says whether their matches were stored.
func (s *Server) Stop() {
	s.Close()
	s.stopped.Do(func() { close(s.stop) })
}

// resume continues another session on r's call, and returns when the call is over.
func (r *run) resume(stream *begun) error {
	call, err := session.Accept(stream.Context(), stream, r.config())
	if err != nil {
		return r.notResumed(err)
	}
	defer call.Close()
	sid, _ := call.Resumes()
	for {
		to, farewell := r.s.door.running.find(sid, r.advertiser.ID)
		switch {
		case farewell != nil:
			if err := farewell.Say(stream.Context(), call); err != nil {
				return aborted(err)
			}
			return nil
		case to == nil:
			err := fmt.Errorf("server: no such session waits for this advertiser: %w", psi.AbortResume)
			call.Abort(err)
			return r.notResumed(err)
		}
		switch err := to.join(call); {
		case errors.Is(err, psi.AbortResume):
			continue // it was about to end, and now it is over
		case err != nil:
			return aborted(err)
		}
		return nil
	}
}

// join has the session go on over the call. It returns when that has no more use,
// with how the session ended; that is psi.AbortResume if it was over before.
func (r *run) join(call *session.Session) error {
	r.log.Info("session resumed", "sid", r.sidText())
	err := r.session.Rejoin(call)
	if errors.Is(err, session.ErrBroken) {
		return err // nobody reads it: the advertiser has turned to another call
	}
	<-r.over
	if err != nil {
		return err
	}
	return r.failure
}

func (r *run) notResumed(err error) error {
	r.s.door.warn(r.log, r.advertiser.ID, err)
	r.s.c.Watch.refused(r.partner.Name, "resume")
	return aborted(err)
}
