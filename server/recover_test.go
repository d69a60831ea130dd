package server_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	books "github.com/overlap-psi/overlap/logbook"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// asKilled returns a platform with what this one has on disk at this moment: all
// that a process has that was killed now. Nothing may be written meanwhile.
func (w *world) asKilled() *world {
	w.t.Helper()
	dir := w.t.TempDir()
	must(w.t, os.CopyFS(filepath.Join(dir, "work"), os.DirFS(w.dir)))
	path := strings.TrimPrefix(w.url, "sqlite:")
	for _, end := range []string{"", "-wal"} {
		file, err := os.ReadFile(path + end)
		must(w.t, err)
		must(w.t, os.WriteFile(filepath.Join(dir, "users.db"+end), file, 0o600))
	}
	return &world{t: w.t, dir: filepath.Join(dir, "work"), url: "sqlite:" + filepath.Join(dir, "users.db"),
		identity: w.identity, policy: w.policy, partners: w.partners, log: new(logbook)}
}

// published returns what the public log tells of sessions, by kind, once it is
// verified and found to be what the store has for it.
func (w *world) published() map[audit.Kind]int64 {
	w.t.Helper()
	return w.verified(store.PublicLog, "public", books.PublicName, audit.PublicEvents)
}

func (w *world) verified(of store.Log, dir string, name func(identity.ID) string, content audit.Content) map[audit.Kind]int64 {
	w.t.Helper()
	verifier, err := audit.NewVerifier(name(w.identity.ID()), w.identity.Public())
	must(w.t, err)
	log := os.DirFS(filepath.Join(server.LogsDir(w.dir), dir))
	report, err := audit.Verify(log, audit.Expect{Log: verifier, Content: content})
	must(w.t, err)
	tree, err := audit.Read(log, verifier, audit.Quorum{})
	must(w.t, err)
	var entries [][]byte
	for e, err := range tree.Entries(0) {
		must(w.t, err)
		entries = append(entries, bytes.Clone(e))
	}
	n := 0
	for e, err := range w.db.Entries(w.t.Context(), of, 0) {
		must(w.t, err)
		if n >= len(entries) || !bytes.Equal(e.Body, entries[n]) {
			w.t.Fatalf("entry %d of the %s log is not the store's", n, dir)
		}
		n++
	}
	if n != len(entries) {
		w.t.Errorf("%d entries in the %s log, %d in the store", len(entries), dir, n)
	}
	return report.Kinds
}

// Whatever frame a platform is killed before, the next process ends the session,
// on record and in the log, and once: with what both companies had signed.
func TestInterruptedSessionsEndOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		dead := map[psi.FrameType]*world{}
		w.sending = func(_ context.Context, f *ampsiv1.Frame) {
			if dead[psi.FrameType(f.Type)] == nil {
				dead[psi.FrameType(f.Type)] = w.asKilled()
			}
		}
		report, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		for _, killed := range []struct {
			before psi.FrameType
			sealed bool
			kinds  map[audit.Kind]int64
		}{
			{psi.FrameOpenQ, false, nil},
			{psi.FrameBlinded, false, map[audit.Kind]int64{"snapshot": 1, "session": 1}},
			{psi.FrameSeal, true, map[audit.Kind]int64{"snapshot": 1, "release": 1, "session": 1}},
			{psi.FrameRelease, true, map[audit.Kind]int64{"snapshot": 1, "release": 1, "matched": 1, "session": 1}},
			{psi.FrameReceipt, true, map[audit.Kind]int64{"snapshot": 1, "release": 1, "matched": 1, "session": 1}},
		} {
			next := dead[killed.before]
			for range 2 { // the second process finds nothing to do
				next.start()
				kinds := next.published()
				delete(kinds, "policy")
				if !maps.Equal(kinds, killed.kinds) {
					t.Errorf("killed before %v: the log tells of %v", killed.before, kinds)
				}
				if killed.kinds != nil {
					wantEndedByDeath(t, next, killed.before, killed.sealed, report.Receipt)
				}
				if files := next.leftovers(); len(files) > 0 {
					t.Errorf("killed before %v: left: %v", killed.before, files)
				}
				next.stop()
			}
		}
	})
}

func wantEndedByDeath(t *testing.T, w *world, before psi.FrameType, sealed bool, whole *receipt.Receipt) {
	t.Helper()
	list := w.sessions()
	if len(list) != 1 || list[0].Ended.IsZero() || list[0].Outcome != "process died" {
		t.Fatalf("killed before %v: %v", before, outcomes(list))
	}
	want := *whole.UpToSeal()
	if !sealed {
		want.Seal, want.SealSig = nil, nil
	}
	if !bytes.Equal(list[0].Receipt, want.Bytes()) {
		t.Errorf("killed before %v: the receipt on record is not what both had signed", before)
	}
	kept, err := evidence.Open(server.EvidenceDir(w.dir), list[0].SID)
	if (err == nil) != sealed {
		t.Errorf("killed before %v: its evidence: %v", before, err)
	}
	if err == nil {
		must(t, kept.Close())
	}
}

