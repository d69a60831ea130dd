package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/bench/market"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
)

// kind is what becomes of a visit to the platform.
type kind int

const (
	completes kind = iota
	resumes        // its connection is cut once, and it goes on
	cancels        // it breaks off, and says so
	vanishes       // its connection is cut, and it does not come back
	// Refused, and no sessions:
	otherTerms // it holds another policy
	stranger   // the platform does not know it
	spent      // it has no release left
	kinds
)

var kindNames = [kinds]string{"complete", "resumed", "cancelled", "connection lost", "other policy", "stranger", "no release left"}

// round is what one round consists of.
var round = func() (list []kind) {
	for k, n := range [kinds]int{completes: 36, resumes: 6, cancels: 4, vanishes: 2, otherTerms: 2, stranger: 2, spent: 1} {
		for range n {
			list = append(list, kind(k))
		}
	}
	return list
}()

func (k kind) isSession() bool { return k < otherTerms }

func sessionsOf(list []kind) (n int) {
	for _, k := range list {
		if k.isSession() {
			n++
		}
	}
	return n
}

var modes = []client.Mode{client.PLearns, client.ALearns, client.MutualA, client.MutualP}

// visit is one of them, drawn before it begins.
type visit struct {
	kind kind
	mode client.Mode
	step session.Step // at which its connection is cut, or it breaks off
}

// steps are the long steps that every session has.
var steps = []session.Step{session.StepQuestions, session.StepTable}

// run makes the visit, and returns an error if it does not end as it should.
func (v visit) run(ctx context.Context, a *guest, address string) error {
	call, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	c, found, network := a.config, new(matched), new(network)
	c.Mode, c.Matched = v.mode, found.add
	switch v.kind {
	case otherTerms:
		c.Policy = a.other
	case stranger:
		i, err := identity.New("stranger")
		if err != nil {
			return err
		}
		c.Identity = i
	case resumes, cancels, vanishes:
		once := sync.OnceFunc(func() { v.breakOff(network, cancel) })
		c.Progress = func(step string, done, _ uint64) {
			if session.Step(step) == v.step && done > 0 {
				once()
			}
		}
	}
	name := ""
	if c.Mode.FillsAudience() {
		name = audienceOf(c.Mode)
	}
	report, err := a.Ask(call, address, name, c, grpc.WithContextDialer(network.dial))
	if ctx.Err() != nil {
		return ctx.Err() // all visits end
	}
	return v.judge(a, found, report, err)
}

// audienceOf is the name of the audience that an advertiser's sessions of a mode
// fill, each in the place of the one before.
func audienceOf(m client.Mode) string {
	return strings.ReplaceAll(strings.ToLower(m.String()), "_", "-")
}

func (v visit) breakOff(n *network, cancel context.CancelFunc) {
	switch v.kind {
	case resumes:
		n.cut(false)
	case vanishes:
		n.cut(true)
		cancel()
	case cancels:
		cancel()
	}
}

// judge compares how a visit ended with how it had to.
func (v visit) judge(a *guest, found *matched, report *client.Report, err error) error {
	var abort psi.AbortCode
	code := errors.As(err, &abort)
	ok := true
	switch v.kind {
	case completes, resumes:
		ok = err == nil && (v.mode == client.PLearns || found.exactly(a.common))
	case cancels, vanishes: // one that was all but over may have ended well
		ok = err == nil || errors.Is(err, context.Canceled) || errors.Is(err, session.ErrBroken)
	case otherTerms:
		ok = code && abort == psi.AbortTerms
	case stranger:
		ok = err != nil && (report == nil || report.Session == "")
	case spent:
		ok = code && abort == psi.AbortBudget
	}
	if !ok {
		return fmt.Errorf("one that should be %q, in %v, has ended with %d rows and error %w", kindNames[v.kind], v.mode, len(found.rows), err)
	}
	return nil
}

// guest is an advertiser and what it needs for its visits.
type guest struct {
	*market.Advertiser
	config client.Config
	other  *policy.Policy // that the platform does not hold
	common int            // how many of its first rows match
}

// matched are the rows that an advertiser is told of.
type matched struct{ rows []uint64 }

func (m *matched) add(row client.Match) error {
	m.rows = append(m.rows, row.Row)
	return nil
}

// exactly reports whether they are the rows 1 to n, each once.
func (m *matched) exactly(n int) bool {
	for i, row := range m.rows {
		if row != uint64(i)+1 {
			return false
		}
	}
	return len(m.rows) == n
}
