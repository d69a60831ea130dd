package publication

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/table"
)

// A directory of published tables holds nothing that is secret: it can be copied
// and served by anybody.
//
//	key                              the platform's public key, in hexadecimal
//	current-POLICY                   the id of the table for the policy of this hash
//	next-POLICY                      of the one that waits for witnesses to become that
//	ID/manifest                      the frame MANIFEST
//	ID/manifest.tlog-proof           that it is in the log
//	ID/shards-00000, …               a SHARDS body each, by its first shard
const (
	keyFile      = "key"
	currentFile  = "current-"
	nextFile     = "next-"
	manifestFile = "manifest"
	proofFile    = "manifest.tlog-proof"
	shardsFile   = "shards-"
)

// Begun begins the names of files and directories that are not whole yet, for Sweep.
const Begun = ".new-"

// ErrNone says that there is no table.
var ErrNone = fmt.Errorf("publication: there is no such table: %w", psi.AbortTable)

func hexOf(id [32]byte) string { return hex.EncodeToString(id[:]) }

// Path returns where the table of the id is in dir.
func Path(dir string, id [32]byte) string { return filepath.Join(dir, hexOf(id)) }

// Current returns the id of the table for the policy of the hash, or ErrNone.
func Current(dir string, policy [32]byte) (id [32]byte, err error) {
	return named(filepath.Join(dir, currentFile+hexOf(policy)))
}

// Next returns the id of the table that waits to become the current one, or ErrNone.
func Next(dir string, policy [32]byte) (id [32]byte, err error) {
	return named(filepath.Join(dir, nextFile+hexOf(policy)))
}

func named(file string) (id [32]byte, err error) {
	text, err := read(file)
	if err != nil {
		return id, err
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(b) != len(id) {
		return id, refused("the current table is not named", psi.AbortTable)
	}
	return [32]byte(b), nil
}

// SetCurrent makes the table that for the policy, at once for every reader. No other
// one waits then.
func SetCurrent(dir string, policy, id [32]byte) error {
	if err := write(filepath.Join(dir, currentFile+hexOf(policy)), []byte(hexOf(id)+"\n")); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, nextFile+hexOf(policy))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("publication: %w", err)
	}
	return nil
}

// SetNext makes the table wait to become the current one, in the place of another
// that waits.
func SetNext(dir string, policy, id [32]byte) error {
	return write(filepath.Join(dir, nextFile+hexOf(policy)), []byte(hexOf(id)+"\n"))
}

// PutKey writes the key that the tables in dir are signed with.
func PutKey(dir string, platform ed25519.PublicKey) error {
	return write(filepath.Join(dir, keyFile), []byte(hex.EncodeToString(platform)+"\n"))
}

// Key returns the key of the platform of the id.
func Key(dir string, platform identity.ID) (ed25519.PublicKey, error) {
	text, err := read(filepath.Join(dir, keyFile))
	if err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(key) != ed25519.PublicKeySize || psi.Identity(key) != platform {
		return nil, refused("the tables are not those of the platform", psi.AbortAuth)
	}
	return key, nil
}

// Load reads the manifest of the table at path, and checks its signature.
func Load(path string, platform ed25519.PublicKey) (*Manifest, error) {
	b, err := read(filepath.Join(path, manifestFile))
	if err != nil {
		return nil, err
	}
	f := new(body.Frame)
	if proto.Unmarshal(b, f) != nil || f.GetType() != uint32(psi.FrameManifest) {
		return nil, refused("a file is no MANIFEST", psi.AbortMalformed)
	}
	return Parse(f.GetBody(), f.GetSig(), platform)
}

// Proof reads the proof that the manifest at path is in the log.
func Proof(path string) ([]byte, error) { return read(filepath.Join(path, proofFile)) }

// PutProof replaces it.
func PutProof(path string, proof []byte) error {
	return write(filepath.Join(path, proofFile), proof)
}

// Write makes the table's files at path: all of them, durably, or nothing.
func Write(path string, m *Manifest, t *table.Table) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(path), Begun+"*")
	if err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(dir))
		}
	}()
	if err := m.write(dir); err != nil {
		return err
	}
	at := 0
	for b, err := range t.Shards(m.options()) {
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, shardsName(at)), b); err != nil {
			return err
		}
		at = table.ShardsEnd(b)
	}
	if err := os.Rename(dir, path); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func (m *Manifest) write(dir string) error {
	b, err := proto.Marshal(&body.Frame{Type: uint32(psi.FrameManifest), Body: m.body, Sig: m.sig})
	if err != nil {
		return fmt.Errorf("publication: encode MANIFEST: %w", err)
	}
	return write(filepath.Join(dir, manifestFile), b)
}

func shardsName(first int) string { return fmt.Sprintf("%s%05d", shardsFile, first) }

// Shards returns the SHARDS bodies at path from the one that begins with the given
// shard on; table.Shards is the end. A shard that no body begins with is an error.
func Shards(path string, first int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if first == table.Shards {
			return
		}
		starts, err := starts(path)
		if err == nil && !slices.Contains(starts, first) {
			err = refused("no body begins with the shard", psi.AbortMalformed)
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for _, at := range starts {
			if at < first {
				continue
			}
			b, err := read(filepath.Join(path, shardsName(at)))
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// starts returns the first shards of the bodies at path in order.
func starts(path string) (list []int, err error) {
	found, err := os.ReadDir(path) // sorted, as the numbers are by their digits
	if err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	for _, f := range found {
		number, is := strings.CutPrefix(f.Name(), shardsFile)
		if n, err := strconv.Atoi(number); is && err == nil && shardsName(n) == f.Name() {
			list = append(list, n)
		}
	}
	return list, nil
}

// maxFile is the longest file in the directory of a table.
const maxFile = 1 << 20

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("publication: %w", err)
	}
	if len(b) > maxFile {
		return nil, refused("a file is too long", psi.AbortMalformed)
	}
	return b, nil
}

// write makes a durable file of the content, or leaves what was there.
func write(name string, content []byte) error {
	err := os.MkdirAll(filepath.Dir(name), 0o700)
	if err == nil {
		err = pending.Write(name, Begun, content)
	}
	if err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	return nil
}

func syncDir(dir string) error {
	if err := pending.SyncDir(dir); err != nil {
		return fmt.Errorf("publication: %w", err)
	}
	return nil
}

// Sweep removes what processes that were killed have left half-written in dir.
func Sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, Begun+"*"))
	errs := []error{err}
	for _, name := range left {
		errs = append(errs, os.RemoveAll(name))
	}
	return errors.Join(errs...)
}
