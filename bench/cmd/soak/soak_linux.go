package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/overlap-psi/overlap/bench/market"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
)

// soak is a platform whose accounts are the people from 0 on, and advertisers
// whose lists begin at different ones of them.
type soak struct {
	partners, n, accounts int
	seed                  uint64

	m       *market.Market
	guests  []*guest
	broke   *guest // has no releases
	server  *market.Server
	metrics string // the server's operations address
	chance  *rand.Rand
	done    [kinds]int
	filled  map[audience]bool // that are to be looked at in the end
}

type audience struct {
	of   *guest
	mode client.Mode
}

// fields of the policy: all modes; an advertiser has ten seconds to come back, so
// that a round can wait for those that don't.
var fields = map[string]string{
	"modes":          `["P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`,
	"max_releases":   "1000",
	"resume_seconds": "10",
}

func (s *soak) found(ctx context.Context, binary, dir string) (err error) {
	s.chance, s.filled = rand.New(rand.NewPCG(s.seed, 0)), map[audience]bool{}
	if s.m, err = market.Found(ctx, binary, dir, fields); err != nil {
		return err
	}
	if err := s.m.Import(ctx, 0, s.accounts); err != nil {
		return err
	}
	text, err := market.Document(map[string]string{"window": "5"})
	if err != nil {
		return err
	}
	other, err := policy.Parse(text)
	if err != nil {
		return err
	}
	for i := range s.partners {
		g, err := s.invite(ctx, fmt.Sprintf("shop%d", i), i*s.accounts/s.partners, "")
		if err != nil {
			return err
		}
		g.other = other
		s.guests = append(s.guests, g)
	}
	none := filepath.Join(dir, "none.toml")
	if text, err = market.Document(map[string]string{"max_releases": "0"}); err != nil {
		return err
	}
	if err := os.WriteFile(none, text, 0o600); err != nil {
		return err
	}
	s.broke, err = s.invite(ctx, "broke", 0, none)
	return err
}

func (s *soak) invite(ctx context.Context, name string, first int, policyFile string) (*guest, error) {
	a, err := s.m.Invite(ctx, name, first, first+s.n)
	if err != nil {
		return nil, err
	}
	if policyFile != "" {
		a.PolicyFile = policyFile
	}
	c, err := a.Config()
	return &guest{Advertiser: a, config: c, common: min(a.Last, s.accounts) - a.First}, err
}

// measure runs the rounds, and looks at the server after each.
func (s *soak) measure(ctx context.Context, rounds int) (samples []sample, err error) {
	address, err := market.FreeAddress()
	if err != nil {
		return nil, err
	}
	if s.metrics, err = market.FreeAddress(); err != nil {
		return nil, err
	}
	s.server, err = s.m.Serve(ctx, nil, address, "--operations", s.metrics, "--session-every", "1ms", "--max-sessions", "64", "--per-address=-1")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.server.Stop()) }()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, s.server.Log())
		}
	}()
	for i := range rounds {
		started := time.Now()
		if err := s.round(ctx, address); err != nil {
			return nil, fmt.Errorf("round %d: %w", i+1, err)
		}
		took := time.Since(started)
		now, err := s.rest(ctx)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "round %d of %d, %v: %v\n", i+1, rounds, took.Round(time.Millisecond), now)
		samples = append(samples, now)
	}
	for a := range s.filled {
		if err := a.of.CheckAudience(ctx, audienceOf(a.mode), a.of.First, a.of.First+a.of.common); err != nil {
			return nil, fmt.Errorf("%s of %s: %w", audienceOf(a.mode), a.of.Name, err)
		}
	}
	return samples, nil
}

// plan deals the visits of a round out to the advertisers.
func (s *soak) plan() [][]visit {
	plans := make([][]visit, s.partners)
	for i, k := range s.chance.Perm(len(round)) {
		// Of each kind all modes alike.
		v := visit{round[k], modes[k%len(modes)], steps[s.chance.IntN(len(steps))]}
		if v.kind == spent {
			v.mode = client.PLearns
		}
		plans[i%s.partners] = append(plans[i%s.partners], v)
	}
	return plans
}

// round makes all visits of a round: an advertiser's one after the other, and the
// advertisers' at once.
func (s *soak) round(ctx context.Context, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, s.partners)
	var wait sync.WaitGroup
	for i, plan := range s.plan() {
		for _, v := range plan {
			s.done[v.kind]++
			if v.kind == completes && v.mode.FillsAudience() {
				s.filled[audience{s.guests[i], v.mode}] = true
			}
		}
		wait.Go(func() {
			for _, v := range plan {
				g := s.guests[i]
				if v.kind == spent {
					g = s.broke
				}
				if errs[i] = v.run(ctx, g, address); errs[i] != nil {
					cancel()
					return
				}
			}
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}
