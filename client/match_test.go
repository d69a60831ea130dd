package client_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// The report says what became of the list, what the platform got and asked, and
// the one count.
func TestReport(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 300, func(t *testing.T, w *world) {
		var bytesSent atomic.Uint64
		w.here = func(m moment, f *ampsiv1.Frame) {
			if m == sent {
				bytesSent.Add(uint64(len(f.Body)))
			}
		}
		var steps []string
		w.Progress = func(step string, done, total uint64) {
			steps = append(steps, fmt.Sprintf("%s %d/%d", step, done, total))
		}
		log := new(logbook)
		w.Log = slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		r, err := w.match(t.Context(), "spring", 20, 400)
		must(t, err)
		if r.Mode != "P_LEARNS" || r.Matched != nil || r.Audience != "spring" || r.Platform != w.platform.ID() || r.List.Rows != 400 || r.List.Kept.Email != 400 ||
			r.People != 400 || !r.Small || r.Display != "exact" || r.Distinct != 400 || r.Collided != 0 || r.Entries != 1024 || r.Queries != 1024 || r.Epsilon != "1/2" || r.Tau != 100 {
			t.Errorf("report %+v", r)
		}
		if !r.Released || r.Count < 200 || r.Count > 360 { // 280 and noise, which is beyond 80 once in 10^17 times
			t.Errorf("count %d, released %v", r.Count, r.Released)
		}
		if r.BytesSent != bytesSent.Load() {
			t.Errorf("%d bytes reported, %d sent", r.BytesSent, bytesSent.Load())
		}
		if r.Duration < time.Second || r.Duration > 3*time.Second { // in the bubble: release_step, and up to the grid
			t.Errorf("it took %v", r.Duration)
		}
		statement, err := r.Receipt.Verify()
		must(t, err)
		if statement.SID != r.Session || statement.Audience != "spring" || statement.Count != r.Count || statement.Suppressed {
			t.Errorf("the receipt states %+v", statement)
		}
		for _, want := range []string{"list 0/0", "list 400/0", "list 400/400", "questions 1024/1024", "table 1024/1024"} {
			if !slices.Contains(steps, want) {
				t.Errorf("progress lacks %q: %q", want, steps)
			}
		}
		if text := log.String(); !strings.Contains(text, r.Session) || strings.Contains(text, "mail.example") {
			t.Errorf("log: %s", text)
		}
		text, err := json.Marshal(r)
		must(t, err)
		var fields map[string]any
		must(t, json.Unmarshal(text, &fields))
		for _, name := range []string{"mode", "audience", "platform", "session", "list", "people", "small", "distinct", "collided", "entries", "queries", "count",
			"rate", "released", "display", "epsilon", "tau", "bytes_sent", "nanoseconds"} {
			if _, ok := fields[name]; !ok {
				t.Errorf("the report's JSON lacks %q", name)
			}
			delete(fields, name)
		}
		if len(fields) > 0 || bytes.Contains(text, []byte("mail.example")) {
			t.Errorf("the report's JSON has more: %v", fields)
		}
	})
}

// The receipt of a session that failed is what there is of it.
func TestReportOfAFailedSession(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 300, func(t *testing.T, w *world) {
		for _, c := range []struct {
			frame  psi.FrameType
			code   psi.AbortCode
			opened bool
		}{
			{psi.FrameOpenQ, psi.AbortAuth, false},
			{psi.FrameBlinded, psi.AbortProof, true}, // noticed by the platform
			{psi.FrameSeal, psi.AbortAuth, true},
			{psi.FrameRelease, psi.AbortAuth, true},
			{psi.FrameReceipt, psi.AbortAuth, true}, // the count has been told, but not what it belongs to
		} {
			w.here = at(got, c.frame, func(f *ampsiv1.Frame) {
				if c.frame == psi.FrameBlinded {
					copy(f.Body, f.Body[32:64])
					return
				}
				f.Sig[0] ^= 1
			})
			r, err := w.match(t.Context(), "spring", 0, 300)
			wantCode(t, err, c.code)
			if r == nil || r.Released || r.Count != 0 || r.Entries != 1024 || (r.Session != "") != c.opened || (r.Receipt != nil) != c.opened {
				t.Errorf("%v: %+v", c.frame, r)
				continue
			}
			if !c.opened {
				continue
			}
			if r.Queries != 1024 || len(r.Receipt.OpenH) == 0 {
				t.Errorf("%v: the report lacks what was agreed", c.frame)
			}
			if _, err := r.Receipt.Verify(); err == nil {
				t.Errorf("%v: the receipt of a failed session is complete", c.frame)
			}
		}
	})
}

