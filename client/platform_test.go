package client_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

// world is an advertiser, and a real platform of which a test can make a bad one.
type world struct {
	t        *testing.T
	platform *identity.Identity
	server   *server.Server
	db       *store.DB
	client.Config

	connect func(context.Context) (net.Conn, error)

	mu    sync.Mutex
	conns []net.Conn

	here, there func(moment, *ampsiv1.Frame)          // told of each frame at the advertiser's and the platform's end
	instead     func(grpc.ServerStream) error         // what the platform does instead of the protocol
	ended       func()                                // told of each call that ends at the platform
	change      func(*ampsiv1.Frame) []*ampsiv1.Frame // what becomes of the platform's frames; nil: nothing
}

// moment is when a frame is looked at on its way.
type moment int

const (
	sending moment = iota // before the transport has it; the frame may be changed
	sent                  // when it has
	got                   // before its receiver sees it
)

// inBubble runs a test with a platform that has n accounts, of person(0) and so
// on. The two are joined by TLS over memory, in a synctest bubble: the clock jumps
// when everybody waits, so that minutes of patience take no time.
func inBubble(t *testing.T, agreed *policy.Policy, n int, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, agreed, n)
		l := bufconn.Listen(1 << 20)
		w.connect = l.DialContext
		w.serve(l)
		test(t, w)
	})
}

func newWorld(t *testing.T, agreed *policy.Policy, n int) *world {
	t.Helper()
	w := &world{t: t, platform: newIdentity(t, "platform")}
	w.Config = client.Config{Identity: newIdentity(t, "shop"), Platform: w.platform.ID(), Policy: agreed, Dir: filepath.Join(t.TempDir(), "state")}
	var err error
	w.db, err = store.Open(t.Context(), "sqlite:"+filepath.Join(t.TempDir(), "users.db"))
	must(t, err)
	t.Cleanup(func() { must(t, w.db.Close()) })
	_, err = w.db.Put(t.Context(), func(yield func(store.Fact, error) bool) {
		for i := range n {
			if !yield(store.Fact{AccountID: fmt.Sprintf("u%d", i), Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte(person(i))),
				Purpose: consent.AdsMatching, Status: consent.Granted, Basis: consent.BasisConsent, Jurisdiction: "US", CollectedAt: time.Unix(1, 0)}, nil) {
				return
			}
		}
	})
	must(t, err)
	w.server, err = server.New(server.Config{Identity: w.platform, Store: w.db, Dir: t.TempDir(),
		Partners: []server.Partner{{Name: "shop", ID: w.Identity.ID(), Policy: agreed}}})
	must(t, err)
	return w
}

func (w *world) serve(l net.Listener) {
	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(w.server.Credentials()), grpc.ChainStreamInterceptor(
		func(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			if w.instead != nil {
				return w.instead(s)
			}
			if w.ended != nil {
				defer w.ended()
			}
			if w.change != nil {
				s = &changed{s, w.change}
			}
			return handle(service, &atPlatform{s, w.there})
		}))...)
	w.server.Register(g)
	go g.Serve(l)
	w.t.Cleanup(func() { w.server.Close(); g.Stop() })
}

// dial connects as client.Dial does, but for the network.
func (w *world) dial() *grpc.ClientConn {
	w.t.Helper()
	o := append(client.DialOptions(), grpc.WithTransportCredentials(w.Credentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			conn, err := w.connect(ctx)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.conns = append(w.conns, conn)
			return conn, err
		}),
		grpc.WithChainStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
			s, err := open(ctx, d, conn, method, o...)
			return &atAdvertiser{s, w.here}, err
		}))
	conn, err := grpc.NewClient("passthrough:///platform", o...)
	must(w.t, err)
	return conn
}

// cut cuts the network.
func (w *world) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conn := range w.conns {
		conn.Close()
	}
}

// match matches n persons from the first on, over a connection of its own.
func (w *world) match(ctx context.Context, name string, first, n int) (*client.Report, error) {
	w.t.Helper()
	conn := w.dial()
	defer conn.Close()
	c, err := client.New(conn, w.Config)
	must(w.t, err)
	list := w.list(first, n)
	defer list.Close()
	return c.Match(ctx, name, list)
}

