package client_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// Who is told of the list as it was read may end the match before the platform
// hears of it.
func TestListed(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 50, func(t *testing.T, w *world) {
		var called atomic.Bool
		w.here = func(moment, *ampsiv1.Frame) { called.Store(true) }
		stop, rows := errors.New("not this list"), uint64(0)
		w.Listed = func(r audience.Report) error {
			rows = r.Rows
			return stop
		}
		if r, err := w.match(t.Context(), "spring", 0, 7); !errors.Is(err, stop) || r != nil || called.Load() || rows != 7 {
			t.Errorf("%v, %+v, %d rows", err, r, rows)
		}
		stop = nil
		if _, err := w.match(t.Context(), "spring", 0, 7); err != nil || !called.Load() {
			t.Error(err)
		}
	})
}

// A list of fewer people than the policy asks for is refused before the platform
// hears of it, or matched and said to be small.
func TestSmallLists(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{"warn", "refuse"} {
		inBubble(t, agreed(t, "min_list = 50", fmt.Sprintf("small_list = %q", rule)), 50, func(t *testing.T, w *world) {
			var called atomic.Bool
			w.here = func(moment, *ampsiv1.Frame) { called.Store(true) }
			r, err := w.match(t.Context(), "spring", 0, 49)
			if rule == "refuse" {
				if !errors.Is(err, client.ErrSmall) || r != nil || called.Load() {
					t.Errorf("49 people: %v, %+v", err, r)
				}
			} else if err != nil || !r.Small || r.People != 49 || !called.Load() {
				t.Errorf("49 people: %v, %+v", err, r)
			}
			if r, err = w.match(t.Context(), "spring", 0, 50); err != nil || r.Small || r.People != 50 {
				t.Errorf("50 people: %v, %+v", err, r)
			}
		})
	}
}

// The report shows the count as the policy says. The receipt has it anyway.
func TestDisplay(t *testing.T) {
	t.Parallel()
	for display, want := range map[string]func(r *client.Report, percent int) bool{
		"exact": func(r *client.Report, percent int) bool { return r.Count > 0 && r.Rate == fmt.Sprintf("%d%%", percent) },
		"percent": func(r *client.Report, percent int) bool {
			return r.Count == 0 && r.Rate == fmt.Sprintf("%d%%", percent)
		},
		"top85": func(r *client.Report, percent int) bool { return r.Count == 0 && r.Rate == ">85%" },
	} {
		inBubble(t, agreed(t, fmt.Sprintf("display = %q", display)), 1000, func(t *testing.T, w *world) {
			r, err := w.match(t.Context(), "spring", 50, 1000) // 950 in common
			must(t, err)
			statement, err := r.Receipt.Verify()
			must(t, err)
			percent := int(float64(statement.Count)/10 + 0.5)
			if statement.Count < 870 || !r.Released || r.Display != display || !want(r, percent) {
				t.Errorf("%s: count %d, rate %q, released %v", display, r.Count, r.Rate, r.Released)
			}
			if r, err = w.match(t.Context(), "spring", 950, 1000); err != nil || r.Released || r.Rate != "" || r.Count != 0 {
				t.Errorf("%s: suppressed: %+v, %v", display, r, err)
			}
		})
	}
}

// What the journal holds is added up by platform and epoch.
func TestBudgets(t *testing.T) {
	t.Parallel()
	if _, err := client.Budgets(t.TempDir()); err == nil || !strings.Contains(err.Error(), "none in that directory") {
		t.Errorf("without a journal: %v", err)
	}
	inBubble(t, agreed(t), 5, func(t *testing.T, w *world) {
		first := w.Policy.Epoch(time.Now())
		for range 2 {
			_, err := w.match(t.Context(), "spring", 0, 5)
			must(t, err)
		}
		time.Sleep(time.Duration(w.Policy.EpochSeconds) * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.match(ctx, "spring", 0, 5); err == nil {
			t.Error("matched after it was cancelled")
		}
		_, err := w.match(t.Context(), "spring", 0, 5)
		must(t, err)
		path := filepath.Join(w.Dir, "journal.jsonl")
		text, err := os.ReadFile(path)
		must(t, err)
		got, err := client.Budgets(w.Dir)
		want := []client.Budget{{w.platform.ID(), first, 2048, 2}, {w.platform.ID(), first + 1, 1024, 1}}
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("got %v, %v, want %v", got, err, want)
		}
		// Another platform has budgets of its own; a line that is not whole counts for
		// nothing; reading changes nothing.
		other := identity.ID{}
		text = fmt.Appendf(text, `{"time":"2026-11-25T03:00:00Z","platform":%q,"epoch":7,"queries":3}`+"\n"+`{"platform`, other)
		must(t, os.WriteFile(path, text, 0o600))
		if got, err = client.Budgets(w.Dir); err != nil || len(got) != 3 || got[0] != (client.Budget{Epoch: 7, Queries: 3, Sessions: 1}) {
			t.Errorf("got %v, %v", got, err)
		}
		if after, err := os.ReadFile(path); err != nil || string(after) != string(text) {
			t.Error("reading changed the journal")
		}
		must(t, os.WriteFile(path, []byte("x\n"), 0o600))
		if _, err := client.Budgets(w.Dir); err == nil {
			t.Error("a journal that can't be read has budgets")
		}
	})
}

// A platform that holds another policy refuses at HELLO. The error names the
// policy that was refused.
func TestOtherPolicy(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 5, func(t *testing.T, w *world) {
		w.Policy = agreed(t, "retention_days = 90")
		r, err := w.match(t.Context(), "spring", 0, 5)
		wantCode(t, err, psi.AbortTerms)
		if r == nil || r.Session != "" || !strings.Contains(err.Error(), fmt.Sprintf("another policy than %x", w.Policy.Hash())) {
			t.Errorf("%v, %+v", err, r)
		}
	})
}
