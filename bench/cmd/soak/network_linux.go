package main

import (
	"context"
	"errors"
	"net"
	"sync"
)

// network is how one visit reaches the platform.
type network struct {
	mu   sync.Mutex
	open []net.Conn
	gone bool
}

var errGone = errors.New("the network is gone")

func (n *network) dial(ctx context.Context, address string) (net.Conn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return nil, errGone
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err == nil {
		n.open = append(n.open, c)
	}
	return c, err
}

// cut ends the connections as networks do, without the goodbyes of TLS and HTTP:
// for good, or until the next call.
func (n *network) cut(forGood bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = forGood
	for _, c := range n.open {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0) // a reset; it is closed in any case
		}
		_ = c.Close()
	}
	n.open = nil
}
