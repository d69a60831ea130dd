package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"iter"
	"slices"

	"github.com/overlap-psi/overlap/consent"
)

// Put adds the facts to the ledger and returns how many were new. A fact that is
// there already, with all that it says, is not added again, so that importing a
// file twice is importing it once.
//
// Facts are written some ten thousand to a transaction, in constant memory; no lock
// is held while the sequence runs. An error, of the sequence, of the database or
// a *FactError, ends it and leaves the batches before: giving the same facts again
// from the start goes on where it ended.
func (d *DB) Put(ctx context.Context, facts iter.Seq2[Fact, error]) (added uint64, err error) {
	p, err := d.newImport(ctx)
	if err != nil {
		return 0, err
	}
	defer p.close()
	for fact, err := range facts {
		if err != nil {
			return p.added, fmt.Errorf("store: reading facts: %w", err)
		}
		if err := p.add(ctx, &fact); err != nil {
			return p.added, err
		}
	}
	err = p.flush(ctx)
	return p.added, err
}

// factsPerTransaction is many, so that a page is written once for many facts, and
// few enough that others, who charge budgets, wait some tenths of a second.
const factsPerTransaction = 32768

// factImport is one call of Put.
type factImport struct {
	d        *DB
	key      handleKey
	accounts *insert
	facts    *insert
	read     uint64
	added    uint64
	batch    []batched
	args     []any // reused
}

// batched is a fact with what only the store knows of it.
type batched struct {
	Fact
	handle consent.Handle
	secret [32]byte
	order  int // of arrival, within the batch
}

func (d *DB) newImport(ctx context.Context) (*factImport, error) {
	key, err := d.handleKey(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := prepareInsert(ctx, d.write, `INSERT INTO accounts (handle, account_id, switched_off) VALUES`, `(?, ?, ?)`)
	if err != nil {
		return nil, wrap("adding facts", err)
	}
	facts, err := prepareInsert(ctx, d.write, `INSERT INTO facts (account, class, sum, purpose, collected_at, status, jurisdiction, source, seq, secret) VALUES`,
		`((SELECT id FROM accounts WHERE handle = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		accounts.close()
		return nil, wrap("adding facts", err)
	}
	return &factImport{d: d, key: key, accounts: accounts, facts: facts, batch: make([]batched, 0, factsPerTransaction)}, nil
}

func (p *factImport) close() { p.accounts.close(); p.facts.close() }

func (p *factImport) add(ctx context.Context, fact *Fact) error {
	p.read++
	if reason := fact.unsound(); reason != "" {
		return &FactError{p.read, reason}
	}
	p.batch = append(p.batch, batched{Fact: *fact, handle: p.key.of(fact.AccountID), order: len(p.batch)})
	b := &p.batch[len(p.batch)-1]
	rand.Read(b.secret[:])
	if len(p.batch) < factsPerTransaction {
		return nil
	}
	return p.flush(ctx)
}

// flush writes the batch, in the order of the tables rather than of arrival, so
// that neighbours are found on the same page.
func (p *factImport) flush(ctx context.Context) error {
	slices.SortFunc(p.batch, func(a, b batched) int {
		if c := bytes.Compare(a.handle[:], b.handle[:]); c != 0 {
			return c
		}
		return a.order - b.order
	})
	var added uint64
	err := p.d.update(ctx, "adding facts", func(tx *sql.Tx) (err error) {
		if err := p.putAccounts(ctx, tx); err != nil {
			return err
		}
		added, err = p.putFacts(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	p.added += added
	clear(p.batch) // secrets and ids go with the batch
	p.batch = p.batch[:0]
	return nil
}

func (p *factImport) putAccounts(ctx context.Context, tx *sql.Tx) error {
	p.args = p.args[:0]
	for i := range p.batch {
		if b := &p.batch[i]; i == 0 || b.handle != p.batch[i-1].handle {
			p.args = append(p.args, b.handle[:], b.AccountID, int64(0))
		}
	}
	if _, err := p.accounts.exec(ctx, tx, p.args); err != nil {
		return err
	}
	for i := range p.batch {
		if b := &p.batch[i]; b.SwitchedOff {
			if _, err := tx.ExecContext(ctx, `UPDATE accounts SET switched_off = 1 WHERE handle = ?`, b.handle[:]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *factImport) putFacts(ctx context.Context, tx *sql.Tx) (added uint64, err error) {
	var last int64
	n := len(p.batch)
	if err := tx.QueryRowContext(ctx, `UPDATE meta SET last_seq = last_seq + ? RETURNING last_seq`, n).Scan(&last); err != nil {
		return 0, err
	}
	p.args = p.args[:0]
	for i := range p.batch {
		b := &p.batch[i]
		seq := last - int64(n-1-b.order)
		p.args = append(p.args, b.handle[:], int64(b.Class), b.Sum[:], int64(b.Purpose), micros(b.CollectedAt), int64(b.Status), b.Jurisdiction, b.Source, seq, b.secret[:])
	}
	return p.facts.exec(ctx, tx, p.args)
}
