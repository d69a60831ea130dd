package epoch_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/epoch"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/store"
)

// platform is a shelf and what it stands on.
type platform struct {
	epoch.Config
	policy *policy.Policy
}

func newPlatform(t *testing.T, witnesses int) *platform {
	t.Helper()
	agreed, err := policy.Parse(bytes.Replace(policy.Default().Bytes(), []byte("\nwitnesses = 2\n"), fmt.Appendf(nil, "\nwitnesses = %d\n", witnesses), 1))
	must(t, err)
	dir := t.TempDir()
	i, err := identity.New("platform")
	must(t, err)
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(dir, "users.db"))
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	_, err = db.Put(t.Context(), func(yield func(store.Fact, error) bool) {
		for n := range 20 {
			if !yield(store.Fact{AccountID: fmt.Sprint(n), Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte{byte(n)}), Purpose: consent.AdsMatching,
				Status: consent.Granted, Basis: consent.BasisConsent, Jurisdiction: "US", CollectedAt: time.Unix(1, 0)}, nil) {
				return
			}
		}
	})
	must(t, err)
	book, err := logbook.Open(filepath.Join(dir, "logs"), i, db)
	must(t, err)
	return &platform{epoch.Config{Identity: i, Store: db, Book: book, Dir: filepath.Join(dir, "work"), Grace: time.Hour}, agreed}
}

