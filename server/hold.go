package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
	"github.com/overlap-psi/overlap/table"
)

// openQTime is how long an advertiser may take to send OPEN_Q: it has read its
// list before HELLO (PROTOCOL.md §8.1).
const openQTime = 2 * time.Minute

// hold is the session of a platform that is asked, A_LEARNS and MUTUAL_A, one
// step a line. Here the advertiser tests identifiers, and its budget is what
// limits that: it is charged before anything is evaluated. Each of these is
// durable before the next: the nonce, the charge, the record of the session, the
// first answer and, in MUTUAL_A, the audience.
func (r *run) hold(ctx context.Context) error {
	s := r.session
	queries, err := s.ReadOpenQ(ctx, openQTime, r.useNonce)
	if err != nil {
		return err
	}
	if err := r.chargeQuestions(ctx, queries); err != nil {
		return err
	}
	if r.published != nil {
		return r.holdPublished(ctx)
	}
	if err := r.cutSnapshot(ctx); err != nil {
		return err
	}
	key := psi.NewKey() // of this session only
	defer key.Destroy()
	if err := r.evaluate(ctx, key); err != nil {
		return err
	}
	from := session.Snapshot{Root: r.snapshot.Root(), Size: r.snapshot.Size()}
	if err := s.OpenH(ctx, key, r.tokens.Entries(), r.tokens.Root(), from); err != nil {
		return err
	}
	r.survive()
	seed := psi.NewSeed() // blinds nothing: it hides in the log who matched
	defer seed.Destroy()
	if err := r.record(ctx, seed); err != nil {
		return err
	}
	r.log.Info("session opened", "sid", r.sidText(), "queries", queries, "entries", r.tokens.Entries())
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	if err := s.SendTable(ctx, r.tokens.Chunks(s.TableFrame())); err != nil {
		return err
	}
	if s.Mode().Claims() {
		if err := r.takeClaims(ctx, dossier.NewCommitment(*seed)); err != nil {
			return err
		}
	}
	return s.CloseHolder(ctx)
}

// chargeQuestions takes q̂ from the advertiser's budget of this epoch. The session
// has no id yet; OPEN_Q is as much its own.
func (r *run) chargeQuestions(ctx context.Context, queries uint64) error {
	p := r.partner.Policy
	epoch := p.Epoch(time.Now())
	if r.published != nil { // one key, one budget, however long the key is answered under
		epoch = r.published.Epoch(p)
	}
	err := r.s.c.Store.ChargeQueries(ctx, r.advertiser.ID, epoch, r.session.OpenQHash(), queries, p.MaxEvaluations)
	switch {
	case errors.Is(err, store.ErrBudget):
		return fmt.Errorf("%w: %w", err, psi.AbortBudget)
	case errors.Is(err, store.ErrCharged): // which its nonce should have told
		return fmt.Errorf("%w: %w", err, psi.AbortReplay)
	}
	return err
}

// evaluate makes the session's table of the snapshot: one entry for each distinct
// identifier, and pads. Where claims will come, or entries have labels, it keeps
// which leaf is behind which token.
func (r *run) evaluate(ctx context.Context, key *psi.Key) (err error) {
	if r.labels != nil {
		if r.outputs, err = table.NewOutputs(table.Options{Dir: r.s.spill(), TokenLen: session.TokenLen}); err != nil {
			return err
		}
	}
	b, err := table.NewBuilder(table.Options{Dir: r.s.spill(), TokenLen: session.TokenLen})
	if err != nil {
		return err
	}
	defer b.Close()
	err = key.EvaluateAll(r.snapshot.Inputs(), func(outs []psi.Output, first uint64) error {
		err := b.Add(outs)
		if err == nil && (r.session.Mode().Claims() || r.labels != nil) {
			err = r.queries.Add(outs, first)
		}
		if err == nil && r.labels != nil {
			err = r.outputs.Add(outs, first)
		}
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return err
	}
	pads := psi.NewSeed()
	defer pads.Destroy()
	if r.tokens, err = b.Seal(ctx, "", pads); err != nil || r.labels == nil {
		return err
	}
	return r.label(ctx)
}

// label puts the session's table in place of itself with labels: every entry is
// as long and took as long, whoever has one. Of several accounts that have an
// identifier, it is the first leaf's.
func (r *run) label(ctx context.Context) error {
	if err := r.labels.done(); err != nil {
		return err
	}
	if n := r.labels.tooLong; n > 0 {
		r.log.Warn("labels that are longer than the policy's label_len are not told", "labels", n)
	}
	bare, id := r.tokens, r.session.TableID()
	o := table.Options{Dir: r.s.spill(), TokenLen: session.TokenLen, LabelLen: r.session.LabelLen()}
	labelled, err := bare.Labelled(ctx, o, "", &id, r.queries, r.outputs, r.labels.at)
	if err != nil {
		return err
	}
	r.tokens = labelled
	return bare.Remove()
}
