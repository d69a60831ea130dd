// Package logbook carries entries from the platform's store to its two logs
// (package audit): the public one, for everybody, and the access log of who
// looked at results inside the company.
//
// The store has an entry in the same transaction as what it tells of, so that
// neither is ever there without the other, and numbers it with its index in its
// log. The log's files follow: what a killed process did not publish, the next
// one does.
package logbook

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/store"
)

// Book is a platform's two logs.
type Book struct {
	dir            string
	db             *store.DB
	public, access *audit.Signer
	key            ed25519.PublicKey
}

// Open returns the logs below dir, which are made when there is something to
// publish. The identity signs their checkpoints.
func Open(dir string, i *identity.Identity, db *store.DB) (*Book, error) {
	public, err1 := audit.NewSigner(PublicName(i.ID()), i.Key())
	access, err2 := audit.NewSigner(AccessName(i.ID()), i.Key())
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return &Book{dir, db, public, access, i.Public()}, nil
}

// PublicName returns the name of a platform's public log, and AccessName that of
// its access log: what their checkpoints begin with.
func PublicName(id identity.ID) string { return audit.PublicName(audit.Hash(id)) }

// AccessName is said with PublicName.
func AccessName(id identity.ID) string { return "overlap/" + id.String() + "/access" }

// PublicDir and AccessDir return where the logs' files are.
func (b *Book) PublicDir() string { return filepath.Join(b.dir, "public") }

// AccessDir is said with PublicDir.
func (b *Book) AccessDir() string { return filepath.Join(b.dir, "access") }

// PoliciesDir returns where the documents of the policies are that have been in
// force, each by its hash: what the public log names, for everybody too.
func (b *Book) PoliciesDir() string { return filepath.Join(b.dir, "policies") }

// Signer returns what signs the public log, and the dossiers that hold it.
func (b *Book) Signer() *audit.Signer { return b.public }

// patience is how long a process waits for another one that publishes.
const patience = 10 * time.Second

// Publish brings the files of both logs up to the store. No log goes on from a store
// that lacks its last entry, such as an older copy of the one it was published from:
// the error is audit.ErrBehind or audit.ErrApart then.
func (b *Book) Publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := b.keepKey(); err != nil {
		return err
	}
	if _, err := audit.Publish(ctx, b.PublicDir(), b.public, audit.PublicEvents, b.from(ctx, store.PublicLog)); err != nil {
		return fmt.Errorf("logbook: public log: %w", err)
	}
	if _, err := audit.Publish(ctx, b.AccessDir(), b.access, audit.AccessEvents, b.from(ctx, store.AccessLog)); err != nil {
		return fmt.Errorf("logbook: access log: %w", err)
	}
	return nil
}

// keyName is the file of the key that both logs are signed with. An id is the hash
// of the key, so that whoever knows the id can take the key from a copy.
const keyName = "key"

func (b *Book) keepKey() error {
	return errors.Join(PutKey(b.PublicDir(), b.key), PutKey(b.AccessDir(), b.key))
}

// PutKey writes the key into the directory of a log, or of what somebody else is to
// check of one, for Key. It makes the directory if need be.
func PutKey(dir string, key ed25519.PublicKey) error {
	text, name := []byte(hex.EncodeToString(key)+"\n"), filepath.Join(dir, keyName)
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, text) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("logbook: %w", err)
	}
	if err := os.WriteFile(name, text, 0o600); err != nil {
		return fmt.Errorf("logbook: %w", err)
	}
	return nil
}

var errKey = errors.New("logbook: the log's key is missing, or is not that of the platform asked about")

// Key returns the key that a log, or a copy of it, is signed with, if it is that of
// the platform of the given id.
func Key(log fs.FS, platform identity.ID) (ed25519.PublicKey, error) {
	text, err := fs.ReadFile(log, keyName)
	if err != nil {
		return nil, errKey
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != ed25519.PublicKeySize || sha256.Sum256(key) != platform {
		return nil, errKey
	}
	return key, nil
}

func (b *Book) from(ctx context.Context, log store.Log) func(int64) iter.Seq2[[]byte, error] {
	return func(from int64) iter.Seq2[[]byte, error] {
		return func(yield func([]byte, error) bool) {
			for e, err := range b.db.Entries(ctx, log, uint64(from)) {
				if !yield(e.Body, err) || err != nil {
					return
				}
			}
		}
	}
}

// Entries returns events as the store takes them, each for the log that it
// belongs in.
func Entries(at time.Time, bodies ...audit.Body) ([]store.Entry, error) {
	list := make([]store.Entry, len(bodies))
	for i, body := range bodies {
		entry, err := audit.Event{Time: at, Body: body}.Bytes()
		if err != nil {
			return nil, err
		}
		list[i] = store.Entry{Log: store.PublicLog, Body: entry}
		if _, private := body.(audit.Access); private {
			list[i].Log = store.AccessLog
		}
	}
	return list, nil
}
