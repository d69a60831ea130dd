package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"testing"
	"time"
)

// anybody signs under a key of small order, without a private key.
type anybody struct{ public ed25519.PublicKey }

func (a anybody) Public() crypto.PublicKey { return a.public }

func (a anybody) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	sig := make([]byte, ed25519.SignatureSize)
	sig[0] = 1
	return sig, nil
}

// A company whose key has small order is nobody: whoever knows its id could connect
// as it.
func TestKeyOfSmallOrder(t *testing.T) {
	key := make(ed25519.PublicKey, ed25519.PublicKeySize)
	key[0] = 1 // the neutral element
	now := time.Now()
	certificate := func(cert, parent *x509.Certificate, public crypto.PublicKey) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, cert, parent, public, anybody{key})
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	issuer := template("nobody", now, 10)
	issuer.IsCA, issuer.MaxPathLenZero, issuer.KeyUsage = true, true, x509.KeyUsageCertSign
	root := certificate(issuer, issuer, key)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := template("nobody", now, 1)
	of.KeyUsage = x509.KeyUsageDigitalSignature
	if _, _, err := identify([]*x509.Certificate{certificate(of, root, k.Public()), root}, now); !errors.Is(err, ErrNone) {
		t.Errorf("it is let in: %v", err)
	}
}
