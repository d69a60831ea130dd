// Package identity holds a company's Ed25519 identity, the TLS certificate that
// belongs to it, and the check that the other end of a connection is the
// company it should be (PROTOCOL.md §5.1).
//
// A company is named by its id, SHA-256 of its public key, and by nothing else:
// two companies exchange their ids once, out of band. The identity key signs
// the bodies of the protocol, the company's own X.509 certificates and the
// policies it agrees to. They cannot be confused: a signed body begins with a
// length, 00 00 00 0d; a certificate with 30; a policy's signed text with
// "overlap policy".
package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"time"
)

// ID names a company: SHA-256 of its 32-byte Ed25519 public key.
type ID [32]byte

// ParseID reads 64 hexadecimal digits.
func ParseID(s string) (ID, error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(ID{}) {
		return ID{}, errors.New("identity: an id is 64 hexadecimal digits")
	}
	return ID(b), nil
}

func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText and UnmarshalText write and read the hexadecimal form.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// How long certificates are valid. The identity's own outlives the TLS
// certificates it issues; `keygen --renew` issues the next.
const (
	identityYears = 10
	tlsYears      = 1
)

// Identity is a company's private key and its TLS certificate. It prints as its id.
type Identity struct {
	Name string // for people; it is in the certificate and is not secret
	key  ed25519.PrivateKey
	root *x509.Certificate // self-signed by key: says which identity issued the TLS certificate
	cert tls.Certificate   // chain: TLS certificate, root
}

// New makes an identity and its first TLS certificate.
func New(name string) (*Identity, error) {
	if name == "" {
		return nil, errors.New("identity: a name is required")
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("identity: make key: %w", err)
	}
	now := time.Now()
	template := template(name, now, identityYears)
	template.IsCA, template.MaxPathLenZero = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	root, err := issue(template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	i := &Identity{Name: name, key: key, root: root}
	return i, i.Renew()
}

// Renew issues the identity's next TLS certificate, under a new key.
func (i *Identity) Renew() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("identity: make TLS key: %w", err)
	}
	template := template(i.Name, time.Now(), tlsYears)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leaf, err := issue(template, i.root, key.Public(), i.key)
	if err != nil {
		return err
	}
	i.cert = tls.Certificate{Certificate: [][]byte{leaf.Raw, i.root.Raw}, PrivateKey: key, Leaf: leaf}
	return nil
}

func template(name string, now time.Time, years int) *x509.Certificate {
	serial := make([]byte, 16)
	rand.Read(serial)
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(serial),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             now.Add(-5 * time.Minute), // the peer's clock may be behind
		NotAfter:              now.AddDate(years, 0, 0),
		BasicConstraintsValid: true,
	}
}

func issue(cert, parent *x509.Certificate, public crypto.PublicKey, key ed25519.PrivateKey) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, key)
	if err != nil {
		return nil, fmt.Errorf("identity: issue certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// ID returns the company's id.
func (i *Identity) ID() ID { return idOf(i.Public()) }

// Public returns the company's public key.
func (i *Identity) Public() ed25519.PublicKey { return i.key.Public().(ed25519.PublicKey) }

// Key returns the private key, to sign the protocol's bodies with.
func (i *Identity) Key() ed25519.PrivateKey { return i.key }

// Expires returns when the TLS certificate ends.
func (i *Identity) Expires() time.Time { return i.cert.Leaf.NotAfter }

// Check refuses an identity that no peer would accept now: its TLS certificate, or
// its own, is over or begins later. The error wraps ErrUntimely.
func (i *Identity) Check(now time.Time) error {
	for _, c := range []*x509.Certificate{i.cert.Leaf, i.root} {
		if err := timely(c, now); err != nil {
			return err
		}
	}
	return nil
}

// Format prints the id, which is public, whatever the verb.
func (i Identity) Format(f fmt.State, _ rune) { fmt.Fprint(f, i.ID().String()) }

// LogValue logs the id.
func (i Identity) LogValue() slog.Value { return slog.StringValue(i.ID().String()) }

func idOf(public ed25519.PublicKey) ID { return sha256.Sum256(public) }
