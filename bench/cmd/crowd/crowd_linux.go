package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/overlap-psi/overlap/bench/market"
	"github.com/overlap-psi/overlap/client"
)

// crowd is a platform whose accounts are the people from 0 on, and advertisers
// whose lists begin at different ones of them: each has another part in common.
type crowd struct {
	advertisers, n, accounts int

	m       *market.Market
	members []*market.Advertiser
	late    *market.Advertiser // comes when all places are taken
	server  *market.Server
	metrics string // the server's operations address
}

func (c *crowd) found(ctx context.Context, binary, dir string) (err error) {
	if c.m, err = market.Found(ctx, binary, dir, nil); err != nil {
		return err
	}
	if err := c.m.Import(ctx, 0, c.accounts); err != nil {
		return err
	}
	for i := range c.advertisers {
		first := i * c.accounts / c.advertisers
		a, err := c.m.Invite(ctx, fmt.Sprintf("shop%d", i), first, first+c.n)
		if err != nil {
			return err
		}
		c.members = append(c.members, a)
	}
	c.late, err = c.m.Invite(ctx, "late", 0, c.n)
	return err
}

// measure runs one session alone, then all at once, and looks for what is left.
func (c *crowd) measure(ctx context.Context, cage *market.Cage) (r *result, err error) {
	address, err := market.FreeAddress()
	if err != nil {
		return nil, err
	}
	if c.metrics, err = market.FreeAddress(); err != nil {
		return nil, err
	}
	c.server, err = c.m.Serve(ctx, cage.Command(), address, "--max-sessions", fmt.Sprint(c.advertisers), "--operations", c.metrics,
		"--per-address=-1") // all come from this machine
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.server.Stop()) }()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, c.server.Log())
		}
	}()
	r = new(result)
	alone, err := c.late.Match(ctx, nil, address, "alone")
	if err != nil {
		return nil, err
	}
	r.alone = alone.Wall
	if r.before, err = c.rest(ctx); err != nil {
		return nil, err
	}
	if err := c.together(ctx, address, r); err != nil {
		return nil, err
	}
	if r.after, err = c.rest(ctx); err != nil {
		return nil, err
	}
	r.cage, err = cage.Peak()
	return r, err
}

// together runs all at once, and one more when all have their place.
func (c *crowd) together(ctx context.Context, address string, r *result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.took = make([]time.Duration, len(c.members))
	errs := make([]error, len(c.members))
	var wait sync.WaitGroup
	started := time.Now()
	for i, a := range c.members {
		wait.Go(func() {
			var m *market.Match
			if m, errs[i] = a.Match(ctx, nil, address, a.Name); errs[i] != nil {
				cancel() // the rest is of no use
			}
			r.took[i] = m.Wall
		})
	}
	refused := c.oneMore(ctx, address, r)
	if refused != nil {
		cancel()
	}
	wait.Wait()
	r.all = time.Since(started)
	if err := errors.Join(append(errs, refused)...); err != nil {
		return err
	}
	for _, a := range c.members {
		if err := a.CheckAudience(ctx, a.Name, a.First, min(a.Last, c.accounts)); err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
	}
	return nil
}

// oneMore waits until every place is taken, and comes then: it has to be asked to
// come back.
func (c *crowd) oneMore(ctx context.Context, address string, r *result) error {
	for {
		running, err := c.running(ctx)
		if err != nil {
			return err
		}
		r.most = max(r.most, running)
		if running == c.advertisers {
			break
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("at most %d sessions ran at once: %w", r.most, err)
		}
	}
	conf, err := c.late.Config()
	if err != nil {
		return err
	}
	_, err = c.late.Ask(ctx, address, "late", conf)
	var busy *client.BusyError
	if !errors.As(err, &busy) {
		return fmt.Errorf("one more than there are places was not asked to come back: %w", err)
	}
	if busy.After <= 0 {
		return errors.New("one more than there are places was not told when to come back")
	}
	r.comeBack = busy.After
	return nil
}

func (c *crowd) running(ctx context.Context) (int, error) {
	m, err := market.ReadMetrics(ctx, c.metrics)
	return int(m["overlap_sessions_running"]), err
}

// rest waits until no session runs and their connections are gone, and says what
// the server has then.
func (c *crowd) rest(ctx context.Context) (state, error) {
	var last state
	for range 100 {
		s, err := c.state(ctx)
		if err != nil {
			return state{}, err
		}
		if s.running == 0 && s.goroutines == last.goroutines && s.files == last.files {
			return s, nil
		}
		last = s
		if err := pause(ctx, 300*time.Millisecond); err != nil {
			return state{}, err
		}
	}
	return state{}, errors.New("the server does not come to rest")
}

func (c *crowd) state(ctx context.Context) (s state, err error) {
	m, err := market.ReadMetrics(ctx, c.metrics)
	if err != nil {
		return s, err
	}
	s.running, s.goroutines = int(m["overlap_sessions_running"]), int(m["go_goroutines"])
	if s.files, err = market.Descriptors(c.server.PID); err != nil {
		return s, err
	}
	if s.memory, s.peak, err = market.Memory(c.server.PID); err != nil {
		return s, err
	}
	s.cpu, err = market.ProcessTime(c.server.PID)
	return s, err
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
