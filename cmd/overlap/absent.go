package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/store"
)

// ofAccount says of an error about an account that the store does not have what is
// not there. The account's id stays out of it.
func ofAccount(err error) error {
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	return hint(errors.New("the store has no account of that id"),
		"account ids are those of the users file's column account_id, letter for letter; who was erased is not there any more")
}

// findSession returns a session that a command names.
func findSession(ctx context.Context, db *store.DB, sid [32]byte) (store.Session, error) {
	s, err := db.Session(ctx, sid)
	if errors.Is(err, store.ErrNotFound) {
		return s, hint(fmt.Errorf("the store has no session %v", identity.ID(sid)), "overlap receipt list shows those there are")
	}
	return s, err
}

// findAsked refuses a question about a session, an advertiser, a source or a notice
// that the store does not have: that nobody was affected would be said of another
// one than was meant.
func findAsked(ctx context.Context, db *store.DB, q *inquiry.Question) error {
	if q == nil {
		return nil
	}
	if q.SID != [32]byte{} {
		if _, err := findSession(ctx, db, q.SID); err != nil {
			return err
		}
	}
	if q.Advertiser != [32]byte{} {
		if err := findAdvertiser(ctx, db, q.Advertiser); err != nil {
			return err
		}
	}
	for _, source := range q.Predicate.Sources {
		if err := findOrigin(ctx, db, source, ""); err != nil {
			return err
		}
	}
	for _, notice := range q.Predicate.Notices {
		if err := findOrigin(ctx, db, "", notice); err != nil {
			return err
		}
	}
	return nil
}

func findAdvertiser(ctx context.Context, db *store.DB, id identity.ID) error {
	for s, err := range db.Sessions(ctx) {
		if err != nil || s.Peer == id {
			return err
		}
	}
	return hint(errors.New("there is no session with that advertiser"), "overlap receipt list shows with whom there are")
}

// findOrigin refuses a source, or a notice, that no record has.
func findOrigin(ctx context.Context, db *store.DB, source, notice string) error {
	has, err := db.HasOrigin(ctx, source, notice)
	if err != nil || has || source == "" && notice == "" {
		return err
	}
	said := "of that source"
	switch {
	case source == "":
		said = "under that notice"
	case notice != "":
		said += " under that notice"
	}
	return hint(fmt.Errorf("the ledger has no record %s", said),
		"sources are those of the users file's column source, and notices those of its column notice, letter for letter")
}
