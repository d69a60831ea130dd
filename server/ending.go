package server

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/store"
)

// endAgain is the pause between two tries to record how a session ended.
const endAgain = 10 * time.Second

// ending is how a session ended: all that there is to record of it, also when
// nothing else is left of the session.
type ending struct {
	s       *Server
	log     *slog.Logger
	sid     [32]byte
	at      time.Time
	took    time.Duration
	outcome string
	receipt *receipt.Receipt
}

// keep records the end, if need be later. The call does not wait for that: its
// advertiser has the receipt, and takes a call that does not end for one that failed.
func (e *ending) keep() {
	err := e.record()
	if err == nil {
		return
	}
	e.log.Error("session not recorded", "sid", identity.ID(e.sid).String(), "error", err)
	e.s.late.add(e)
}

// record may be called again: the store takes an end once.
func (e *ending) record() error {
	// The stream may be gone; the record must be kept all the same.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	of, err := e.s.c.Store.Session(ctx, e.sid)
	if err == nil {
		err = e.s.end(ctx, of, e.receipt, e.outcome, e.at)
	}
	// A try whose answer was lost may have done it.
	if err != nil && !errors.Is(err, store.ErrEnded) {
		return err
	}
	e.s.publish(ctx)
	if e.outcome == outcomeComplete {
		e.log.Info("session complete", "sid", identity.ID(e.sid).String(), "took", e.took)
	}
	return nil
}

// endings are those that the store could not take: another process writes to it for
// long, or its disk is full. They are tried again until they are recorded or the
// server closes. What is lost then, the next start finds open.
type endings struct {
	mu     sync.Mutex
	closed bool
	stop   chan struct{} // closed by close
	tries  sync.WaitGroup
}

func newEndings() *endings { return &endings{stop: make(chan struct{})} }

// add returns at once unless the server is closed: then the store soon is, and only
// the calls are still waited for.
func (l *endings) add(e *ending) {
	l.mu.Lock()
	closed := l.closed
	if !closed {
		l.tries.Go(func() { l.try(e) })
	}
	l.mu.Unlock()
	if closed {
		l.try(e)
	}
}

func (l *endings) try(e *ending) {
	for last := false; !last; {
		select {
		case <-time.After(endAgain):
		case <-l.stop:
			last = true
		}
		err := e.record()
		if err == nil {
			return
		}
		if last {
			e.log.Error("session not recorded before the stop: the next start will say that its process died", "sid", identity.ID(e.sid).String(), "error", err)
		}
	}
}

// close has each tried once more, and returns when nothing uses the store any more.
func (l *endings) close() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.stop)
	}
	l.mu.Unlock()
	l.tries.Wait()
}
