package server_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/store"
)

// labelsIn runs a session and returns what each row is told, and the lengths of
// all frames.
func (a *advertiser) labelsIn(mode client.Mode, name string, people ...string) (labels map[uint64]string, lengths []string, matched *client.Matched) {
	a.w.t.Helper()
	b := a.again()
	var mu sync.Mutex
	b.on = func(m moment, f *ampsiv1.Frame) {
		mu.Lock()
		defer mu.Unlock()
		if m != sent && psi.FrameType(f.Type) != psi.FrameClaims {
			lengths = append(lengths, fmt.Sprint(psi.FrameType(f.Type), len(f.Body)))
		}
	}
	b.Mode, labels = mode, map[uint64]string{}
	b.Matched = func(m client.Match) error { labels[m.Row] = m.Label; return nil }
	report, err := b.match(name, people...)
	must(a.w.t, err)
	return labels, lengths, report.Matched
}

// Each match is told what the ledger last said of its account, if that fits; what
// may not be matched tells nothing; what is sent is as long with labels as without.
func TestLabels(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "label_len = 12"), members(30), func(t *testing.T, w *world) {
		_, silent, _ := w.shop.labelsIn(client.ALearns, "", people(0, 30)...)
		say := func(i int, label string, change func(*store.Fact)) {
			f := granted(account(i), person(i))
			f.Label, f.CollectedAt = label, time.Unix(5000+int64(i), 0)
			if change != nil {
				change(&f)
			}
			w.put(f)
		}
		say(1, "segment 1", nil)
		say(2, "ten bytes!", nil)
		say(3, "eleven byte", nil) // does not fit
		say(4, "old", nil)
		say(4, "é", func(f *store.Fact) { f.CollectedAt = f.CollectedAt.Add(time.Hour) })
		say(5, "withdrawn", nil)
		say(5, "", func(f *store.Fact) {
			f.Status, f.CollectedAt = consent.Withdrawn, f.CollectedAt.Add(time.Hour)
		})
		say(6, "off", func(f *store.Fact) { f.SwitchedOff = true })
		say(7, "=1+1", nil)
		for _, mode := range []client.Mode{client.ALearns, client.MutualA} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			labels, lengths, matched := w.shop.labelsIn(mode, name, append(people(0, 30), person(1))...)
			want := map[uint64]string{2: "segment 1", 3: "ten bytes!", 5: "é", 8: "=1+1"} // by rows
			for row := uint64(1); row <= 30; row++ {
				label, found := labels[row]
				if gone := row == 6 || row == 7; found == gone || label != want[row] {
					t.Errorf("%v: row %d matches: %v, with %q", mode, row, found, label)
				}
			}
			if len(labels) != 28 || matched.Unreadable != 0 {
				t.Errorf("%v: %d rows, %+v", mode, len(labels), matched)
			}
			if mode == client.ALearns && !slices.Equal(lengths, silent) {
				t.Errorf("frames %v, without labels %v", lengths, silent)
			}
		}
		for mode, name := range map[client.Mode]string{client.PLearns: "p", client.MutualP: "p2"} {
			labels, _, _ := w.shop.labelsIn(mode, name, people(0, 30)...)
			for row, label := range labels {
				if label != "" {
					t.Errorf("%v: row %d is told %q", mode, row, label)
				}
			}
		}
		synctest.Wait()
		if log := w.log.String(); strings.Contains(log, "segment") || strings.Contains(log, "bytes!") || !strings.Contains(log, "longer than the policy") {
			t.Error("the platform's log holds a label, or says nothing of one that doesn't fit")
		}
		if files := w.leftovers(); len(files) > 0 {
			t.Errorf("sessions leave %v", files)
		}
	})
}

// Of several accounts with one identifier, one's label is told: that of the first
// of the snapshot's leaves. It is the same one for all who ask.
func TestLabelOfSharedIdentifier(t *testing.T) {
	t.Parallel()
	var facts []store.Fact
	for i := range 5 {
		f := granted(account(i), person(1))
		f.Label, f.CollectedAt = account(i), time.Unix(1, 0)
		facts = append(facts, f)
	}
	inBubble(t, liberal(t, "label_len = 480"), facts, func(t *testing.T, w *world) {
		first, _, _ := w.shop.labelsIn(client.ALearns, "", person(1))
		again, _, _ := w.newAdvertiser("other").labelsIn(client.MutualA, "x", person(2), person(1))
		if len(first) != 1 || len(again) != 1 || first[1] == "" || first[1] != again[2] {
			t.Errorf("labels %v and %v", first, again)
		}
	})
}
