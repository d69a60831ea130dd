package store

import (
	"context"
	"database/sql"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// Audience is what an advertiser named and a match filled.
type Audience struct {
	Name       string
	Advertiser [32]byte // the advertiser's id
	Session    [32]byte // that filled it
	Accounts   uint64   // distinct
	Created    time.Time
}

// handlesPerTransaction as factsPerTransaction.
const handlesPerTransaction = 4096

// PutAudience makes the accounts of the handles, which may repeat, the audience
// of that advertiser and name, and returns how many distinct accounts there are.
// The audience of before, if there is one, stands until the new one is whole and
// is gone with the same stroke.
//
// The accounts are written some thousands to a transaction, unseen until the
// last; no lock is held while the sequence runs. Of two calls for one audience the
// one begun later wins, and the other fails with ErrReplaced. What a crash leaves
// unfinished is never seen and goes with the next call.
func (d *DB) PutAudience(ctx context.Context, advertiser [32]byte, name string, sid [32]byte, handles iter.Seq2[consent.Handle, error]) (distinct uint64, err error) {
	a, err := d.newAudience(ctx, advertiser, name, sid)
	if err != nil {
		return 0, err
	}
	defer a.members.close()
	if err := a.fill(ctx, handles); err != nil {
		a.drop(ctx)
		return 0, err
	}
	if err := a.finish(ctx, advertiser, name); err != nil {
		a.drop(ctx)
		return 0, err
	}
	return a.distinct, nil
}

// newAudience is an audience being filled.
type newAudience struct {
	d        *DB
	id       int64
	key      handleKey
	members  *insert
	distinct uint64
	batch    []int64 // accounts
	args     []any   // reused
}

func (d *DB) newAudience(ctx context.Context, advertiser [32]byte, name string, sid [32]byte) (*newAudience, error) {
	key, err := d.handleKey(ctx)
	if err != nil {
		return nil, err
	}
	members, err := prepareInsert(ctx, d.write, `INSERT INTO members (audience, account) VALUES`, `(?, ?)`)
	if err != nil {
		return nil, wrap("filling an audience", err)
	}
	a := &newAudience{d: d, key: key, members: members, batch: make([]int64, 0, handlesPerTransaction)}
	err = d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO audiences (advertiser, name, sid, ready, accounts, created) VALUES (?, ?, ?, 0, 0, ?) RETURNING id`,
			advertiser[:], name, sid[:], micros(time.Now())).Scan(&a.id)
	})
	if err != nil {
		members.close()
		return nil, err
	}
	return a, nil
}

func (a *newAudience) fill(ctx context.Context, handles iter.Seq2[consent.Handle, error]) error {
	for h, err := range handles {
		if err != nil {
			return fmt.Errorf("store: reading matches: %w", err)
		}
		account, ok := a.key.account(h)
		if !ok {
			return errHandle
		}
		a.batch = append(a.batch, account)
		if len(a.batch) < handlesPerTransaction {
			continue
		}
		if err := a.flush(ctx); err != nil {
			return err
		}
	}
	return a.flush(ctx)
}

func (a *newAudience) flush(ctx context.Context) error {
	slices.Sort(a.batch) // in the table's order: neighbours are found on the same page
	a.args = a.args[:0]
	for _, account := range slices.Compact(a.batch) {
		a.args = append(a.args, a.id, account)
	}
	var distinct uint64
	err := a.d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		var there int
		if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM audiences WHERE id = ?`, a.id).Scan(&there); err != nil {
			return err
		}
		if there == 0 {
			return ErrReplaced
		}
		var err error
		distinct, err = a.members.exec(ctx, tx, a.args)
		return err
	})
	if err != nil {
		return err
	}
	a.distinct += distinct
	a.batch = a.batch[:0]
	return nil
}

// finish makes the audience the one of its name.
func (a *newAudience) finish(ctx context.Context, advertiser [32]byte, name string) error {
	accounts, err := integer(a.distinct)
	if err != nil {
		return err
	}
	return a.d.update(ctx, "filling an audience", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM audiences WHERE advertiser = ? AND name = ? AND id < ?`, advertiser[:], name, a.id); err != nil {
			return err
		}
		n, err := changed(ctx, tx, `UPDATE audiences SET ready = 1, accounts = ? WHERE id = ?`, accounts, a.id)
		if err == nil && n == 0 {
			return ErrReplaced
		}
		return err
	})
}

// drop removes an audience that will not be finished, also if ctx is over. If
// even that fails, the next call for its name removes it.
func (a *newAudience) drop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_ = a.d.update(ctx, "dropping an audience", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM audiences WHERE id = ? AND ready = 0`, a.id)
		return err
	})
}

// Audiences returns the audiences there are, by name, then advertiser.
func (d *DB) Audiences(ctx context.Context) ([]Audience, error) {
	var list []Audience
	for a, err := range each(ctx, d.read, "reading audiences", scanAudience,
		`SELECT name, advertiser, sid, accounts, created FROM audiences WHERE ready = 1 ORDER BY name, advertiser`) {
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

func scanAudience(row scanner) (a Audience, err error) {
	var advertiser, sid []byte
	var created int64
	if err := row.Scan(&a.Name, &advertiser, &sid, &a.Accounts, &created); err != nil {
		return Audience{}, err
	}
	a.Created = fromMicros(created)
	if err := fixed(&a.Advertiser, advertiser); err != nil {
		return Audience{}, err
	}
	return a, fixed(&a.Session, sid)
}

// AudienceAccounts returns the platform's own ids of the accounts in that
// advertiser's audience, in byte order, from one state of the store. They are
// sorted in memory. It yields ErrNotFound if there is no such audience. An error
// ends it.
func (d *DB) AudienceAccounts(ctx context.Context, advertiser [32]byte, name string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		tx, err := d.view(ctx)
		if err != nil {
			yield("", wrap("reading an audience", err))
			return
		}
		defer tx.Rollback()
		var id int64
		err = tx.QueryRowContext(ctx, `SELECT id FROM audiences WHERE advertiser = ? AND name = ? AND ready = 1`, advertiser[:], name).Scan(&id)
		if err != nil {
			yield("", wrap("reading an audience", err))
			return
		}
		each(ctx, tx, "reading an audience", scanText,
			`SELECT a.account_id FROM members m JOIN accounts a ON a.id = m.account WHERE m.audience = ? ORDER BY a.account_id`, id)(yield)
	}
}

func scanText(row scanner) (s string, err error) {
	err = row.Scan(&s)
	return s, err
}
