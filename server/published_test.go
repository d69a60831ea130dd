package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// publishing is a policy with every mode and no witnesses.
func publishing(t *testing.T, lines ...string) *policy.Policy {
	t.Helper()
	return liberal(t, append(lines, "witnesses = 0")...)
}

// cached makes an advertiser use published tables.
func (a *advertiser) cached() *advertiser {
	a.Tables = filepath.Join(a.Dir, "tables")
	return a
}

func (w *world) publish() {
	w.t.Helper()
	must(w.t, w.server.Publish(w.t.Context()))
}

// current is the id of the table for the world's policy.
func (w *world) current() [32]byte {
	w.t.Helper()
	id, err := publication.Current(server.TablesDir(w.dir), w.policy.Hash())
	must(w.t, err)
	return id
}

// secretOf is where the key of a table is.
func (w *world) secretOf(id [32]byte) string {
	return filepath.Join(w.dir, "epochs", fmt.Sprintf("%x", id), "secret")
}

// shardsAt are those of the table at path.
func shardsAt(path string) func(int) iter.Seq2[[]byte, error] {
	return func(first int) iter.Seq2[[]byte, error] { return publication.Shards(path, first) }
}

// publicLog is the text of the platform's public log.
func (w *world) publicLog() (text string) {
	w.t.Helper()
	for e, err := range w.db.Entries(w.t.Context(), store.PublicLog, 0) {
		must(w.t, err)
		text += string(e.Body) + "\n"
	}
	return text
}

// A published table is exact in both modes that have one, over a restart; the
// second session fetches nothing.
func TestPublishedTableIsExact(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(300), func(t *testing.T, w *world) {
		w.publish()
		w.shop.cached()
		shards := 0
		w.shop.on = func(m moment, f *ampsiv1.Frame) {
			switch {
			case m == got && psi.FrameType(f.Type) == psi.FrameShards:
				shards++
			case psi.FrameType(f.Type) == psi.FrameTable:
				t.Error("a TABLE frame")
			}
		}
		for i, c := range []struct {
			mode client.Mode
			name string
		}{{client.ALearns, ""}, {client.MutualA, "mutual"}} {
			rows, r, err := w.shop.matchIn(c.mode, c.name, people(100, 400)...)
			must(t, err)
			wantRows(t, rows, rowsOf(1, 200))
			if r.Table == "" || r.Entries != 1024 || r.Queries != 1024 || shards == 0 {
				t.Errorf("the report says %+v", r)
			}
			wantModeEvidence(t, w, r, c.mode)
			if i == 0 {
				w.restart()
				shards = 1
			} else if shards != 1 {
				t.Error("a table that is in the cache is fetched again")
			}
		}
		wantAccounts(t, w, "mutual", accountsOf(100, 300))
	})
}

// A directory of what was published serves as well as the platform.
func TestTablesFromADirectory(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.publish()
		mirror := t.TempDir()
		must(t, os.CopyFS(mirror, os.DirFS(server.TablesDir(w.dir))))
		w.shop.cached().TablesFrom = mirror
		w.shop.on = func(_ moment, f *ampsiv1.Frame) {
			if f := psi.FrameType(f.Type); f == psi.FrameManifest || f == psi.FrameShards {
				t.Error("the platform is asked for the table")
			}
		}
		rows, _, err := w.shop.matchIn(client.ALearns, "", people(40, 60)...)
		must(t, err)
		wantRows(t, rows, rowsOf(1, 10))
	})
}

// The next table has nobody who has withdrawn by then; whoever withdraws after it
// was made is dropped when claims are stored.
func TestRotation(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.shop.cached()
		w.publish()
		old := w.current()
		withdraw := func(i int) {
			f := granted(account(i), person(i))
			f.Status, f.CollectedAt = consent.Withdrawn, time.Now().Add(-time.Second)
			w.put(f)
		}
		withdraw(7)
		rows, _, err := w.shop.matchIn(client.MutualA, "before", people(0, 20)...)
		must(t, err)
		wantRows(t, rows, rowsOf(1, 20)) // it is what was published
		wantAccounts(t, w, "before", slices.DeleteFunc(accountsOf(0, 20), func(a string) bool { return a == account(7) }))

		// An advertiser that has the old manifest goes on with it for the grace.
		mirror := t.TempDir()
		must(t, os.CopyFS(mirror, os.DirFS(server.TablesDir(w.dir))))
		late := w.newAdvertiser("late").cached()
		late.TablesFrom = mirror
		w.publish()
		if w.current() == old {
			t.Fatal("the table is not replaced")
		}
		_, _, err = late.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		time.Sleep(time.Hour)
		_, _, err = late.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable)
		if !errors.Is(err, client.ErrTableOver) {
			t.Errorf("nothing says to fetch the next table: %v", err)
		}

		if _, err := os.Stat(w.secretOf(old)); err != nil {
			t.Error("the key is gone before Tend")
		}
		must(t, w.server.Tend(t.Context()))
		if _, err := os.Stat(w.secretOf(old)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the key is there: %v", err)
		}
		if log := w.publicLog(); len(regexp.MustCompile(fmt.Sprintf(`"kind":"key_destroyed".*%x`, old)).FindAllString(log, -1)) != 1 {
			t.Error("the log does not say once that the key is destroyed")
		}
		_, _, err = late.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable)

		rows, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		wantRows(t, rows, slices.DeleteFunc(rowsOf(1, 20), func(row uint64) bool { return row == 8 }))
	})
}

