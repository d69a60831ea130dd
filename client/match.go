package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// StepList is the first long step: reading the list and, where the platform asks,
// evaluating it under the session's key. Its total is unknown, and reported as 0,
// until it is done.
const StepList session.Step = "list"

// Mode says which company asks and who learns what (PROTOCOL.md §1).
type Mode = psi.Mode

// The modes. A policy lists those that the two companies agreed on.
const (
	PLearns = psi.PLearns // the platform learns which accounts are on the list; the advertiser one noised count
	ALearns = psi.ALearns // the advertiser learns which rows have an account; the platform nothing
	MutualA = psi.MutualA // both learn who is on both lists; the advertiser first
	MutualP = psi.MutualP // both learn it; the platform first
)

// ParseMode returns the mode of a name such as "P_LEARNS".
func ParseMode(name string) (Mode, error) { return psi.ParseMode(name) }

// Match is an identifier of the list that an account of the platform has, too. It
// says where it stands in the advertiser's own file, and nothing of the platform.
type Match struct {
	Row  uint64 // 1 is the first after the header, blank lines apart; of a repeated identifier the first
	Kind string // "email" or "phone"
	// Label is what the platform tells of the account, in ALearns and MutualA under
	// a policy with labels: its own text, which may be anything. It is empty if the
	// platform tells nothing, or what can't be read (Matched.Unreadable).
	Label string
}

// run is one match. What it holds of the size of the list is in files that close
// removes.
type run struct {
	c      *Client
	name   string
	report *Report

	file     *os.File          // the register's
	fileName string            // to remove at the end, where an open file can't be
	list     *consent.Register // the list, where the advertiser learns rows; else nil

	// As Holder.
	key    *psi.Key
	tokens *table.Table
	behind *table.Queries // MUTUAL_P: the place in the register of each output
	// As Querier.
	queries *table.Queries
	spool   *table.Spool
	outputs *table.Outputs    // MUTUAL_A, or where entries have labels
	copy    *publication.Copy // of a published table; nil: the session's own
	// What the entries tell, once the session is complete.
	labelLen int
	tableID  [32]byte
	labels   *labels // nil if there are none

	matches *table.Matches // places in the register
}

// Match runs one session in Config's Mode with the identifiers of the list, which
// is read once. name is what the platform calls the audience that it fills; in
// A_LEARNS it fills none, and the name is empty. If the session fails after its
// start, the receipt so far is in the report beside the error.
func (c *Client) Match(ctx context.Context, name string, list *audience.List) (*Report, error) {
	switch {
	case !session.ValidAudience(c.c.Mode, name) && c.c.Mode.FillsAudience():
		return nil, errors.New("client: an audience's name is 1 to 64 of a-z 0-9 . _ -")
	case !session.ValidAudience(c.c.Mode, name):
		return nil, errors.New("client: in this mode the platform fills no audience, which needs no name")
	}
	started := time.Now()
	r := &run{c: c, name: name}
	defer r.close(ctx)
	do := r.hold
	if c.c.Mode.AdvertiserAsks() {
		do = r.query
	}
	err := do(ctx, list)
	if r.report == nil {
		return nil, err
	}
	if err == nil {
		err = r.tell(ctx)
	}
	r.report.Duration = time.Since(started)
	return r.report, err
}

// register makes the file that the list is kept in while the session runs.
func (r *run) register() (err error) {
	if r.file, r.fileName, err = scratch(r.c.c.spill(), "list-*"); err != nil {
		return err
	}
	r.list = consent.NewRegister(r.file)
	return nil
}

// tell says which rows matched, in the modes in which the advertiser learns it.
func (r *run) tell(ctx context.Context) error {
	if r.matches == nil {
		return nil
	}
	if err := r.readLabels(ctx); err != nil {
		return err
	}
	r.report.Matched = new(Matched)
	for place := range r.matches.All() {
		e, row, err := r.list.At(place)
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		label, readable, err := r.labels.at(place)
		if err != nil {
			return err
		}
		m := Match{Row: row, Kind: e.Class().Kind().String(), Label: label}
		r.report.Matched.add(m.Kind)
		if !readable {
			r.report.Matched.Unreadable++
		}
		if r.c.c.Matched != nil {
			if err := r.c.c.Matched(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// errTooLong ends a session.
var errTooLong = fmt.Errorf("client: the session took longer than the policy allows (session_seconds): %w", psi.AbortTimeout)

// within bounds the time of a session.
func (c *Client) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, time.Duration(c.c.Policy.SessionSeconds)*time.Second, errTooLong)
}

// mayGo decides, before anything leaves, whether the list as it was read is
// matched: not if the policy refuses short ones, or the caller this one.
func (r *run) mayGo() (err error) {
	switch {
	case r.report.Small && r.c.c.Policy.Hygiene.RefuseSmall:
		err = ErrSmall
	case r.c.c.Listed != nil:
		err = r.c.c.Listed(r.report.List)
	}
	if err != nil {
		r.report = nil
	}
	return err
}

// close destroys the key and removes the session's files. Without the key the
// tokens are noise, but none are meant to stay.
func (r *run) close(ctx context.Context) {
	var errs []error
	if r.key != nil {
		r.key.Destroy()
	}
	if r.tokens != nil {
		errs = append(errs, r.tokens.Remove())
	}
	for _, q := range []*table.Queries{r.behind, r.queries} {
		if q != nil {
			errs = append(errs, q.Close())
		}
	}
	if r.spool != nil {
		errs = append(errs, r.spool.Close())
	}
	if r.outputs != nil {
		errs = append(errs, r.outputs.Close())
	}
	if r.labels != nil {
		errs = append(errs, r.labels.close())
	}
	if r.file != nil {
		errs = append(errs, r.file.Close())
		if r.fileName != "" {
			errs = append(errs, os.Remove(r.fileName))
		}
	}
	if err := errors.Join(errs...); err != nil {
		r.c.c.Log.WarnContext(ctx, "a session's files could not be removed", "error", err)
	}
}

// PadSize returns what the platform is told of a list of n identifiers: the next
// of the sizes of PROTOCOL.md §7.2.
func PadSize(n uint64) uint64 { return psi.PadSize(n) }
