package server_test

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audit"
	books "github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// keptStore returns what puts the store of a platform that is stopped back to what
// it is now.
func (w *world) keptStore() (putBack func()) {
	w.t.Helper()
	path := strings.TrimPrefix(w.url, "sqlite:")
	file, err := os.ReadFile(path)
	must(w.t, err)
	if _, err := os.Stat(path + "-wal"); !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal("the store is not all in its file")
	}
	return func() { must(w.t, os.WriteFile(path, file, 0o600)) }
}

// wantRefused starts a server on the store that is there now, which must be refused
// before it has written anything.
func (w *world) wantRefused(want error, says string) {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.url)
	must(w.t, err)
	logs, entries := w.logFiles(), count(w.t, db)
	_, err = server.New(server.Config{Identity: w.identity, Store: db, Partners: w.partners, Dir: w.dir})
	if !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
		w.t.Errorf("a store that does not go with its logs: %v", err)
	}
	if !maps.Equal(logs, w.logFiles()) {
		w.t.Error("the logs have changed")
	}
	if count(w.t, db) != entries {
		w.t.Error("the store has changed")
	}
	must(w.t, db.Close())
}

func count(t testing.TB, db *store.DB) (n int) {
	t.Helper()
	for _, log := range []store.Log{store.PublicLog, store.AccessLog} {
		for _, err := range db.Entries(t.Context(), log, 0) {
			must(t, err)
			n++
		}
	}
	return n
}

func (w *world) logFiles() map[string]string {
	w.t.Helper()
	files := map[string]string{}
	for _, log := range []string{"public", "access"} {
		found, err := filepath.Glob(filepath.Join(server.LogsDir(w.dir), log, "*"))
		must(w.t, err)
		tiles, err := filepath.Glob(filepath.Join(server.LogsDir(w.dir), log, "tile/*/*/*"))
		must(w.t, err)
		for _, name := range append(found, tiles...) {
			if content, err := os.ReadFile(name); err == nil { // no directory
				files[name] = string(content)
			}
		}
	}
	return files
}

func (w *world) record(n int, body audit.Body) {
	w.t.Helper()
	db, err := store.Open(w.t.Context(), w.url)
	must(w.t, err)
	for range n {
		list, err := books.Entries(time.Now(), body)
		must(w.t, err)
		must(w.t, db.Record(w.t.Context(), list...))
	}
	must(w.t, db.Close())
}

// A store from a backup lacks what was published since. A server that went on from
// it would sign a second history; it is refused, also under partners whose policy
// is new, and when the store has been written to in the meantime.
func TestStoreOlderThanItsLog(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		w.stop()
		putBack := w.keptStore()
		w.start()
		_, err = w.shop.match("autumn", people(0, 5)...)
		must(t, err)
		w.stop()
		whole := w.keptStore()

		putBack()
		agreed := w.partners[0].Policy
		w.partners[0].Policy = newPolicy(t, agreed)
		w.wantRefused(audit.ErrBehind, "public log: ")
		w.partners[0].Policy = agreed
		w.record(20, audit.Erasure{Request: audit.Hash{1}})
		w.wantRefused(audit.ErrApart, "public log: ")

		whole()
		w.start()
		w.published()
	})
}

// newPolicy is another policy than the one given.
func newPolicy(t *testing.T, than *policy.Policy) *policy.Policy {
	p := agreed(t, "max_releases = 99")
	if p.Hash() == than.Hash() {
		t.Fatal("the same policy")
	}
	return p
}

// The same is true of the access log alone.
func TestStoreOlderThanItsAccessLog(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		w.stop()
		putBack := w.keptStore()
		looked := audit.Access{Who: "somebody", Reason: "a test", What: "manifest"}
		w.record(1, looked)
		w.start()
		w.stop()
		whole := w.keptStore()
		putBack()
		w.wantRefused(audit.ErrBehind, "access log: ")
		time.Sleep(time.Minute)
		w.record(2, looked)
		w.wantRefused(audit.ErrApart, "access log: ")
		whole()
		w.start()
	})
}

// Logs from a backup are brought up to the store, to the same trees as before.
func TestLogOlderThanItsStore(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_releases = 100"), members(20), func(t *testing.T, w *world) {
		_, err := w.shop.match("spring", people(0, 5)...)
		must(t, err)
		w.stop()
		old := filepath.Join(t.TempDir(), "logs")
		must(t, os.CopyFS(old, os.DirFS(server.LogsDir(w.dir))))
		w.start()
		_, err = w.shop.match("autumn", people(0, 5)...)
		must(t, err)
		w.stop()
		seen, err := os.ReadFile(filepath.Join(server.LogsDir(w.dir), "public/checkpoint"))
		must(t, err)
		must(t, os.RemoveAll(server.LogsDir(w.dir)))
		must(t, os.CopyFS(server.LogsDir(w.dir), os.DirFS(old)))
		w.start()
		w.published()
		verifier, err := audit.NewVerifier(books.PublicName(w.identity.ID()), w.identity.Public())
		must(t, err)
		must(t, audit.VerifyConsistency(seen, os.DirFS(filepath.Join(server.LogsDir(w.dir), "public")), verifier, audit.Quorum{}))
	})
}
