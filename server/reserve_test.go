package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

// A second server on a store does not start: it would end the first one's sessions.
// It has touched nothing when it finds that out.
func TestSecondServerOnAStore(t *testing.T) {
	w := newWorld(t, agreed(t), nil, nil)
	other, err := store.Open(t.Context(), w.url)
	must(t, err)
	defer other.Close()
	c := server.Config{Identity: w.identity, Store: other, Partners: w.partners, Dir: filepath.Join(t.TempDir(), "work")}
	if _, err := server.New(c); !errors.Is(err, store.ErrReserved) {
		t.Fatalf("a second server: %v", err)
	}
	if _, err := os.Stat(c.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has begun to work: %v", err)
	}
	w.stop()
	if _, err := server.New(c); err != nil {
		t.Errorf("after the first has stopped: %v", err)
	}
	must(t, other.Close())
	w.start()
}

// Nor does one with another store in a directory that a server has: both would
// write the same evidence and logs.
func TestSecondServerInADirectory(t *testing.T) {
	w := newWorld(t, agreed(t), nil, nil)
	other, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "other.db"))
	must(t, err)
	defer other.Close()
	c := server.Config{Identity: w.identity, Store: other, Partners: w.partners, Dir: w.dir}
	if _, err := server.New(c); !errors.Is(err, store.ErrDirReserved) {
		t.Fatalf("a second server: %v", err)
	}
	for range other.Entries(t.Context(), store.PublicLog, 0) {
		t.Fatal("it has begun to work")
	}
	w.server.Close()
	w.grpc.Stop()
	if _, err := server.New(c); !errors.Is(err, store.ErrDirReserved) {
		t.Errorf("while the first has its store still: %v", err)
	}
	must(t, w.db.Close())
	must(t, other.ReserveDir(w.dir))
	must(t, other.Close())
	w.start()
}
