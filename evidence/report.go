package evidence

import (
	"fmt"
	"math"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identity"
)

// Report is what an audit of one session found. Whose ids these are is for the
// auditor to say.
type Report struct {
	Session     string      `json:"session"`
	Platform    identity.ID `json:"platform"`
	Advertiser  identity.ID `json:"advertiser"`
	PolicyHash  string      `json:"policy_sha256"`
	ConsentRoot string      `json:"consent_root"`
	Complete    bool        `json:"complete"` // both companies signed how the session ended
	Size        uint64      `json:"size"`     // positions there are, with pads
	Samples     int         `json:"samples"`  // positions drawn, with repetition
	Drawn       int         `json:"drawn"`    // different ones among them: the sum of the next four

	Records uint64    `json:"records"` // made from an admitted record of the snapshot
	Pads    uint64    `json:"pads"`    // made from nobody
	Erased  uint64    `json:"erased"`  // closed by an erasure that was logged before the challenge
	Bad     []Finding `json:"bad"`     // everything else

	ErasedBy Excuse `json:"erased_before_draw_by,omitempty"` // empty if none was erased

	// The probability that this many samples would have found a fraction of bad
	// positions, for some fractions.
	Detection []Detection `json:"detection"`
}

// Finding is a position that is not what it should be.
type Finding struct {
	Position uint64 `json:"position"`
	Reason   Reason `json:"reason"`
}

// Excuse is what shows that an erasure came before the draw.
type Excuse string

// The excuses.
const (
	ByCheckpoint Excuse = "checkpoint" // which the auditor had by then
	ByLogTime    Excuse = "log_time"   // which is the platform's word
)

// Reason says what is wrong with a position. The list is closed, but for the
// Refusal after ReasonRefused.
type Reason string

// The reasons.
const (
	ReasonMissing   Reason = "it was not opened"
	ReasonForm      Reason = "its opening has fields missing or too many"
	ReasonRecord    Reason = "its record cannot be read, or is not the one that the leaf names"
	ReasonRefused   Reason = "its record may not be matched: " // and a consent.Refusal
	ReasonLeaf      Reason = "its leaf is not in this place of the snapshot"
	ReasonQuestion  Reason = "the question was not made from this leaf with this blind"
	ReasonNotErased Reason = "no erasure of its leaf was logged before the challenge"
)

func refused(r consent.Refusal) Reason { return ReasonRefused + Reason(r) }

// Detection is a fraction of bad positions, and how likely it would have been
// found.
type Detection struct {
	Fraction    float64 `json:"fraction"`
	Probability float64 `json:"probability"`
}

// fractions are those that every report speaks of.
var fractions = [...]float64{0.01, 0.001, 0.0001}

// Detects returns 1 − (1 − f)^samples: how likely at least one bad position
// would have been drawn if a fraction f of all were bad. f is 0 to 1.
func (r *Report) Detects(f float64) float64 {
	return -math.Expm1(float64(r.Samples) * math.Log1p(-f))
}

// Err returns nil if every position drawn is good or was erased in time.
func (r *Report) Err() error {
	if len(r.Bad) == 0 {
		return nil
	}
	return fmt.Errorf("evidence: %d of %d positions are not what the platform committed to", len(r.Bad), r.Drawn)
}
