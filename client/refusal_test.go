package client

import (
	"errors"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
)

// gRPC keeps of what went wrong its text, and puts more around it; what it means is
// found in it, and what is not known is shown without gRPC's words.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		said string // as gRPC v1.85 does
		want Obstacle
		text string
	}{
		{`name resolver error: produced zero addresses`, NoHost, "no host of this name"},
		{`name resolver error: dns: A record lookup error: lookup ads.example on 10.0.0.1:53: read udp: connection refused`, NoHost, "no host of this name"},
		{`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:8443: connect: connection refused"`, Refused, ": connection refused"},
		{`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:8443: connect: no route to host"`, NoRoute, "network"},
		{`connection error: desc = "transport: Error while dialing: dial tcp 10.0.0.1:8443: i/o timeout"`, Silent, "no answer"},
		{`connection error: desc = "transport: authentication handshake failed: context deadline exceeded"`, Silent, "no answer"},
		{`connection error: desc = "transport: authentication handshake failed: tls: first record does not look like a TLS handshake"`, NotTLS, "TLS"},
		{`connection error: desc = "transport: authentication handshake failed: identity: not a company's certificate: want one and the identity that issued it"`, NotOverlap, "no Overlap platform"},
		{`connection error: desc = "transport: authentication handshake failed: identity: the certificate is not valid at this time: it ran out on 2026-01-02 00:00:00"`, Untimely, "ran out on 2026-01-02"},
		{`connection error: desc = "error reading server preface: remote error: tls: bad certificate"`, TurnedAway, "does not accept this company's certificate"},
		{`connection error: desc = "error reading server preface: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"`, TurnedAway, "does not accept this company's certificate"},
		{`write tcp 127.0.0.1:1->127.0.0.1:2: write: broken pipe`, TurnedAway, "does not accept this company's certificate"},
		{`connection error: desc = "transport: authentication handshake failed: read tcp 127.0.0.1:1->127.0.0.1:2: read: connection reset by peer"`, HungUp, "closed at once"},
		{`connection error: desc = "transport: authentication handshake failed: remote error: tls: handshake failure"`, NotOverlap, "no Overlap platform"},
		{`connection error: desc = "transport: authentication handshake failed: EOF"`, HungUp, "closed at once"},
		{`connection error: desc = "error reading server preface: read tcp 127.0.0.1:1->127.0.0.1:2: use of closed network connection"`, Silent, "no answer in time"},
		{`connection error: desc = "transport: Error while dialing: failed to do connect handshake, response: 403"`, Other, ": failed to do connect handshake, response: 403"},
	} {
		err := refusal(nil, status.Error(codes.Unavailable, c.said))
		var e *UnreachableError
		if !errors.As(err, &e) || e.Obstacle != c.want || !strings.Contains(e.Error(), c.text) {
			t.Errorf("%s: %v", c.said, err)
		}
		for _, noise := range []string{"rpc error", "desc", "transport", `"`} {
			if strings.Contains(err.Error(), noise) {
				t.Errorf("%s: %v", c.said, err)
			}
		}
	}
	handshake := status.Error(codes.Unavailable, "connection error: desc = \"transport: authentication handshake failed: "+identity.ErrUnknown.Error()+"\"")
	if err := refusal(nil, handshake); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("another company: %v", err)
	}
}