// The end of an epoch brings the next table, and budgets anew.
func TestEpochEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t, "max_evaluations = 1024"), members(50), func(t *testing.T, w *world) {
		w.shop.cached()
		must(t, w.server.Tend(t.Context())) // without a table there is nothing to replace
		w.publish()
		old := w.current()
		_, _, err := w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		must(t, w.server.Tend(t.Context()))
		if w.current() != old {
			t.Error("a table is replaced in its epoch")
		}
		end := time.Unix(int64((w.policy.Epoch(time.Now())+1)*w.policy.EpochSeconds), 0)
		time.Sleep(time.Until(end) + time.Minute)

		// Within the grace the old key still answers, and its budget is its epoch's.
		cheat := w.shop.again()
		cheat.Dir = t.TempDir()
		_, _, err = cheat.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortBudget)
		_, _, err = w.newAdvertiser("new").cached().matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		must(t, w.server.Tend(t.Context()))
		if w.current() == old {
			t.Error("a table is not replaced after its epoch")
		}
		_, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		_, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortBudget)
	})
}

// A partner that asks for a table and reads none of it has a place for two minutes,
// and not longer; who comes meanwhile is asked to come back.
func TestTableIsNotRead(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.places = 1
		w.restart()
		w.publish()
		w.sending = func(ctx context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) == psi.FrameShards {
				<-ctx.Done() // as in the transport, while the window is closed
			}
		}
		conn := w.shop.dial()
		defer conn.Close()
		call, err := ampsiv1.NewMatchClient(conn).Tables(t.Context(), &ampsiv1.TableRequest{Universe: w.policy.Universe})
		must(t, err)
		for _, want := range []psi.FrameType{psi.FrameManifest, psi.FrameProof} {
			f, err := call.Recv()
			must(t, err)
			if psi.FrameType(f.GetType()) != want {
				t.Fatalf("%v, want %v", psi.FrameType(f.GetType()), want)
			}
		}
		time.Sleep(2*time.Minute - time.Second)
		_, _, err = w.shop.cached().matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortBusy)
		started := time.Now()
		if _, err := call.Recv(); status.Code(err) != codes.Aborted || time.Since(started) > 2*time.Second {
			t.Errorf("after %v: %v", time.Since(started), err)
		}
		if text := w.log.String(); !strings.Contains(text, `"msg":"table not sent","partner":"shop","code":11`) {
			t.Error("nothing is on record of it")
		}
		w.sending = nil
		_, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
	})
}

// Two advertisers that collude under one key learn what their two budgets allow and
// no more, whoever of them asks, also over a new key in the same epoch.
func TestColludingAdvertisers(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t, "max_evaluations = 2048"), members(4000), func(t *testing.T, w *world) {
		w.publish()
		both := []*advertiser{w.shop.cached(), w.newAdvertiser("friend").cached()}
		known := map[string]bool{}
		for block := 0; block < 4000; block += 500 {
			if block == 2000 {
				w.publish()
			}
			list := people(block, block+500)
			for _, a := range both {
				a.Dir = t.TempDir() // a cheat keeps no journal
				rows, _, err := a.matchIn(client.ALearns, "", list...)
				if err != nil {
					wantCode(t, err, psi.AbortBudget)
					continue
				}
				for _, row := range rows {
					known[list[row-1]] = true
				}
				break
			}
		}
		if len(known) != 4*500 {
			t.Errorf("they have tested %d people, want 2000: four sessions of 1024 questions", len(known))
		}
	})
}

