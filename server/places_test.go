package server

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/overlap-psi/overlap/identity"
)

// A partner has a quarter of the places, rounded up, and all have them all.
func TestPlaces(t *testing.T) {
	for _, c := range []struct{ total, own int }{{1, 1}, {2, 1}, {4, 1}, {5, 2}, {16, 4}, {17, 5}} {
		p := newPlaces(c.total)
		taken := 0
		for partner := range byte(c.total + 1) {
			n := 0
			for p.take(identity.ID{partner}) {
				n++
			}
			if want := min(c.own, c.total-taken); n != want {
				t.Errorf("of %d places partner %d has %d, want %d", c.total, partner, n, want)
			}
			taken += n
		}
		if taken != c.total {
			t.Errorf("%d of %d places are taken", taken, c.total)
		}
	}
}

func TestPlaceIsFreeAgain(t *testing.T) {
	a, b, c := identity.ID{1}, identity.ID{2}, identity.ID{3}
	p := newPlaces(2)
	if !p.take(a) || p.take(a) || !p.take(b) || p.take(c) {
		t.Fatal("two places, one for each partner")
	}
	p.leave(a)
	if p.take(b) || !p.take(c) || p.take(a) {
		t.Error("the place that a left is c's, since b has its own")
	}
	p.leave(b)
	p.leave(c)
	if len(p.by) != 0 || p.taken != 0 {
		t.Errorf("%d places and %d partners are remembered", p.taken, len(p.by))
	}
}

func TestPlacesUnderContention(t *testing.T) {
	p := newPlaces(6) // two for each partner
	var all atomic.Int32
	var wg sync.WaitGroup
	for i := range byte(8) {
		id := identity.ID{i % 4}
		wg.Go(func() {
			for range 2000 {
				if !p.take(id) {
					continue
				}
				if n := all.Add(1); n > 6 {
					t.Errorf("%d sessions at once", n)
				}
				all.Add(-1)
				p.leave(id)
			}
		})
	}
	wg.Wait()
	if p.taken != 0 || len(p.by) != 0 {
		t.Errorf("%d places are left taken", p.taken)
	}
}
