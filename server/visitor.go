package server

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
)

// visitor is a partner that calls.
type visitor struct {
	s       *Server
	state   tls.ConnectionState
	id      identity.ID
	partner *Partner
	log     *slog.Logger
}

// admit says who calls, before anything is read or made for the call. Its error is
// on record.
func (s *Server) admit(call context.Context) (*visitor, error) {
	state, id, partner, err := s.caller(call)
	if err != nil {
		err = fmt.Errorf("%w: %w", err, psi.AbortAuth)
		s.door.warn(s.c.Log, identity.ID{}, err)
		s.c.Watch.refused("", "unknown")
		return nil, err
	}
	v := &visitor{s, state, id, partner, s.c.Log.With("partner", partner.Name)}
	if compressed(call) {
		return nil, v.turnedAway("compressed", fmt.Errorf("server: the call is compressed: %w", psi.AbortMalformed))
	}
	return v, nil
}

// verify looks at the certificate of who has come through the door. Its error is
// on record.
func (v *visitor) verify() (identity.Peer, error) {
	p, err := identity.PeerOf(v.state)
	if err != nil {
		err = v.turnedAway("unknown", fmt.Errorf("%w: %w", err, psi.AbortAuth))
	}
	return p, err
}

// turnedAway puts the error on record.
func (v *visitor) turnedAway(why string, err error) error {
	v.s.door.warn(v.log, v.id, err)
	v.s.c.Watch.refused(v.partner.Name, why)
	return err
}
