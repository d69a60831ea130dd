package main

import (
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/session"
)

// The abort codes of PROTOCOL.md §13 that a person can do something about.
const (
	versionDiffers   = 1
	termsDiffer      = 2
	notAuthenticated = 3
	expired          = 4
	budgetSpent      = 5
	timedOut         = 11
	busy             = 15
)

// hints say what to do about a code, whichever side it comes from.
var hints = map[uint8]string{
	versionDiffers:   "the other company runs another version of Overlap; agree on one",
	termsDiffer:      "the two companies hold different policies or ask for different things; compare the policy files byte for byte (sha256sum)",
	notAuthenticated: "check the id you were given against the one `overlap keygen` printed for the other company",
	expired:          "the two companies' clocks are more than a minute apart, or a connection is being replayed",
	budgetSpent:      "what the policy allows in this epoch is used up; wait for the next epoch, or agree on another policy",
	timedOut:         "the other side stopped answering; check the network and run the match again",
	busy:             "the platform runs as many sessions as it may; try again in a few minutes",
}

// advice returns what to do about an error, or "".
func advice(err error) string {
	var h hinted
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, identity.ErrUnknown):
		return hints[notAuthenticated]
	case status.Code(err) == codes.Unavailable:
		return "is the platform serving at that address, and does its partners file have the id that `overlap keygen` printed for you?"
	}
	return hints[uint8(session.Code(err))]
}

// exitStatus tells a refusal by policy from a failure, and both from a mistake in
// the command line.
func exitStatus(err error) int {
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	if errors.Is(err, identity.ErrUnknown) {
		return exitRefused
	}
	switch session.Code(err) {
	case termsDiffer, notAuthenticated, budgetSpent:
		return exitRefused
	}
	return exitFailed
}
