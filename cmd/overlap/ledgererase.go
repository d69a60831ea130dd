package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/store"
)

type ledgerErase struct {
	platformFlags
	Account string `arg:"" help:"The account's id."`
}

// Run removes a person. What remains in past sessions are numbers and hashes that
// are nobody's any more; the log says which leaves closed, and not whose.
func (c *ledgerErase) Run(ctx context.Context) (err error) {
	p, _, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	request, err := p.Erase(ctx, c.Account)
	var held *store.HeldError
	if errors.As(err, &held) {
		return hint(refusedError{err}, "it is held for %s of incident %.12s… until %s; overlap ledger holds shows all, overlap ledger unhold ends one",
			held.Hold.Reason, held.Hold.Incident, held.Hold.Until.Format(time.DateOnly))
	}
	unpublished := errors.Is(err, inquiry.ErrUnpublished)
	if err != nil && !unpublished {
		return ofAccount(err)
	}
	text, _ := request.MarshalText() // never fails
	if unpublished {                 // it is done all the same, and to do it again would find nobody
		fmt.Fprintf(os.Stderr, "overlap: warning: %s\n", plain(err))
		fmt.Printf("erased as request %.12s…; the log will have it with the next command that publishes\n", text)
		return nil
	}
	fmt.Printf("erased; the log has it as request %.12s…\n", text)
	return nil
}

type ledgerHolds struct {
	storeFlag
}

func (c *ledgerHolds) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	holds, err := db.Holds(ctx)
	if err != nil {
		return err
	}
	for _, h := range holds {
		fmt.Printf("%d  incident %.12s…  %s  until %s\n", h.ID, h.Incident, h.Reason, h.Until.Format(time.RFC3339))
	}
	return nil
}

type ledgerUnhold struct {
	storeFlag
	ID int64 `arg:"" help:"The hold's number."`
}

func (c *ledgerUnhold) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	holds, err := db.Holds(ctx)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(holds, func(h store.Hold) bool { return h.ID == c.ID }) {
		return hint(fmt.Errorf("there is no hold %d", c.ID), "overlap ledger holds lists those there are")
	}
	return db.ReleaseHold(ctx, c.ID)
}
