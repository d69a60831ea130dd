package identity

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newIdentity(t *testing.T, name string) *Identity {
	t.Helper()
	i, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// handshake connects client and server over a pipe and returns what each says.
func handshake(t *testing.T, server, client *tls.Config) (serverState, clientState tls.ConnectionState, serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	done := make(chan error, 1)
	go func() {
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1}) // TLS 1.3: the client learns of a refusal by reading
		}
		a.SetDeadline(time.Now().Add(time.Second))
		done <- err
	}()
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = c.Read(make([]byte, 1))
	}
	b.Close()
	serverErr = <-done
	return s.ConnectionState(), c.ConnectionState(), serverErr, clientErr
}

func only(id ID) func(ID) bool { return func(other ID) bool { return other == id } }

func TestEachSidePinsTheOther(t *testing.T) {
	platform, advertiser, stranger := newIdentity(t, "platform"), newIdentity(t, "advertiser"), newIdentity(t, "stranger")
	atServer, atClient, serverErr, clientErr := handshake(t, platform.ServerTLS(only(advertiser.ID())), advertiser.ClientTLS(platform.ID()))
	if serverErr != nil || clientErr != nil {
		t.Fatalf("handshake of partners: %v, %v", serverErr, clientErr)
	}
	if atServer.Version != tls.VersionTLS13 {
		t.Errorf("TLS version %x", atServer.Version)
	}
	seen, err := PeerOf(atServer)
	if err != nil || seen.ID != advertiser.ID() || !seen.Public.Equal(advertiser.Public()) {
		t.Errorf("server sees %v, %v", seen.ID, err)
	}
	if named, err := Named(atServer); err != nil || named != seen.ID {
		t.Errorf("the certificates name %v, %v", named, err)
	}
	if _, err := Named(tls.ConnectionState{}); err == nil {
		t.Error("no certificates name a company")
	}
	other, err := PeerOf(atClient)
	if err != nil || other.ID != platform.ID() {
		t.Errorf("client sees %v, %v", other.ID, err)
	}
	if len(seen.Exporter) != 32 || string(seen.Exporter) != string(other.Exporter) {
		t.Error("the two ends have different exporters")
	}

	if _, _, serverErr, _ := handshake(t, platform.ServerTLS(only(advertiser.ID())), stranger.ClientTLS(platform.ID())); !errors.Is(serverErr, ErrUnknown) {
		t.Errorf("a stranger at the platform: %v", serverErr)
	}
	if _, _, _, clientErr := handshake(t, stranger.ServerTLS(only(advertiser.ID())), advertiser.ClientTLS(platform.ID())); !errors.Is(clientErr, ErrUnknown) {
		t.Errorf("a stranger as the platform: %v", clientErr)
	}
}

func TestOlderTLSAndNoCertificateAreRefused(t *testing.T) {
	platform, advertiser := newIdentity(t, "platform"), newIdentity(t, "advertiser")
	old := advertiser.ClientTLS(platform.ID())
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	if _, _, serverErr, _ := handshake(t, platform.ServerTLS(only(advertiser.ID())), old); serverErr == nil {
		t.Error("TLS 1.2 is accepted")
	}
	bare := advertiser.ClientTLS(platform.ID())
	bare.Certificates = nil
	if _, _, serverErr, _ := handshake(t, platform.ServerTLS(only(advertiser.ID())), bare); serverErr == nil {
		t.Error("a client without certificate is accepted")
	}
}

// A certificate proves nothing by what it says, only by who issued it.
func TestCertificatesThatProveNothing(t *testing.T) {
	victim, thief := newIdentity(t, "victim"), newIdentity(t, "victim")
	now := time.Now()
	leaf := func(i *Identity) *x509.Certificate { return i.cert.Leaf }
	for name, chain := range map[string][]*x509.Certificate{
		"none":                   nil,
		"leaf only":              {leaf(victim)},
		"root only":              {victim.root},
		"root as leaf":           {victim.root, victim.root, victim.root},
		"another's leaf":         {leaf(thief), victim.root},
		"leaf as its own issuer": {leaf(victim), leaf(victim)},
		"turned round":           {victim.root, leaf(victim)},
		"three":                  {leaf(victim), victim.root, victim.root},
	} {
		if id, _, err := identify(chain, now); err == nil {
			t.Errorf("%s: identified as %v", name, id)
		}
	}
	if _, _, err := identify([]*x509.Certificate{leaf(victim), victim.root}, now); err != nil {
		t.Errorf("own chain: %v", err)
	}
	for name, when := range map[string]time.Time{"expired": now.AddDate(tlsYears, 0, 1), "not yet": now.Add(-time.Hour)} {
		if _, _, err := identify([]*x509.Certificate{leaf(victim), victim.root}, when); err == nil {
			t.Errorf("%s certificate is accepted", name)
		}
	}
}

