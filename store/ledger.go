package store

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"hash"
	"iter"
	"log/slog"
	"time"
	"unicode/utf8"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
)

// Fact is one line of the ledger: what one identifier of one account was
// collected for, and what became of that, at one moment. Facts are only ever
// added. What holds of an (account, identifier, purpose) is its latest fact. It
// prints as REDACTED.
type Fact struct {
	AccountID    string // the platform's own name of the account, 1–256 bytes of UTF-8
	Class        identifier.Class
	Sum          [32]byte // SHA-256 of the normalised identifier
	Purpose      consent.Purpose
	Status       consent.Status
	Jurisdiction string // see consent.ValidJurisdiction
	CollectedAt  time.Time
	Source       string // where it was collected, at most 1024 bytes; may be empty

	// SwitchedOff turns the account's own switch against ads matching off for
	// all its identifiers. False says nothing, so that an old file cannot turn on
	// again what the account holder has turned off since; SetSwitch can.
	SwitchedOff bool
}

// Format prints REDACTED whatever the verb.
func (Fact) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the fact out of structured logs.
func (Fact) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// FactError says which fact, counted from 1, Put would not take, and why.
type FactError struct {
	Number uint64
	Reason string // a constant text
}

func (e *FactError) Error() string { return fmt.Sprintf("store: fact %d: %s", e.Number, e.Reason) }

const (
	maxAccountID = 256
	maxSource    = 1024
)

// unsound returns what is wrong with the fact, or "".
func (f *Fact) unsound() string {
	switch {
	case len(f.AccountID) == 0 || len(f.AccountID) > maxAccountID || !text(f.AccountID):
		return "account id is not 1 to 256 bytes of text"
	case f.Class.Kind() == 0:
		return "unknown class"
	case f.Sum == [32]byte{}:
		return "no identifier"
	case !f.Purpose.Valid():
		return "unknown purpose"
	case !f.Status.Valid():
		return "unknown status"
	case !consent.ValidJurisdiction(f.Jurisdiction):
		return "malformed jurisdiction"
	case f.CollectedAt.Year() < 1970 || f.CollectedAt.Year() > 9999:
		return "time of collection is missing or out of range"
	case len(f.Source) > maxSource || !text(f.Source):
		return "source is not at most 1024 bytes of text"
	}
	return ""
}

// text reports whether every dialect can keep s as text.
func text(s string) bool {
	for i := range len(s) {
		if s[i] == 0 {
			return false
		}
	}
	return utf8.ValidString(s)
}

// handleKey makes the handles of accounts: HMAC-SHA-256 of the account's id under
// a key drawn for this store. It is not for concurrent use.
type handleKey struct{ mac hash.Hash }

func (d *DB) handleKey(ctx context.Context) (handleKey, error) {
	var key []byte
	if err := d.read.QueryRowContext(ctx, `SELECT handle_key FROM meta`).Scan(&key); err != nil {
		return handleKey{}, wrap("reading the handle key", err)
	}
	return handleKey{hmac.New(sha256.New, key)}, nil
}

func (k handleKey) of(accountID string) (handle consent.Handle) {
	k.mac.Reset()
	k.mac.Write([]byte(accountID))
	k.mac.Sum(handle[:0])
	return handle
}

// SetSwitch turns the account's switch against ads matching off, or on again. It
// overrides everything the ledger says, from the next call of Records on. An
// account that the ledger does not know yet will have the switch when it comes.
func (d *DB) SetSwitch(ctx context.Context, accountID string, off bool) error {
	if len(accountID) == 0 || len(accountID) > maxAccountID || !text(accountID) {
		return errAccountID
	}
	key, err := d.handleKey(ctx)
	if err != nil {
		return err
	}
	handle := key.of(accountID)
	return d.update(ctx, "setting a switch", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO accounts (handle, account_id, switched_off) VALUES (?, ?, ?)
			ON CONFLICT (handle) DO UPDATE SET switched_off = excluded.switched_off`, handle[:], accountID, flag(off))
		return err
	})
}

const errAccountID = refusal("account id is not 1 to 256 bytes of text")

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// current is the condition that fact f is the latest of its key until the moment
// of the one parameter: the latest collected, and of those the last to arrive.
const current = `f.collected_at <= ?1 AND NOT EXISTS (
	SELECT 1 FROM facts g
	WHERE g.account = f.account AND g.class = f.class AND g.sum = f.sum AND g.purpose = f.purpose AND g.collected_at <= ?1
	AND (g.collected_at > f.collected_at OR g.collected_at = f.collected_at AND g.seq > f.seq))`

// Records returns what the ledger says at the given moment of every identifier
// that was collected for ads matching: its current fact, granted or not, with the
// account's switch as it is now. Nothing is decided here; that is Rule.Admit's.
// Identifiers collected for other purposes do not leave the database.
//
// They come ordered by (handle, class, sum), each once, as consent.WriteSnapshot
// wants them, from one statement and so from one state of the store, in memory
// that does not grow with the ledger. An error ends it.
func (d *DB) Records(ctx context.Context, at time.Time) iter.Seq2[consent.Record, error] {
	return d.records(ctx, consent.AdsMatching, at)
}

func (d *DB) records(ctx context.Context, purpose consent.Purpose, at time.Time) iter.Seq2[consent.Record, error] {
	s := recordScanner{jurisdictions: map[string]string{}}
	return each(ctx, d.read, "reading the ledger", s.scan, recordsQuery, micros(at), int64(purpose))
}

// recordsQuery walks the index of handles and then each account's facts, so that
// nothing is sorted: CROSS JOIN tells SQLite not to choose another order.
const recordsQuery = `SELECT a.handle, f.class, f.sum, f.purpose, f.status, f.jurisdiction, f.collected_at, f.secret, a.switched_off
	FROM accounts a CROSS JOIN facts f
	WHERE f.account = a.id AND f.purpose = ?2 AND ` + current + `
	ORDER BY a.handle, f.class, f.sum`

// recordScanner reads records without an allocation for each column: the bytes
// are the driver's until the next row.
type recordScanner struct {
	handle, sum, secret, jurisdiction sql.RawBytes
	jurisdictions                     map[string]string // the few there are, each once in memory
}

func (s *recordScanner) scan(row scanner) (r consent.Record, err error) {
	var collected int64
	if err := row.Scan(&s.handle, &r.Class, &s.sum, &r.Purpose, &r.Status, &s.jurisdiction, &collected, &s.secret, &r.SwitchedOff); err != nil {
		return consent.Record{}, err
	}
	r.CollectedAt = fromMicros(collected)
	r.Basis = consent.BasisConsent
	r.Jurisdiction = s.intern(s.jurisdiction)
	return r, cmp.Or(fixed((*[32]byte)(&r.Account), s.handle), fixed(&r.Sum, s.sum), fixed(&r.Secret, s.secret))
}

func (s *recordScanner) intern(b []byte) string {
	if v, ok := s.jurisdictions[string(b)]; ok {
		return v
	}
	v := string(b)
	s.jurisdictions[v] = v
	return v
}
