package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// snapshotTime is how long a platform may take to cut its eligible set.
const snapshotTime = 30 * time.Minute

// ErrSmall says that a list has fewer people than the policy asks for, and that
// the policy refuses such lists. Nothing has left this process.
var ErrSmall = errors.New("client: the list has fewer people than the policy asks for (min_list)")

// hold is a session as Holder, P_LEARNS and MUTUAL_P: the platform asks, and the
// list's table goes there.
func (r *run) hold(ctx context.Context, list *audience.List) error {
	r.key = psi.NewKey() // of this session only
	counts, err := r.evaluate(ctx, list)
	if err != nil {
		return err
	}
	if r.tokens.Entries() > r.c.c.Policy.MaxNHat {
		return fmt.Errorf("client: the list is longer than the policy allows in a session (max_n_hat): %w", psi.AbortBudget)
	}
	r.report = r.c.newReport(r.name, list.Report(), counts, r.tokens.Entries())
	if err := r.mayGo(); err != nil {
		return err
	}
	return r.answer(ctx)
}

// inputs reads the list, and notes each row where claims will come.
func (r *run) inputs(ctx context.Context, list *audience.List) iter.Seq2[psi.Input, error] {
	return func(yield func(psi.Input, error) bool) {
		for e, err := range list.Entries() {
			if err == nil {
				err = ctx.Err()
			}
			if err == nil && r.list != nil {
				err = r.list.Add(e.Eligible, e.Row)
			}
			if err != nil {
				yield(psi.Input{}, err)
				return
			}
			if !yield(e.Eligible.Input(), nil) {
				return
			}
		}
	}
}

// evaluate makes the session's table of the whole list: one entry for each
// distinct identifier, and pads. Where claims will come, it keeps which row is
// behind which token.
func (r *run) evaluate(ctx context.Context, list *audience.List) (table.Counts, error) {
	o := table.Options{Dir: r.c.c.spill(), TokenLen: session.TokenLen}
	b, err := table.NewBuilder(o)
	if err != nil {
		return table.Counts{}, err
	}
	defer b.Close()
	if r.c.c.Mode.Claims() {
		if err := r.register(); err != nil {
			return table.Counts{}, err
		}
		if r.behind, err = table.NewQueries(o); err != nil {
			return table.Counts{}, err
		}
	}
	done := uint64(0)
	r.c.progress(StepList, 0, 0)
	err = r.key.EvaluateAll(r.inputs(ctx, list), func(outs []psi.Output, first uint64) error {
		err := b.Add(outs)
		if err == nil && r.behind != nil {
			err = r.behind.Add(outs, first)
		}
		done = first + uint64(len(outs))
		r.c.progress(StepList, done, 0)
		return err
	})
	if err != nil {
		return table.Counts{}, err
	}
	r.c.progress(StepList, done, done)
	pads := psi.NewSeed()
	defer pads.Destroy()
	r.tokens, err = b.Seal(ctx, "", pads)
	return b.Counts(), err
}

// answer is the session, one step a line; session's package comment has the
// other side.
func (r *run) answer(ctx context.Context) (err error) {
	c := r.c
	ctx, cancel := c.within(ctx)
	defer cancel()
	call, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer call.end()
	s, err := session.Ask(ctx, call.stream, call.session(), c.c.Mode, r.name)
	if err != nil {
		return c.refused(call.stream, err)
	}
	defer s.Close()
	defer func() { err = r.end(s, err) }()
	queries, err := s.ReadOpenQ(ctx, snapshotTime, c.journal.see)
	if err != nil {
		return c.refused(call.stream, err)
	}
	if err := c.journal.charge(c.c.Platform, c.c.Policy.Epoch(time.Now()), queries, c.c.Policy.MaxEvaluations); err != nil {
		return err
	}
	if err := s.OpenH(ctx, r.key, r.tokens.Entries(), r.tokens.Root(), session.Snapshot{}); err != nil {
		return err
	}
	sid := s.SID()
	c.c.Log.InfoContext(ctx, "session opened", "sid", fmt.Sprintf("%x", sid), "queries", queries, "entries", r.tokens.Entries())
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	if err := s.SendTable(ctx, r.tokens.Chunks(session.TableChunk())); err != nil {
		return err
	}
	if s.Mode().Claims() {
		if err := r.takeClaims(ctx, s); err != nil {
			return err
		}
	} else if r.report.count, err = s.ReadRelease(ctx); err != nil {
		return err
	}
	return s.CloseHolder(ctx)
}

// takeClaims learns which of the list's identifiers the platform asked about.
func (r *run) takeClaims(ctx context.Context, s *session.Session) error {
	behind := r.behind.Lookup()
	defer behind.Close()
	_, err := s.ReadClaims(ctx, func(token psi.Token) (psi.Input, bool, error) {
		place, found, err := behind.Find(token)
		if err != nil || !found {
			return psi.Input{}, false, err
		}
		e, _, err := r.list.At(place)
		if err != nil {
			return psi.Input{}, false, err
		}
		return e.Input(), true, nil
	})
	if err == nil {
		r.matches = behind.Matches()
	}
	return err
}

// end tells the platform why the session ends, if it failed, and reports what
// there is of it.
func (r *run) end(s *session.Session, err error) error {
	if err != nil {
		s.Abort(err)
		s.Drain()
		err = r.tableOver(notResumed(err))
	}
	r.report.finish(s, err)
	return err
}
