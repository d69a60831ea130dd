package store

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestNonces(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		d, other := open(t, url), open(t, url)
		soon := time.Now().Add(time.Hour)
		use := func(d *DB, peer, nonce byte, until time.Time, want error) {
			t.Helper()
			if err := d.UseNonce(t.Context(), id(peer), id(nonce), until); !errors.Is(err, want) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		use(d, 1, 1, soon, nil)
		use(d, 1, 1, soon, ErrReplay)
		use(other, 1, 1, soon.Add(time.Hour), ErrReplay)
		use(d, 2, 1, soon, nil) // another peer's nonces are its own
		use(d, 1, 2, soon, nil)
		use(d, 1, 3, time.Now().Add(-time.Second), ErrReplay) // its time is over: it may have been forgotten
		kept := func(nonce byte, expires time.Time) {
			t.Helper()
			peer, n := id(1), id(nonce)
			err := d.update(t.Context(), "a test", func(tx *sql.Tx) error {
				_, err := tx.ExecContext(t.Context(), `INSERT INTO nonces (peer, nonce, expires) VALUES (?, ?, ?)`, peer[:], n[:], micros(expires))
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		kept(4, time.Now().Add(-nonceKept/2))
		use(d, 1, 4, soon, ErrReplay) // a transaction that began before its end may still be on its way
		kept(3, time.Now().Add(-2*nonceKept))
		use(d, 1, 3, soon, nil) // forgotten
		use(d, 1, 3, soon, ErrReplay)
		use(d, 1, 1, soon, ErrReplay)
	})
}

func TestANonceIsUsedOnce(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		handles := []*DB{open(t, url), open(t, url)}
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				switch err := handles[i%2].UseNonce(context.Background(), id(1), id(1), time.Now().Add(time.Hour)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ErrReplay):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Errorf("%d of 20 used the nonce", won.Load())
		}
	})
}

func left(t testing.TB, d *DB, party, universe string, epoch, limit uint64) uint64 {
	t.Helper()
	n, err := d.ReleasesLeft(context.Background(), id(party[0]), universe, epoch, limit)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestChargeRelease(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		charge := func(party, universe string, epoch uint64, sid byte, limit uint64, want error) {
			t.Helper()
			if err := d.ChargeRelease(t.Context(), id(party[0]), universe, epoch, id(sid), limit); !errors.Is(err, want) {
				t.Errorf("session %d: %v, want %v", sid, err, want)
			}
		}
		if n := left(t, d, "a", "u", 7, 2); n != 2 {
			t.Errorf("%d of 2 left before any charge", n)
		}
		charge("a", "u", 7, 1, 2, nil)
		charge("a", "u", 7, 1, 2, nil) // again: no effect
		charge("a", "u", 8, 1, 2, nil) // again, after the epoch changed
		charge("a", "u", 7, 2, 2, nil)
		charge("a", "u", 7, 3, 2, ErrBudget)
		charge("a", "u", 7, 3, 2, ErrBudget) // being refused is no charge
		charge("a", "u", 7, 1, 2, nil)       // paid before the budget was gone
		charge("a", "v", 7, 4, 2, nil)       // a budget per universe,
		charge("a", "u", 8, 5, 2, nil)       // epoch
		charge("b", "u", 7, 6, 2, nil)       // and advertiser
		charge("b", "u", 7, 7, 0, ErrBudget)
		charge("b", "u", 7, 1, 2, errSession) // another's session
		for _, test := range []struct {
			party, universe string
			epoch, want     uint64
		}{{"a", "u", 7, 0}, {"a", "u", 8, 1}, {"a", "v", 7, 1}, {"b", "u", 7, 1}, {"c", "u", 7, 2}} {
			if n := left(t, d, test.party, test.universe, test.epoch, 2); n != test.want {
				t.Errorf("%s in %s, epoch %d: %d left, want %d", test.party, test.universe, test.epoch, n, test.want)
			}
		}
		if n := left(t, d, "a", "u", 7, 1); n != 0 {
			t.Errorf("%d left under a limit below what was spent", n)
		}
		charge("a", "u", 7, 3, 3, nil) // a new policy has a higher one
	})
}