// What a session had been given is not given back by its process's death: the
// next session gets a release less, and the count that was drawn stays.
func TestDeathGivesNoReleaseBack(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 1"), members(20), func(t *testing.T, w *world) {
		var next *world
		w.sending = func(_ context.Context, f *ampsiv1.Frame) {
			if psi.FrameType(f.Type) == psi.FrameRelease {
				next = w.asKilled()
			}
		}
		report, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		next.start()
		defer next.stop()
		count, err := next.db.Release(t.Context(), next.sessions()[0].SID)
		must(t, err)
		if !bytes.Equal(count, report.Receipt.Release) {
			t.Error("another count is on record than the one that was drawn")
		}
		again := w.shop.again()
		again.w = next
		_, err = again.match("autumn", people(0, 5)...)
		wantCode(t, err, psi.AbortBudget)
	})
}

// A session that began when the clock was ahead of what it is now ends too.
func TestInterruptedSessionOfAnotherClockEnds(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		r := &receipt.Receipt{Format: receipt.Format}
		must(t, w.db.OpenSession(t.Context(), store.Session{SID: [32]byte{1}, Peer: w.shop.identity.ID(), Mode: "P_LEARNS", Started: time.Now().Add(time.Hour), Receipt: r.Bytes()},
			store.Secrets{}, func(func(uint64, error) bool) {}))
		w.restart()
		if got := outcomes(w.sessions()); !slices.Equal(got, []string{"process died"}) {
			t.Errorf("it is on record as %q", got)
		}
	})
}

// What a killed process had begun to write is gone with the next one's start.
func TestPiecesOfFilesAreSwept(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		for _, piece := range []string{
			"spill/snapshot-123", // where a file that is open keeps its name; or killed before it lost it
			"spill/.overlap-tokens-123",
			"logs/policies/.new-123",
			"evidence/" + strings.Repeat("0a", 32) + ".unsealed/leaves",
		} {
			name := filepath.Join(w.dir, piece)
			must(t, os.MkdirAll(filepath.Dir(name), 0o700))
			must(t, os.WriteFile(name, []byte("a piece"), 0o600))
		}
		w.restart()
		must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
			if strings.HasSuffix(path, "123") || strings.HasSuffix(path, ".unsealed") {
				t.Errorf("%s is left", strings.TrimPrefix(path, w.dir))
			}
			return err
		}))
		_, err = w.shop.match("spring", people(0, 5)...)
		must(t, err)
	})
}

// A process that dies between forgetting a session and removing what was kept of it
// leaves that for the next one.
func TestEvidenceOfForgottenSessionsIsRemoved(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		for _, name := range []string{"spring", "autumn"} {
			_, err := w.shop.match(name, people(0, 5)...)
			must(t, err)
		}
		first, second := w.sessions()[0], w.sessions()[1]
		n, err := w.db.Expire(t.Context(), second.CutAt, nil)
		must(t, err)
		if n != 1 {
			t.Fatalf("%d sessions are forgotten", n)
		}
		w.restart()
		if _, err := evidence.Open(server.EvidenceDir(w.dir), first.SID); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the evidence of a session that is forgotten: %v", err)
		}
		kept, err := evidence.Open(server.EvidenceDir(w.dir), second.SID)
		must(t, err)
		must(t, kept.Close())

		// Half a year later the other one's time is over too.
		time.Sleep(181 * 24 * time.Hour)
		w.restart()
		if _, err := evidence.Open(server.EvidenceDir(w.dir), second.SID); !errors.Is(err, fs.ErrNotExist) || !w.sessions()[1].Expired {
			t.Errorf("the evidence of a session whose time is over: %v", err)
		}
	})
}

// Processes that publish at once, each with a store and logs of its own, while
// sessions end: every entry is in its log once, in the order of the store.
func TestProcessesPublishAtOnce(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		const processes, entries = 4, 25
		var wg sync.WaitGroup
		for p := range processes {
			wg.Go(func() {
				db, err := store.Open(t.Context(), w.url)
				if err != nil {
					t.Error(err)
					return
				}
				defer db.Close()
				book, err := books.Open(server.LogsDir(w.dir), w.identity, db)
				if err != nil {
					t.Error(err)
					return
				}
				for i := range entries {
					list, err := books.Entries(time.Now(), audit.Erasure{Request: audit.Hash{byte(p), byte(i), 1}},
						audit.Access{Who: "somebody", Reason: "a test", What: "manifest"})
					err = errors.Join(err, db.Record(t.Context(), list...), book.Publish(t.Context()))
					if err != nil {
						t.Errorf("process %d: %v", p, err)
						return
					}
				}
			})
		}
		for _, name := range []string{"spring", "autumn"} {
			_, err := w.shop.match(name, people(0, 5)...)
			must(t, err)
		}
		wg.Wait()
		synctest.Wait()
		kinds := w.published()
		if kinds["erasure"] != processes*entries || kinds["session"] != 2 {
			t.Errorf("the log tells of %v", kinds)
		}
		if kinds := w.verified(store.AccessLog, "access", books.AccessName, audit.AccessEvents); kinds["access"] != processes*entries {
			t.Errorf("the access log tells of %v", kinds)
		}
		if strings.Contains(w.log.String(), "could not be brought up") {
			t.Error("the platform could not publish")
		}
	})
}
