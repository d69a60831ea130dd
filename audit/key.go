package audit

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/internal/edkey"
)

// The algorithm bytes of a note's key id: c2sp.org/signed-note for a log's
// signature, c2sp.org/tlog-cosignature for a witness's.
const (
	algEd25519     = 0x01
	algCosignature = 0x04
)

var errWitnessKey = errors.New("audit: not a witness's key as c2sp.org/signed-note writes it: NAME+ID+KEY, for cosignature/v1 with Ed25519")

var errKey = errors.New("audit: not an Ed25519 key with a name; a name has no space and no plus sign")

// Signer signs a log's checkpoints. Its name is the log's origin: one key may
// sign several logs, each under a name of its own, since a checkpoint begins
// with the name. It prints as its name.
type Signer struct {
	verifier note.Verifier
	key      ed25519.PrivateKey
}

// NewSigner returns the signer of the log of the given name, such as
// "ads.example/log".
func NewSigner(name string, key ed25519.PrivateKey) (*Signer, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errKey
	}
	v, err := NewVerifier(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &Signer{v, key}, nil
}

// Name returns the log's origin.
func (s *Signer) Name() string { return s.verifier.Name() }

// KeyHash returns the key id of c2sp.org/signed-note.
func (s *Signer) KeyHash() uint32 { return s.verifier.KeyHash() }

// Sign signs the text of a note.
func (s *Signer) Sign(text []byte) ([]byte, error) { return ed25519.Sign(s.key, text), nil }

// VerifierKey returns the log's key for other software, as c2sp.org/signed-note
// writes it.
func (s *Signer) VerifierKey() string {
	return verifierKey(s.Name(), s.KeyHash(), algEd25519, s.key.Public().(ed25519.PublicKey))
}

// Verifier returns what checks the signer's signatures.
func (s *Signer) Verifier() note.Verifier { return s.verifier }

// Format prints the name, whatever the verb.
func (s Signer) Format(f fmt.State, _ rune) { fmt.Fprint(f, s.Name()) }

// LogValue logs the name.
func (s Signer) LogValue() slog.Value { return slog.StringValue(s.Name()) }

// PublicName returns the name of the public log of the company with the id: what
// its checkpoints begin with.
func PublicName(company Hash) string { return "overlap/" + hex.EncodeToString(company[:]) + "/log" }

// NewVerifier returns what checks the checkpoints of the log of the given name.
func NewVerifier(name string, key ed25519.PublicKey) (note.Verifier, error) {
	text, err := note.NewEd25519VerifierKey(name, key)
	if err != nil || !edkey.Valid(key) {
		return nil, errKey
	}
	v, err := note.NewVerifier(text)
	if err != nil {
		return nil, errKey
	}
	return v, nil
}

// WitnessKey checks the cosignatures of one witness. It is a note.Verifier.
type WitnessKey struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewWitnessKey returns the key of the witness of the given name. A witness has
// a key of its own: its signatures do not say its name.
func NewWitnessKey(name string, key ed25519.PublicKey) (*WitnessKey, error) {
	if _, err := NewVerifier(name, key); err != nil {
		return nil, err
	}
	sum := sha256.Sum256(slices.Concat([]byte(name), []byte{'\n', algCosignature}, key))
	return &WitnessKey{name, binary.BigEndian.Uint32(sum[:]), slices.Clone(key)}, nil
}

// ParseWitnessKey reads a witness's key as c2sp.org/signed-note writes it: the name,
// the key id, and an algorithm byte with the key in base64, a plus sign between them.
func ParseWitnessKey(text string) (*WitnessKey, error) {
	name, rest, _ := strings.Cut(text, "+")
	_, encoded, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.Strict().DecodeString(encoded)
	if err != nil || len(key) != 1+ed25519.PublicKeySize {
		return nil, errWitnessKey
	}
	w, err := NewWitnessKey(name, key[1:])
	if err != nil || w.String() != text {
		return nil, errWitnessKey
	}
	return w, nil
}

// String returns the key for ParseWitnessKey.
func (w *WitnessKey) String() string { return verifierKey(w.name, w.hash, algCosignature, w.key) }

func verifierKey(name string, hash uint32, alg byte, key ed25519.PublicKey) string {
	return fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(append([]byte{alg}, key...)))
}

// Same reports whether two names have one key: they are one witness.
func (w *WitnessKey) Same(as *WitnessKey) bool { return w.key.Equal(as.key) }

// Name returns the witness's name.
func (w *WitnessKey) Name() string { return w.name }

// KeyHash returns the key id of c2sp.org/tlog-cosignature.
func (w *WitnessKey) KeyHash() uint32 { return w.hash }

// Verify reports whether sig is a cosignature of a checkpoint's text: eight
// bytes of time, then the signature.
func (w *WitnessKey) Verify(text, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize || sig[0] > 0x7f {
		return false
	}
	seconds := binary.BigEndian.Uint64(sig)
	return ed25519.Verify(w.key, cosigned(text, seconds), sig[8:])
}

// Cosigner is a witness's private key. It prints as its name.
type Cosigner struct {
	WitnessKey
	key ed25519.PrivateKey
}

// NewCosigner returns the private key of the witness of the given name.
func NewCosigner(name string, key ed25519.PrivateKey) (*Cosigner, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errKey
	}
	w, err := NewWitnessKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &Cosigner{*w, key}, nil
}

// Format prints the name, whatever the verb.
func (c Cosigner) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.name) }

// LogValue logs the name.
func (c Cosigner) LogValue() slog.Value { return slog.StringValue(c.name) }

// timed is a cosigner at one moment: a note.Signer.
type timed struct {
	*Cosigner
	seconds uint64
}

func (t timed) Sign(text []byte) ([]byte, error) {
	sig := binary.BigEndian.AppendUint64(nil, t.seconds)
	return append(sig, ed25519.Sign(t.key, cosigned(text, t.seconds))...), nil
}

// cosigned is what a witness signs, c2sp.org/tlog-cosignature.
func cosigned(text []byte, seconds uint64) []byte {
	return append([]byte("cosignature/v1\ntime "+strconv.FormatUint(seconds, 10)+"\n"), text...)
}

// Cosign returns the checkpoint with the witness's signature added, in the place
// of an earlier one of its. It says that the witness has seen no longer tree of
// this log that is consistent with it: a Witness makes sure of that before.
func Cosign(c *Checkpoint, key *Cosigner, now time.Time) ([]byte, error) {
	if now.Unix() <= 0 {
		return nil, errors.New("audit: a cosignature's time is after 1970")
	}
	if len(c.note.Sigs)+len(c.note.UnverifiedSigs) >= maxSignatures {
		return nil, errCheckpoint
	}
	signed, err := note.Sign(c.note, timed{key, uint64(now.Unix())})
	if err != nil {
		return nil, errCheckpoint
	}
	return signed, nil
}
