package audit

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxSize keeps every computation with indexes far from overflow.
	maxSize = 1<<48 - 1
	// maxSignatures is how many package note reads, maxCheckpoint has room for.
	maxSignatures = 100
	maxCheckpoint = 1 << 20
)

// What a reader decides on.
var (
	// ErrFork says that a tree is not an extension of one that was signed before.
	ErrFork = errors.New("audit: the log was rewritten: it does not extend the older checkpoint")
	// ErrRollback says that a tree is smaller than one that was signed before.
	ErrRollback = errors.New("audit: the log was taken back: it is shorter than the older checkpoint")
	// ErrWitnesses says that too few witnesses have cosigned.
	ErrWitnesses = errors.New("audit: too few of the witnesses have cosigned the checkpoint")
)

var (
	errCheckpoint = errors.New("audit: not a signed checkpoint")
	errSigned     = errors.New("audit: the checkpoint is not signed by the log's key")
	errSignature  = errors.New("audit: a signature of the checkpoint is wrong")
)

// Checkpoint is the signed head of a log: c2sp.org/tlog-checkpoint.
type Checkpoint struct {
	Origin   string // the log's name
	Size     int64
	Root     tlog.Hash     // RFC 6962 §2.1
	Cosigned []Cosignature // of the quorum's witnesses
	note     *note.Note
	signed   []byte
}

// Cosignature says which witness vouched for a checkpoint, and when.
type Cosignature struct {
	Witness string    `json:"witness"`
	Time    time.Time `json:"time"`
}

// Quorum asks for the cosignatures of at least Least different keys. The zero
// Quorum asks for none, and looks at none.
type Quorum struct {
	Of    []*WitnessKey
	Least int
}

// Bytes returns the signed note.
func (c *Checkpoint) Bytes() []byte { return slices.Clone(c.signed) }

// ParseCheckpoint reads a checkpoint and checks the log's signature, and those
// of the quorum's witnesses. The origin is the name of the log's key. Other
// signatures are not looked at, as c2sp.org/signed-note wants it. A checkpoint
// with extension lines is refused: no log of ours has any.
func ParseCheckpoint(signed []byte, log note.Verifier, q Quorum) (*Checkpoint, error) {
	if len(signed) > maxCheckpoint {
		return nil, errCheckpoint
	}
	n, err := note.Open(signed, known{log, q})
	if err != nil {
		return nil, refused(err)
	}
	c, err := parseHead(n.Text)
	if err != nil {
		return nil, err
	}
	if c.Origin != log.Name() {
		return nil, errSigned
	}
	c.note, c.signed = n, slices.Clone(signed)
	if err := c.judge(log, q); err != nil {
		return nil, err
	}
	return c, nil
}

// known is the log's key and the quorum's, as package note wants them.
type known struct {
	log note.Verifier
	Quorum
}

func (k known) Verifier(name string, hash uint32) (note.Verifier, error) {
	if name == k.log.Name() && hash == k.log.KeyHash() {
		return k.log, nil
	}
	for _, w := range k.Of {
		if name == w.name && hash == w.hash {
			return w, nil
		}
	}
	return nil, &note.UnknownVerifierError{Name: name, KeyHash: hash}
}

func refused(err error) error {
	var unverified *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unverified):
		return errSigned
	case errors.As(err, &invalid):
		return errSignature
	}
	return errCheckpoint
}

// parseHead reads the three lines of a checkpoint.
func parseHead(text string) (*Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || lines[0] == "" || lines[3] != "" {
		return nil, errCheckpoint
	}
	size, ok := parseDecimal(lines[1])
	root, err := parseHash(lines[2])
	if !ok || err != nil {
		return nil, errCheckpoint
	}
	return &Checkpoint{Origin: lines[0], Size: size, Root: root}, nil
}

// judge looks at the signatures, which note.Open has verified.
func (c *Checkpoint) judge(log note.Verifier, q Quorum) error {
	byLog := false
	keys := map[string]bool{} // one key under two names is one witness
	for _, s := range c.note.Sigs {
		raw, err := base64.StdEncoding.Strict().DecodeString(s.Base64)
		if err != nil {
			return errSignature
		}
		if s.Name == log.Name() && s.Hash == log.KeyHash() {
			byLog = true
			continue
		}
		i := slices.IndexFunc(q.Of, func(w *WitnessKey) bool { return w.name == s.Name && w.hash == s.Hash })
		keys[string(q.Of[i].key)] = true // there is one, or note.Open had called it unverified
		seconds := int64(binary.BigEndian.Uint64(raw[4:]))
		c.Cosigned = append(c.Cosigned, Cosignature{s.Name, time.Unix(seconds, 0).UTC()})
	}
	switch {
	case !byLog:
		return errSigned
	case len(keys) < q.Least:
		return ErrWitnesses
	}
	return nil
}

func formatHead(origin string, size int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%v\n", origin, size, root)
}

// parseDecimal reads a size or an index, which has one spelling.
func parseDecimal(s string) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= maxSize && s == strconv.FormatInt(n, 10)
}

func parseHash(s string) (h tlog.Hash, err error) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(h) || base64.StdEncoding.EncodeToString(b) != s {
		return h, errors.New("audit: not a hash in base64")
	}
	return tlog.Hash(b), nil
}
