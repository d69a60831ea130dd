package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// listenAs sets a variable to an address where somebody listens who is no
// platform: plain answers whatever comes in text, web is a server with TLS and a
// certificate like a website's, shut closes each connection.
func listenAs(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { l.Close() })
	ts.Setenv(args[1], l.Addr().String())
	web := website(ts)
	answer := map[string]func(net.Conn){
		"plain": func(c net.Conn) {
			c.Read(make([]byte, 4096))
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		},
		"web":  func(c net.Conn) { tls.Server(c, web).Handshake() },
		"shut": func(net.Conn) {},
	}[args[0]]
	if answer == nil {
		ts.Fatalf("nobody is called %s", args[0])
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			answer(c)
			c.Close()
		}
	}()
}

// website is the TLS of a server that is nobody's identity.
func website(ts *testscript.TestScript) *tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "web"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	ts.Check(err)
	return &tls.Config{NextProtos: []string{"h2"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
}

// certificate gives an identity a TLS certificate that is valid from and until so
// long from now, as its own key issues them.
func certificate(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	from, err := time.ParseDuration(args[1])
	ts.Check(err)
	until, err := time.ParseDuration(args[2])
	ts.Check(err)
	block, _ := pem.Decode([]byte(ts.ReadFile(filepath.Join(dir, "identity.key"))))
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	ts.Check(err)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	ts.Check(err)
	root, err := x509.ParseCertificate(pair.Certificate[1])
	ts.Check(err)
	leaf := *pair.Leaf
	leaf.NotBefore, leaf.NotAfter = time.Now().Add(from), time.Now().Add(until)
	der, err := x509.CreateCertificate(rand.Reader, &leaf, root, pair.Leaf.PublicKey, key.(ed25519.PrivateKey))
	ts.Check(err)
	var chain []byte
	for _, c := range [][]byte{der, root.Raw} {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})...)
	}
	ts.Check(os.WriteFile(filepath.Join(dir, "tls.crt"), chain, 0o644))
}
