package client

import (
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
)

// UnreachableError says that no call to the platform could begin. Nothing of the
// list has left the process with that call.
type UnreachableError struct {
	// Address is the one that was called; it is empty if the connection does not
	// tell it.
	Address string
	// Obstacle is what was in the way.
	Obstacle Obstacle
	// Err is what gRPC said.
	Err error
}

func (e *UnreachableError) Error() string {
	return strings.TrimSuffix("client: cannot reach "+e.Address, " ") + ": " + e.reason()
}

// Unwrap returns what gRPC said.
func (e *UnreachableError) Unwrap() error { return e.Err }

// reason is a sentence's second half.
func (e *UnreachableError) reason() string {
	if words := obstacles[e.Obstacle].words; words != "" {
		return words
	}
	return said(e.Err)
}

// Obstacle is why a platform can't be reached.
type Obstacle int

// The obstacles that can be told from each other.
const (
	Other      Obstacle = iota // anything else; the error's text has it
	NoHost                     // the host's name can't be resolved
	Refused                    // the host is there, and nobody listens on the port
	NoRoute                    // the network has no way there
	Silent                     // nobody answers, or the answer stops before a call begins
	NotTLS                     // whoever listens speaks no TLS
	NotOverlap                 // whoever listens speaks TLS, and is no Overlap platform
	Untimely                   // the platform's certificate is over, or begins later, by this machine's clock
	HungUp                     // the connection was closed before it was known who is there
	TurnedAway                 // it was closed after: the platform does not accept this company's certificate, or no more connections of it
	Another                    // a company answers, and another than the one expected; Err is identity.ErrUnknown
)

// obstacles are what a person is told, and the pieces of gRPC's, crypto/tls's and
// the system's text that an obstacle is known by: gRPC keeps no more of an error
// than its text. The first that is found counts.
var obstacles = [...]struct {
	words string // empty: the text says more
	known []string
}{
	Other:      {},
	NoHost:     {"there is no host of this name, or it can't be looked up", []string{"produced zero addresses", "lookup "}},
	Refused:    {"connection refused", []string{"connection refused"}},
	NoRoute:    {"this machine's network has no way there", []string{"network is unreachable", "no route to host"}},
	Silent:     {"no answer in time", []string{"deadline exceeded", "i/o timeout", "timed out", "closed network connection"}}, // closed by gRPC, which has waited
	NotTLS:     {"who listens there does not speak TLS", []string{"does not look like a TLS handshake"}},
	NotOverlap: {"who listens there is no Overlap platform", []string{identity.ErrNone.Error(), "handshake failed: remote error", "ALPN", "application protocol", "tls: protocol version"}},
	Untimely:   {"", []string{identity.ErrUntimely.Error()}},
	Another:    {"it is another company than the one whose id was given", []string{identity.ErrUnknown.Error()}},
	HungUp:     {"the connection was closed at once", []string{"handshake failed: EOF", "handshake failed: read tcp", "handshake failed: write tcp"}},
	TurnedAway: {"the platform does not accept this company's certificate, or no more connections of it", []string{"remote error: tls", "EOF", "reset by peer", "broken pipe"}},
}

// said is the text of gRPC's error without what gRPC puts around it.
func said(err error) string {
	text := status.Convert(err).Message()
	if _, inner, found := strings.Cut(text, "desc = "); found {
		text = strings.Trim(inner, `"`)
	}
	for _, around := range []string{"transport: ", "authentication handshake failed: ", "Error while dialing: ", "error reading server preface: "} {
		text = strings.TrimPrefix(text, around)
	}
	return text
}

// refusal makes of a failed connection what it means. A platform that does not know
// this identity closes the connection after the client's side of the handshake: TLS
// 1.3 lets the client finish first. Its alert is lost if the client writes meanwhile.
func refusal(conn grpc.ClientConnInterface, err error) error {
	text := err.Error()
	e := &UnreachableError{Err: err}
	if c, ok := conn.(interface{ Target() string }); ok {
		e.Address = c.Target()
	}
	for o, obstacle := range obstacles {
		for _, piece := range obstacle.known {
			if strings.Contains(text, piece) {
				e.Obstacle = Obstacle(o)
				if e.Obstacle == Another {
					e.Err = identity.ErrUnknown // by which callers know it
				}
				return e
			}
		}
	}
	return e
}
