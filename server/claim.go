package server

import (
	"bytes"
	"context"
	"errors"
	"iter"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// keepOutputs are a Querier's verified outputs: for the join, and whole where
// they are to be claimed.
func (r *run) keepOutputs(outs []psi.Output, first uint64) error {
	if r.session.Mode().Claims() {
		if r.outputs == nil {
			var err error
			if r.outputs, err = table.NewOutputs(table.Options{Dir: r.s.spill(), TokenLen: session.TokenLen}); err != nil {
				return err
			}
		}
		if err := r.outputs.Add(outs, first); err != nil {
			return err
		}
	}
	return r.queries.Add(outs, first)
}

// claim is the end of MUTUAL_P: the platform has matched, stores the accounts and
// then tells the advertiser which of its entries they were.
func (r *run) claim(ctx context.Context, c *dossier.Commitment) error {
	matches, err := r.queries.Match(ctx, r.spool.Chunks())
	if err != nil {
		return err
	}
	if matches, err = r.stillAdmitted(ctx, matches); err != nil {
		return err
	}
	if _, err := r.putAudience(ctx, matches, c); err != nil {
		return err
	}
	if err := r.session.SendClaims(ctx, r.outputs.Sorted(ctx, matches.All(), r.session.ClaimChunk())); err != nil {
		return err
	}
	return r.session.CloseQuerier(ctx)
}

// takeClaims is the end of MUTUAL_A: the advertiser has matched, and tells the
// platform which of its entries it asked about. All accounts behind an entry are
// in the audience.
func (r *run) takeClaims(ctx context.Context, c *dossier.Commitment) error {
	behind := r.behind()
	defer behind.Close()
	_, err := r.session.ReadClaims(ctx, func(token psi.Token) (psi.Input, bool, error) {
		position, found, err := behind.Find(token)
		if err != nil || !found {
			return psi.Input{}, false, err
		}
		leaf, err := r.snapshot.At(position)
		return leaf.Input(), true, err
	})
	if errors.Is(err, psi.AbortClaim) {
		r.log.Warn("claims refused: the advertiser claims accounts that it did not ask about", "sid", r.sidText())
	}
	if err != nil {
		return err
	}
	matches, err := r.stillAdmitted(ctx, behind.Matches())
	if err != nil {
		return err
	}
	_, err = r.putAudience(ctx, matches, c)
	return err
}

// behind finds what the table's entries are made of.
func (r *run) behind() lookup {
	if r.published != nil {
		return r.published.Index.Search(r.snapshot.Size())
	}
	return r.queries.Lookup()
}

// lookup is a table.Lookup, or a table.Search.
type lookup interface {
	Find(psi.Token) (position uint64, found bool, err error)
	Matches() *table.Matches
	Close()
}

// stillAdmitted returns those of the matches whose record is admitted now: a
// person may have withdrawn since the snapshot was cut. Leaves and ledger have one
// order, so that one pass over the accounts of the matches tells.
func (r *run) stillAdmitted(ctx context.Context, matches *table.Matches) (*table.Matches, error) {
	view, err := r.s.c.Store.View(ctx)
	if err != nil {
		return nil, err
	}
	defer view.Close()
	at := time.Now()
	next, stop := iter.Pull2(r.admitted(view.RecordsAmong(ctx, r.accounts(matches), at), at))
	defer stop()
	record, err, more := next()
	return matches.Keep(func(position uint64) (bool, error) {
		leaf, e := r.snapshot.At(position)
		if e != nil {
			return false, e
		}
		for more && err == nil && compare(&record, &leaf) < 0 {
			record, err, more = next()
		}
		return more && err == nil && compare(&record, &leaf) == 0, err
	})
}

// accounts are those of the matches. A pad is nobody's.
func (r *run) accounts(matches *table.Matches) iter.Seq2[consent.Handle, error] {
	return func(yield func(consent.Handle, error) bool) {
		for position := range matches.All() {
			leaf, err := r.snapshot.At(position)
			if err == nil && leaf.IsPad() {
				continue
			}
			if !yield(leaf.Account(), err) || err != nil {
				return
			}
		}
	}
}

// admitted are the records that the policy admits at a moment.
func (r *run) admitted(records iter.Seq2[consent.Record, error], at time.Time) iter.Seq2[consent.Eligible, error] {
	rule := r.partner.Policy.Rule()
	return func(yield func(consent.Eligible, error) bool) {
		for rec, err := range records {
			if err != nil {
				yield(consent.Eligible{}, err)
				return
			}
			if e, refused := rule.Admit(&rec, at); refused == nil && !yield(e, nil) {
				return
			}
		}
	}
}

// compare is the order of a snapshot's leaves: by account, class and h
// (PROTOCOL.md §10).
func compare(e *consent.Eligible, leaf *consent.Leaf) int {
	a, b := e.Account(), leaf.Account()
	if c := bytes.Compare(a[:], b[:]); c != 0 {
		return c
	}
	x, y := e.Input(), leaf.Input() // which end in class and h, and begin alike
	return bytes.Compare(x.Bytes()[:], y.Bytes()[:])
}
