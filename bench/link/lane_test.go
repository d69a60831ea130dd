package link

import (
	"math"
	"testing"
	"time"
)

// A packet arrives when its bits have left, and half a round trip later.
func TestOnePacket(t *testing.T) {
	l := newLane(Shape{Rate: 12e6, RoundTrip: 80 * time.Millisecond}, 1)
	for _, now := range []time.Duration{0, time.Second} {
		if at, f := l.send(now, 1500); f != arrives || at != now+time.Millisecond+40*time.Millisecond {
			t.Errorf("sent at %v it arrives at %v (%d)", now, at, f)
		}
	}
}

// Whoever offers more than the rate gets the rate, and in order.
func TestRate(t *testing.T) {
	const offered, size = 50_000_000, 1000 // bits a second, bytes
	for _, rate := range []int64{1e6, 20e6, 49e6} {
		l := newLane(Shape{Rate: rate, RoundTrip: 80 * time.Millisecond}, 1)
		var got int64
		var last time.Duration
		const whole = 20 * time.Second
		for now := time.Duration(0); now < whole; now += time.Duration(size * 8 * int64(time.Second) / offered) {
			at, f := l.send(now, size)
			if f != arrives {
				continue
			}
			if at < last {
				t.Fatalf("at %v Mbit/s a packet overtakes another", rate/1e6)
			}
			if last = at; at <= whole {
				got += size * 8
			}
		}
		// The first bit comes half a round trip late.
		if want := float64(rate) * (whole - 40*time.Millisecond).Seconds(); math.Abs(float64(got)-want) > want/1000 {
			t.Errorf("%d bits have come, want %.0f", got, want)
		}
	}
}

// Whoever offers less loses nothing and waits for nobody.
func TestBelowTheRate(t *testing.T) {
	l := newLane(Shape{Rate: 20e6, RoundTrip: 10 * time.Millisecond}, 1)
	for i := range 10_000 {
		now := time.Duration(i) * time.Millisecond // 12 Mbit/s
		if at, f := l.send(now, 1500); f != arrives || at != now+600*time.Microsecond+5*time.Millisecond {
			t.Fatalf("packet %d sent at %v arrives at %v (%d)", i, now, at, f)
		}
	}
}

// The queue takes a round trip's worth and not a packet more, and is empty again
// once that has left.
func TestQueue(t *testing.T) {
	for _, s := range []Shape{{Rate: 20e6, RoundTrip: 80 * time.Millisecond}, {Rate: 1e6, RoundTrip: time.Millisecond}} {
		l := newLane(s, 1)
		fill := func(now time.Duration) (n int) {
			for {
				if _, f := l.send(now, 1000); f == dropped {
					return n
				}
				n++
			}
		}
		want := s.Queue() / 1000
		if n := fill(0); n != want {
			t.Errorf("%+v: %d packets fit, want %d", s, n, want)
		}
		if n := fill(l.free + 1); n != want {
			t.Errorf("%+v: then %d packets fit, want %d", s, n, want)
		}
	}
	if q := (Shape{Rate: 20e6, RoundTrip: 80 * time.Millisecond}).Queue(); q != 200_000 {
		t.Errorf("a round trip takes %d bytes, want 200000", q)
	}
}

// Losses are as frequent as they should be, and each by itself: after a loss the
// next is no more likely.
func TestLoss(t *testing.T) {
	const n = 1_000_000
	l := newLane(Shape{Rate: 1e9, Loss: 0.01}, 7)
	var losses, pairs int
	before := false
	for i := range n {
		_, f := l.send(time.Duration(i)*time.Millisecond, 1500)
		if f == dropped {
			t.Fatal("the queue is full")
		}
		if f == lost {
			losses++
			if before {
				pairs++
			}
		}
		before = f == lost
	}
	// Five standard deviations of binomials.
	if d := math.Abs(float64(losses) - n*0.01); d > 5*math.Sqrt(n*0.01*0.99) {
		t.Errorf("%d of %d are lost", losses, n)
	}
	if d := math.Abs(float64(pairs) - n*0.0001); d > 5*math.Sqrt(n*0.0001) {
		t.Errorf("%d times two in a row are lost", pairs)
	}
}

// A seed says which are lost, so that a run can be made again.
func TestSeed(t *testing.T) {
	fates := func(seed uint64) (list [1000]fate) {
		l := newLane(Shape{Rate: 1e9, Loss: 0.1}, seed)
		for i := range list {
			_, list[i] = l.send(time.Duration(i)*time.Millisecond, 100)
		}
		return list
	}
	if first, again := fates(1), fates(1); first != again {
		t.Error("one seed loses different packets")
	}
	if fates(1) == fates(2) {
		t.Error("two seeds lose the same packets")
	}
}