func (p *platform) open(t *testing.T) *epoch.Shelf {
	t.Helper()
	s, err := epoch.Open(p.Config)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

func (p *platform) tend(t *testing.T, s *epoch.Shelf) {
	t.Helper()
	must(t, s.Tend(t.Context(), []*policy.Policy{p.policy}))
}

// tables are the directories that are private of a table.
func (p *platform) tables(t *testing.T) (names []string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(p.Dir, "epochs", strings.Repeat("[0-9a-f]", 64)))
	must(t, err)
	return names
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// After a restart the key is there, and it is the manifest's; for nobody else is it.
func TestKeyIsSealedToTheIdentity(t *testing.T) {
	p := newPlatform(t, 0)
	m, err := p.open(t).Rotate(t.Context(), p.policy)
	must(t, err)
	again := p.open(t)
	table, until, done, err := again.Take(m.TableID, p.policy, time.Now())
	must(t, err)
	defer done()
	k, err := table.Key()
	must(t, err)
	if k.Public().Bytes() != m.Key.Bytes() || !until.Equal(m.NotAfter) || table.Snapshot.Len() != 20 {
		t.Error("another table is opened")
	}
	if s := fmt.Sprintf("%v %+v", table, table); s != "REDACTED REDACTED" {
		t.Errorf("a table prints as %s", s)
	}
	for _, dir := range p.tables(t) {
		for _, name := range []string{"secret", "snapshot", "index"} {
			at, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if at.Mode().Perm() != 0o600 {
				t.Errorf("%s is for others too: %v", name, at.Mode())
			}
		}
		must(t, os.WriteFile(filepath.Join(dir, "secret"), make([]byte, 200), 0o600))
	}
	if _, _, _, err := p.open(t).Take(m.TableID, p.policy, time.Now()); err == nil || errors.Is(err, psi.AbortTable) {
		t.Errorf("a secret that is damaged: %v", err)
	}
}

// A damaged secret is named, with what to do: who does it has the next table.
func TestDamagedSecret(t *testing.T) {
	p := newPlatform(t, 0)
	first, err := p.open(t).Rotate(t.Context(), p.policy)
	must(t, err)
	secret := filepath.Join(p.tables(t)[0], "secret")
	must(t, os.WriteFile(secret, make([]byte, 200), 0o600))
	s := p.open(t)
	for range 2 {
		err := s.Tend(t.Context(), []*policy.Policy{p.policy})
		if err == nil || !strings.Contains(err.Error(), "restore "+secret+" from a copy, or delete it") {
			t.Fatalf("damaged: %v", err)
		}
	}
	must(t, os.Remove(secret))
	p.tend(t, s)
	next, err := publication.Current(filepath.Join(p.Dir, "tables"), p.policy.Hash())
	must(t, err)
	if next == first.TableID || len(p.tables(t)) != 1 {
		t.Errorf("after it was deleted: %d tables, the same: %v", len(p.tables(t)), next == first.TableID)
	}
	_, _, done, err := s.Take(next, p.policy, time.Now())
	must(t, err)
	done()
}

// A table that a session uses is destroyed when the session has ended, and not
// before; the one that follows it stays.
func TestDestroyWaitsForSessions(t *testing.T) {
	p := newPlatform(t, 0)
	s := p.open(t)
	first, err := s.Rotate(t.Context(), p.policy)
	must(t, err)
	table, _, done, err := s.Take(first.TableID, p.policy, time.Now())
	must(t, err)
	must(t, s.Retire(first.TableID))
	if _, _, _, err := s.Take(first.TableID, p.policy, time.Now()); !errors.Is(err, epoch.ErrOver) {
		t.Errorf("a retired table is taken: %v", err)
	}
	secret := filepath.Join(p.Dir, "epochs", fmt.Sprintf("%x", first.TableID), "secret")
	witness := filepath.Join(t.TempDir(), "secret") // the same blocks of the disk
	must(t, os.Link(secret, witness))
	p.tend(t, s) // which makes the next
	if len(p.tables(t)) != 2 {
		t.Errorf("%d tables, want 2", len(p.tables(t)))
	}
	if _, err := table.Key(); err != nil {
		t.Errorf("a session loses its key: %v", err)
	}
	done()
	p.tend(t, s)
	if len(p.tables(t)) != 1 {
		t.Errorf("%d tables, want 1", len(p.tables(t)))
	}
	if _, err := table.Key(); !errors.Is(err, epoch.ErrOver) {
		t.Errorf("a key that is destroyed: %v", err)
	}
	if left, err := os.ReadFile(witness); err != nil || len(left) == 0 || len(bytes.Trim(left, "\x00")) != 0 {
		t.Errorf("of a key that is destroyed %d bytes are left, %v", len(left), err)
	}
}

// What a build has left that was killed is nobody's table, and goes.
func TestBuildThatWasKilled(t *testing.T) {
	p := newPlatform(t, 0)
	s := p.open(t)
	m, err := s.Rotate(t.Context(), p.policy)
	must(t, err)
	tables := filepath.Join(p.Dir, "tables")
	must(t, os.Remove(filepath.Join(tables, fmt.Sprintf("current-%x", p.policy.Hash()))))
	must(t, os.MkdirAll(filepath.Join(p.Dir, "epochs", ".new-1"), 0o700))
	must(t, os.MkdirAll(filepath.Join(tables, ".new-2"), 0o700))
	p.tend(t, s)
	left, err := filepath.Glob(filepath.Join(p.Dir, "*", ".new-*"))
	must(t, err)
	if len(left)+len(p.tables(t)) != 0 {
		t.Errorf("%v and %d tables are left", left, len(p.tables(t)))
	}
	if _, err := os.Stat(publication.Path(tables, m.TableID)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the table is published: %v", err)
	}
}

// A table is for those under its policy.
func TestTakeUnderAnotherPolicy(t *testing.T) {
	p := newPlatform(t, 0)
	s := p.open(t)
	m, err := s.Rotate(t.Context(), p.policy)
	must(t, err)
	other, err := policy.Parse(append(p.policy.Bytes(), "\n# another\n"...))
	must(t, err)
	if _, _, _, err := s.Take(m.TableID, other, time.Now()); !errors.Is(err, publication.ErrNone) {
		t.Errorf("%v", err)
	}
	if _, _, _, err := s.Take([32]byte{1}, p.policy, time.Now()); !errors.Is(err, publication.ErrNone) {
		t.Errorf("%v", err)
	}
}
