package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/bench/link"
	"github.com/overlap-psi/overlap/bench/market"
)

// bench is two companies with n people each, half in common.
type bench struct {
	n          int
	seed       uint64
	congestion string // then the kernel's word for it

	m        *market.Market
	shop     *market.Advertiser
	sessions int
}

func (b *bench) found(ctx context.Context, binary, dir string, window int) (err error) {
	// More releases than an epoch has by default, for as many wires.
	fields := map[string]string{"window": fmt.Sprint(window), "max_releases": "1000"}
	if b.m, err = market.Found(ctx, binary, dir, fields); err != nil {
		return err
	}
	if err := b.m.Import(ctx, b.n/2, b.n+b.n/2); err != nil {
		return err
	}
	b.shop, err = b.m.Invite(ctx, "shop", 0, b.n)
	return err
}

// loopback runs a session within one network.
func (b *bench) loopback(ctx context.Context) (r *result, err error) {
	here, err := b.network(ctx, "l")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, here.Remove()) }()
	return b.session(ctx, here, here, "127.0.0.1:8443", "lo")
}

// wire runs a session over a wire, and then a plain copy each way.
func (b *bench) wire(ctx context.Context, s link.Shape, at int) (r *result, err error) {
	shop, err := b.network(ctx, fmt.Sprintf("a%d", at))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, shop.Remove()) }()
	platform, err := b.network(ctx, fmt.Sprintf("p%d", at))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, platform.Remove()) }()
	l, err := link.New(ctx, shop, platform, s, b.seed)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if r, err = b.session(ctx, shop, platform, link.AddressB+":8443", link.Device); err != nil {
		return nil, err
	}
	r.shape = s
	r.lost, r.dropped = l.AB.Lost.Load()+l.BA.Lost.Load(), l.AB.Dropped.Load()+l.BA.Dropped.Load()
	c, err := newCopier(shop, platform)
	if err != nil {
		return nil, err
	}
	if err := c.alone(ctx, l, &r.up, &r.down); err != nil {
		return nil, err
	}
	return r, c.atOnce(ctx, l, &r.up, &r.down)
}

func (b *bench) network(ctx context.Context, name string) (*link.Namespace, error) {
	n, err := link.NewNamespace(ctx, fmt.Sprintf("overlap-%d-%s", os.Getpid(), name))
	if err != nil {
		return nil, err
	}
	if err = n.Tune(b.congestion); err == nil {
		b.congestion, err = n.Congestion()
	}
	if err != nil {
		return nil, errors.Join(err, n.Remove())
	}
	return n, nil
}

// session runs one, and checks what it found.
func (b *bench) session(ctx context.Context, shop, platform *link.Namespace, address, device string) (r *result, err error) {
	server, err := b.m.Serve(ctx, platform.Command(), address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server.Stop()) }()
	b.sessions++
	audience := fmt.Sprintf("links%d", b.sessions)
	own := processTime()
	in, out := platform.Watch(device), shop.Watch(device)
	match, failure := b.shop.Match(ctx, shop.Command(), address, audience)
	r = &result{n: b.n, wall: match.Wall, queries: match.Report.Queries, entries: match.Report.Entries, own: processTime() - own}
	var busy time.Time
	var err1, err2 error
	r.up.bytes, busy, err1 = in.Stop()
	r.down.bytes, _, err2 = out.Stop()
	if err := errors.Join(failure, err1, err2); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, server.Log())
	}
	if err := r.read(ctx, server); err != nil {
		return nil, err
	}
	r.wait = releaseWait(busy, b.m.Policy.ReleaseStep, match.Report.Queries+match.Report.Entries)
	return r, b.shop.CheckAudience(ctx, audience, b.n/2, b.n)
}

// read reads out of the platform's log how long the session was, from HELLO on, and
// after how long of that it was opened.
func (r *result) read(ctx context.Context, server *market.Server) error {
	opened, err := server.Await(ctx, `msg="session opened"`)
	if err != nil {
		return err
	}
	complete, err := server.Await(ctx, `msg="session complete"`)
	if err != nil {
		return err
	}
	open, err1 := time.Parse(time.RFC3339, field(opened, "time"))
	end, err2 := time.Parse(time.RFC3339, field(complete, "time"))
	var err3 error
	r.took, err3 = time.ParseDuration(field(complete, "took"))
	r.opened = r.took - end.Sub(open)
	return errors.Join(err1, err2, err3)
}

// field is what a line of the log says of a name.
func field(line, name string) string {
	for word := range strings.FieldsSeq(line) {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}

// releaseWait is how long RELEASE waits once the table is in, whatever the link
// and the processors: it goes at the first multiple of step seconds at or after
// last + step + items·5 µs (PROTOCOL.md §8.5).
func releaseWait(last time.Time, step, items uint64) time.Duration {
	grid := time.Duration(step) * time.Second
	earliest := last.Add(grid + time.Duration(items)*5*time.Microsecond)
	due := time.Unix(0, (earliest.UnixNano()+int64(grid)-1)/int64(grid)*int64(grid))
	return due.Sub(last)
}
