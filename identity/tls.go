package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/internal/edkey"
)

// ErrUnknown is returned by a handshake with a company that was not expected.
var ErrUnknown = errors.New("identity: the certificate belongs to an unknown company")

// Peer is the company at the other end of a connection.
type Peer struct {
	ID       ID
	Public   ed25519.PublicKey
	Exporter []byte // RFC 9266 tls-exporter of the connection, 32 bytes
}

// ServerTLS returns the platform's side of mutual TLS 1.3. known says which
// companies may connect; it is asked at every handshake, so that a partner that
// was removed cannot come back.
func (i *Identity) ServerTLS(known func(ID) bool) *tls.Config {
	c := i.config(known)
	c.ClientAuth = tls.RequireAnyClientCert // config's VerifyConnection does the verifying
	c.SessionTicketsDisabled = true         // so every connection shows its certificate
	return c
}

// ClientTLS returns the advertiser's side: it talks to this one company only.
func (i *Identity) ClientTLS(peer ID) *tls.Config {
	c := i.config(func(id ID) bool { return id == peer })
	// No certificate authority vouches for a company: its pinned id does, in
	// VerifyConnection. Names and addresses of servers play no part.
	c.InsecureSkipVerify = true
	return c
}

func (i *Identity) config(known func(ID) bool) *tls.Config {
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{i.cert},
		VerifyConnection: func(state tls.ConnectionState) error {
			id, _, err := identify(state.PeerCertificates, time.Now())
			if err != nil {
				return err
			}
			if !known(id) {
				return ErrUnknown
			}
			return nil
		},
	}
}

// PeerOf returns who is at the other end of an established connection.
func PeerOf(state tls.ConnectionState) (Peer, error) {
	id, public, err := identify(state.PeerCertificates, time.Now())
	if err != nil {
		return Peer{}, err
	}
	exporter, err := state.ExportKeyingMaterial("EXPORTER-Channel-Binding", nil, 32)
	if err != nil {
		return Peer{}, fmt.Errorf("identity: tls-exporter: %w", err)
	}
	return Peer{ID: id, Public: public, Exporter: exporter}, nil
}

// Named returns the id that a connection's certificates name, and checks nothing:
// the handshake has, and PeerOf does again. It costs next to nothing, for what has
// to be decided about every call, however many a peer makes.
func Named(state tls.ConnectionState) (ID, error) {
	if len(state.PeerCertificates) != 2 {
		return ID{}, errChain
	}
	public, ok := state.PeerCertificates[1].PublicKey.(ed25519.PublicKey)
	if !ok {
		return ID{}, errIssuer
	}
	return idOf(public), nil
}

// ErrNone says that a certificate is none of a company's identity.
var ErrNone = errors.New("identity: not a company's certificate")

// ErrUntimely says that a certificate is over, or begins later, by this machine's
// clock.
var ErrUntimely = errors.New("identity: the certificate is not valid at this time")

var (
	errChain  = fmt.Errorf("%w: want one and the identity that issued it", ErrNone)
	errIssuer = fmt.Errorf("%w: the issuing key is not an Ed25519 identity", ErrNone)
)

// timely refuses a certificate whose time is over or still to come.
func timely(c *x509.Certificate, now time.Time) error {
	switch {
	case now.After(c.NotAfter):
		return fmt.Errorf("%w: it ran out on %s", ErrUntimely, c.NotAfter.UTC().Format(time.DateTime))
	case now.Before(c.NotBefore):
		return fmt.Errorf("%w: it begins on %s, and this machine's clock says %s",
			ErrUntimely, c.NotBefore.UTC().Format(time.DateTime), now.UTC().Format(time.DateTime))
	}
	return nil
}

// identify checks that the chain is a TLS certificate issued by an identity,
// and says by which.
func identify(chain []*x509.Certificate, now time.Time) (ID, ed25519.PublicKey, error) {
	if len(chain) != 2 {
		return ID{}, nil, errChain
	}
	leaf, root := chain[0], chain[1]
	public, ok := root.PublicKey.(ed25519.PublicKey)
	if !ok || !edkey.Valid(public) {
		return ID{}, nil, errIssuer
	}
	for _, c := range chain {
		if err := timely(c, now); err != nil {
			return ID{}, nil, err
		}
	}
	roots := x509.NewCertPool()
	roots.AddCert(root)
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return ID{}, nil, fmt.Errorf("identity: certificate does not belong to its identity: %w", err)
	}
	return idOf(public), public, nil
}
