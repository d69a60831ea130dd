package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// maxHashes is more than a proof in the largest tree has.
	maxHashes = 63
)

var (
	errProof    = errors.New("audit: not a proof of c2sp.org/tlog-proof@v1")
	errNotIn    = errors.New("audit: the proof does not show that the entry is in the log")
	errNotProof = errors.New("audit: not a consistency proof of c2sp.org/tlog-witness")
)

// Proof shows that an entry is in a log to whoever has the log's key and nothing
// else: c2sp.org/tlog-proof.
type Proof struct {
	Extra      []byte // for the application, and not authenticated; may be empty
	Index      int64
	Hashes     []tlog.Hash // from the leaf's sibling up (RFC 6962 §2.1.1)
	Checkpoint []byte
}

// Bytes returns the proof's file, whose name should end in .tlog-proof.
func (p *Proof) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, proofHeader)
	if len(p.Extra) > 0 {
		fmt.Fprintln(&b, "extra", base64.StdEncoding.EncodeToString(p.Extra))
	}
	fmt.Fprintln(&b, "index", p.Index)
	writeHashes(&b, p.Hashes)
	b.Write(p.Checkpoint)
	return b.Bytes()
}

// ParseProof reads what Bytes wrote, and nothing else. It verifies nothing.
func ParseProof(file []byte) (*Proof, error) {
	head, rest, ok := strings.Cut(string(file), "\n")
	if !ok || head != proofHeader {
		return nil, errProof
	}
	p := new(Proof)
	if after, ok := strings.CutPrefix(rest, "extra "); ok {
		text, following, _ := strings.Cut(after, "\n")
		extra, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil {
			return nil, errProof
		}
		p.Extra, rest = extra, following
	}
	if p.Index, p.Hashes, p.Checkpoint, ok = parsePath(rest, "index "); !ok || !bytes.Equal(p.Bytes(), file) {
		return nil, errProof
	}
	return p, nil
}

// VerifyInclusion checks that the entry is in the log whose key is given, and
// that enough witnesses saw the log. It returns the entry's index.
func VerifyInclusion(proof, entry []byte, log note.Verifier, q Quorum) (index int64, err error) {
	p, err := ParseProof(proof)
	if err != nil {
		return 0, err
	}
	c, err := ParseCheckpoint(p.Checkpoint, log, q)
	if err != nil {
		return 0, err
	}
	if tlog.CheckRecord(p.Hashes, c.Size, c.Root, p.Index, tlog.RecordHash(entry)) != nil {
		return 0, errNotIn
	}
	return p.Index, nil
}

// Consistency shows that a tree extends a smaller one. Its form is that of a
// request to a witness, c2sp.org/tlog-witness.
type Consistency struct {
	Old        int64       // the smaller tree's size
	Hashes     []tlog.Hash // RFC 6962 §2.1.2
	Checkpoint []byte
}

// Bytes returns the proof's file.
func (c *Consistency) Bytes() []byte {
	var b bytes.Buffer
	fmt.Fprintln(&b, "old", c.Old)
	writeHashes(&b, c.Hashes)
	b.Write(c.Checkpoint)
	return b.Bytes()
}

// ParseConsistency reads what Bytes wrote, and nothing else. It verifies nothing.
func ParseConsistency(file []byte) (*Consistency, error) {
	c := new(Consistency)
	var ok bool
	if c.Old, c.Hashes, c.Checkpoint, ok = parsePath(string(file), "old "); !ok || !bytes.Equal(c.Bytes(), file) {
		return nil, errNotProof
	}
	return c, nil
}

// check checks the proof between two checkpoints of one log, next the larger.
func (c *Consistency) check(old, next *Checkpoint) error {
	switch {
	case old.Size == 0 && len(c.Hashes) == 0:
		return nil
	case tlog.CheckTree(c.Hashes, next.Size, next.Root, old.Size, old.Root) != nil:
		return ErrFork
	}
	return nil
}

func writeHashes(b *bytes.Buffer, hashes []tlog.Hash) {
	for _, h := range hashes {
		fmt.Fprintln(b, h)
	}
	fmt.Fprintln(b)
}

// parsePath reads a line with a number, hashes, an empty line and a checkpoint.
func parsePath(text, word string) (n int64, hashes []tlog.Hash, checkpoint []byte, ok bool) {
	line, rest, _ := strings.Cut(text, "\n")
	number, ok := strings.CutPrefix(line, word)
	if n, ok2 := parseDecimal(number); ok && ok2 {
		for len(hashes) <= maxHashes {
			line, rest, ok = strings.Cut(rest, "\n")
			if !ok || line == "" {
				return n, hashes, []byte(rest), ok && rest != ""
			}
			h, err := parseHash(line)
			if err != nil {
				break
			}
			hashes = append(hashes, h)
		}
	}
	return 0, nil, nil, false
}
