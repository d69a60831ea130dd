package server

import (
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
// beyond are closed at once, before TLS. An address is one of IPv4, or a /64 of
// IPv6, which is what one customer has. grpc.Server has no such limit of its own.
// Credentials bounds those of each partner, which Limit has to have let in.
// On the connections it keeps what is written from waiting in the system's buffer.
func (s *Server) Limit(l net.Listener) net.Listener {
	return newLimited(l, s.c.MaxConnections, s.c.PerAddress)
}

func newLimited(l net.Listener, total, each int) *limited {
	return &limited{Listener: l, total: total, each: each, from: map[netip.Prefix]*source{}}
}

type limited struct {
	net.Listener
	total, each int

	mu   sync.Mutex
	open int
	from map[netip.Prefix]*source
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
		at := prefix(c.RemoteAddr())
		if l.take(at) {
			sendPromptly(c)
			return &counted{Conn: c, leave: []func(){func() { l.leave(at) }}}, nil
		}
		abandon(c)
	}
}

// abandon closes a connection without waiting for its peer, and without keeping
// its port for the minutes of TIME_WAIT.
func abandon(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
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

func (l *limited) take(at netip.Prefix) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open >= l.total {
		return false
	}
	if l.each >= 0 {
		s := l.source(at)
		if s.open >= l.each || !s.pace.Allow() {
			return false
		}
		s.open++
	}
	l.open++
	return true
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

func (l *limited) leave(at netip.Prefix) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.each >= 0 {
		l.from[at].open--
	}
}

// counted gives its places back when it is closed for the first time.
type counted struct {
	net.Conn
	mu     sync.Mutex
	closed bool
	leave  []func()
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

// takes gives the connection a place among others, which is given back with it.
func (c *counted) takes(id identity.ID, of *places) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !of.take(id) {
		return false
	}
	c.leave = append(c.leave, func() { of.leave(id) })
	return true
}
