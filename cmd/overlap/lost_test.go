package main

import (
	"database/sql"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/internal/postgrestest"
	"github.com/overlap-psi/overlap/internal/required"
)

// operated is a platform whose operations are at the URL returned.
func operated(t *testing.T, url string) (s *site, at string) {
	t.Helper()
	s = newSite(t, url, rand.New(rand.NewPCG(5, 0)))
	private := freeAddr(t)
	s.serve = s.launch("serve", "--store", s.url, "--identity", s.path("platform"), "--partners", s.path("partners.json"), "--listen", "127.0.0.1:0", "--operations", private)
	t.Cleanup(s.serve.kill)
	at = "http://" + private
	for deadline := time.Now().Add(time.Minute); !strings.Contains(s.serve.errors.String(), "msg=serving"); time.Sleep(5 * time.Millisecond) {
		if s.serve.over() || time.Now().After(deadline) {
			t.Fatalf("the platform does not start:\n%s", s.serve.errors.String())
		}
	}
	readiness(t, at, http.StatusOK)
	return s, at
}

// readiness waits until /readyz has the status.
func readiness(t *testing.T, at string, want int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		code, body := get(t, at+"/readyz")
		if code == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("/readyz stays %d %q, and not %d", code, body, want)
		}
	}
}

// inSchema is a connection of the test's own to the store's database.
func inSchema(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

// A server whose sessions PostgreSQL has ended, while nobody used it, goes on.
func TestServerWhoseSessionsEnd(t *testing.T) {
	s, at := operated(t, postgresURL(t))
	db := inSchema(t, s.url)
	locks := `SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND pid <> pg_backend_pid()`
	_, err := db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'overlap'`)
	must(t, err)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		var n int
		must(t, db.QueryRow(locks).Scan(&n))
		if n == 1 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not reserve its store again:\n%s", s.serve.errors.String())
		}
	}
	readiness(t, at, http.StatusOK)
	s.serve.interrupt()
	must(t, s.serve.wait())
}

// A server whose store another one has taken says so, and ends.
func TestServerWhoseStoreIsTaken(t *testing.T) {
	s, _ := operated(t, postgresURL(t))
	db := inSchema(t, s.url)
	other, err := db.Conn(t.Context())
	must(t, err)
	defer other.Close()
	taken := make(chan error, 1)
	go func() { // who waits for a lock has it before anybody who only tries
		_, err := other.ExecContext(t.Context(), `SELECT pg_advisory_lock(8029751473180109168 + oid::bigint) FROM pg_namespace WHERE nspname = current_schema()`)
		taken <- err
	}()
	for waiting := 0; waiting == 0; time.Sleep(5 * time.Millisecond) {
		must(t, db.QueryRow(`SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`).Scan(&waiting))
	}
	_, err = db.Exec(`SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted`)
	must(t, err)
	must(t, <-taken)
	began := time.Now()
	if err := s.serve.wait(); err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("it ends after %v: %v", time.Since(began), err)
	}
	said := s.serve.errors.String()
	for _, words := range []string{`msg="not ready`, "overlap: error: another server has taken this store\n", "overlap: hint: "} {
		if strings.Count(said, words) != 1 {
			t.Errorf("it does not say once %q:\n%s", words, said)
		}
	}
}

// A server whose database is stopped is not ready, and says why once.
func TestServerWithoutItsDatabase(t *testing.T) {
	database, err := postgrestest.Start()
	if err != nil {
		required.Skip(t, required.Postgres, "no PostgreSQL: "+err.Error())
	}
	url, err := database.NewSchema()
	if err != nil {
		database.Stop()
		t.Fatal(err)
	}
	s, at := operated(t, url)
	database.Stop()
	readiness(t, at, http.StatusServiceUnavailable)
	time.Sleep(3 * time.Second)
	if said := s.serve.errors.String(); strings.Count(said, "not ready") != 1 || !strings.Contains(said, "PostgreSQL can't be reached at") {
		t.Errorf("it says:\n%s", said)
	}
	s.serve.interrupt()
	must(t, s.serve.wait())
}

// Over SQLite a server is as ready as ever while a command writes.
func TestServerOfAFileIsReady(t *testing.T) {
	s, at := operated(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	s.run("ledger", "import", s.path("users.csv"), "--store", s.url)
	time.Sleep(2 * storeEvery)
	readiness(t, at, http.StatusOK)
	s.serve.interrupt()
	must(t, s.serve.wait())
}