func TestChargeQueries(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		charge := func(sid byte, n, limit uint64, want error) {
			t.Helper()
			if err := d.ChargeQueries(t.Context(), id(1), 7, id(sid), n, limit); !errors.Is(err, want) {
				t.Errorf("session %d: %v, want %v", sid, err, want)
			}
		}
		charge(1, 1024, 4096, nil)
		charge(1, 1024, 4096, ErrCharged) // one charge pays for one session
		charge(1, 2048, 4096, errSession) // the session asked for another number
		charge(2, 3073, 4096, ErrBudget)
		charge(2, 3072, 4096, nil)
		charge(3, 1, 4096, ErrBudget)
		charge(3, 0, 4096, nil)
		charge(4, 5000, 4096, ErrBudget)
		charge(4, math.MaxUint64, math.MaxUint64, errRange)
		charge(4, math.MaxInt64-4096, math.MaxUint64, nil)
		charge(5, math.MaxInt64, math.MaxUint64, ErrBudget) // the sum would not be a number of the database's
		if n, err := d.QueriesLeft(t.Context(), id(1), 7, math.MaxUint64); err != nil || n != math.MaxUint64-math.MaxInt64 {
			t.Errorf("%d left: %v", n, err)
		}
		if n, err := d.QueriesLeft(t.Context(), id(1), 8, 4096); err != nil || n != 4096 {
			t.Errorf("%d left in another epoch: %v", n, err)
		}
		if n := left(t, d, "\x01", "", 7, 5); n != 5 {
			t.Errorf("queries were charged to the releases: %d left", n)
		}
		// A sid has one charge of each kind.
		if err := d.ChargeRelease(t.Context(), id(1), "u", 7, id(1), 1); err != nil {
			t.Error(err)
		}
	})
}

func TestEpochOutOfRange(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		if err := d.ChargeRelease(t.Context(), id(1), "u", math.MaxUint64, id(1), 1); !errors.Is(err, errRange) {
			t.Error(err)
		}
		if _, err := d.ReleasesLeft(t.Context(), id(1), "u", math.MaxUint64, 1); !errors.Is(err, errRange) {
			t.Error(err)
		}
	})
}

// Many sessions over two handles on one store: what passes is the limit, exactly.
func TestParallelChargesNeverPassTheLimit(t *testing.T) {
	const sessions, limit, amount = 60, 23, 10
	onEachURL(t, func(t *testing.T, url string) {
		handles := []*DB{open(t, url), open(t, url)}
		var released, asked atomic.Int64
		count := func(n *atomic.Int64, err error) {
			switch {
			case err == nil:
				n.Add(1)
			case !errors.Is(err, ErrBudget) && !(n == &asked && errors.Is(err, ErrCharged)):
				t.Error(err)
			}
		}
		var wg sync.WaitGroup
		for i := range 2 * sessions { // each session is charged over both handles
			d, sid := handles[i%2], id(byte(i/2))
			wg.Go(func() { count(&released, d.ChargeRelease(context.Background(), id(1), "u", 7, sid, limit)) })
			wg.Go(func() {
				count(&asked, d.ChargeQueries(context.Background(), id(1), 7, sid, amount, limit*amount+amount-1))
			})
		}
		wg.Wait()
		// A release's charge that passed once passes again, so successes come in pairs,
		// but for the sessions refused over one handle and over the other as well.
		if released.Load() != 2*limit || asked.Load() != limit {
			t.Errorf("%d and %d charges passed, want %d and %d", released.Load(), asked.Load(), 2*limit, limit)
		}
		if n := left(t, handles[0], "\x01", "u", 7, sessions); n != sessions-limit {
			t.Errorf("%d releases spent, want %d", sessions-n, limit)
		}
		if n, err := handles[1].QueriesLeft(context.Background(), id(1), 7, 1000); err != nil || n != 1000-limit*amount {
			t.Errorf("%d queries spent, want %d: %v", 1000-n, limit*amount, err)
		}
	})
}

