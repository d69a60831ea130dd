package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/overlap-psi/overlap/identity"
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
