package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

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
	d.tell(ctx, d.dialect.most)
	defer d.tell(ctx, d.dialect.usual)
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
	accounts *insert
	facts    *insert
	lookup   *lookup
	origins  map[origin]int64 // that are on record
	read     uint64
	added    uint64
	batch    []Fact
	args     []any // reused
}

func (d *DB) newImport(ctx context.Context) (p *factImport, err error) {
	p = &factImport{d: d, origins: map[origin]int64{}, batch: make([]Fact, 0, factsPerTransaction)}
	if p.accounts, err = d.prepareInsert(ctx, `INSERT INTO accounts (id, account_id, switched_off) VALUES`, `(?, ?, 0)`); err != nil {
		return nil, wrap("adding facts", err)
	}
	p.facts, err = d.prepareInsert(ctx, `INSERT INTO facts (seq, account, origin, class, purpose, status, collected_at, reference, label, sum, secret, digest) VALUES`,
		`(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
	if err != nil {
		p.accounts.close()
		return nil, wrap("adding facts", err)
	}
	if p.lookup, err = prepareLookup(ctx, d.write, `SELECT account_id, id FROM accounts WHERE account_id`); err != nil {
		p.accounts.close()
		p.facts.close()
		return nil, wrap("adding facts", err)
	}
	return p, nil
}

func (p *factImport) close() { p.accounts.close(); p.facts.close(); p.lookup.close() }

func (p *factImport) add(ctx context.Context, fact *Fact) error {
	p.read++
	if reason := fact.unsound(); reason != "" {
		return &FactError{p.read, reason}
	}
	if p.batch = append(p.batch, *fact); len(p.batch) < factsPerTransaction {
		return nil
	}
	return p.flush(ctx)
}

func (p *factImport) flush(ctx context.Context) error {
	var added uint64
	var origins map[origin]int64
	err := p.d.update(ctx, "adding facts", func(tx *sql.Tx) (err error) {
		accounts, err := p.putAccounts(ctx, tx)
		if err != nil {
			return err
		}
		if origins, err = p.putOrigins(ctx, tx); err != nil {
			return err
		}
		if added, err = p.putFacts(ctx, tx, accounts, origins); err != nil {
			return err
		}
		return p.switchOff(ctx, tx, accounts)
	})
	if err != nil {
		return err
	}
	p.added += added
	p.keep(origins)
	clear(p.batch) // ids go with the batch
	p.batch = p.batch[:0]
	return nil
}

// putAccounts returns the numbers of the batch's accounts, new ones included. The
// ids are looked up and written in their own order, so that neighbours are found
// on the same page.
func (p *factImport) putAccounts(ctx context.Context, tx *sql.Tx) (accounts map[string]int64, err error) {
	accounts = make(map[string]int64, len(p.batch))
	for i := range p.batch {
		accounts[p.batch[i].AccountID] = 0
	}
	ids := slices.Sorted(maps.Keys(accounts))
	if err := p.lookup.numbers(ctx, tx, ids, accounts); err != nil {
		return nil, err
	}
	ids = slices.DeleteFunc(ids, func(id string) bool { return accounts[id] != 0 })
	number, err := numbers(ctx, tx, len(ids))
	if err != nil {
		return nil, err
	}
	p.args = p.args[:0]
	for _, id := range ids {
		accounts[id] = number
		p.args = append(p.args, number, id)
		number++
	}
	_, err = p.accounts.exec(ctx, tx, p.args)
	return accounts, err
}

// numbers takes n numbers from the counter and returns the first.
func numbers(ctx context.Context, tx *sql.Tx, n int) (first int64, err error) {
	err = tx.QueryRowContext(ctx, `UPDATE meta SET last_seq = last_seq + ? RETURNING last_seq`, n).Scan(&first)
	return first - int64(n) + 1, err
}

// putOrigins returns the numbers of the batch's origins.
func (p *factImport) putOrigins(ctx context.Context, tx *sql.Tx) (origins map[origin]int64, err error) {
	origins = map[origin]int64{}
	var last origin
	for i := range p.batch {
		o := p.batch[i].origin()
		if i > 0 && o == last {
			continue
		}
		last = o
		if origins[o] != 0 {
			continue
		}
		number, known := p.origins[o]
		if !known {
			if number, err = putOrigin(ctx, tx, &o); err != nil {
				return nil, err
			}
		}
		origins[o] = number
	}
	return origins, nil
}

func putOrigin(ctx context.Context, tx *sql.Tx, o *origin) (number int64, err error) {
	digest := o.digest()
	_, err = tx.ExecContext(ctx, `INSERT INTO origins (digest, basis, jurisdiction, notice, surface, source) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		digest[:], int64(o.basis), o.jurisdiction, o.notice, o.surface, o.source)
	if err != nil {
		return 0, err
	}
	err = tx.QueryRowContext(ctx, `SELECT id FROM origins WHERE digest = ?`, digest[:]).Scan(&number)
	return number, err
}

// originsKept bounds what a call remembers of origins, whatever a file has.
const originsKept = 4096

// keep remembers origins for the next batch, now that they are committed.
func (p *factImport) keep(origins map[origin]int64) {
	if len(p.origins)+len(origins) > originsKept {
		clear(p.origins)
	}
	if len(origins) <= originsKept {
		maps.Copy(p.origins, origins)
	}
}

// putFacts numbers the facts in their order, which is that of the table too.
func (p *factImport) putFacts(ctx context.Context, tx *sql.Tx, accounts map[string]int64, origins map[origin]int64) (added uint64, err error) {
	seq, err := numbers(ctx, tx, len(p.batch))
	if err != nil {
		return 0, err
	}
	secrets := make([]byte, len(p.batch)*len(consent.Record{}.Secret))
	rand.Read(secrets)
	p.args = p.args[:0]
	for i := range p.batch {
		f := &p.batch[i]
		origin := origins[f.origin()]
		digest := f.digest(origin)
		secret := secrets[:32:32]
		secrets = secrets[32:]
		p.args = append(p.args, seq, accounts[f.AccountID], origin, int64(f.Class), int64(f.Purpose), int64(f.Status), micros(f.CollectedAt),
			f.Reference, f.Label, f.Sum[:], secret, digest[:])
		seq++
	}
	return p.facts.exec(ctx, tx, p.args)
}

// switchOff turns the switch of accounts off whose facts say so.
func (p *factImport) switchOff(ctx context.Context, tx *sql.Tx, accounts map[string]int64) error {
	now := time.Now()
	for i := range p.batch {
		if f := &p.batch[i]; f.SwitchedOff {
			if err := setSwitch(ctx, tx, accounts[f.AccountID], true, now); err != nil {
				return err
			}
		}
	}
	return nil
}
