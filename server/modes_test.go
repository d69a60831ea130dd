package server_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

const everyMode = `modes = ["P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`

func liberal(t *testing.T, lines ...string) *policy.Policy {
	t.Helper()
	return agreed(t, append(lines, everyMode)...)
}

// matchIn matches people in a mode, and returns the rows that matched.
func (a *advertiser) matchIn(mode client.Mode, name string, people ...string) (rows []uint64, report *client.Report, err error) {
	a.w.t.Helper()
	b := a.again()
	b.on = a.on
	b.Mode = mode
	b.Matched = func(m client.Match) error {
		if want := map[bool]string{true: "phone", false: "email"}[isPhone(people[m.Row-1])]; m.Kind != want {
			a.w.t.Errorf("row %d matches as %s", m.Row, m.Kind)
		}
		rows = append(rows, m.Row)
		return nil
	}
	report, err = b.match(name, people...)
	return rows, report, err
}

// rowsOf returns first to last.
func rowsOf(first, last uint64) (rows []uint64) {
	for i := first; i <= last; i++ {
		rows = append(rows, i)
	}
	return rows
}

func wantRows(t *testing.T, got []uint64, want []uint64) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%d rows matched, want %d: %v", len(got), len(want), got)
	}
}

// In each mode, each side learns what it is to learn, exactly, and both keep the
// same receipt, which says so.
func TestEachModeIsExact(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t), members(300), func(t *testing.T, w *world) {
		for _, c := range []struct {
			mode client.Mode
			name string
			a, p bool // learns who
		}{
			{client.ALearns, "", true, false},
			{client.MutualA, "mutual-a", true, true},
			{client.MutualP, "mutual-p", true, true},
			{client.PLearns, "p", false, true},
		} {
			rows, r, err := w.shop.matchIn(c.mode, c.name, people(100, 400)...)
			must(t, err)
			var wantOfA []uint64
			if c.a {
				wantOfA = rowsOf(1, 200)
				if r.Matched == nil || r.Matched.Email+r.Matched.Phone != 200 || r.Matched.Phone != 66 {
					t.Errorf("%v: the report counts %+v", c.mode, r.Matched)
				}
			} else if r.Matched != nil {
				t.Errorf("%v: the report counts matches", c.mode)
			}
			wantRows(t, rows, wantOfA)
			if c.p {
				wantAccounts(t, w, c.name, accountsOf(100, 300))
			}
			if r.Mode != c.mode.String() || r.Distinct != 300 || r.Entries != 1024 || r.Queries != 1024 {
				t.Errorf("%v: the report says %+v", c.mode, r)
			}
			if c.mode == client.PLearns {
				wantAbout(t, r, 200)
			} else if r.Released || r.Count != 0 {
				t.Errorf("%v: a count", c.mode)
			}
			wantModeEvidence(t, w, r, c.mode)
		}
		list, err := w.db.Audiences(t.Context())
		must(t, err)
		if len(list) != 3 {
			t.Errorf("%d audiences, want 3: A_LEARNS fills none", len(list))
		}
		if files := w.leftovers(); len(files) > 0 {
			t.Errorf("sessions leave %v", files)
		}
	})
}

func wantModeEvidence(t *testing.T, w *world, r *client.Report, mode client.Mode) {
	t.Helper()
	synctest.Wait()
	statement, err := r.Receipt.Verify()
	must(t, err)
	if statement.Mode != mode.String() || statement.SID != r.Session || statement.Platform != w.identity.ID() ||
		statement.Advertiser != w.shop.identity.ID() || statement.Counted != (mode == client.PLearns) {
		t.Errorf("the receipt states %+v", statement)
	}
	for _, s := range w.sessions() {
		if fmt.Sprintf("%x", s.SID) != r.Session {
			continue
		}
		if s.Outcome != "complete" || s.Audience != r.Audience || string(s.Receipt) != string(r.Receipt.Bytes()) {
			t.Errorf("%v is on record as %q for %q, or with another receipt", mode, s.Outcome, s.Audience)
		}
		return
	}
	t.Error("the session is not on record")
}