func TestAudienceNames(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 3, func(t *testing.T, w *world) {
		w.here = func(moment, *ampsiv1.Frame) { t.Error("the platform is called") }
		for _, name := range []string{"", "Spring", "a b", "é", "a/b", "a\n", strings.Repeat("a", 65)} {
			conn := w.dial()
			c, err := client.New(conn, w.Config)
			must(t, err)
			list := w.list(0, 3)
			r, err := c.Match(t.Context(), name, list)
			if err == nil || r != nil || !strings.Contains(err.Error(), "audience's name") {
				t.Errorf("%q: %v", name, err)
			}
			if list.Report().Rows != 0 {
				t.Errorf("%q: the list was read", name)
			}
			list.Close()
			conn.Close()
		}
		w.here = nil
		for _, name := range []string{"0", "a.b_c-9", strings.Repeat("z", 64)} {
			if _, err := w.match(t.Context(), name, 0, 3); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
	})
}

// A list that can't be read to its end is not matched; one is read once.
func TestListThatEndsInAnError(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 3, func(t *testing.T, w *world) {
		conn := w.dial()
		defer conn.Close()
		c, err := client.New(conn, w.Config)
		must(t, err)
		list := w.list(0, 3)
		_, err = c.Match(t.Context(), "spring", list)
		must(t, err)
		w.here = func(moment, *ampsiv1.Frame) { t.Error("the platform is called") }
		if r, err := c.Match(t.Context(), "spring", list); err == nil || r != nil {
			t.Errorf("a list is matched twice: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if r, err := c.Match(ctx, "spring", w.list(0, 3)); !errors.Is(err, context.Canceled) || r != nil {
			t.Errorf("cancelled before the list was read: %v", err)
		}
	})
}

// Every session has a key of its own: the same list twice makes two tables that
// have nothing in common.
func TestTablesOfOneListHaveNothingInCommon(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 3, func(t *testing.T, w *world) {
		times := map[string]int{}
		w.here = func(m moment, f *ampsiv1.Frame) {
			if m == sending && psi.FrameType(f.Type) == psi.FrameTable {
				for token := range slices.Chunk(f.Body, session.TokenLen) {
					times[string(token)]++
				}
			}
		}
		for range 2 {
			_, err := w.match(t.Context(), "spring", 0, 200)
			must(t, err)
		}
		if len(times) != 2048 {
			t.Errorf("%d different tokens in two tables of 1024", len(times))
		}
	})
}

// A Client may be used by several goroutines.
func TestMatchesAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_evaluations = 3072"), 300, func(t *testing.T, w *world) {
		conn := w.dial()
		defer conn.Close()
		c, err := client.New(conn, w.Config)
		must(t, err)
		ended := make(chan error)
		for i := range 4 {
			list := w.list(20*i, 200)
			go func() {
				r, err := c.Match(t.Context(), fmt.Sprintf("at-once-%d", i), list)
				if err == nil && (r.Distinct != 200 || r.Count < 120) {
					err = fmt.Errorf("%d identifiers, count %d", r.Distinct, r.Count)
				}
				ended <- err
			}()
		}
		// The budget is for three sessions, whichever they are.
		refused := 0
		for range 4 {
			if err := <-ended; errors.Is(err, client.ErrBudget) {
				refused++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refused != 1 {
			t.Errorf("%d matches were refused, want 1", refused)
		}
	})
}
