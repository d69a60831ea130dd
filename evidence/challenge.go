package evidence

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// challengeFormat names the layout of a challenge file.
const challengeFormat = "overlap-challenge-1"

// MaxSamples is the largest number of positions of a challenge, as of a policy's
// audit_samples (PROTOCOL.md §15).
const MaxSamples = 1_000_000

// Challenge is what an auditor asks a platform to open. Its JSON is the challenge
// file; byte strings are Base64.
type Challenge struct {
	Format  string    `json:"format"`
	Session []byte    `json:"session"`   // sid, 32 bytes
	Random  []byte    `json:"challenge"` // 32 bytes
	Samples int       `json:"samples"`   // positions to draw, 1 to MaxSamples; one may be drawn twice
	Drawn   time.Time `json:"drawn"`     // an erasure logged later is no excuse

	// Checkpoint is the signed one of the platform's log that the auditor had when it
	// drew, or nil: the log has to extend it, and what comes after it is no excuse.
	Checkpoint []byte `json:"checkpoint,omitempty"`
}

var (
	errChallenge = errors.New("evidence: not a challenge of this version")
	errEarly     = errors.New("evidence: a challenge drawn before SEAL proves nothing")
)

// Draw draws a challenge from crypto/rand. It takes the session's SEAL, in the
// receipt of the company that was not the platform: a platform that knew the
// positions before it signed could have arranged for them.
func Draw(r *receipt.Receipt, samples int, now time.Time) (*Challenge, error) {
	asked, err := r.Questions()
	if err != nil {
		return nil, err
	}
	random := make([]byte, 32)
	rand.Read(random)
	c := &Challenge{Format: challengeFormat, Session: asked.SID[:], Random: random, Samples: samples, Drawn: now.UTC()}
	if err := errors.Join(c.check(), c.isOf(asked)); err != nil {
		return nil, err
	}
	return c, nil
}

// ParseChallenge reads a challenge file.
func ParseChallenge(file []byte) (*Challenge, error) {
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	c := new(Challenge)
	if err := dec.Decode(c); err != nil {
		return nil, errChallenge
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errChallenge
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Bytes returns the challenge file.
func (c *Challenge) Bytes() []byte {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		panic("evidence: a challenge has a time that JSON can't say")
	}
	return append(b, '\n')
}

func (c *Challenge) check() error {
	if c.Format != challengeFormat || len(c.Session) != 32 || len(c.Random) != 32 || c.Samples < 1 || c.Samples > MaxSamples || c.Drawn.IsZero() {
		return errChallenge
	}
	return nil
}

// clockSkew is how far two companies' clocks may be apart (PROTOCOL.md §5.2).
const clockSkew = time.Minute

// isOf reports whether the challenge is one for these questions.
func (c *Challenge) isOf(asked *receipt.Questions) error {
	switch {
	case !bytes.Equal(c.Session, asked.SID[:]):
		return errors.New("evidence: the challenge is for another session")
	case c.Drawn.Add(clockSkew).Before(asked.Sealed):
		return errEarly
	}
	return nil
}

// positions returns the positions to open in a session of this size, in
// increasing order, each once.
func (c *Challenge) positions(size uint64) []uint64 {
	all := psi.AuditPositions((*[32]byte)(c.Session), (*[32]byte)(c.Random), c.Samples, size)
	slices.Sort(all)
	return slices.Compact(all)
}