// What is on file for security, denied, withdrawn or switched off matches in no
// mode; several accounts of one number are all in the audience; a repeated
// identifier of the list is of its first row.
func TestOnlyConsentMatchesInEachMode(t *testing.T) {
	t.Parallel()
	var facts []store.Fact
	add := func(account string, i int, change func(*store.Fact)) {
		f := granted(account, person(i))
		f.CollectedAt = time.Unix(1000, 0)
		if change != nil {
			change(&f)
		}
		facts = append(facts, f)
	}
	add("yes", 1, nil)
	add("security", 2, func(f *store.Fact) { f.Purpose = consent.AccountSecurity2FA })
	add("denied", 3, func(f *store.Fact) { f.Status = consent.Denied })
	add("off", 4, func(f *store.Fact) { f.SwitchedOff = true })
	add("withdrawn", 5, func(f *store.Fact) { f.Status = consent.Withdrawn })
	add("shared-1", 6, nil)
	add("shared-2", 6, nil)
	add("shared-security", 6, func(f *store.Fact) { f.Purpose = consent.AccountRecovery })
	inBubble(t, liberal(t), facts, func(t *testing.T, w *world) {
		list := append(people(1, 10), person(6), person(1))
		for mode, name := range map[client.Mode]string{client.ALearns: "", client.MutualA: "a", client.MutualP: "p"} {
			rows, _, err := w.shop.matchIn(mode, name, list...)
			must(t, err)
			wantRows(t, rows, []uint64{1, 6})
			if name != "" {
				wantAccounts(t, w, name, []string{"shared-1", "shared-2", "yes"})
			}
		}
	})
}

// Whoever withdraws while a session runs is neither claimed nor stored.
func TestWithdrawnMeanwhile(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t), members(50), func(t *testing.T, w *world) {
		for i, mode := range []client.Mode{client.MutualA, client.MutualP} {
			gone := 10 + i
			moment, frame := got, psi.FrameTable
			if mode == client.MutualP {
				moment, frame = sending, psi.FrameTable
			}
			w.shop.on = at(moment, frame, func(*ampsiv1.Frame) {
				f := granted(account(gone), person(gone))
				f.Status, f.CollectedAt = consent.Withdrawn, time.Now().Add(-time.Second)
				w.put(f)
			})
			rows, _, err := w.shop.matchIn(mode, "spring", people(0, 40)...)
			must(t, err)
			w.shop.on = nil
			want := slices.DeleteFunc(accountsOf(0, 40), func(a string) bool { return a == account(gone) || i == 1 && a == account(10) })
			wantAccounts(t, w, "spring", want)
			switch mode {
			case client.MutualA: // it had been asked and answered: that can't be undone
				wantRows(t, rows, rowsOf(1, 40))
			case client.MutualP:
				wantRows(t, rows, slices.DeleteFunc(rowsOf(1, 40), func(row uint64) bool { return row == 11 || row == 12 }))
			}
			for n, want := range map[int]bool{gone: true, 20: false, 45: false} {
				s, err := w.db.Subject(t.Context(), account(n))
				must(t, err)
				if e := s.Exposures[len(s.Exposures)-1]; e.Changed != want || e.Matched != (n == 20) {
					t.Errorf("%v, %s: changed is %v, matched %v", mode, account(n), e.Changed, e.Matched)
				}
			}
		}
	})
}

// Enumerating a block of numbers stops at the budget exactly, before anything is
// evaluated, over a restart too; a failed session has asked all the same.
func TestEnumerationStopsAtTheBudget(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_evaluations = 3072"), members(40), func(t *testing.T, w *world) {
		block := func(i int) (numbers []string) {
			for n := range 1024 {
				numbers = append(numbers, fmt.Sprintf("+336%08d", 20_000_000+1024*i+n))
			}
			return numbers
		}
		fresh := func() *advertiser { // an advertiser that lost its own count
			a := w.shop.again()
			a.Dir = t.TempDir()
			return a
		}
		_, _, err := fresh().matchIn(client.ALearns, "", block(0)...)
		must(t, err)
		broken := fresh()
		broken.on = at(got, psi.FrameEvaluated, func(f *ampsiv1.Frame) { f.Body[0] ^= 1 })
		if _, _, err := broken.matchIn(client.MutualA, "x", block(1)...); err == nil {
			t.Error("a wrong answer is taken")
		}
		_, _, err = fresh().matchIn(client.ALearns, "", block(2)...)
		must(t, err)
		w.restart()
		for _, mode := range []client.Mode{client.ALearns, client.MutualA} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			var frames tape
			late := fresh()
			late.on = func(m moment, f *ampsiv1.Frame) {
				if m != sent {
					frames.note(f)
				}
			}
			_, _, err := late.matchIn(mode, name, person(1))
			wantCode(t, err, psi.AbortBudget)
			frames.want(t, psi.FrameHello, psi.FrameOpenQ, psi.FrameAbort)
		}
		other := w.newAdvertiser("other")
		_, _, err = other.matchIn(client.ALearns, "", person(1))
		must(t, err)
		time.Sleep(time.Duration(w.policy.EpochSeconds) * time.Second)
		rows, _, err := fresh().matchIn(client.ALearns, "", person(1))
		must(t, err)
		wantRows(t, rows, []uint64{1})
	})
}

