package identity

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/overlap-psi/overlap/internal/pending"
)

// The files of an identity's directory. The two keys are readable by their
// owner only.
const (
	keyFile    = "identity.key" // PKCS #8, Ed25519
	tlsKeyFile = "tls.key"      // PKCS #8, ECDSA P-256
	chainFile  = "tls.crt"      // TLS certificate, identity certificate
)

// Save writes the identity into dir, which it makes if need be. It replaces no
// identity that is there.
func (i *Identity) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, keyFile)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("identity: %s already holds an identity; to renew its TLS certificate use keygen --renew", dir)
	}
	// The key last: where it is, all is.
	if err := i.SaveTLS(dir); err != nil {
		return err
	}
	return writeKey(filepath.Join(dir, keyFile), i.key)
}

// SaveTLS writes the TLS certificate and its key only, over those in dir. If it is
// cut off between the two, LoadKey still reads what is there.
func (i *Identity) SaveTLS(dir string) error {
	if err := writeKey(filepath.Join(dir, tlsKeyFile), i.cert.PrivateKey); err != nil {
		return err
	}
	var chain []byte
	for _, der := range i.cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	if err := replace(filepath.Join(dir, chainFile), chain, 0o644); err != nil {
		return err
	}
	return nil
}

// Load reads the identity that Save wrote into dir.
func Load(dir string) (*Identity, error) {
	i, err := LoadKey(dir)
	if err != nil {
		return nil, err
	}
	i.cert, err = tls.LoadX509KeyPair(filepath.Join(dir, chainFile), filepath.Join(dir, tlsKeyFile))
	if err != nil {
		return nil, fmt.Errorf("identity: TLS certificate in %s: %w; issue the next one with: overlap keygen --renew --out %s", dir, err, dir)
	}
	return i, nil
}

// LoadKey reads an identity without its TLS certificate, whatever that is like. It can
// Renew, and nothing else before it has.
func LoadKey(dir string) (*Identity, error) {
	parsed, err := readKey(filepath.Join(dir, keyFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("identity: %s holds no identity; make one with: overlap keygen --out %s --name NAME", dir, dir)
	}
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("identity: %s is not an Ed25519 key", filepath.Join(dir, keyFile))
	}
	root, err := readRoot(filepath.Join(dir, chainFile))
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(root.PublicKey) {
		return nil, fmt.Errorf("identity: the certificate in %s belongs to another identity", dir)
	}
	return &Identity{Name: root.Subject.CommonName, key: key, root: root}, nil
}

// readRoot reads the identity's own certificate, the second of two.
func readRoot(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	var chain []*pem.Block
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		chain = append(chain, block)
	}
	if len(chain) != 2 || chain[1].Type != "CERTIFICATE" {
		return nil, fmt.Errorf("identity: %s does not hold a TLS certificate and its identity's", path)
	}
	root, err := x509.ParseCertificate(chain[1].Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity: certificate in %s: %w", path, err)
	}
	return root, nil
}

func writeKey(path string, key any) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("identity: encode key: %w", err)
	}
	return replace(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func readKey(path string) (any, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, fmt.Errorf("identity: %s holds no PEM private key", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("identity: %s: %w", path, err)
	}
	return key, nil
}

// replace writes a file under another name first, so that a crash leaves the
// old one or the new one, and a full disk the old one alone.
func replace(path string, content []byte, mode os.FileMode) error {
	err := pending.Write(path, "."+filepath.Base(path)+"-", content)
	if err == nil && mode != 0o600 {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	return nil
}
