package main

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
)

// TestBackdatedErasure has a platform close a leaf after the auditor kept a
// checkpoint, with a time from before.
func TestBackdatedErasure(t *testing.T) {
	i, err := identity.New("platform")
	if err != nil {
		t.Fatal(err)
	}
	early, late := audit.Hash{8}, audit.Hash{9}
	dir := t.TempDir()
	drawn := time.Now()
	appendErasure(t, i, dir, drawn.Add(-time.Hour), early)
	kept := checkpointIn(t, dir)
	appendErasure(t, i, dir, drawn.Add(-30*time.Minute), late)

	closed, err := erasures(dir, i.ID().String(), [][]byte{checkpointIn(t, dir), kept})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := closed[early]; !ok {
		t.Error("an erasure from before the checkpoint does not count")
	}
	if _, ok := closed[late]; ok {
		t.Error("an erasure from after the checkpoint counts")
	}

	other := t.TempDir()
	appendErasure(t, i, other, drawn.Add(-time.Hour), late)
	if _, err := erasures(other, i.ID().String(), [][]byte{kept}); !errors.Is(err, audit.ErrFork) {
		t.Errorf("a log that does not extend the checkpoint: %v", err)
	}
}

// checkpointIn returns the signed checkpoint of the log in dir.
func checkpointIn(t *testing.T, dir string) []byte {
	t.Helper()
	head, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	return head
}

// appendErasure logs as the platform, in dir, that a leaf was closed.
func appendErasure(t *testing.T, i *identity.Identity, dir string, at time.Time, leaf audit.Hash) {
	t.Helper()
	signer, err := audit.NewSigner(logbook.PublicName(i.ID()), i.Key())
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Open(dir, signer, audit.PublicEvents)
	if err != nil {
		t.Fatal(err)
	}
	closed := []audit.Closed{{SID: audit.Hash{1}, Leaves: []audit.Hash{leaf}}}
	_, err = l.AppendEvents(audit.Event{Time: at, Body: audit.Erasure{Request: audit.Hash{7}, Closed: closed}})
	if err := errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	key := hex.EncodeToString(i.Public()) + "\n"
	if err := os.WriteFile(filepath.Join(dir, "key"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
}
