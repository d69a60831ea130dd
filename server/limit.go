package server

import (
	"container/list"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/overlap-psi/overlap/identity"
)

// How fast connections may come from one address: each costs a handshake, whoever
// is at the other end.
const (
	connsEach  = 50 * time.Millisecond
	connsBurst = 128
)

// Limit bounds the connections of a listener, in all and from each address; those
// beyond are closed at once, before TLS. If all places are taken, the oldest connection
// that has not shown a partner's certificate to Credentials makes way for a new one:
// else a few addresses could keep everybody out. An address is one of IPv4, or a /64
// of IPv6, which is the least that a customer has: one who has a /56 is 256 addresses.
// grpc.Server has no such limit of its own. Credentials bounds the connections of each
// partner, which Limit has to have let in.
// On the connections it keeps what is written from waiting in the system's buffer.
func (s *Server) Limit(l net.Listener) net.Listener {
	return newLimited(l, s.c.MaxConnections, s.c.PerAddress)
}

func newLimited(l net.Listener, total, each int) *limited {
	return &limited{Listener: l, total: total, each: each, strangers: list.New(), from: map[netip.Prefix]*source{}}
}

type limited struct {
	net.Listener
	total, each int

	mu        sync.Mutex
	open      int
	strangers *list.List // of *counted: have not shown a partner's certificate, oldest first
	from      map[netip.Prefix]*source
}

// source is what is known of an address.
type source struct {
	open int
	pace *rate.Limiter
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		in := l.counted(c, prefix(c.RemoteAddr()))
		oldest, ok := l.take(in)
		if oldest != nil {
			abandon(oldest, oldest.Conn)
		}
		if ok {
			sendPromptly(c)
			return in, nil
		}
		abandon(c, c)
	}
}

// abandon closes a connection without waiting for its peer, and without keeping
// its port for the minutes of TIME_WAIT. Below it is the system's connection.
func abandon(c io.Closer, below net.Conn) {
	if t, ok := below.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // it is closed in any case
	}
	_ = c.Close()
}

func prefix(a net.Addr) netip.Prefix {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return netip.Prefix{} // not of the internet: all are one
	}
	ip, bits := at.Addr().Unmap(), 64
	if ip.Is4() {
		bits = 32
	}
	p, _ := ip.WithZone("").Prefix(bits) // of fewer bits than the address has
	return p
}

// take lets a connection in, if need be for the oldest of the strangers, which the
// caller is to close.
func (l *limited) take(c *counted) (oldest *counted, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full, first := l.open >= l.total, l.strangers.Front()
	if full && first == nil {
		return nil, false
	}
	if l.each >= 0 {
		s := l.source(c.from)
		if s.open >= l.each || !s.pace.Allow() {
			return nil, false
		}
		s.open++
	}
	if full {
		oldest = l.strangers.Remove(first).(*counted)
	}
	l.open++
	c.stranger = l.strangers.PushBack(c)
	return oldest, true
}

// shown says that the connection is a partner's.
func (l *limited) shown(c *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strangers.Remove(c.stranger)
}

// source finds an address, and forgets those of which there is nothing to know, so
// that many addresses are no attack either.
func (l *limited) source(at netip.Prefix) *source {
	if s := l.from[at]; s != nil {
		return s
	}
	if len(l.from) >= 8*l.total {
		for at, s := range l.from {
			if s.open == 0 {
				delete(l.from, at)
			}
		}
	}
	s := &source{pace: rate.NewLimiter(rate.Every(connsEach), connsBurst)}
	l.from[at] = s
	return s
}

func (l *limited) leave(c *counted) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.strangers.Remove(c.stranger)
	l.open--
	if l.each >= 0 {
		l.from[c.from].open--
	}
}

// counted gives its places back when it is closed for the first time.
type counted struct {
	net.Conn
	limit    *limited
	from     netip.Prefix
	stranger *list.Element // of limit.strangers, also when it is out of it

	mu     sync.Mutex
	closed bool
	leave  []func()
}

func (l *limited) counted(c net.Conn, from netip.Prefix) *counted {
	in := &counted{Conn: c, limit: l, from: from}
	in.leave = []func(){func() { l.leave(in) }}
	return in
}

func (c *counted) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.closed = true
		for _, leave := range c.leave {
			leave()
		}
	}
	return c.Conn.Close()
}

// takes gives the connection of a partner a place among others, which is given back
// with it.
func (c *counted) takes(id identity.ID, of *places) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !of.take(id) {
		return false
	}
	c.limit.shown(c)
	c.leave = append(c.leave, func() { of.leave(id) })
	return true
}
