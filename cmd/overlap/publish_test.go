package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/store"
)

// Commands of the platform that are run at once, beside a server whose sessions end
// meanwhile, all publish: each event is in its log once, and the logs verify.
func TestCommandsPublishAtOnce(t *testing.T) {
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"), rand.New(rand.NewPCG(1, 0)))
	const pairs = 4
	// Erasing them has nothing to do with the sessions: nobody asks about them.
	var users strings.Builder
	fmt.Fprintln(&users, "account_id,kind,value,purpose,status,jurisdiction,collected_at")
	for i := range pairs {
		fmt.Fprintf(&users, "x%d,email,x%d@mail.example,account_security_2fa,granted,US,2026-01-02\n", i, i)
	}
	must(t, os.WriteFile(s.path("others.csv"), []byte(users.String()), 0o600))
	s.run("ledger", "import", s.path("others.csv"), "--store", s.url)
	s.restart()

	all := []*process{s.match("p-learns"), s.match("mutual-p")}
	for i := range pairs {
		all = append(all,
			s.launch("ledger", "erase", fmt.Sprintf("x%d", i), "--store", s.url, "--identity", s.path("platform")),
			s.launch("audit", "subject", fmt.Sprintf("u%d", i), "--store", s.url, "--identity", s.path("platform"), "--reason", "a test"))
	}
	for _, p := range all {
		if err := p.wait(); err != nil {
			t.Errorf("%v: %v\n%s", p.cmd.Args[1:3], err, p.errors.String())
		}
	}
	s.serve.interrupt()
	must(t, s.serve.wait())

	db, err := store.Open(t.Context(), s.url)
	must(t, err)
	defer db.Close()
	kinds := map[audit.Kind]int{}
	for _, body := range append(s.check.log(db, "public", store.PublicLog, logbook.PublicName, audit.PublicEvents),
		s.check.log(db, "access", store.AccessLog, logbook.AccessName, audit.AccessEvents)...) {
		kinds[body.Kind()]++
	}
	if kinds["erasure"] != pairs || kinds["access"] != pairs || kinds["session"] != 2 || kinds["matched"] != 2 {
		t.Errorf("the logs tell of %v", kinds)
	}
	if strings.Contains(s.serve.errors.String(), "could not be brought up") {
		t.Error("the server could not publish")
	}
}
