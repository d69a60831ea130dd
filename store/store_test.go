package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// dialects are what the suite runs on. A dialect is a line here; every test that
// is not about a file of SQLite's goes through each of them.
var dialects = []struct {
	name string
	url  func(t testing.TB) string // of a store that does not exist yet
	drop string                    // a table, whatever refers to it
}{
	{"sqlite", func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "store.db") }, `PRAGMA foreign_keys = 0; DROP TABLE %s`},
	{"postgres", newPostgres, `DROP TABLE %s CASCADE`},
}

// onEach runs a test on a new store of each dialect.
func onEach(t *testing.T, test func(t *testing.T, d *DB)) {
	t.Helper()
	onEachURL(t, func(t *testing.T, url string) { test(t, open(t, url)) })
}

func onEachURL(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	for _, dialect := range dialects {
		t.Run(dialect.name, func(t *testing.T) { test(t, dialect.url(t)) })
	}
}

// open opens a store that is closed when the test ends.
func open(t testing.TB, url string) *DB {
	t.Helper()
	d, err := Open(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// id returns 32 bytes that tests can tell apart.
func id(n byte) [32]byte { return [32]byte{0: n, 31: 0xa5} }

func TestOpenKnowsWhatItSupports(t *testing.T) {
	for _, url := range []string{"", "store.db", "SQLITE:x", "mysql:x", "mysql://user:planted-password@host/db", "user:planted-password@host"} {
		_, err := Open(t.Context(), url)
		if err == nil || !strings.Contains(err.Error(), "sqlite:PATH") || strings.Contains(err.Error(), "planted") {
			t.Errorf("%v", err)
		}
	}
	for _, url := range []string{"sqlite:", "sqlite::memory:", "sqlite:" + t.TempDir(), "sqlite:" + filepath.Join(t.TempDir(), "no", "folder.db")} {
		if _, err := Open(t.Context(), url); err == nil {
			t.Errorf("a store without a file opens")
		}
	}
}

func TestStoreOutlivesItsHandle(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		put(t, d, fact("a", 1))
		before := recordsOf(t, d, later)
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		after := recordsOf(t, open(t, url), later)
		if len(before) != 1 || len(after) != 1 || before[0] != after[0] {
			t.Error("the record, its handle or its secret is another after opening again")
		}
	})
}

// Another store calls the same account by another handle.
func TestHandlesAreTheStoresOwn(t *testing.T) {
	for _, dialect := range dialects {
		t.Run(dialect.name, func(t *testing.T) {
			one, two := open(t, dialect.url(t)), open(t, dialect.url(t))
			put(t, one, fact("a", 1))
			put(t, two, fact("a", 1))
			a, b := recordsOf(t, one, later)[0], recordsOf(t, two, later)[0]
			if a.Account == b.Account || a.Secret == b.Secret {
				t.Error("two stores share a handle or a secret")
			}
			if _, err := putAudience(t.Context(), one, 1, "spring", 1, handlesOf(b.Account)); !errors.Is(err, errHandle) {
				t.Errorf("one store takes another's handle: %v", err)
			}
		})
	}
}

func TestManyOpenANewStoreAtOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		var wg sync.WaitGroup
		handles := make([]*DB, 8)
		for i := range handles {
			wg.Go(func() {
				d, err := Open(context.Background(), url)
				if err != nil {
					t.Error(err)
					return
				}
				handles[i] = d
			})
		}
		wg.Wait()
		for i, d := range handles {
			if d == nil {
				continue
			}
			put(t, d, fact("a", i+1))
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		}
		accounts := map[consent.Handle]bool{}
		for _, r := range recordsOf(t, open(t, url), later) {
			accounts[r.Account] = true
		}
		if len(accounts) != 1 {
			t.Errorf("one account has %d handles", len(accounts))
		}
	})
}

func TestClosedStoreFails(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d, err := Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		for name, err := range callAll(t.Context(), d) {
			if err == nil {
				t.Errorf("%s of a closed store succeeds", name)
			}
		}
	})
}

