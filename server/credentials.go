package server

import (
	"errors"
	"net"

	"google.golang.org/grpc/credentials"

	"github.com/overlap-psi/overlap/identity"
)

// counting bounds the connections of each partner: what a peer sends and nobody has
// read yet is held for each, and who a peer is shows in the handshake only.
type counting struct {
	credentials.TransportCredentials
	open *places
}

// ServerHandshake returns an error for one connection too many, which gRPC closes.
func (c *counting) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	// What Limit has let in is the one object that gRPC closes whatever goes wrong.
	if in, ok := raw.(*counted); ok {
		id, err := identity.Named(info.(credentials.TLSInfo).State)
		if err != nil {
			return nil, nil, err
		}
		if !in.takes(id, c.open) {
			return nil, nil, errors.New("server: the partner has too many connections")
		}
	}
	return conn, info, nil
}

// Clone implements credentials.TransportCredentials.
func (c *counting) Clone() credentials.TransportCredentials {
	return &counting{c.TransportCredentials.Clone(), c.open}
}