// The advertiser counts its own questions apart from the platform's.
func TestAdvertiserCountsItsQuestions(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_evaluations = 2048"), members(10), func(t *testing.T, w *world) {
		for range 2 {
			_, _, err := w.shop.matchIn(client.ALearns, "", person(1))
			must(t, err)
			_, _, err = w.shop.matchIn(client.MutualP, "x", person(1))
			must(t, err)
		}
		var frames tape
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			if m == sending {
				frames.note(f)
			}
		}
		_, _, err := w.shop.matchIn(client.ALearns, "", person(1))
		if !errors.Is(err, client.ErrAsked) {
			t.Errorf("a third question: %v", err)
		}
		frames.want(t, psi.FrameHello, psi.FrameAbort)
		w.shop.on = nil
		_, _, err = w.shop.matchIn(client.MutualP, "x", person(1))
		if !errors.Is(err, client.ErrBudget) {
			t.Errorf("a third answer: %v", err)
		}
	})
}

// A mode that the partner's policy doesn't list is refused before any work.
func TestUnlistedModeIsRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(10), func(t *testing.T, w *world) {
		for _, mode := range []client.Mode{client.ALearns, client.MutualA, client.MutualP} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			var frames tape
			w.shop.on = func(_ moment, f *ampsiv1.Frame) { frames.note(f) }
			_, _, err := w.shop.matchIn(mode, name, person(1))
			wantCode(t, err, psi.AbortTerms)
			frames.want(t) // the advertiser's own policy has it neither

			// One that asks all the same.
			conn := w.shop.dial()
			stream, err := ampsiv1.NewMatchClient(conn).Session(t.Context())
			must(t, err)
			hash := w.policy.Hash()
			body := append([]byte{8, 1, 16, byte(mode), 26, 32}, hash[:]...)
			must(t, stream.Send(&ampsiv1.Frame{Body: body}))
			f, err := stream.Recv()
			must(t, err)
			if psi.FrameType(f.Type) != psi.FrameAbort || !slices.Equal(f.Body, []byte{byte(psi.AbortTerms)}) {
				t.Errorf("%v: frame %v", mode, psi.FrameType(f.Type))
			}
			conn.Close()
		}
		if len(w.sessions()) != 0 {
			t.Error("a refused session is on record")
		}
	})
}

// An advertiser that claims strangers gets nobody into the audience, and the
// platform says in its log what it was.
func TestStrangersCannotBeClaimed(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t), members(100), func(t *testing.T, w *world) {
		var mu sync.Mutex
		var table []byte
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case m == got && psi.FrameType(f.Type) == psi.FrameTable:
				table = append(table, f.Body...)
			case m == sending && psi.FrameType(f.Type) == psi.FrameClaims:
				// Entries that it has seen and not asked about.
				f.Body = nil
				for entry := range slices.Chunk(table[:30*session.TokenLen], session.TokenLen) {
					f.Body = append(append(f.Body, entry...), make([]byte, 16)...)
				}
			}
		}
		rows, r, err := w.shop.matchIn(client.MutualA, "spring", people(0, 5)...)
		wantCode(t, err, psi.AbortClaim)
		if rows != nil || r.Matched != nil {
			t.Error("a session that failed has a result")
		}
		wantAccounts(t, w, "spring", nil)
		codes, _ := w.log.failures(t)
		if !slices.Equal(codes, []psi.AbortCode{psi.AbortClaim}) {
			t.Errorf("the platform logs codes %v", codes)
		}
		if s := w.sessions(); len(s) != 1 || s[0].Outcome != psi.AbortClaim.Error() {
			t.Errorf("on record: %v", s)
		}
	})
}

// A connection that breaks, after any frame of any mode, leaves nothing behind at
// the platform, and the next session is as any other.
func TestGoneInEachMode(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "resume_seconds = 0"), members(20), func(t *testing.T, w *world) {
		for mode, cuts := range map[client.Mode][]frame{
			client.ALearns: {{sent, psi.FrameOpenQ}, {got, psi.FrameEvaluated}, {got, psi.FrameTable}},
			client.MutualA: {{sent, psi.FrameOpenQ}, {got, psi.FrameTable}, {sent, psi.FrameClaims}},
			client.MutualP: {{got, psi.FrameSeal}, {got, psi.FrameClaims}},
		} {
			name := map[bool]string{true: "x"}[mode.FillsAudience()]
			for _, cut := range cuts {
				w.shop.on = at(cut.m, cut.t, func(*ampsiv1.Frame) {
					synctest.Wait()
					w.shop.hangUp()
				})
				b := w.shop
				b.Mode = mode
				_, err := b.match(name, people(0, 5)...)
				if err == nil {
					t.Errorf("%v, gone at %v: nobody noticed", mode, cut.t)
				}
				synctest.Wait()
				if files := w.leftovers(); len(files) > 0 {
					t.Errorf("%v, gone at %v: %v are left", mode, cut.t, files)
				}
				w.shop.on = nil
			}
			w.shop.Mode = 0
			rows, _, err := w.shop.matchIn(mode, name, people(0, 5)...)
			must(t, err)
			wantRows(t, rows, rowsOf(1, 5))
		}
	})
}
