package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/internal/edkey"
)

// SignedSuffix is what the file of a document's signatures is called, after the
// document's own name.
const SignedSuffix = ".sig"

// Errors of signatures.
var (
	ErrSignature = errors.New("policy: the signatures are not valid")
	ErrOther     = errors.New("policy: the signatures belong to another document")
)

// Signed says who signed a document.
type Signed struct {
	Version uint64    // of the document's consent rules
	Time    time.Time // when the first company signed, by its own clock, to the second
	First   [32]byte  // id of that company
	Signers []Signer  // in the file's order, each once; First is among them
	File    []byte    // the signatures' file itself
}

// Signer is a company that signed. Its id is SHA-256 of its key, as everywhere
// (PROTOCOL.md §5.1).
type Signer struct {
	ID  [32]byte
	Key ed25519.PublicKey
}

// By reports whether the company of that id signed.
func (s *Signed) By(id [32]byte) bool {
	for _, signer := range s.Signers {
		if signer.ID == id {
			return true
		}
	}
	return false
}

// Sign returns the file of p's signatures with the key's among them: a new one if
// signed is nil, else the one given, which must hold valid signatures of p. It is
// a signed note (golang.org/x/mod/sumdb/note) over
//
//	overlap policy
//	version 1
//	sha256 <of the document, hexadecimal>
//	time 2026-11-25T03:00:00Z
//	first <id of the company that signed first, hexadecimal>
//
// All companies sign the same text. A signature's name is the company's id, a dot
// and its public key in unpadded URL-safe Base64, so that whoever knows an id, as
// partners do, can check its signature from the file alone.
func Sign(p *Policy, signed []byte, key ed25519.PrivateKey, at time.Time) ([]byte, error) {
	signer, err := newNoteSigner(key)
	if err != nil {
		return nil, err
	}
	n := &note.Note{Text: p.statement(at, sha256.Sum256(signer.public))}
	if signed != nil {
		if _, n, err = p.open(signed); err != nil {
			return nil, err
		}
	}
	file, err := note.Sign(n, signer)
	if err != nil {
		return nil, ErrSignature
	}
	return file, nil
}

// VerifySignatures returns who signed p. One signature that is not valid spoils
// the file; a line that is no company's, such as a witness's, is left aside.
func VerifySignatures(p *Policy, signed []byte) (*Signed, error) {
	s, _, err := p.open(signed)
	if err != nil {
		return nil, err
	}
	s.File = bytes.Clone(signed)
	return s, nil
}

// Load reads the document at path and, if there is one, the file of its
// signatures beside it. Without one, the Signed is nil; if it is not valid, that
// is an error.
func Load(path string) (*Policy, *Signed, error) {
	document, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	p, err := Parse(document)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	file, err := os.ReadFile(path + SignedSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("policy: %w", err)
	}
	s, err := VerifySignatures(p, file)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path+SignedSuffix, err)
	}
	return p, s, nil
}

const timeForm = "2006-01-02T15:04:05Z"

// statement is the text that companies sign. Its first line keeps it apart from
// everything else that an identity signs.
func (p *Policy) statement(at time.Time, first [32]byte) string {
	return fmt.Sprintf("overlap policy\nversion %d\nsha256 %x\ntime %s\nfirst %x\n", p.Consent.Version, p.Hash(), at.UTC().Format(timeForm), first)
}

func (p *Policy) open(signed []byte) (*Signed, *note.Note, error) {
	if len(signed) > MaxBytes {
		return nil, nil, ErrSignature
	}
	n, err := note.Open(signed, companies{})
	if err != nil {
		return nil, nil, ErrSignature // without note's text, which quotes the file
	}
	s := &Signed{Version: p.Consent.Version}
	// Read the two lines that are not known, then compare the whole text.
	lines := strings.Split(n.Text, "\n")
	if len(lines) != 6 {
		return nil, nil, ErrSignature
	}
	at, timed := strings.CutPrefix(lines[3], "time ")
	first, named := strings.CutPrefix(lines[4], "first ")
	id, err := hex.DecodeString(first)
	if s.Time, _ = time.Parse(timeForm, at); !timed || !named || err != nil || len(id) != len(s.First) {
		return nil, nil, ErrSignature
	}
	s.First = [32]byte(id)
	if n.Text != p.statement(s.Time, s.First) {
		return nil, nil, ErrOther
	}
	for _, sig := range n.Sigs {
		key, _ := parseName(sig.Name)
		s.Signers = append(s.Signers, Signer{sha256.Sum256(key), key})
	}
	if !s.By(s.First) {
		return nil, nil, ErrSignature
	}
	return s, n, nil
}

// companies is every company there can be: a signature's name holds the key that
// its id stands for.
type companies struct{}

func (companies) Verifier(name string, hash uint32) (note.Verifier, error) {
	unknown := &note.UnknownVerifierError{Name: name, KeyHash: hash}
	key, ok := parseName(name)
	if !ok {
		return nil, unknown
	}
	v, err := newNoteVerifier(key)
	if err != nil || v.KeyHash() != hash {
		return nil, unknown
	}
	return v, nil
}

func newNoteVerifier(key ed25519.PublicKey) (note.Verifier, error) {
	encoded, err := note.NewEd25519VerifierKey(nameOf(key), key)
	if err != nil {
		return nil, ErrSignature
	}
	return note.NewVerifier(encoded)
}

func nameOf(key ed25519.PublicKey) string {
	return fmt.Sprintf("%x.%s", sha256.Sum256(key), base64.RawURLEncoding.EncodeToString(key))
}

// parseName returns the key of a signature's name, if it is the one that the id
// in the name stands for.
func parseName(name string) (ed25519.PublicKey, bool) {
	_, encoded, _ := strings.Cut(name, ".")
	key, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || !edkey.Valid(key) || nameOf(key) != name {
		return nil, false
	}
	return key, true
}

// noteSigner signs notes with an identity's key.
type noteSigner struct {
	note.Verifier // its name and hash
	public        ed25519.PublicKey
	key           ed25519.PrivateKey
}

func newNoteSigner(key ed25519.PrivateKey) (*noteSigner, error) {
	public, _ := key.Public().(ed25519.PublicKey)
	v, err := newNoteVerifier(public)
	if err != nil {
		return nil, err
	}
	return &noteSigner{v, public, key}, nil
}

// Sign implements note.Signer.
func (s *noteSigner) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.key, text), nil }

// Format prints the name, which is public, whatever the verb.
func (s *noteSigner) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.Name()) }
