package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identity"
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

// show is what a partner's handshake does.
func show(t *testing.T, conn *counted, to *places) {
	t.Helper()
	if !conn.takes(identity.ID{}, to) {
		t.Fatal("a partner has no place")
	}
}

// gone reports whether the platform has closed the connection.
func gone(conn net.Conn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond)) // it is a pipe
	_, err := conn.Read(make([]byte, 1))
	return errors.Is(err, io.ErrClosedPipe) || errors.Is(err, io.EOF)
}

// When all places are taken, who has shown nothing for longest makes way, and never
// a partner.
func TestLimitOfStrangers(t *testing.T) {
	c := &crowd{calls: make(chan net.Conn)}
	l, partners := newLimited(c, 4, 2), newPlaces(100)
	enter := func(from string, want bool) *counted {
		t.Helper()
		conn, taken := c.from(t, l, from)
		if taken != want {
			t.Fatalf("%s: taken %v", from, taken)
		}
		in, _ := conn.(*counted)
		return in
	}
	partner := enter("192.0.2.1:1", true)
	show(t, partner, partners)
	first, second, third := enter("192.0.2.2:1", true), enter("192.0.2.3:1", true), enter("192.0.2.3:2", true)
	enter("192.0.2.3:3", false) // more than its share, for which nobody makes way
	if gone(first) {
		t.Fatal("a stranger makes way for one that is refused")
	}
	show(t, second, partners)
	fourth := enter("192.0.2.4:1", true)
	if !gone(first) || gone(second) || gone(third) {
		t.Error("not the oldest stranger made way")
	}
	if first.takes(identity.ID{}, partners) {
		t.Error("who made way has a partner's place")
	}
	third.Close()
	show(t, fourth, partners)
	fifth := enter("192.0.2.5:1", true)
	show(t, fifth, partners)
	enter("192.0.2.6:1", false) // all are partners
	if gone(partner) || gone(second) || gone(fourth) || gone(fifth) {
		t.Error("a partner made way")
	}
	first.Close() // again, as gRPC does
	if l.open != 4 || l.strangers.Len() != 0 {
		t.Errorf("%d are open, %d of them strangers", l.open, l.strangers.Len())
	}
}

// An address has its share, a /64 of IPv6 is one address, and all together are
// bounded; who closes a connection, however often, frees one.
func TestLimit(t *testing.T) {
	c := &crowd{calls: make(chan net.Conn)}
	l, partners := newLimited(c, 5, 2), newPlaces(100)
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
			show(t, conn.(*counted), partners)
			open = append(open, conn)
		}
	}
	for range 3 {
		open[0].Close()
	}
	conn, taken := c.from(t, l, "192.0.2.1:9")
	if !taken {
		t.Fatal("an address is not taken back")
	}
	show(t, conn.(*counted), partners)
	if _, taken := c.from(t, l, "192.0.2.2:1"); taken {
		t.Error("closing one connection three times frees three")
	}
}

// Behind a proxy all have one address, and only the total counts.
func TestLimitBehindAProxy(t *testing.T) {
	l := newLimited(nil, 300, -1)
	for i := range 400 {
		conn := l.counted(nil, netip.Prefix{})
		if _, got := l.take(conn); got != (i < 300) {
			t.Fatalf("connection %d: %v", i, got)
		}
		if i < 300 {
			l.shown(conn)
		}
	}
}

// An address that connects and hangs up in a loop has to slow down; addresses that
// have gone are forgotten.
func TestLimitOfHaste(t *testing.T) {
	l := newLimited(nil, 4, 4)
	started, taken := time.Now(), 0
	for range 10_000 {
		conn := l.counted(nil, netip.MustParsePrefix("192.0.2.1/32"))
		if _, ok := l.take(conn); ok {
			taken++
			l.leave(conn)
		}
	}
	if most := connsBurst + int(time.Since(started)/connsEach) + 1; taken < connsBurst || taken > most {
		t.Errorf("%d connections were taken, want %d to %d", taken, connsBurst, most)
	}
	for i := range 10_000 {
		conn := l.counted(nil, netip.MustParsePrefix(fmt.Sprintf("10.0.%d.%d/32", i/256, i%256)))
		if _, ok := l.take(conn); !ok {
			t.Fatal("another address is refused")
		}
		l.leave(conn)
	}
	if len(l.from) > 8*4 {
		t.Errorf("%d addresses are remembered", len(l.from))
	}
}