func TestCancelledContext(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for name, err := range callAll(ctx, d) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// planted are the values that no error may hold.
var planted = []string{"planted-account", "planted-audience", "planted-universe", "planted-source", "planted-outcome", "planted-body"}

// callAll calls every method once with planted values and returns the errors.
func callAll(ctx context.Context, d *DB) map[string]error {
	f := fact(planted[0], 1)
	f.Source = planted[3]
	errs := map[string]error{}
	_, errs["Put"] = d.Put(ctx, stream(f))
	errs["SetSwitch"] = d.SetSwitch(ctx, planted[0], true)
	_, errs["Summary"] = d.Summary(ctx)
	for _, err := range d.Records(ctx, later) {
		errs["Records"] = err
	}
	_, errs["Cut"] = d.Cut(ctx)
	_, errs["RecordOf"] = d.RecordOf(ctx, 2)
	_, errs["History"] = d.History(ctx, planted[0])
	_, errs["Mislabelled"] = d.Mislabelled(ctx, Filter{Source: planted[3]})
	_, errs["Relabel"] = d.Relabel(ctx, Filter{Source: planted[3]}, consent.ImportUnknown)
	_, errs["Withdraw"] = d.Withdraw(ctx, planted[0], planted[3])
	errs["UseNonce"] = d.UseNonce(ctx, id(1), id(2), later)
	errs["ChargeRelease"] = d.ChargeRelease(ctx, id(1), planted[2], 1, id(3), 1)
	errs["ChargeQueries"] = d.ChargeQueries(ctx, id(1), 1, id(3), 1, 1)
	_, errs["ReleasesLeft"] = d.ReleasesLeft(ctx, id(1), planted[2], 1, 1)
	_, errs["QueriesLeft"] = d.QueriesLeft(ctx, id(1), 1, 1)
	_, errs["PutRelease"] = d.PutRelease(ctx, id(3), []byte(planted[5]))
	_, errs["Release"] = d.Release(ctx, id(3))
	_, errs["Audiences"] = d.Audiences(ctx)
	for _, err := range d.AudienceAccounts(ctx, id(1), planted[1]) {
		errs["AudienceAccounts"] = err
	}
	maps.Copy(errs, callEvidence(ctx, d))
	return errs
}

// Each table is broken in turn, so that each statement fails with the database's
// own error, and then the refusals of the store's own.
func TestErrorsHoldNoValues(t *testing.T) {
	check := func(t *testing.T, name string, err error) bool {
		if err == nil {
			return false
		}
		values := planted
		for _, text := range []string{fmt.Sprintf("%+v %#v", err, err), err.Error()} {
			for _, value := range values {
				if strings.Contains(text, value) {
					t.Errorf("%s: error holds a value: %v", name, err)
				}
			}
			values = append(values[:len(values):len(values)], "a5", "165") // bytes of id, which could be in a pointer as well
		}
		if !strings.HasPrefix(err.Error(), "store: ") {
			t.Errorf("%s: error does not say whose it is: %v", name, err)
		}
		return true
	}
	for _, dialect := range dialects {
		t.Run(dialect.name, func(t *testing.T) {
			failed := map[string]bool{}
			for _, table := range []string{"meta", "accounts", "facts", "origins", "switches", "nonces", "budgets", "charges", "releases", "audiences", "members", "sessions",
				"manifests", "erased", "erased_lately", "holds", "held", "incidents", "outbox", "outbox_next"} {
				d := open(t, dialect.url(t))
				if _, err := d.write.Exec(fmt.Sprintf(dialect.drop, table)); err != nil {
					t.Fatal(err)
				}
				for name, err := range callAll(t.Context(), d) {
					if check(t, name, err) {
						failed[name] = true
					}
				}
			}
			d := open(t, dialect.url(t))
			for name := range callAll(t.Context(), d) {
				if !failed[name] {
					t.Errorf("%s never failed: this test does not look at it", name)
				}
			}
			for range 2 { // the second time runs into replays, budgets and records there are
				for name, err := range callAll(t.Context(), d) {
					check(t, name, err)
				}
			}
			check(t, "PutRelease", second(d.PutRelease(t.Context(), id(200), []byte(planted[5]))))
		})
	}
}

func second[T any](_ T, err error) error { return err }

func TestFactPrintsRedacted(t *testing.T) {
	f := fact("planted-account", 1)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if got := fmt.Sprintf(verb, f) + fmt.Sprintf(verb, &f); got != "REDACTEDREDACTED" {
			t.Errorf("%s prints %s", verb, got)
		}
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "fact", f)
	if strings.Contains(log.String(), "planted") || !strings.Contains(log.String(), "REDACTED") {
		t.Error("a fact is logged")
	}
}

