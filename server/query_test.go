package server

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

// A nonce that was used is a replay; a store that can't tell is not.
func TestNonceUsedBefore(t *testing.T) {
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	r := &run{s: &Server{c: Config{Store: db}}}
	use := func(peer, nonce byte) error {
		return r.useNonce(t.Context(), identity.ID{peer}, [32]byte{nonce}, time.Now().Add(time.Minute))
	}
	if err := errors.Join(use(1, 1), use(1, 2), use(2, 1)); err != nil {
		t.Fatal(err)
	}
	if err := use(1, 1); session.Code(err) != psi.AbortReplay {
		t.Errorf("used before: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := use(1, 3); err == nil || session.Code(err) != psi.AbortInternal {
		t.Errorf("the store is closed: %v", err)
	}
}

func TestConfig(t *testing.T) {
	me, err := identity.New("platform")
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	whole := Config{Identity: me, Store: db, Dir: filepath.Join(t.TempDir(), "a", "work"), Partners: []Partner{{Name: "shop", ID: identity.ID{1}}}}
	s, err := New(whole)
	if err != nil {
		t.Fatal(err)
	}
	if s.door.places.total != 16 || s.door.places.own != 4 {
		t.Errorf("by default %d sessions, %d for each partner", s.door.places.total, s.door.places.own)
	}
	for name, change := range map[string]func(*Config){
		"Identity":      func(c *Config) { c.Identity = nil },
		"Store":         func(c *Config) { c.Store = nil },
		"Dir":           func(c *Config) { c.Dir = "" },
		"Partners":      func(c *Config) { c.Partners = nil },
		"name":          func(c *Config) { c.Partners = []Partner{{ID: identity.ID{1}}} },
		"id":            func(c *Config) { c.Partners = []Partner{{Name: "shop"}} },
		"two of one id": func(c *Config) { c.Partners = append(c.Partners, c.Partners...) },
	} {
		c := whole
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("New without %s", name)
		}
	}
	for name, change := range map[string]func(*Config){
		"MaxSessions":    func(c *Config) { c.MaxSessions = -1 },
		"MaxConnections": func(c *Config) { c.MaxConnections = -1 },
		"SessionEvery":   func(c *Config) { c.SessionEvery = -time.Second },
		"Grace":          func(c *Config) { c.Grace = -time.Second },
	} {
		c := whole
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), "negative") {
			t.Errorf("New with a negative %s: %v", name, err)
		}
	}
}
