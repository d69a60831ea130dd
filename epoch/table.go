package epoch

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/store"
	"github.com/overlap-psi/overlap/table"
)

// The private files of a table.
const (
	secretFile   = "secret"   // sealed
	snapshotFile = "snapshot" // the consent that the table is made from
	indexFile    = "index"    // which leaf is behind which token
	retiredFile  = "retired"  // until when it is answered under
)

// Table is a published table with its key. Its files are the shelf's to close.
type Table struct {
	Manifest *publication.Manifest
	Snapshot *consent.Snapshot
	Index    *table.Index
	Cut      uint64         // what the ledger had said when the snapshot was taken
	ID       [32]byte       // of the snapshot; secret
	Facts    *store.Numbers // that it was made from

	policy [32]byte
	seed   [32]byte // of the key; zero once it is destroyed
	files  []*os.File
	uses   int // sessions
}

// Format prints REDACTED.
func (*Table) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the key out of structured logs.
func (*Table) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// secret is what is sealed.
type secret struct {
	Seed, Snapshot, Policy [32]byte
	Cut                    uint64
}

// Format prints REDACTED.
func (secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// key makes the epoch's key, for one session or one build; the caller destroys it.
func key(seed *[32]byte, id [32]byte) (*psi.Key, error) {
	return psi.DeriveKey(seed, append([]byte("AMPSI-V01 epoch key "), id[:]...))
}

// Key makes the epoch's key for one session, which destroys it.
func (t *Table) Key() (*psi.Key, error) {
	if t.seed == ([32]byte{}) {
		return nil, ErrOver
	}
	return key(&t.seed, t.Manifest.TableID)
}

// Epoch is the policy's epoch that questions under this table are charged to,
// whenever they are asked: one key has one budget.
func (t *Table) Epoch(p *policy.Policy) uint64 { return p.Epoch(t.Manifest.NotBefore) }

func (t *Table) close() error {
	var errs []error
	for _, f := range t.files {
		errs = append(errs, f.Close())
	}
	clear(t.seed[:])
	return errors.Join(errs...)
}

// sealer is the AEAD that only this identity has, of one table.
func (s *Shelf) sealer(id [32]byte) (cipher.AEAD, error) {
	k, err := hkdf.Key(sha256.New, s.c.Identity.Key().Seed(), id[:], "overlap epoch secret", chacha20poly1305.KeySize)
	if err != nil {
		return nil, wrap(err)
	}
	defer clear(k)
	return chacha20poly1305.NewX(k)
}

func (s *Shelf) seal(id [32]byte, x *secret) ([]byte, error) {
	plain, err := json.Marshal(x)
	if err != nil {
		return nil, wrap(err)
	}
	defer clear(plain)
	aead, err := s.sealer(id)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, nil), nil
}

var errSecret = errors.New("epoch: a table's secret is damaged, or another identity's")

func (s *Shelf) unseal(id [32]byte) (*secret, error) {
	sealed, err := os.ReadFile(filepath.Join(s.private(id), secretFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrOver
	}
	if err != nil {
		return nil, wrap(err)
	}
	aead, err := s.sealer(id)
	if err != nil {
		return nil, err
	}
	if len(sealed) < aead.NonceSize() {
		return nil, errSecret
	}
	plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], nil)
	if err != nil {
		return nil, errSecret
	}
	defer clear(plain)
	x := new(secret)
	if json.Unmarshal(plain, x) != nil {
		return nil, errSecret
	}
	return x, nil
}

// load opens what is private of the manifest's table, and says what to do if it is
// damaged: without its secret the table is over, and the next Tend makes another.
func (s *Shelf) load(m *publication.Manifest) (*Table, error) {
	t, err := s.loadTable(m)
	if errors.Is(err, errSecret) {
		err = fmt.Errorf("%w: restore %s from a copy, or delete it: then the next table is made", err, filepath.Join(s.private(m.TableID), secretFile))
	}
	return t, err
}

func (s *Shelf) loadTable(m *publication.Manifest) (*Table, error) {
	x, err := s.unseal(m.TableID)
	if err != nil {
		return nil, err
	}
	t := &Table{Manifest: m, Cut: x.Cut, ID: x.Snapshot, policy: x.Policy, seed: x.Seed, Facts: new(store.Numbers)}
	clear(x.Seed[:])
	if err := s.fill(t); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// fill opens the table's private files and checks them.
func (s *Shelf) fill(t *Table) error {
	m := t.Manifest
	f, size, err := t.open(filepath.Join(s.private(m.TableID), snapshotFile))
	if err != nil {
		return err
	}
	if t.Snapshot, err = consent.ReadSnapshot(f, size); err != nil {
		return fmt.Errorf("epoch: %s: %w", f.Name(), err)
	}
	if f, size, err = t.open(filepath.Join(s.private(m.TableID), indexFile)); err != nil {
		return err
	}
	if t.Index, err = table.NewIndex(f, size, m.TokenLen); err != nil {
		return fmt.Errorf("epoch: %s: %w", f.Name(), err)
	}
	return t.check()
}

func (t *Table) open(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, wrap(err)
	}
	t.files = append(t.files, f)
	at, err := f.Stat()
	if err != nil {
		return nil, 0, wrap(err)
	}
	return f, at.Size(), nil
}

// check compares what is private with what was published, and notes the facts.
func (t *Table) check() error {
	k, err := t.Key()
	if err != nil {
		return err
	}
	defer k.Destroy()
	m := t.Manifest
	if k.Public().Bytes() != m.Key.Bytes() || t.Snapshot.Root() != m.ConsentRoot || t.Snapshot.Size() != m.ConsentSize {
		return errSecret
	}
	for leaf, err := range t.Snapshot.Eligible() {
		if err != nil {
			return err
		}
		if fact := leaf.Fact(); fact == 0 || fact > t.Cut || !t.Facts.Add(fact) {
			return errSecret
		}
	}
	return nil
}

// idOf reads the name of a table's directory.
func idOf(name string) (id [32]byte, ok bool) {
	b, err := hex.DecodeString(name)
	if err != nil || len(b) != len(id) {
		return id, false
	}
	return [32]byte(b), true
}
