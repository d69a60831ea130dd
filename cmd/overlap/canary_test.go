package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
)

// What an operator's tools are given, and everything that both companies' programs
// say and leave, shows nobody: in each mode, and in sessions that fail, are refused or
// lose their advertiser.
func TestOperatorsToolsShowNobody(t *testing.T) {
	traces := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+traces.address)
	operations := freeAddr(t)
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "users.db"), rand.New(rand.NewPCG(1, 2)))
	s.serve = s.launch("serve", "--store", s.url, "--identity", s.path("platform"), "--partners", s.path("partners.json"), "--listen", "127.0.0.1:0",
		"--operations", operations)
	s.address = said(t, s.serve, `msg=serving address=(\S+)`)

	var matches []*process
	for _, mode := range crashModes {
		m := s.match(mode)
		if err := m.wait(); err != nil {
			t.Fatalf("%s: %v\n%s", mode, err, m.errors.String())
		}
		matches = append(matches, m)
	}
	for _, mode := range crashModes { // advertisers that die when the session is open
		before := strings.Count(s.serve.errors.String(), "session opened")
		m := s.match(mode)
		for deadline := time.Now().Add(10 * time.Second); strings.Count(s.serve.errors.String(), "session opened") == before && time.Now().Before(deadline) && !m.over(); {
			time.Sleep(time.Millisecond)
		}
		m.kill()
		matches = append(matches, m)
	}
	s.run("keygen", "--out", s.path("stranger"), "--name", "stranger")
	for _, refused := range [][]string{{"--identity", s.path("stranger")}, {"--identity", s.path("advertiser")}} { // and under another policy
		m := s.launch(append([]string{"match", s.path("customers.csv"), "--platform", s.address, "--audience", "refused", "--peer", s.ids["platform"],
			"--list-consent", "granted"}, refused...)...)
		if m.wait() == nil {
			t.Error("who should be refused is not")
		}
		matches = append(matches, m)
	}
	_, metrics := get(t, "http://"+operations+"/metrics")
	s.serve.interrupt() // what is left of traces is sent
	must(t, s.serve.wait())

	places := map[string][]byte{
		"the metrics": []byte(metrics), "the traces": traces.bytes(), "what the platform says": []byte(s.serve.errors.String() + s.serve.out.String()),
	}
	for _, m := range matches {
		places["what the advertiser says"] = append(places["what the advertiser says"], m.errors.String()+m.out.String()...)
	}
	for _, name := range filesIn(t, s.dir, "platform", "advertiser") {
		b, err := os.ReadFile(name)
		must(t, err)
		places[strings.TrimPrefix(name, s.dir)] = b
	}
	for _, name := range names(s.dir) {
		if strings.HasPrefix(name, "audience-") { // receipts, and rows that matched
			b, err := os.ReadFile(s.path(name))
			must(t, err)
			places[name] = b
		}
	}
	for place, sign := range map[string]string{
		"the metrics": `overlap_sessions_total{outcome="complete",partner="shop"} 4`, "the traces": "ampsi.v1.Match/Session",
		"what the platform says": "session complete", "what the advertiser says": "policies",
	} {
		if !bytes.Contains(places[place], []byte(sign)) {
			t.Errorf("%q is not in %s: is it read at all?", sign, place)
		}
	}
	everybody, written := newSearch(t, 0, crashFirst+crashCustomers), spellings(crashFirst+crashCustomers)
	for place, b := range places {
		everybody.look(t, place, b)
		if what := written.in(b); what != "" {
			t.Errorf("%s is in %s", what, place)
		}
	}
	file, err := os.ReadFile(s.path("customers.csv"))
	must(t, err)
	if written.in(file) == "" {
		t.Error("nobody is found in the customers' file")
	}
}

// said waits for what a process says, and returns the first group of it.
func said(t *testing.T, p *process, pattern string) string {
	t.Helper()
	expr := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && !p.over(); time.Sleep(time.Millisecond) {
		if found := expr.FindStringSubmatch(p.errors.String()); found != nil {
			return found[1]
		}
	}
	t.Fatalf("it does not say %s:\n%s", pattern, p.errors.String())
	return ""
}

// texts are what belongs to people as programs write it, to what it is.
type texts map[string]string

func spellings(people int) texts {
	list := texts{}
	for i := range people {
		sum := sha256.Sum256([]byte(person(i)))
		list[person(i)] = "an identifier"
		for _, b := range [][]byte{[]byte(person(i)), sum[:]} {
			for _, text := range []string{
				hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), base64.StdEncoding.EncodeToString(b), base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b),
			} {
				list[text] = "an identifier or its hash, encoded"
			}
		}
	}
	return list
}

func (list texts) in(b []byte) string {
	for text, what := range list {
		if bytes.Contains(b, []byte(text)) {
			return what
		}
	}
	return ""
}

// collector keeps whatever is exported to it over gRPC, as bytes.
type collector struct {
	address string
	mu      sync.Mutex
	got     []byte
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := &collector{address: l.Addr().String()}
	g := grpc.NewServer(grpc.ForceServerCodec(asBytes{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var m []byte
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		c.keep(m)
		return stream.SendMsg(&[]byte{}) // an answer without fields
	}))
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return c
}

func (c *collector) keep(b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, b...)
}

func (c *collector) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.got)
}

// asBytes is a codec that leaves messages as they are.
type asBytes struct{}

func (asBytes) Marshal(v any) ([]byte, error)   { return *v.(*[]byte), nil }
func (asBytes) Unmarshal(b []byte, v any) error { *v.(*[]byte) = bytes.Clone(b); return nil }
func (asBytes) Name() string                    { return "bytes" }
