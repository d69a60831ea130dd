package store

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// SetSwitch turns the account's switch against ads matching off, or on again. It
// overrides everything the ledger says, from the next call of Records on. An
// account that the ledger does not know yet will have the switch when it comes.
func (d *DB) SetSwitch(ctx context.Context, accountID string, off bool) error {
	if !validAccountID(accountID) {
		return errAccountID
	}
	return d.update(ctx, "setting a switch", func(tx *sql.Tx) error {
		account, err := putAccount(ctx, tx, accountID)
		if err != nil {
			return err
		}
		return setSwitch(ctx, tx, account, off, time.Now())
	})
}

const errAccountID = refusal("account id is not 1 to 256 bytes of text")

// putAccount returns the number of the account, which is made if there is none.
func putAccount(ctx context.Context, tx *sql.Tx, accountID string) (number int64, err error) {
	err = tx.QueryRowContext(ctx, `SELECT id FROM accounts WHERE account_id = ?`, accountID).Scan(&number)
	if !errors.Is(err, sql.ErrNoRows) {
		return number, err
	}
	if number, err = numbers(ctx, tx, 1); err != nil {
		return 0, err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO accounts (id, account_id, switched_off) VALUES (?, ?, 0)`, number, accountID)
	return number, err
}

// setSwitch sets the switch of an account and notes it, if that changes anything.
func setSwitch(ctx context.Context, tx *sql.Tx, account int64, off bool, at time.Time) error {
	n, err := changed(ctx, tx, `UPDATE accounts SET switched_off = ? WHERE id = ? AND switched_off <> ?`, flag(off), account, flag(off))
	if err != nil || n == 0 {
		return err
	}
	seq, err := numbers(ctx, tx, 1)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO switches (seq, account, off, at) VALUES (?, ?, ?, ?)`, seq, account, flag(off), micros(at))
	return err
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
