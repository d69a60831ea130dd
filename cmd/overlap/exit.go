package main

import (
	"context"
	"errors"
	"syscall"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

// The abort codes of PROTOCOL.md §13 that a person can do something about.
const (
	versionDiffers   = 1
	termsDiffer      = 2
	notAuthenticated = 3
	expired          = 4
	budgetSpent      = 5
	malformed        = 6
	proof            = 7
	table            = 8
	claim            = 9
	internal         = 10
	timedOut         = 11
	differs          = 13
	cancelled        = 14
	busy             = 15
)

// hints say what to do about a code, whichever side it comes from.
var hints = map[uint8]string{
	versionDiffers:   "the other company runs another version of Overlap; agree on one",
	termsDiffer:      "the two companies hold different policies or ask for different things; compare the files with: overlap policy diff OURS THEIRS",
	notAuthenticated: "check the id you were given against the one `overlap keygen` printed for the other company",
	expired:          "the two companies' clocks are more than a minute apart, or a connection is being replayed",
	budgetSpent:      "what the policy allows in this epoch is used up; wait for the next epoch, or agree on another policy",
	timedOut:         "the other side stopped answering; check the network and run the match again",
	busy:             "the platform runs as many sessions as it may; try again in a few minutes",
}

// peerHints say what to do when the other company ends a session with a code that
// means nothing to do if it is one's own.
var peerHints = map[uint8]string{
	malformed: "the two programs do not understand each other: ask the other company which version of Overlap it runs",
	proof:     "the other company's program found a proof wrong that this one made: ask it which version of Overlap it runs, and keep the receipt",
	table:     "the other company's program found a table wrong, or it is not offered any more; match again, and if it stays so, ask which version it runs",
	claim:     "the other company's program found a claim wrong that this one made: ask it which version of Overlap it runs, and keep the receipt",
	internal:  "something failed at the other company, whose own log says what: tell it, and match again later",
	differs:   "the two companies saw different sessions: keep the receipt, and ask the other company which version of Overlap it runs",
	cancelled: "the other company's program was stopped: match again when it runs",
}

// obstacleHints say what to do about a platform that can't be reached.
var obstacleHints = map[client.Obstacle]string{
	client.Refused:    "is `overlap serve` running there, and is the port right?",
	client.NoHost:     "check the host's name in --platform, and this machine's DNS",
	client.NoRoute:    "check this machine's network and the address in --platform",
	client.Silent:     "check the address in --platform, and that no firewall is between; then try again",
	client.NotTLS:     "check host and port in --platform with the platform: TLS has to end in `overlap serve` itself, not in a proxy before it",
	client.NotOverlap: "check host and port in --platform with the platform: TLS has to end in `overlap serve` itself, not in a proxy before it",
	client.Untimely:   "if this machine's clock is right, the platform has to renew its certificate with: overlap keygen --renew, and to start its server again",
	client.TurnedAway: "ask the platform whether its partners file has the id that `overlap keygen` printed for you, and whether its clock is right",
	client.Another:    "compare --peer with the id that `overlap keygen` printed for the platform; nothing was sent",
	client.HungUp:     "check host and port in --platform; a platform that has too many connections closes them, too: then try again in a minute",
	client.Other:      "check the address in --platform, and ask the platform whether its server runs",
}

// advice returns what to do about an error, or "".
func advice(err error) string {
	var h hinted
	var unreachable *client.UnreachableError
	var peer *session.PeerAbort
	switch {
	case errors.As(err, &h):
		return h.hint
	case errors.Is(err, context.Canceled):
		return "what was charged stays charged; a session that had begun is over, and its receipt says how far it came"
	case errors.Is(err, client.ErrNoTable):
		return "ask the platform to run `overlap table build` with this policy in its partners file, and where the policy asks for witnesses to publish when they have answered; without --table published it makes a table for the session"
	case errors.Is(err, client.ErrNoCopy):
		return "--tables-from is a copy of the directory IDENTITY/work/tables of the platform, made after its last `overlap table build`; without it the platform sends the table"
	case errors.Is(err, client.ErrDownload):
		return "check the network and match again: what has come of the table is kept, and the rest is fetched"
	case errors.Is(err, session.ErrBroken):
		return "the connection was lost, and could not be made again if a session had begun; check the network and match again: nothing was charged twice"
	case errors.As(err, &unreachable):
		return obstacleHints[unreachable.Obstacle]
	case errors.Is(err, identity.ErrUnknown):
		return hints[notAuthenticated]
	case errors.Is(err, audit.ErrWitnesses):
		return "ask the platform which witnesses cosign its log, and name those that you trust with --witness; too few of them have seen this"
	case errors.Is(err, client.ErrSmall):
		return "nothing left this machine; the policy refuses small lists (hygiene.small_list)"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, store.ErrFull):
		return "make room on the disk, and begin again: what could not be written whole is not there"
	case errors.As(err, &peer) && peerHints[uint8(peer.Code)] != "":
		return peerHints[uint8(peer.Code)]
	case errors.Is(err, policy.ErrOther):
		return "the policy was changed after it was signed; if both companies agree to the change, remove the .sig file and sign again"
	case errors.Is(err, store.ErrURL):
		return "in a PostgreSQL URL the port is a number and sslmode one of PostgreSQL's; what it leaves out is taken from PGPORT, PGSSLMODE and so on, which have to be right too"
	case errors.Is(err, store.ErrForeign):
		return "correct --store: sqlite:PATH names the store's own file, which `overlap ledger import` makes if there is none"
	case errors.Is(err, store.ErrNewer):
		return "use the version of overlap that made it, or a later one; nothing was changed"
	case errors.Is(err, store.ErrNoDirectory):
		return "correct --store, or make the directory first"
	case errors.Is(err, store.ErrUnreachable):
		return "is PostgreSQL running there, and are host, port and sslmode in --store right?"
	case errors.Is(err, store.ErrNotLetIn):
		return "check the user in --store, and the password in PGPASSWORD or ~/.pgpass"
	case errors.Is(err, store.ErrNoDatabase):
		return "correct --store, or make the database with: createdb NAME"
	case errors.Is(err, store.ErrReserved):
		return "stop that server first; a store has one at a time, and other commands may use it meanwhile"
	case errors.Is(err, store.ErrTaken):
		return "this server's connection to PostgreSQL broke, and the other one was faster: stop the other one before you start this one again"
	case errors.Is(err, audit.ErrBehind), errors.Is(err, audit.ErrApart):
		return "check --store and --dir; a log is never cut or begun anew, since others hold copies of it"
	case errors.Is(err, store.ErrDirReserved):
		return "stop that server first, or give this one a directory of its own with --dir"
	}
	return hints[uint8(session.Code(err))]
}

// refusedError is a refusal by the policy that this program itself makes.
type refusedError struct{ error }

// exitStatus tells a refusal by policy from a failure, and both from a mistake in
// the command line.
func exitStatus(err error) int {
	var usage usageError
	var header *audience.HeaderError
	if errors.As(err, &usage) || errors.Is(err, store.ErrURL) || errors.As(err, &header) && header.Problem <= audience.AlwaysRead { // of --column
		return exitUsage
	}
	var refused refusedError
	if errors.As(err, &refused) || errors.Is(err, identity.ErrUnknown) || errors.Is(err, client.ErrSmall) {
		return exitRefused
	}
	switch session.Code(err) {
	case termsDiffer, notAuthenticated, budgetSpent:
		return exitRefused
	}
	return exitFailed
}