// Nobody can claim whom he has not asked about: the tokens of a published table are
// everybody's.
func TestClaimsOfStrangers(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(300), func(t *testing.T, w *world) {
		w.publish()
		w.shop.cached()
		m, err := publication.Load(publication.Path(server.TablesDir(w.dir), w.current()), w.identity.Public())
		must(t, err)
		dir := t.TempDir()
		_, err = publication.Fetch(t.Context(), dir, m, shardsAt(publication.Path(server.TablesDir(w.dir), w.current())), func(_, _ uint64) {})
		must(t, err)
		entries, err := os.ReadFile(filepath.Join(publication.Path(dir, m.Hash()), "tokens"))
		must(t, err)
		// stranger is the first token that is not the first claim's own: in its place the
		// order stays.
		stranger := func(f *ampsiv1.Frame) []byte {
			if bytes.HasPrefix(f.Body, entries[:14]) {
				return entries[14:28]
			}
			return entries[:14]
		}
		for _, forge := range []func(f *ampsiv1.Frame){
			func(f *ampsiv1.Frame) { copy(f.Body, stranger(f)) },                                       // with another's tag
			func(f *ampsiv1.Frame) { f.Body = append(slices.Clone(stranger(f)), make([]byte, 16)...) }, // with none
		} {
			w.shop.on = at(sending, psi.FrameClaims, forge)
			_, _, err := w.shop.matchIn(client.MutualA, "stolen", people(290, 295)...)
			wantCode(t, err, psi.AbortClaim)
			if got := w.accounts(w.shop, "stolen"); len(got) > 0 {
				t.Errorf("%v are in the audience", got)
			}
		}
	})
}

// Somebody who is erased ends the table, which nothing would answer for any more.
func TestErasureRetiresTheTable(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		w.publish()
		w.shop.cached()
		must(t, w.db.Erase(t.Context(), account(3), func([]store.ClosedLeaf) ([]store.Entry, error) { return nil, nil }))
		_, _, err := w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable)
		must(t, w.server.Tend(t.Context()))
		rows, _, err := w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		must(t, err)
		wantRows(t, rows, slices.DeleteFunc(rowsOf(1, 20), func(row uint64) bool { return row == 4 }))
	})
}

// A table is for those under its policy, in the modes that have one.
func TestWhoGetsTables(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(50), func(t *testing.T, w *world) {
		_, _, err := w.shop.cached().matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable) // there is none yet
		w.publish()
		w.policy = publishing(t, "tau = 200")
		other := w.newAdvertiser("other").cached()
		_, _, err = other.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTable)
		w.shop.on = at(sending, psi.FrameHello, func(f *ampsiv1.Frame) {
			hello := new(ampsiv1.Hello)
			must(t, proto.Unmarshal(f.Body, hello))
			hello.Mode, hello.Release, hello.Audience = uint32(psi.PLearns), true, "spring"
			body, err := proto.Marshal(hello)
			must(t, err)
			f.Body = body
		})
		_, _, err = w.shop.matchIn(client.ALearns, "", people(0, 20)...)
		wantCode(t, err, psi.AbortTerms)
		synctest.Wait()
	})
	inBubble(t, agreed(t), members(1), func(t *testing.T, w *world) {
		if err := w.server.Publish(t.Context()); !errors.Is(err, server.ErrNobodyAsks) {
			t.Errorf("%v", err)
		}
	})
}

// A session about a published table goes on over the next connection, with one
// charge, as any other does.
func TestPublishedSessionResumes(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t), members(20), func(t *testing.T, w *world) {
		w.publish()
		w.shop.cached()
		for _, mode := range []client.Mode{client.ALearns, client.MutualA} {
			for _, cut := range []frame{{sending, psi.FrameBlinded}, {got, psi.FrameEvaluated}, {sent, psi.FrameSeal}, {sent, psi.FrameClaims}, {sending, psi.FrameReceipt}, {got, psi.FrameReceipt}} {
				if cut.t == psi.FrameClaims && !mode.Claims() {
					continue
				}
				w.wantOneSession(t, fmt.Sprintf("%v, broken at %v %v", mode, cut.m, cut.t), mode, func() { w.shop.on = breaking(w.shop, cut, true, 1) })
			}
		}
	})
}

// A policy with labels has no published tables, on either side.
func TestNoPublishedLabels(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t, "label_len = 32"), members(20), func(t *testing.T, w *world) {
		if err := w.server.Publish(t.Context()); !errors.Is(err, server.ErrNobodyAsks) {
			t.Errorf("published: %v", err)
		}
		config := w.shop.cached().Config
		config.Mode = client.ALearns
		if _, err := client.New(nil, config); !errors.Is(err, client.ErrNoTables) {
			t.Errorf("asked: %v", err)
		}
	})
}

// Who asks about a block of made-up people stops at the budget, exactly.
func TestEnumerationOfAPublishedTable(t *testing.T) {
	t.Parallel()
	inBubble(t, publishing(t, "max_evaluations = 3072"), members(20), func(t *testing.T, w *world) {
		w.publish()
		w.shop.cached()
		for i := range 5 {
			w.shop.Dir = t.TempDir() // a cheat keeps no journal
			_, _, err := w.shop.matchIn(client.ALearns, "", people(i*1000, i*1000+1000)...)
			if i < 3 {
				must(t, err)
			} else {
				wantCode(t, err, psi.AbortBudget)
			}
		}
		if got := w.charged().spent; got != 3072 {
			t.Errorf("%d questions are charged, want 3072", got)
		}
	})
}
