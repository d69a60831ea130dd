package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// StepList is the first long step: reading the list and evaluating it under the
// session's key. Its total is unknown, and reported as 0, until it is done.
const StepList session.Step = "list"

// snapshotTime is how long a platform may take to cut its eligible set.
const snapshotTime = 30 * time.Minute

// ErrSmall says that a list has fewer people than the policy asks for, and that
// the policy refuses such lists. Nothing has left this process.
var ErrSmall = errors.New("client: the list has fewer people than the policy asks for (min_list)")

// Match runs one session as Holder, in mode P_LEARNS: the platform fills the
// named audience with those of its consented accounts that are on the list. The
// list is read once. If the session fails after its start, the receipt so far is
// in the report beside the error.
func (c *Client) Match(ctx context.Context, name string, list *audience.List) (*Report, error) {
	if !session.ValidName(name) {
		return nil, fmt.Errorf("client: an audience's name is 1 to 64 of a-z 0-9 . _ -")
	}
	started := time.Now()
	key := psi.NewKey() // of this session only
	defer key.Destroy()
	tokens, counts, err := c.evaluate(ctx, key, list)
	if err != nil {
		return nil, err
	}
	defer func() {
		// Without the session's key its tokens are noise, but none are meant to stay.
		if err := tokens.Remove(); err != nil {
			c.c.Log.WarnContext(ctx, "the session's table could not be removed", "error", err)
		}
	}()
	if tokens.Entries() > c.c.Policy.MaxNHat {
		return nil, fmt.Errorf("client: the list is longer than the policy allows in a session (max_n_hat): %w", psi.AbortBudget)
	}
	report := c.newReport(name, list.Report(), counts, tokens.Entries())
	if report.Small && c.c.Policy.Hygiene.RefuseSmall {
		return nil, ErrSmall
	}
	err = c.hold(ctx, name, key, tokens, report)
	report.Duration = time.Since(started)
	return report, err
}

// evaluate makes the session's table of the whole list: one entry for each
// distinct identifier, and pads.
func (c *Client) evaluate(ctx context.Context, key *psi.Key, list *audience.List) (*table.Table, table.Counts, error) {
	b, err := table.NewBuilder(table.Options{Dir: c.c.spill(), TokenLen: session.TokenLen})
	if err != nil {
		return nil, table.Counts{}, err
	}
	defer b.Close()
	in, outs := make([]psi.Input, 0, psi.ChunkElems), make([]psi.Output, psi.ChunkElems)
	done := uint64(0)
	c.progress(StepList, 0, 0)
	flush := func() error {
		key.Evaluate(outs[:len(in)], in)
		err := b.Add(outs[:len(in)])
		done += uint64(len(in))
		c.progress(StepList, done, 0)
		clear(in)
		clear(outs)
		in = in[:0]
		return err
	}
	var e consent.Eligible
	for e, err = range list.All() {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, table.Counts{}, err
		}
		if in = append(in, e.Input()); len(in) == cap(in) {
			if err := flush(); err != nil {
				return nil, table.Counts{}, err
			}
		}
	}
	if err := flush(); err != nil {
		return nil, table.Counts{}, err
	}
	c.progress(StepList, done, done)
	pads := psi.NewSeed()
	defer pads.Destroy()
	t, err := b.Seal(ctx, "", pads)
	return t, b.Counts(), err
}

// hold is the session, one step a line; session's package comment has the
// other side.
func (c *Client) hold(ctx context.Context, name string, key *psi.Key, tokens *table.Table, report *Report) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.c.Policy.SessionSeconds)*time.Second)
	defer cancel()
	stream, platform, hangUp, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer hangUp()
	s, err := session.Ask(ctx, stream, c.session(platform), psi.PLearns, name)
	if err != nil {
		return err
	}
	defer s.Close()
	defer func() {
		if err != nil {
			s.Abort(err)
			s.Drain()
		}
		report.finish(s, err)
	}()
	queries, err := s.ReadOpenQ(ctx, snapshotTime, c.journal.see)
	if err != nil {
		return c.refusedTerms(err)
	}
	if err := c.journal.charge(c.c.Platform, c.c.Policy.Epoch(time.Now()), queries, c.c.Policy.MaxEvaluations); err != nil {
		return err
	}
	if err := s.OpenH(ctx, key, tokens.Entries(), tokens.Root(), session.Snapshot{}); err != nil {
		return err
	}
	sid := s.SID()
	c.c.Log.InfoContext(ctx, "session opened", "sid", fmt.Sprintf("%x", sid), "queries", queries, "entries", tokens.Entries())
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	if err := s.SendTable(ctx, tokens.Chunks(session.TableChunk())); err != nil {
		return err
	}
	if report.count, err = s.ReadRelease(ctx); err != nil {
		return err
	}
	return s.CloseHolder(ctx)
}

// refusedTerms says under which policy the platform would not open a session. The
// platform has not said under which it would: an ABORT is a code and no more.
func (c *Client) refusedTerms(err error) error {
	var refused *session.PeerAbort
	if errors.As(err, &refused) && refused.Code == psi.AbortTerms {
		return fmt.Errorf("client: the platform holds another policy than %x, or has not agreed to what was asked: %w", c.c.Policy.Hash(), err)
	}
	return err
}

func (c *Client) session(platform identity.Peer) session.Config {
	return session.Config{Identity: c.c.Identity, Peer: platform, Policy: c.c.Policy, Progress: c.progress}
}