func TestNewerStoreIsRefused(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		if _, err := open(t, url).write.Exec(`INSERT INTO schema_versions (version, applied) VALUES (1000, 0)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), url); !errors.Is(err, ErrNewer) {
			t.Errorf("%v", err)
		}
	})
}

// An append-only ledger says so itself.
func TestFactsCannotBeUpdated(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		off := fact("a", 1)
		off.SwitchedOff = true
		put(t, d, off)
		for _, statement := range []string{`UPDATE facts SET status = 1`, `UPDATE switches SET off = 0`} {
			if _, err := d.write.Exec(statement); err == nil || !strings.Contains(err.Error(), "never changed") {
				t.Errorf("%s: %v", statement, err)
			}
		}
		if _, err := d.read.Exec(`DELETE FROM facts`); err == nil {
			t.Error("the reading connections can write")
		}
	})
}

// From here on: SQLite's file.

func openFile(t *testing.T) (d *DB, path string) {
	path = filepath.Join(t.TempDir(), "store.db")
	return open(t, "sqlite:"+path), path
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // as a careless touch leaves it
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link.db")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	d := open(t, "sqlite:"+link)
	put(t, d, fact("a", 1))
	recordsOf(t, d, later)
	files, err := filepath.Glob(path + "*")
	if err != nil || len(files) != 3 {
		t.Fatalf("%d files, want the database, its log and the log's index", len(files))
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(file), info.Mode())
		}
	}
}

func TestConnectionsAreAsMeant(t *testing.T) {
	d, _ := openFile(t)
	for _, test := range []struct {
		pool   *sql.DB
		pragma string
		want   string
	}{
		{d.write, "journal_mode", "wal"}, {d.write, "synchronous", "2"}, {d.write, "foreign_keys", "1"}, {d.write, "busy_timeout", "30000"},
		{d.write, "secure_delete", "1"}, {d.write, "query_only", "0"},
		{d.read, "journal_mode", "wal"}, {d.read, "foreign_keys", "1"}, {d.read, "busy_timeout", "30000"}, {d.read, "query_only", "1"},
	} {
		var got string
		if err := test.pool.QueryRow("PRAGMA " + test.pragma).Scan(&got); err != nil || got != test.want {
			t.Errorf("%s is %s, want %s (%v)", test.pragma, got, test.want, err)
		}
	}
}

func TestPathsWithMarks(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a b.db", "q?mode=memory.db", "h#1.db", "100%.db", "%41.db", "é&=;.db"} {
		path := filepath.Join(dir, name)
		d, err := Open(t.Context(), "sqlite:"+path)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		put(t, d, fact("a", 1))
		d.Close()
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%q: the store is in another file (%v)", name, err)
		}
	}
	t.Chdir(dir)
	open(t, "sqlite:relative.db")
	if _, err := os.Stat(filepath.Join(dir, "relative.db")); err != nil {
		t.Error(err)
	}
}

// As the program left them before its first release.
func TestDevelopmentStoreIsRefused(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d := open(t, url)
		if _, err := d.write.Exec(`CREATE INDEX audiences_ready ON audiences (name)`); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(t.Context(), url); !errors.Is(err, errDevelopment) {
			t.Errorf("%v", err)
		}
	})
	d, path := openFile(t)
	if _, err := d.write.Exec(`CREATE TABLE migrations (version INTEGER)`); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:"+path); !errors.Is(err, errDevelopment) {
		t.Errorf("%v", err)
	}
}

func TestFileOfSomethingElseIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	text := []byte(strings.Repeat("account_id,email\n", 1000))
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), "sqlite:"+path); err == nil {
		t.Error("a CSV file opens as a store")
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, text) {
		t.Error("the file has been changed")
	}
}

// later is after all that the tests collect.
var later = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// hoursBefore counts back from later, so that greater is earlier.
func hoursBefore(n int) time.Time { return later.Add(-time.Duration(n) * time.Hour) }

// fact is a granted fact of an account's identifier number n.
func fact(account string, n int) Fact {
	return Fact{
		AccountID:    account,
		Class:        identifier.EmailUID2,
		Sum:          id(byte(n)),
		Purpose:      consent.AdsMatching,
		Status:       consent.Granted,
		Basis:        consent.BasisConsent,
		Jurisdiction: "FR",
		CollectedAt:  hoursBefore(10),
		Source:       "settings",
	}
}
