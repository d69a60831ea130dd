package client

import (
	"context"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// query is a session as Querier, A_LEARNS and MUTUAL_A: the platform's table comes
// here, and the advertiser finds its own identifiers in it.
func (r *run) query(ctx context.Context, list *audience.List) error {
	if err := r.keepList(ctx, list); err != nil {
		return err
	}
	size, p := psi.PadSize(r.list.Len()), r.c.c.Policy
	if size > p.MaxQHat {
		return fmt.Errorf("client: the list is longer than the policy allows in a session (max_q_hat): %w", psi.AbortBudget)
	}
	r.report = r.c.newReport(r.name, list.Report(), table.Counts{Added: r.list.Len()}, 0)
	if err := r.mayGo(); err != nil {
		return err
	}
	if r.c.c.Tables != "" {
		if err := r.fetch(ctx); err != nil {
			return err
		}
	}
	if err := r.ask(ctx, size); err != nil {
		return err
	}
	return r.join(ctx)
}

// keepList writes the whole list down: how long it is must be said before the
// first question, and rows are found again by their place.
func (r *run) keepList(ctx context.Context, list *audience.List) error {
	if err := r.register(); err != nil {
		return err
	}
	r.c.progress(StepList, 0, 0)
	for e, err := range list.Entries() {
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = r.list.Add(e.Eligible, e.Row)
		}
		if err != nil {
			return err
		}
		if n := r.list.Len(); n%psi.ChunkElems == 0 {
			r.c.progress(StepList, n, 0)
		}
	}
	r.c.progress(StepList, r.list.Len(), r.list.Len())
	return nil
}

// ask is the session, one step a line; session's package comment has the other
// side. In A_LEARNS it ends before anybody looks for a match, so that its times
// say nothing of the matches (PROTOCOL.md §8.5).
func (r *run) ask(ctx context.Context, size uint64) (err error) {
	ctx, cancel := r.c.within(ctx)
	defer cancel()
	call, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer call.end()
	config := call.session()
	config.Published = r.published()
	s, err := session.Ask(ctx, call.stream, config, r.c.c.Mode, r.name)
	if err != nil {
		return r.c.refused(call.stream, err)
	}
	defer s.Close()
	defer func() { err = r.end(s, err) }()
	if err := r.prepare(s.LabelLen()); err != nil {
		return err
	}
	p := r.c.c.Policy
	if err := r.c.journal.ask(r.c.c.Platform, r.epoch(), size, p.MaxEvaluations); err != nil {
		return err
	}
	if err := s.OpenQ(ctx, size, tlog.Hash{}); err != nil {
		return err
	}
	seed := psi.NewSeed() // of this session only
	defer seed.Destroy()
	if err := s.ReadOpenH(ctx, seed, r.c.journal.see); err != nil {
		return r.c.refused(call.stream, err)
	}
	r.tableID = s.TableID()
	sid := s.SID()
	r.c.c.Log.InfoContext(ctx, "session opened", "sid", fmt.Sprintf("%x", sid), "queries", size, "entries", s.Entries())
	if err := s.Query(ctx, r.questions(), r.keepOutputs); err != nil {
		return err
	}
	if err := s.Seal(ctx, nil); err != nil {
		return err
	}
	if r.copy == nil {
		if err := s.ReadTable(ctx, r.spool.Append); err != nil {
			return err
		}
	}
	if s.Mode().Claims() {
		if err := r.join(ctx); err != nil {
			return err
		}
		if err := s.SendClaims(ctx, r.outputs.Sorted(ctx, r.matches.All(), s.ClaimChunk())); err != nil {
			return err
		}
	}
	return s.CloseQuerier(ctx)
}

// prepare makes the files that what is asked and answered goes to.
func (r *run) prepare(labelLen int) (err error) {
	r.labelLen = labelLen
	o := table.Options{Dir: r.c.c.spill(), TokenLen: session.TokenLen, LabelLen: labelLen}
	if r.copy != nil {
		o.TokenLen = r.copy.Manifest().TokenLen
	}
	if r.queries, err = table.NewQueries(o); err != nil {
		return err
	}
	if r.spool, err = table.NewSpool(o); err != nil {
		return err
	}
	if r.c.c.Mode.Claims() || labelLen > 0 {
		r.outputs, err = table.NewOutputs(o)
	}
	return err
}

// questions are the list's identifiers in their order. They have no leaf and so
// no salt: the session's seed and their places make the blinds (PROTOCOL.md §6).
func (r *run) questions() iter.Seq2[psi.Query, error] {
	return func(yield func(psi.Query, error) bool) {
		for e, err := range r.list.All() {
			if err != nil {
				yield(psi.Query{}, err)
				return
			}
			if !yield(psi.Query{Input: e.Input()}, nil) {
				return
			}
		}
	}
}

func (r *run) keepOutputs(outs []psi.Output, first uint64) error {
	if r.outputs != nil {
		if err := r.outputs.Add(outs, first); err != nil {
			return err
		}
	}
	return r.queries.Add(outs, first)
}

// join looks for the matches, once everything is verified.
func (r *run) join(ctx context.Context) (err error) {
	switch {
	case r.matches != nil:
	case r.copy != nil:
		r.matches, err = r.copy.Match(ctx, r.queries)
	default:
		r.matches, err = r.queries.Match(ctx, r.spool.Chunks())
	}
	return err
}