func TestSaveLoadRenew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "me")
	i := newIdentity(t, "Acme & Söhne")
	if err := i.Save(dir); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keyFile, tlsKeyFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, mode %v", name, err, info.Mode())
		}
	}
	if err := newIdentity(t, "other").Save(dir); err == nil {
		t.Error("an identity is overwritten")
	}
	loaded, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if loaded.ID() != i.ID() || loaded.Name != i.Name {
		t.Error("another identity is loaded than was saved")
	}
	before := loaded.cert.Leaf.SerialNumber
	if err := loaded.Renew(); err != nil {
		t.Fatal(err)
	}
	if err := loaded.SaveTLS(dir); err != nil {
		t.Fatal(err)
	}
	again, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != i.ID() || again.cert.Leaf.SerialNumber.Cmp(before) == 0 {
		t.Error("renewing changes the id, or not the certificate")
	}
	if _, _, _, clientErr := handshake(t, again.ServerTLS(only(i.ID())), i.ClientTLS(again.ID())); clientErr != nil {
		t.Errorf("after renewal: %v", clientErr)
	}
}

// What a crash or a full disk cut off in the middle is mended by what a person would
// do next: keygen again if there was no identity yet, keygen --renew if there is one.
func TestCutOffInTheMiddle(t *testing.T) {
	dir := t.TempDir()
	i := newIdentity(t, "a")
	if err := i.SaveTLS(dir); err != nil { // and no more of Save
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "make one with: overlap keygen") {
		t.Errorf("without a key: %v", err)
	}
	if err := i.Save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, chainFile)); err != nil {
		t.Fatal(err)
	}
	next := *i
	if err := next.Renew(); err != nil {
		t.Fatal(err)
	}
	// The next certificate's key, and the certificate of the one before.
	if err := errors.Join(i.SaveTLS(dir), writeKey(filepath.Join(dir, tlsKeyFile), next.cert.PrivateKey)); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "keygen --renew") {
		t.Errorf("a key of another certificate: %v", err)
	}
	mended, err := LoadKey(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(mended.Renew(), mended.SaveTLS(dir)); err != nil {
		t.Fatal(err)
	}
	if again, err := Load(dir); err != nil || again.ID() != i.ID() || again.Name != "a" {
		t.Errorf("mended: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v %v", left, err)
	}
}

// An identity says itself that its certificate is over, or begins later.
func TestCheck(t *testing.T) {
	i := newIdentity(t, "a")
	now := time.Now()
	for at, want := range map[time.Time]string{
		now: "", now.AddDate(tlsYears, 0, -1): "",
		now.AddDate(tlsYears, 0, 1): "it ran out on", now.Add(-time.Hour): "it begins on",
	} {
		err := i.Check(at)
		if (err == nil) != (want == "") || err != nil && (!errors.Is(err, ErrUntimely) || !strings.Contains(err.Error(), want)) {
			t.Errorf("at %v: %v", at, err)
		}
	}
}

func TestLoadSaysWhatIsMissing(t *testing.T) {
	if _, err := Load(t.TempDir()); err == nil || !strings.Contains(err.Error(), "keygen") {
		t.Errorf("empty directory: %v", err)
	}
	a, b := filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")
	if err := errors.Join(newIdentity(t, "a").Save(a), newIdentity(t, "b").Save(b)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{chainFile, tlsKeyFile} {
		text, err := os.ReadFile(filepath.Join(b, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(a, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(a); err == nil || !strings.Contains(err.Error(), "another identity") {
		t.Errorf("key and certificate of two identities: %v", err)
	}
}

func TestIDText(t *testing.T) {
	id := newIdentity(t, "a").ID()
	back, err := ParseID(id.String())
	if err != nil || back != id {
		t.Errorf("ParseID: %v", err)
	}
	for _, bad := range []string{"", "00", id.String()[1:], id.String() + "00", strings.Repeat("g", 64)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q is an id", bad)
		}
	}
}

func TestPrivateKeyIsNotPrinted(t *testing.T) {
	i := newIdentity(t, "a")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		if got := fmt.Sprintf(verb, i); got != i.ID().String() {
			t.Errorf("%s prints more than the id", verb)
		}
	}
}
