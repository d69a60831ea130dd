package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// crowd is a listener that is called from any address.
type crowd struct {
	net.Listener
	calls chan net.Conn
}

type caller struct {
	net.Conn
	from net.Addr
}

func (c *caller) RemoteAddr() net.Addr { return c.from }

func (c *crowd) Accept() (net.Conn, error) {
	if conn, ok := <-c.calls; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// from connects from an address, and reports whether the connection was taken.
func (c *crowd) from(t *testing.T, l *limited, address string) (net.Conn, bool) {
	t.Helper()
	here, there := net.Pipe()
	taken := make(chan net.Conn)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			close(taken)
			return
		}
		taken <- conn
	}()
	c.calls <- &caller{there, net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address))}
	refused := make(chan error, 1)
	go func() {
		_, err := here.Read(make([]byte, 1))
		refused <- err
	}()
	select {
	case conn := <-taken:
		return conn, true
	case err := <-refused:
		if !errors.Is(err, io.EOF) {
			t.Fatalf("refused with %v", err)
		}
		close(c.calls) // ends Accept
		<-taken
		c.calls = make(chan net.Conn)
		return nil, false
	}
}

// An address has its share, an IPv6 customer is one address, and all together are
// bounded; who closes a connection, however often, frees one.
func TestLimit(t *testing.T) {
	c := &crowd{calls: make(chan net.Conn)}
	l := newLimited(c, 5, 2)
	var open []net.Conn
	for _, step := range []struct {
		from string
		want bool
	}{
		{"192.0.2.1:1", true}, {"192.0.2.1:2", true}, {"192.0.2.1:3", false}, {"[::ffff:192.0.2.1]:4", false},
		{"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8:0:0:ffff::3]:1", false},
		{"[2001:db8:0:1::3]:1", true}, {"192.0.2.2:1", false}, // five
	} {
		conn, taken := c.from(t, l, step.from)
		if taken != step.want {
			t.Errorf("%s: taken %v", step.from, taken)
		}
		if taken {
			open = append(open, conn)
		}
	}
	for range 3 {
		open[0].Close()
	}
	if _, taken := c.from(t, l, "192.0.2.1:9"); !taken {
		t.Error("an address is not taken back")
	}
	if _, taken := c.from(t, l, "192.0.2.2:1"); taken {
		t.Error("closing one connection three times frees three")
	}
}

// Behind a proxy all have one address, and only the total counts.
func TestLimitBehindAProxy(t *testing.T) {
	l := newLimited(nil, 300, -1)
	for i := range 400 {
		if got := l.take(netip.Prefix{}); got != (i < 300) {
			t.Fatalf("connection %d: %v", i, got)
		}
	}
}

// An address that connects and hangs up in a loop has to slow down; addresses that
// have gone are forgotten.
func TestLimitOfHaste(t *testing.T) {
	l := newLimited(nil, 4, 4)
	started, taken := time.Now(), 0
	for range 10_000 {
		at := netip.MustParsePrefix("192.0.2.1/32")
		if l.take(at) {
			taken++
			l.leave(at)
		}
	}
	if most := connsBurst + int(time.Since(started)/connsEach) + 1; taken < connsBurst || taken > most {
		t.Errorf("%d connections were taken, want %d to %d", taken, connsBurst, most)
	}
	for i := range 10_000 {
		at := netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256))
		if !l.take(at) {
			t.Fatal("another address is refused")
		}
		l.leave(at)
	}
	if len(l.from) > 8*4 {
		t.Errorf("%d addresses are remembered", len(l.from))
	}
}
