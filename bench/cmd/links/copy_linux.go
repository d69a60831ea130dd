package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/overlap-psi/overlap/bench/link"
	"github.com/overlap-psi/overlap/identity"
)

// copier is two programs at the ends of a wire that copy over TLS what the session
// sent, and do nothing else: what the wire allows, its losses and its start
// included.
type copier struct {
	shop, platform *link.Namespace
	a, p           *identity.Identity
}

func newCopier(shop, platform *link.Namespace) (c *copier, err error) {
	c = &copier{shop: shop, platform: platform}
	if c.a, err = identity.New("shop"); err != nil {
		return nil, err
	}
	c.p, err = identity.New("platform")
	return c, err
}

// transfer is so many bytes one way, and what of the wire they go over.
type transfer struct {
	from, to *tls.Conn
	bytes    uint64
	traffic  *link.Traffic
	rate     float64 // bits a second that arrived, of IP packets
}

// alone copies as many bytes as the session sent, one way and then the other.
func (c *copier) alone(ctx context.Context, l *link.Link, up, down *way) (err error) {
	if up.alone, _, err = c.run(ctx, l, up.bytes, 0); err != nil {
		return err
	}
	_, down.alone, err = c.run(ctx, l, 0, down.bytes)
	return err
}

// atOnce copies them both ways at once, as a session does: then each way's
// acknowledgements wait in the other's queue.
func (c *copier) atOnce(ctx context.Context, l *link.Link, up, down *way) (err error) {
	up.atOnce, down.atOnce, err = c.run(ctx, l, up.bytes, down.bytes)
	return err
}

func (c *copier) run(ctx context.Context, l *link.Link, up, down uint64) (upRate, downRate float64, err error) {
	shop, platform, err := c.connect(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer shop.Close()
	defer platform.Close()
	defer context.AfterFunc(ctx, func() { shop.Close(); platform.Close() })()
	a, b := transfer{shop, platform, up, &l.AB, 0}, transfer{platform, shop, down, &l.BA, 0}
	var wait sync.WaitGroup
	errs := make([]error, 2)
	for i, t := range []*transfer{&a, &b} {
		if t.bytes > 0 {
			wait.Go(func() { errs[i] = t.copy() })
		}
	}
	wait.Wait()
	return a.rate, b.rate, errors.Join(errs...)
}

func (t *transfer) copy() error {
	sent := make(chan error, 1)
	before, started := t.traffic.Bytes.Load(), time.Now()
	go func() {
		_, err := io.CopyN(t.from, zeros{}, int64(t.bytes))
		sent <- err
	}()
	_, err := io.CopyN(io.Discard, t.to, int64(t.bytes))
	took := time.Since(started)
	t.rate = float64(t.traffic.Bytes.Load()-before) * 8 / took.Seconds()
	if err != nil {
		return err
	}
	return <-sent
}

// connect shakes hands across the wire, as the two companies do.
func (c *copier) connect(ctx context.Context) (shop, platform *tls.Conn, err error) {
	var listener net.Listener
	if err := c.platform.Do(func() (err error) {
		listener, err = net.Listen("tcp", link.AddressB+":0")
		return err
	}); err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := listener.Accept() // nil if it is closed
		accepted <- conn
	}()
	var dialled net.Conn
	if err := c.shop.Do(func() (err error) {
		dialled, err = net.DialTimeout("tcp", listener.Addr().String(), 10*time.Second)
		return err
	}); err != nil {
		return nil, nil, err
	}
	conn := <-accepted
	if conn == nil {
		return nil, nil, errors.Join(errors.New("nobody was accepted"), dialled.Close())
	}
	shop = tls.Client(dialled, c.a.ClientTLS(c.p.ID()))
	platform = tls.Server(conn, c.p.ServerTLS(func(id identity.ID) bool { return id == c.a.ID() }))
	shaken := make(chan error, 1)
	go func() { shaken <- platform.HandshakeContext(ctx) }()
	if err := errors.Join(shop.HandshakeContext(ctx), <-shaken); err != nil {
		return nil, nil, errors.Join(err, dialled.Close(), conn.Close())
	}
	return shop, platform, nil
}

// zeros is without end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// processTime is the processor time of this process: of the wire.
func processTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
