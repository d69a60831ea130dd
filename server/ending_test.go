package server_test

import (
	"context"
	"database/sql"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// lock is another process that writes to the platform's store.
type lock struct {
	t  *testing.T
	db *sql.DB
}

func (w *world) newLock(t *testing.T) *lock {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+strings.TrimPrefix(w.url, "sqlite:")+"?_txlock=immediate")
	must(t, err)
	db.SetMaxOpenConns(1)
	return &lock{t, db}
}

func (l *lock) take() {
	if _, err := l.db.Exec(`BEGIN IMMEDIATE`); err != nil {
		l.t.Error(err)
	}
}

func (l *lock) release() {
	l.t.Helper()
	_, err := l.db.Exec(`ROLLBACK`)
	must(l.t, err)
	must(l.t, l.db.Close())
}

// completeWhileLocked is a match that is complete while nothing can be written.
func completeWhileLocked(t *testing.T, w *world) *lock {
	t.Helper()
	l := w.newLock(t)
	w.shop.on = at(got, psi.FrameRelease, func(*ampsiv1.Frame) { l.take() })
	_, err := w.shop.match("spring", people(0, 10)...)
	must(t, err)
	w.shop.on = nil
	return l
}

// wantEnd fails unless the only session ended in that way, and is told of once.
func wantEnd(t *testing.T, w *world, outcome string, complete bool) {
	t.Helper()
	sessions := w.sessions()
	if got := outcomes(sessions); !slices.Equal(got, []string{outcome}) {
		t.Fatalf("the session is on record as %q", got)
	}
	r, err := receipt.Parse(sessions[0].Receipt)
	must(t, err)
	if (len(r.ReceiptH) > 0) != complete {
		t.Errorf("the receipt on record has %d bytes of the last signature", len(r.ReceiptHSig))
	}
	if kinds := w.published(); kinds["session"] != 1 || kinds["matched"] != 1 {
		t.Errorf("the log tells of %v", kinds)
	}
}

// A session that ends while another process writes for minutes is on record as what
// it was, when that is over.
func TestEndWhileTheStoreIsBusy(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		l := completeWhileLocked(t, w)
		ended := time.Now()
		time.Sleep(5 * time.Minute)
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"open"}) {
			t.Fatalf("while nothing can be written the session is on record as %q", got)
		}
		l.release()
		time.Sleep(time.Minute)
		wantEnd(t, w, "complete", true)
		if at := w.sessions()[0].Ended; at.After(ended) {
			t.Errorf("the session ended %v after its end", at.Sub(ended))
		}
		w.restart()
		wantEnd(t, w, "complete", true)
		if n := strings.Count(w.log.String(), "session not recorded"); n != 1 {
			t.Errorf("the log says %d times that it was not recorded", n)
		}
	})
}

// A stop tries once more, and leaves nothing behind that could use a closed store.
func TestEndAtTheStop(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		l := completeWhileLocked(t, w)
		time.Sleep(time.Second) // the store was given up by now, and the next try is to come
		l.release()
		w.server.Close()
		wantEnd(t, w, "complete", true)
	})
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		w.shop.on = at(got, psi.FrameOpenQ, func(*ampsiv1.Frame) { w.server.Close() })
		l := w.newLock(t)
		w.sending = func(_ context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) == psi.FrameRelease {
				l.take()
				time.AfterFunc(45*time.Second, l.release)
			}
		}
		_, err := w.shop.match("spring", people(0, 10)...)
		must(t, err)
		w.grpc.Stop()
		wantEnd(t, w, "complete", true)
	})
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		steady := newSteady(t, w)
		l := completeWhileLocked(t, w)
		from := time.Now()
		w.server.Close()
		w.grpc.Stop()
		if took := time.Since(from); took > 2*time.Minute {
			t.Errorf("a stop takes %v", took)
		}
		must(t, w.db.Close())
		synctest.Wait()
		if n, stacks := goroutines(t); n > steady.goroutines {
			t.Errorf("%d goroutines, %d before:\n%s", n, steady.goroutines, stacks)
		}
		l.release()
		w.start()
		wantEnd(t, w, "process died", false)
	})
}
