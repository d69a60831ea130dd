package psi

import "fmt"

// AbortCode is the one byte that a peer learns of a failure (PROTOCOL.md §13).
// It is an error; what failed is wrapped around it locally and never travels.
type AbortCode uint8

// The codes of PROTOCOL.md §13.
const (
	AbortVersion    AbortCode = 1  // version or suite
	AbortTerms      AbortCode = 2  // policy or terms
	AbortAuth       AbortCode = 3  // authentication
	AbortReplay     AbortCode = 4  // replay or expiry
	AbortBudget     AbortCode = 5  // budget
	AbortMalformed  AbortCode = 6  // malformed frame, element or scalar
	AbortProof      AbortCode = 7  // proof
	AbortTable      AbortCode = 8  // table
	AbortClaim      AbortCode = 9  // claim
	AbortInternal   AbortCode = 10 // internal
	AbortTimeout    AbortCode = 11 // timeout
	AbortResume     AbortCode = 12 // cannot resume
	AbortTranscript AbortCode = 13 // transcript differs
	AbortCancelled  AbortCode = 14 // cancelled by operator
	AbortBusy       AbortCode = 15 // busy, may be retried
	lastAbort                 = AbortBusy
)

var abortText = [...]string{
	AbortVersion:    "version or suite",
	AbortTerms:      "policy or terms",
	AbortAuth:       "authentication",
	AbortReplay:     "replay or expiry",
	AbortBudget:     "budget",
	AbortMalformed:  "malformed",
	AbortProof:      "proof",
	AbortTable:      "table",
	AbortClaim:      "claim",
	AbortInternal:   "internal",
	AbortTimeout:    "timeout",
	AbortResume:     "cannot resume",
	AbortTranscript: "transcript differs",
	AbortCancelled:  "cancelled by operator",
	AbortBusy:       "busy",
}

// Valid reports whether the code is one of PROTOCOL.md §13.
func (c AbortCode) Valid() bool { return c >= AbortVersion && c <= lastAbort }

func (c AbortCode) Error() string {
	if !c.Valid() {
		return fmt.Sprintf("abort %d", uint8(c))
	}
	return fmt.Sprintf("abort %d (%s)", uint8(c), abortText[c])
}
