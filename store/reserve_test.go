package store

import (
	"bufio"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func openUnclosed(t *testing.T, url string) *DB {
	t.Helper()
	d, err := Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func reserve(t *testing.T, d *DB, want error) {
	t.Helper()
	if err := d.Reserve(t.Context()); !errors.Is(err, want) {
		t.Fatalf("reserving a store: %v, not %v", err, want)
	}
}

// impatient makes who waits for a reservation wait shortly.
func impatient(t *testing.T) {
	t.Helper()
	start, lost := reserveWithin, retakeWithin
	reserveWithin, retakeWithin = 100*time.Millisecond, 100*time.Millisecond
	t.Cleanup(func() { reserveWithin, retakeWithin = start, lost })
}

func TestOneServerOnAStore(t *testing.T) {
	impatient(t)
	onEachURL(t, func(t *testing.T, url string) {
		one, two := openUnclosed(t, url), open(t, url)
		reserve(t, one, nil)
		reserve(t, one, nil)
		reserve(t, two, ErrReserved)
		putAccounts(t, two, planted[0]) // who does not serve reads and writes as ever
		if err := one.UseNonce(t.Context(), id(1), id(2), later.AddDate(10, 0, 0)); err != nil {
			t.Error(err)
		}
		if err := one.Close(); err != nil {
			t.Error(err)
		}
		reserve(t, two, nil)
	})
}

func reserveDir(t *testing.T, d *DB, dir string, want error) {
	t.Helper()
	if err := d.ReserveDir(dir); !errors.Is(err, want) {
		t.Fatalf("reserving a directory: %v, not %v", err, want)
	}
}

// A directory is kept as long as the store that it goes with.
func TestOneServerInADirectory(t *testing.T) {
	dir, another := t.TempDir(), t.TempDir()
	one, two := openUnclosed(t, dialects[0].url(t)), open(t, dialects[0].url(t))
	reserveDir(t, one, dir, nil)
	reserveDir(t, one, dir, nil)
	reserveDir(t, one, another, nil)
	reserveDir(t, two, dir, ErrDirReserved)
	reserveDir(t, two, another, ErrDirReserved)
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	reserveDir(t, two, dir, nil)
	reserveDir(t, two, another, nil)
	if err := two.ReserveDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
}

// Another store is another's, also where it is in the same database.
func TestReservationIsOfOneStore(t *testing.T) {
	impatient(t)
	for _, dialect := range dialects {
		t.Run(dialect.name, func(t *testing.T) {
			reserve(t, open(t, dialect.url(t)), nil)
			reserve(t, open(t, dialect.url(t)), nil)
		})
	}
}

func TestReservationByAnotherName(t *testing.T) {
	dir := t.TempDir()
	one := open(t, "sqlite:"+filepath.Join(dir, "a.db"))
	link := filepath.Join(dir, "b.db")
	if err := os.Symlink("a.db", link); err != nil {
		t.Skip(err)
	}
	reserve(t, one, nil)
	reserve(t, open(t, "sqlite:"+link), ErrReserved)
	if stat, err := os.Stat(filepath.Join(dir, "a.db-serving")); err != nil || stat.Mode() != 0o600 {
		t.Errorf("%v, %v", stat.Mode(), err)
	}
}

// These name the store and the directory that a child process reserves until it is
// killed.
const (
	reservedStore = "OVERLAP_TEST_RESERVED_STORE"
	reservedDir   = "OVERLAP_TEST_RESERVED_DIR"
)

// TestReservingChild is what the child does.
func TestReservingChild(t *testing.T) {
	url := os.Getenv(reservedStore)
	if url == "" {
		return // not the child
	}
	d := openUnclosed(t, url)
	reserve(t, d, nil)
	reserveDir(t, d, os.Getenv(reservedDir), nil)
	fmt.Println("child is ready")
	time.Sleep(time.Minute)
}

func TestKilledServerLeavesNoReservation(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d, dir := open(t, url), t.TempDir()
		child := exec.Command(os.Args[0], "-test.run=^TestReservingChild$")
		child.Env = append(os.Environ(), reservedStore+"="+url, reservedDir+"="+dir)
		out, err := child.StdoutPipe()
		if err == nil {
			err = child.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer child.Process.Kill()
		if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.Contains(line, "child is ready") {
			t.Fatalf("%q, %v", line, err)
		}
		short, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := d.Reserve(short); err == nil {
			t.Fatal("a store that a child has reserved is reserved again")
		}
		reserveDir(t, d, dir, ErrDirReserved)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // killed
		reserve(t, d, nil)
		reserveDir(t, d, dir, nil)
	})
}

// endWriting ends the session that a store writes over, as a failing network would.
func endWriting(t *testing.T, d *DB, by *DB) {
	t.Helper()
	var pid int
	if err := d.write.QueryRow(`SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if _, err := by.write.Exec(`SELECT pg_terminate_backend(?)`, pid); err != nil {
		t.Fatal(err)
	}
	for n := 1; n > 0; time.Sleep(time.Millisecond) {
		if err := by.write.QueryRow(`SELECT COUNT(*) FROM pg_stat_activity WHERE pid = ?`, pid).Scan(&n); err != nil {
			t.Fatal(err)
		}
	}
}

// write writes something, again if the broken connection is only noticed by that.
func write(t *testing.T, d *DB, n byte) (err error) {
	t.Helper()
	for range 3 {
		if err = d.UseNonce(t.Context(), id(n), id(n), later.AddDate(10, 0, 0)); err == nil || errors.Is(err, ErrReserved) {
			return err
		}
	}
	return err
}

func TestPostgresReservationOutlivesItsConnection(t *testing.T) {
	impatient(t)
	url := newPostgres(t)
	one, two := open(t, url), open(t, url)
	reserve(t, one, nil)
	endWriting(t, one, two)
	if err := write(t, one, 1); err != nil {
		t.Fatalf("after its connection broke a server can't write: %v", err)
	}
	reserve(t, two, ErrReserved)
}

// A server whose store another one has taken is told so at once, whatever it does, and
// writes nothing more to it, also when it is alone again: it does not know what the
// other has done.
func TestPostgresReservationLost(t *testing.T) {
	url := newPostgres(t)
	one, two := open(t, url), openUnclosed(t, url)
	reserve(t, one, nil)
	endWriting(t, one, two)
	reserve(t, two, nil)
	began := time.Now()
	if err := one.Check(t.Context()); !errors.Is(err, ErrTaken) {
		t.Errorf("a server that lost its store is told: %v", err)
	}
	if err := write(t, one, 1); !errors.Is(err, ErrTaken) {
		t.Errorf("a server that lost its store writes on: %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it is told after %v", took)
	}
	if err := errors.Join(two.Check(t.Context()), write(t, two, 2), two.Close()); err != nil {
		t.Error(err)
	}
	if err := write(t, one, 3); !errors.Is(err, ErrTaken) {
		t.Errorf("it writes again: %v", err)
	}
}

// A reservation that is lost while nobody writes is taken again by Check.
func TestCheckTakesTheReservationAgain(t *testing.T) {
	impatient(t)
	url := newPostgres(t)
	one, two := open(t, url), open(t, url)
	reserve(t, one, nil)
	endWriting(t, one, two)
	if err := one.Check(t.Context()); err != nil {
		t.Fatalf("what was free could not be taken again: %v", err)
	}
	reserve(t, two, ErrReserved)
}

// A session of this server's own that PostgreSQL still believes in is waited for: no
// other server has the store.
func TestPostgresOwnSessionLingers(t *testing.T) {
	impatient(t)
	one := open(t, newPostgres(t))
	reserve(t, one, nil)
	conn, err := one.write.Conn(t.Context()) // stays, as behind a network that is gone
	if err != nil {
		t.Fatal(err)
	}
	one.write.SetMaxOpenConns(2)
	if err := one.UseNonce(t.Context(), id(1), id(1), later.AddDate(10, 0, 0)); !errors.Is(err, errLingers) {
		t.Errorf("while the session is there: %v", err)
	}
	if err := conn.Raw(func(any) error { return driver.ErrBadConn }); !errors.Is(err, driver.ErrBadConn) {
		t.Fatal(err)
	}
	if err := write(t, one, 1); err != nil {
		t.Errorf("once it is gone: %v", err)
	}
}

// Who writes for long is not waited for.
func TestCheckBesideAWriter(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d := open(t, url)
		reserve(t, d, nil)
		err := d.update(t.Context(), "", func(*sql.Tx) error {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			return d.Check(ctx)
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestCheckOfWhatIsGone(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d := openUnclosed(t, url)
		if err := errors.Join(d.Check(t.Context()), d.Close()); err != nil {
			t.Error(err)
		}
		if d.Check(t.Context()) == nil {
			t.Error("a store that is closed is there")
		}
	})
}
