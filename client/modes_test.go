package client_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

func liberal(t *testing.T, lines ...string) *policy.Policy {
	t.Helper()
	return agreed(t, append(lines, `modes = ["P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`)...)
}

var learning = []client.Mode{client.ALearns, client.MutualA, client.MutualP}

func audienceOf(m client.Mode) string {
	if m.FillsAudience() {
		return "spring"
	}
	return ""
}

// The rows come in the file's order, once the session is complete, and not at all
// if it fails; the caller's error ends Match.
func TestMatchedRows(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t), 100, func(t *testing.T, w *world) {
		for _, mode := range learning {
			w.Mode = mode
			var rows []uint64
			var complete atomic.Bool
			w.here = func(m moment, f *ampsiv1.Frame) {
				if psi.FrameType(f.Type) == psi.FrameReceipt {
					complete.Store(true)
				}
			}
			w.Matched = func(m client.Match) error {
				if !complete.Load() || m.Kind != "email" {
					t.Errorf("%v: %+v before the end", mode, m)
				}
				rows = append(rows, m.Row)
				return nil
			}
			r, err := w.match(t.Context(), audienceOf(mode), 90, 20)
			must(t, err)
			if want := []uint64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}; !slices.Equal(rows, want) || *r.Matched != (client.Matched{Email: 10}) {
				t.Errorf("%v: rows %v, %+v", mode, rows, r.Matched)
			}

			broken := errors.New("the disk is full")
			w.Matched = func(client.Match) error { return broken }
			if _, err := w.match(t.Context(), audienceOf(mode), 90, 20); !errors.Is(err, broken) {
				t.Errorf("%v: the caller's error becomes %v", mode, err)
			}

			w.Matched = func(client.Match) error { t.Errorf("%v: a row of a failed session", mode); return nil }
			w.here = at(got, psi.FrameTable, func(f *ampsiv1.Frame) { f.Body[0] ^= 1 })
			if mode == client.MutualP {
				w.here = at(got, psi.FrameClaims, func(f *ampsiv1.Frame) { f.Body[31] ^= 1 })
			}
			r, err = w.match(t.Context(), audienceOf(mode), 90, 20)
			if err == nil || r.Matched != nil || r.Receipt == nil {
				t.Errorf("%v: a failed session reports %+v: %v", mode, r, err)
			}
			if files := w.files(); !slices.Equal(files, []string{"journal.jsonl", "journal.jsonl.lock"}) {
				t.Errorf("%v: files %v are left", mode, files)
			}
			w.here, w.Matched = nil, nil
		}
		text, err := os.ReadFile(filepath.Join(w.Dir, "journal.jsonl"))
		must(t, err)
		if strings.Contains(string(text), "mail.example") || !strings.Contains(string(text), `"asked":1024`) {
			t.Error("the journal holds an address, or not what was asked")
		}
		budgets, err := client.Budgets(w.Dir)
		must(t, err)
		if len(budgets) != 1 || budgets[0].Sessions != 3 || budgets[0].Queries != 3*1024 {
			t.Errorf("what the platform has asked: %+v", budgets)
		}
	})
}

// An audience is named exactly where one is filled; nothing is read or sent for a
// wrong name, or in a mode that the policy doesn't list.
func TestModesAndNames(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 3, func(t *testing.T, w *world) {
		w.here = func(moment, *ampsiv1.Frame) { t.Error("the platform is called") }
		for _, c := range []struct {
			mode client.Mode
			name string
			want string
		}{
			{client.ALearns, "spring", "needs no name"}, {client.MutualA, "", "audience's name"},
			{client.MutualP, "A b", "audience's name"}, {client.ALearns, "", "does not allow"}, {client.MutualA, "x", "does not allow"},
		} {
			w.Mode = c.mode
			if _, err := w.match(t.Context(), c.name, 0, 3); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v %q: %v", c.mode, c.name, err)
			}
		}
		conn := w.dial()
		defer conn.Close()
		w.Mode = 5
		if _, err := client.New(conn, w.Config); err == nil {
			t.Error("a client in SPLIT")
		}
		for _, name := range []string{"A_LEARNS", "P_LEARNS", "MUTUAL_A", "MUTUAL_P"} {
			if m, err := client.ParseMode(name); err != nil || fmt.Sprint(m) != name {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := client.ParseMode("SPLIT"); err == nil {
			t.Error("SPLIT is a mode")
		}
	})
}

// A list that is longer than the policy allows is refused before the platform is
// called.
func TestLongListIsNotAsked(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_q_hat = 1024"), 3, func(t *testing.T, w *world) {
		w.Mode = client.ALearns
		_, err := w.match(t.Context(), "", 0, 1024)
		must(t, err)
		w.here = func(moment, *ampsiv1.Frame) { t.Error("the platform is called") }
		_, err = w.match(t.Context(), "", 0, 1025)
		wantCode(t, err, psi.AbortBudget)
	})
}
