package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/overlap-psi/overlap/bench/market"
)

// measure runs one session between companies of n each, half in common, and checks
// what it found.
func measure(ctx context.Context, binary, dir string, n int) (r *result, err error) {
	m, err := market.Found(ctx, binary, dir, nil)
	if err != nil {
		return nil, err
	}
	advertiser, err := m.Invite(ctx, "advertiser", 0, n)
	if err != nil {
		return nil, err
	}
	r = &result{n: n}
	started := time.Now()
	if err := m.Import(ctx, n/2, n+n/2); err != nil {
		return nil, err
	}
	r.load = time.Since(started)
	address, err := market.FreeAddress()
	if err != nil {
		return nil, err
	}
	serve, err := m.Serve(ctx, nil, address)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, serve.Stop()) }()
	before, err := market.ProcessTime(serve.PID)
	if err != nil {
		return nil, err
	}
	wire, disk := loopback(), watch(dir)
	match, err := advertiser.Match(ctx, nil, address, "size")
	r.disk = disk()
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, serve.Log())
	}
	r.wire = loopback() - wire
	after, err := market.ProcessTime(serve.PID)
	if err != nil {
		return nil, err
	}
	r.platform.cpu = after - before
	if _, r.platform.peak, err = market.Memory(serve.PID); err != nil {
		return nil, err
	}
	r.wall, r.advertise = match.Wall, usage{match.CPU, match.Peak}
	r.padded = (match.Report.Queries + match.Report.Entries) / 2
	return r, advertiser.CheckAudience(ctx, "size", n/2, n)
}

// loopback returns how many bytes the loopback interface has carried.
func loopback() uint64 {
	text, err := os.ReadFile("/sys/class/net/lo/statistics/rx_bytes")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// watch looks at the file system of a folder every so often until the returned
// function is called, which returns how much more it held at the worst moment: also
// in files that have lost their name.
func watch(dir string) (most func() uint64) {
	first := used(dir)
	var highest atomic.Uint64
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for tick := time.Tick(200 * time.Millisecond); ; {
			if now := used(dir); now > first {
				highest.Store(max(highest.Load(), now-first))
			}
			select {
			case <-stop:
				return
			case <-tick:
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-done
		return highest.Load()
	}
}

// used returns how many bytes of a folder's file system are in use.
func used(dir string) uint64 {
	var s syscall.Statfs_t
	if syscall.Statfs(dir, &s) != nil {
		return 0
	}
	return (s.Blocks - s.Bfree) * uint64(s.Bsize)
}
