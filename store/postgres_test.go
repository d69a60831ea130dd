package store

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/internal/postgrestest"
	"github.com/overlap-psi/overlap/internal/required"
)

// server is a PostgreSQL of this test's own, started when a test first wants it.
var server = sync.OnceValues(postgrestest.Start)

// newPostgres returns the URL of a store that does not exist yet, in a schema of
// its own on the test's server.
func newPostgres(t testing.TB) string {
	t.Helper()
	s, err := server()
	if err != nil {
		required.Skip(t, required.Postgres, "no PostgreSQL: "+err.Error())
	}
	wanted.Store(true)
	url, err := s.NewSchema()
	if err != nil {
		t.Fatal(err)
	}
	return url
}

// wanted says that there is a server to stop.
var wanted atomic.Bool

func stopServer() {
	if !wanted.Load() {
		return
	}
	if s, err := server(); err == nil {
		s.Stop()
	}
}

func TestNumbered(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		{"SELECT 1", "SELECT 1"}, {"?", "$1"}, {"a = ? AND b IN (?, ?)", "a = $1 AND b IN ($2, $3)"},
		{"a <= ?1 AND b = ?2 AND c = ?1", "a <= $1 AND b = $2 AND c = $1"}, {"?12", "$12"},
		{strings.Repeat("?,", 12), "$1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,"},
	} {
		if got := numbered(test.query); got != test.want {
			t.Errorf("%s becomes %s", test.query, got)
		}
	}
}

// What the URL holds of secrets is in no error.
func TestPostgresPasswordsAreNotShown(t *testing.T) {
	for _, url := range []string{
		"postgres://user:planted@127.0.0.1:1/db?connect_timeout=1", "postgresql://user:planted@nowhere.invalid/db?connect_timeout=1", "postgres://user:planted@[::1/db",
		"postgres://user:planted@host:port/db", "postgres://user:pl%ZZanted@host/db", "postgres://host/db?password=planted&sslmode=planted",
	} {
		_, err := Open(t.Context(), url)
		if err == nil || !strings.HasPrefix(err.Error(), "store: ") || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "planted") {
			t.Errorf("%v", err)
		}
	}
}

// What the server says of rows stays there.
func TestPostgresErrorsHoldNoRows(t *testing.T) {
	d := open(t, newPostgres(t))
	putAccounts(t, d, planted[0])
	for _, statement := range []string{
		`INSERT INTO accounts (id, account_id, switched_off) SELECT id + 100, account_id, 0 FROM accounts`, // quotes the row as a detail
		`UPDATE accounts SET switched_off = 2`,
		`SELECT account_id::bigint FROM accounts`, // quotes the value in its text
	} {
		_, err := d.write.Exec(statement)
		if err == nil {
			t.Fatal("no error")
		}
		err = wrap("testing", err)
		if text := fmt.Sprintf("%v %+v", err, withoutValues(err)); strings.Contains(text, "planted") || !strings.Contains(text, "SQLSTATE") {
			t.Errorf("%s", text)
		}
	}
}

func TestPostgresConnectionsAreAsMeant(t *testing.T) {
	d := open(t, newPostgres(t))
	for _, test := range []struct{ setting, write, read string }{
		{"synchronous_commit", "on", "on"}, {"default_transaction_read_only", "off", "on"}, {"lock_timeout", "30s", "30s"},
	} {
		var write, read string
		if err := d.write.QueryRow(`SHOW ` + test.setting).Scan(&write); err != nil || write != test.write {
			t.Errorf("%s is %s for writers: %v", test.setting, write, err)
		}
		if err := d.read.QueryRow(`SHOW ` + test.setting).Scan(&read); err != nil || read != test.read {
			t.Errorf("%s is %s for readers: %v", test.setting, read, err)
		}
	}
}

// What was written by others before a writer's turn came, it sees.
func TestPostgresWritersTakeTurns(t *testing.T) {
	url := newPostgres(t)
	one, two := open(t, url), open(t, url)
	first, err := one.write.BeginTx(t.Context(), &postgres.writing)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Exec(postgres.turn); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- two.UseNonce(context.Background(), id(1), id(1), later.AddDate(10, 0, 0)) }()
	select {
	case err := <-done:
		t.Fatalf("a second writer did not wait: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	if _, err := first.Exec(`INSERT INTO nonces (peer, nonce, expires) VALUES (?, ?, ?)`, idBytes(1), idBytes(1), micros(later.AddDate(10, 0, 0))); err != nil {
		t.Fatal(err)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != ErrReplay {
		t.Errorf("the second writer did not see the first's nonce: %v", err)
	}
}

func idBytes(n byte) []byte { b := id(n); return b[:] }
