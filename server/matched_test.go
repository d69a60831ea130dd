package server_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlap-psi/overlap/audit"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/store"
)

// The log says that a session found something, and that it ended, when its count was
// due and not before, whatever became of the advertiser meanwhile: who reads the log
// would learn how long the matches took, and so how many there are.
func TestLogWaitsForTheRelease(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		more  []string
		late  time.Duration  // how long the table takes
		then  func(w *world) // when it is there
		fails bool
	}{
		"an honest advertiser": {},
		"one that hangs up": {then: func(w *world) {
			w.shop.away(true)
			w.shop.hangUp()
		}, fails: true},
		"one whose time is over": {more: []string{"session_seconds = 60"}, late: 50 * time.Second, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, agreed(t, append(c.more, "release_step = 60")...), members(20), func(t *testing.T, w *world) {
				var table time.Time
				late, then := at(sending, psi.FrameTable, func(*ampsiv1.Frame) {
					time.Sleep(c.late)
					table = time.Now()
				}), at(sent, psi.FrameTable, func(*ampsiv1.Frame) {
					if c.then != nil {
						time.AfterFunc(time.Second, func() { c.then(w) })
					}
				})
				w.shop.on = func(m moment, f *ampsiv1.Frame) {
					late(m, f)
					then(m, f)
				}
				seen := map[string]time.Time{}
				over := make(chan struct{})
				go func() {
					for {
						for e, err := range w.db.Entries(t.Context(), store.PublicLog, 0) {
							must(t, err)
							event, err := audit.ParseEvent(e.Body)
							must(t, err)
							switch event.Body.(type) {
							case audit.Matched:
								note(seen, "matched")
							case audit.Session:
								note(seen, "ended")
							}
						}
						select {
						case <-over:
							return
						case <-time.After(time.Second):
						}
					}
				}()
				_, err := w.shop.match("spring", people(0, 10)...)
				time.Sleep(15 * time.Minute)
				close(over)
				synctest.Wait()
				if (err != nil) != c.fails {
					t.Errorf("the advertiser has %v", err)
				}
				if len(seen) != 2 {
					t.Fatalf("the log has %v", seen)
				}
				for what, when := range seen {
					if when.Sub(table) < time.Minute {
						t.Errorf("%s is in the log %v after the table", what, when.Sub(table))
					}
				}
				if got := w.accounts(w.shop, "spring"); !slices.Equal(got, accountsOf(0, 10)) {
					t.Errorf("the audience is %v", got)
				}
			})
		})
	}
}

func note(seen map[string]time.Time, what string) {
	if seen[what].IsZero() {
		seen[what] = time.Now()
	}
}

// A session whose result is not stored ends no sooner: an advertiser may have another
// fill the audience first, to see when it is told.
func TestFailureWaitsForTheRelease(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "release_step = 60"), members(20), func(t *testing.T, w *world) {
		var table time.Time
		w.shop.on = at(sending, psi.FrameTable, func(*ampsiv1.Frame) {
			time.Sleep(time.Minute)
			table = time.Now()
		})
		end := make(chan time.Time, 1)
		go func() {
			_, err := w.shop.match("spring", people(0, 10)...)
			wantCode(t, err, psi.AbortInternal)
			end <- time.Now()
		}()
		time.Sleep(10 * time.Second)
		other := w.shop.again()
		other.Dir = t.TempDir()
		_, err := other.match("spring", people(5, 10)...)
		must(t, err)
		if after := (<-end).Sub(table); after < time.Minute {
			t.Errorf("the advertiser is told %v after its table", after)
		}
		synctest.Wait()
		if s := w.sessions()[0]; s.Ended.Sub(table) < time.Minute || s.Found {
			t.Errorf("it is on record that it ended %v after the table, and found is %v", s.Ended.Sub(table), s.Found)
		}
		if got := w.accounts(w.shop, "spring"); !slices.Equal(got, accountsOf(5, 10)) {
			t.Errorf("the audience is %v", got)
		}
	})
}

// A count that is not due for long keeps no platform from stopping, once it does not
// wait for its sessions any more.
func TestStopBeforeTheRelease(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "release_step = 3600"), members(20), func(t *testing.T, w *world) {
		go w.shop.match("spring", people(0, 10)...)
		time.Sleep(time.Minute) // the matches are stored
		w.server.Close()
		stopped := make(chan time.Time, 1)
		go func() {
			w.grpc.GracefulStop()
			stopped <- time.Now()
		}()
		time.Sleep(10 * time.Minute)
		select {
		case <-stopped:
			t.Error("a session that waits for its time is not waited for")
		default:
		}
		at := time.Now()
		w.server.Stop()
		w.grpc.Stop()
		if took := (<-stopped).Sub(at); took > time.Second {
			t.Errorf("to stop takes %v", took)
		}
		s := w.sessions()
		if len(s) != 1 || s[0].Ended.IsZero() || !s[0].Found {
			t.Errorf("on record are %v", outcomes(s))
		}
	})
}
