package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestEntriesGoOnFromAnIndex(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		for _, body := range []string{"a", "", "c"} {
			if err := d.Record(t.Context(), note(body), Entry{AccessLog, []byte("x" + body)}); err != nil {
				t.Fatal(err)
			}
		}
		for from, want := range [][]string{{"a", "", "c"}, {"", "c"}, {"c"}, nil, nil} {
			var got []string
			for l, err := range d.Entries(t.Context(), PublicLog, uint64(from)) {
				if err != nil || l.Index != uint64(from+len(got)) {
					t.Errorf("entry %d comes after %d (%v)", l.Index, from+len(got)-1, err)
				}
				got = append(got, string(l.Body))
			}
			if !slices.Equal(got, want) {
				t.Errorf("from %d: %q", from, got)
			}
		}
		if err := d.Record(t.Context(), Entry{0, nil}); !errors.Is(err, errLog) {
			t.Error(err)
		}
		if got := bodies(t, d, AccessLog); !slices.Equal(got, []string{"xa", "x", "xc"}) {
			t.Errorf("%q", got)
		}
	})
}

// What is charged or drawn a second time is not told a second time; what is
// refused is not told.
func TestEntriesOfAChargeAndARelease(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		ctx := t.Context()
		for range 2 {
			if err := d.ChargeRelease(ctx, id(1), "u", 1, id(1), 1, note("charged")); err != nil {
				t.Fatal(err)
			}
			if _, err := d.PutRelease(ctx, id(1), []byte("7"), note("released")); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.ChargeRelease(ctx, id(1), "u", 1, id(2), 1, note("charged over the limit")); !errors.Is(err, ErrBudget) {
			t.Error(err)
		}
		if _, err := d.PutRelease(ctx, id(2), []byte("8"), note("released without a charge")); err == nil {
			t.Error("released without a charge")
		}
		// Without their entries there is neither.
		if err := d.ChargeRelease(ctx, id(1), "u", 2, id(3), 1, Entry{Log: 9}); !errors.Is(err, errLog) {
			t.Error(err)
		}
		if left, err := d.ReleasesLeft(ctx, id(1), "u", 2, 1); err != nil || left != 1 {
			t.Errorf("%d left (%v)", left, err)
		}
		if got := bodies(t, d, PublicLog); !slices.Equal(got, []string{"charged", "released"}) {
			t.Errorf("%q", got)
		}
	})
}

// Numbers have no gap however many write, over two handles, and some fail; and who
// has seen an entry has seen all before it.
func TestEntriesHaveNoGap(t *testing.T) {
	onEachURL(t, func(t *testing.T, url string) {
		handles := []*DB{open(t, url), open(t, url)}
		const writers, each = 6, 20
		var wg sync.WaitGroup
		done := make(chan struct{})
		watched := make(chan struct{})
		go func() {
			defer close(watched)
			for seen := 0; ; {
				select {
				case <-done:
					return
				default:
				}
				n := len(bodies(t, handles[1], PublicLog)) // checks the numbers
				if n < seen {
					t.Error("an entry is gone")
				}
				seen = n
			}
		}()
		for w := range writers {
			wg.Go(func() {
				for i := range each {
					log := PublicLog
					if i%5 == 4 {
						log = 3 // fails, and takes the one before with it
					}
					err := handles[w%2].Record(context.Background(), note(fmt.Sprint(w, " ", i)), Entry{log, []byte(fmt.Sprint(w, " ", i))})
					if failed := err != nil; failed != (log == 3) {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		close(done)
		<-watched
		got := bodies(t, handles[0], PublicLog)
		if want := writers * each * 4 / 5 * 2; len(got) != want {
			t.Errorf("%d entries, want %d", len(got), want)
		}
		for w := range writers {
			last := -1
			for _, body := range got {
				if after, ok := strings.CutPrefix(body, fmt.Sprint(w, " ")); ok {
					var i int
					if _, err := fmt.Sscan(after, &i); err != nil || i < last {
						t.Errorf("writer %d: entry %d after %d (%v)", w, i, last, err)
					}
					last = i
				}
			}
		}
	})
}
