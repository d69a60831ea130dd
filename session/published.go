package session

import (
	"bytes"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// Published is a table that both sides have before the session (PROTOCOL.md §7.4).
type Published struct {
	TableID      [32]byte
	ManifestHash [32]byte // SHA-256 of the body of MANIFEST
	TokenLen     int
	Entries      uint64
	Root         tlog.Hash
	Key          *psi.PublicKey
	Consent      Snapshot
}

// id is what HELLO asks for: a published table, or nothing.
func (p *Published) id() []byte {
	if p == nil {
		return nil
	}
	return p.TableID[:]
}

// hash is what OPEN_H says of a table's manifest.
func (p *Published) hash() []byte {
	if p == nil {
		return nil
	}
	return p.ManifestHash[:]
}

// matches reports whether OPEN_H opens this table, to its last field.
func (p *Published) matches(m *ampsiv1.OpenH) bool {
	key := p.Key.Bytes()
	return bytes.Equal(m.GetTableId(), p.TableID[:]) && bytes.Equal(m.GetManifestHash(), p.ManifestHash[:]) &&
		bytes.Equal(m.GetTableRoot(), p.Root[:]) && bytes.Equal(m.GetPkS(), key[:]) && m.GetNHat() == p.Entries &&
		bytes.Equal(m.GetConsentRoot(), p.Consent.Root[:]) && m.GetConsentSize() == p.Consent.Size
}

// mayBePublished reports whether sessions may be about a published table: it is the
// platform's, and in this version it tells nothing but who is there.
func mayBePublished(p *policy.Policy, mode psi.Mode) bool {
	return mode.AdvertiserAsks() && p.LabelLen == 0
}

// validTable reports whether a HELLO asks for a table that the mode can have.
func (s *Session) validTable(h *ampsiv1.Hello) bool {
	if h.GetTableKind() == tablePublished {
		return mayBePublished(s.c.Policy, psi.Mode(h.GetMode())) && s.c.Offer != nil && len(h.GetTableId()) == 32
	}
	return h.GetTableKind() == tableSession && len(h.GetTableId()) == 0
}

// tokenLen is that of this session's table.
func (s *Session) tokenLen() int {
	if s.published != nil {
		return s.published.TokenLen
	}
	return TokenLen
}

func (s *Session) tableKind() uint32 {
	if s.published != nil {
		return tablePublished
	}
	return tableSession
}
