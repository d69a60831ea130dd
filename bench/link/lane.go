// Package link is a wire between two network namespaces of this machine, with a
// rate, a delay and a loss: real TCP, of the kernel's, over a network that is as
// slow as one says. It needs Linux and root, and no netem, which not every kernel
// has: the packets go through this process, by a TUN device at each end.
package link

import (
	"math/rand/v2"
	"time"
)

// Shape is what a wire is like, the same in both directions, of which neither
// takes anything from the other.
type Shape struct {
	Rate      int64         // bits a second, of IP packets
	RoundTrip time.Duration // of an empty wire; half of it each way
	Loss      float64       // how many packets get lost, each by chance of its own
}

// Queue is how many bytes may wait at the beginning of a wire: what it takes in
// one round trip, as routers are recommended to have, but 16 full packets at least.
func (s Shape) Queue() int {
	return max(16*mtu, int(float64(s.Rate)/8*s.RoundTrip.Seconds()))
}

const mtu = 1500 // bytes of a packet, at most

// lane is one direction. Times are since any moment, and do not go back.
type lane struct {
	shape  Shape
	chance *rand.Rand
	free   time.Duration // when the last bit of what was sent has left
}

func newLane(s Shape, seed uint64) *lane {
	return &lane{shape: s, chance: rand.New(rand.NewPCG(seed, 0))}
}

// fate is what becomes of a packet.
type fate int

const (
	arrives fate = iota
	lost         // on the wire
	dropped      // there was no room in the queue
)

// send says when a packet of so many bytes arrives that is sent now, if it does.
// It is a bucket of tokens that holds one packet: each leaves when the one before
// it has. What is lost has taken its time on the wire all the same.
func (l *lane) send(now time.Duration, size int) (time.Duration, fate) {
	waiting := max(0, l.free-now)
	if l.bytes(waiting)+float64(size) > float64(l.shape.Queue()) {
		return 0, dropped
	}
	l.free = now + waiting + l.duration(size)
	if l.shape.Loss > 0 && l.chance.Float64() < l.shape.Loss {
		return 0, lost
	}
	return l.free + l.shape.RoundTrip/2, arrives
}

// duration is how long so many bytes take to leave.
func (l *lane) duration(size int) time.Duration {
	return time.Duration(float64(size) * 8 / float64(l.shape.Rate) * float64(time.Second))
}

// bytes is what leaves in a time.
func (l *lane) bytes(d time.Duration) float64 {
	return d.Seconds() * float64(l.shape.Rate) / 8
}