func (w *world) list(first, n int) *audience.List {
	w.t.Helper()
	var text strings.Builder
	fmt.Fprintln(&text, "email")
	for i := range n {
		fmt.Fprintln(&text, person(first+i))
	}
	path := filepath.Join(w.t.TempDir(), "customers.csv")
	must(w.t, os.WriteFile(path, []byte(text.String()), 0o600))
	list, err := audience.Open(path, audience.Options{ListConsent: audience.Granted, Rule: w.Policy.Rule()})
	must(w.t, err)
	return list
}

func person(i int) string { return fmt.Sprintf("person%d@mail.example", i) }

// atPlatform and atAdvertiser are the ends of a call, where each frame is shown
// to on.
type atPlatform struct {
	grpc.ServerStream
	on func(moment, *ampsiv1.Frame)
}

func (s *atPlatform) SendMsg(m any) error { return watchSend(s.on, m, s.ServerStream.SendMsg) }
func (s *atPlatform) RecvMsg(m any) error { return watchRecv(s.on, m, s.ServerStream.RecvMsg) }

type atAdvertiser struct {
	grpc.ClientStream
	on func(moment, *ampsiv1.Frame)
}

func (s *atAdvertiser) SendMsg(m any) error { return watchSend(s.on, m, s.ClientStream.SendMsg) }
func (s *atAdvertiser) RecvMsg(m any) error { return watchRecv(s.on, m, s.ClientStream.RecvMsg) }

func watchSend(on func(moment, *ampsiv1.Frame), m any, send func(any) error) error {
	f, ok := m.(*ampsiv1.Frame) // and no request for a table
	if on == nil || !ok {
		return send(m)
	}
	on(sending, f)
	err := send(m)
	if err == nil {
		on(sent, f)
	}
	return err
}

func watchRecv(on func(moment, *ampsiv1.Frame), m any, recv func(any) error) error {
	err := recv(m)
	if f, ok := m.(*ampsiv1.Frame); ok && err == nil && on != nil {
		on(got, f)
	}
	return err
}

// at calls f once, at the given moment of the first frame of a type.
func at(m moment, t psi.FrameType, f func(*ampsiv1.Frame)) func(moment, *ampsiv1.Frame) {
	var once sync.Once
	return func(now moment, frame *ampsiv1.Frame) {
		if now == m && psi.FrameType(frame.Type) == t {
			once.Do(func() { f(frame) })
		}
	}
}

// tape notes the types of frames.
type tape struct {
	mu     sync.Mutex
	frames []psi.FrameType
}

func (p *tape) note(f *ampsiv1.Frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.frames = append(p.frames, psi.FrameType(f.Type))
}

func (p *tape) want(t *testing.T, frames ...psi.FrameType) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.frames, frames) {
		t.Errorf("frames %v, want %v", p.frames, frames)
	}
}

// agreed is the default policy with other lines, and releases every second.
func agreed(t *testing.T, lines ...string) *policy.Policy {
	t.Helper()
	document := policy.Default().Bytes()
	for _, line := range append(lines, "release_step = 1") {
		name, _, _ := strings.Cut(line, " ")
		old := regexp.MustCompile(`(?m)^` + name + ` += .*$`)
		if len(old.FindAll(document, -1)) != 1 {
			t.Fatalf("the default policy does not set %s", name)
		}
		document = old.ReplaceAll(document, []byte(line))
	}
	p, err := policy.Parse(document)
	must(t, err)
	return p
}

func newIdentity(t *testing.T, name string) *identity.Identity {
	t.Helper()
	i, err := identity.New(name)
	must(t, err)
	return i
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode fails unless err has the code.
func wantCode(t *testing.T, err error, want psi.AbortCode) {
	t.Helper()
	if err == nil || session.Code(err) != want {
		t.Errorf("%v, want code %d", err, want)
	}
}

// files returns the names of the files in the advertiser's directory.
func (w *world) files() (names []string) {
	w.t.Helper()
	must(w.t, filepath.WalkDir(w.Dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, d.Name())
		}
		return err
	}))
	return names
}

// logbook is what was logged.
type logbook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
