package client

import (
	"errors"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/overlap-psi/overlap/identity"
)

// gRPC keeps a handshake's error as text; what it means is found in it, and
// everything else is left as it is.
func TestRefusal(t *testing.T) {
	handshake := status.Error(codes.Unavailable, "connection error: desc = \"transport: authentication handshake failed: "+identity.ErrUnknown.Error()+"\"")
	if err := refusal(handshake); !errors.Is(err, identity.ErrUnknown) {
		t.Errorf("another company: %v", err)
	}
	down := status.Error(codes.Unavailable, "connection refused")
	if err := refusal(down); errors.Is(err, identity.ErrUnknown) || status.Code(err) != codes.Unavailable || !errors.Is(err, down) {
		t.Errorf("nobody there: %v", err)
	}
}