func TestReleaseIsDrawnOnce(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ctx := t.Context()
		if _, err := d.Release(ctx, id(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		if _, err := d.PutRelease(ctx, id(1), []byte("first")); !errors.Is(err, errSession) {
			t.Errorf("without a charge: %v", err)
		}
		if err := d.ChargeQueries(ctx, id(1), 7, id(1), 1, 1); err != nil {
			t.Fatal(err)
		}
		if _, err := d.PutRelease(ctx, id(1), []byte("first")); !errors.Is(err, errSession) {
			t.Errorf("with a charge of queries only: %v", err)
		}
		if err := d.ChargeRelease(ctx, id(1), "u", 7, id(1), 2); err != nil {
			t.Fatal(err)
		}
		for _, body := range []string{"first", "second", ""} {
			if got, err := d.PutRelease(ctx, id(1), []byte(body)); err != nil || string(got) != "first" {
				t.Errorf("%q, %v", got, err)
			}
		}
		if got, err := d.Release(ctx, id(1)); err != nil || string(got) != "first" {
			t.Errorf("%q, %v", got, err)
		}
		if err := d.ChargeRelease(ctx, id(1), "u", 7, id(2), 2); err != nil {
			t.Fatal(err)
		}
		if got, err := d.PutRelease(ctx, id(2), nil); err != nil || len(got) != 0 {
			t.Errorf("an empty body: %q, %v", got, err)
		}
	})
}

func TestParallelReleasesAreOne(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		handles := []*DB{open(t, url), open(t, url)}
		if err := handles[0].ChargeRelease(t.Context(), id(1), "u", 7, id(1), 1); err != nil {
			t.Fatal(err)
		}
		bodies := make([][]byte, 16)
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() {
				var err error
				if bodies[i], err = handles[i%2].PutRelease(context.Background(), id(1), []byte(strconv.Itoa(i))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		for _, body := range bodies {
			if !bytes.Equal(body, bodies[0]) {
				t.Fatal("two sessions would send different counts")
			}
		}
	})
}

// childURL, if it is set, makes the test binary the process that is killed.
const childURL = "OVERLAP_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if url := os.Getenv(childURL); url != "" {
		chargeForever(url)
	}
	code := m.Run()
	stopServer()
	os.Exit(code)
}

// chargeForever charges one session after the other, and says so once each is
// charged, until it is killed.
func chargeForever(url string) {
	d, err := Open(context.Background(), url)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
	for i := uint64(0); ; i++ {
		var sid [32]byte
		binary.BigEndian.PutUint64(sid[:], i)
		binary.BigEndian.PutUint64(sid[8:], uint64(os.Getpid()))
		if err := d.ChargeRelease(context.Background(), id(1), "u", 7, sid, math.MaxInt64); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		fmt.Println(i + 1)
	}
}

// Killed at any moment between a charge and its answer, the charge stands: what
// is on record is what the process said, or the one more that it could not say.
func TestChargesSurviveAKill(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		open(t, url) // so that the child does not spend its life on the schema
		var before uint64
		for _, charges := range []uint64{1, 1, 2, 5, 20, 50} {
			said := killAfter(t, url, charges)
			spent := math.MaxInt64 - left(t, open(t, url), "\x01", "u", 7, math.MaxInt64)
			if got := spent - before; got < said || got > said+1 {
				t.Fatalf("the process said %d charges, %d are on record", said, got)
			}
			before = spent
		}
	})
}

// killAfter runs a child, kills it once it has said that many charges, and
// returns how many it said in all.
func killAfter(t *testing.T, url string, charges uint64) (said uint64) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(slices.Clone(os.Environ()), childURL+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, err := strconv.ParseUint(strings.TrimSpace(lines.Text()), 10, 64)
		if err != nil {
			t.Fatalf("the child says %q", lines.Text())
		}
		said = n
		if n >= charges && !killed {
			killed = true
			if err := child.Process.Kill(); err != nil { // SIGKILL
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || !killed {
		t.Fatalf("the child ended by itself: %v", err)
	}
	return said
}
