package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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

// world is a platform that serves over mutual TLS, and its first partner. It
// lives in a synctest bubble: only the network is memory, and the clock jumps
// when everybody waits, so that minutes of patience take no time.
type world struct {
	t        testing.TB
	dir      string // the server's
	url      string // of the store
	identity *identity.Identity
	policy   *policy.Policy
	partners []server.Partner
	places   int // MaxSessions
	watch    server.Watch
	log      *logbook
	shop     *advertiser

	sending func(ctx context.Context, f *ampsiv1.Frame) // told of each frame that the platform is about to send

	limits  *server.Config      // what a siege sets, over TCP; nil: memory is the network
	options []grpc.ServerOption // after the server's own
	address string

	db       *store.DB
	server   *server.Server
	grpc     *grpc.Server
	listener *bufconn.Listener
}

// inBubble runs a test of a world of its own.
func inBubble(t *testing.T, agreed *policy.Policy, facts []store.Fact, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) { test(t, newWorld(t, agreed, facts, nil)) })
}

func newWorld(t testing.TB, agreed *policy.Policy, facts []store.Fact, limits *server.Config, o ...grpc.ServerOption) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{t: t, dir: filepath.Join(dir, "work"), url: "sqlite:" + filepath.Join(dir, "users.db"),
		identity: newIdentity(t, "platform"), policy: agreed, log: new(logbook), limits: limits, options: o}
	w.shop = w.newAdvertiser("shop")
	w.start()
	t.Cleanup(w.stop)
	w.put(facts...)
	return w
}

// start opens the store and serves the partners.
func (w *world) start() {
	w.t.Helper()
	var err error
	w.db, err = store.Open(w.t.Context(), w.url)
	must(w.t, err)
	c := server.Config{Identity: w.identity, Store: w.db, Partners: w.partners, Dir: w.dir, MaxSessions: w.places, Watch: w.watch,
		Log: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	if w.limits != nil {
		c.MaxConnections, c.PerAddress, c.SessionEvery = w.limits.MaxConnections, w.limits.PerAddress, w.limits.SessionEvery
	}
	w.server, err = server.New(c)
	must(w.t, err)
	w.grpc = grpc.NewServer(slices.Concat(server.GRPCOptions(), w.options,
		[]grpc.ServerOption{grpc.Creds(w.server.Credentials()), grpc.ChainStreamInterceptor(w.serve)})...)
	w.server.Register(w.grpc)
	if w.limits == nil {
		w.listener = bufconn.Listen(1 << 20)
		go w.grpc.Serve(w.listener)
		return
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(w.t, err)
	w.address = l.Addr().String()
	go w.grpc.Serve(w.server.Limit(l))
}

// reach connects to the platform.
func (w *world) reach(ctx context.Context) (net.Conn, error) {
	if w.limits == nil {
		return w.listener.DialContext(ctx)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", w.address)
}

// stop stops as an operator who won't wait.
func (w *world) stop() {
	w.server.Stop()
	w.grpc.Stop()
	must(w.t, w.db.Close())
}

func (w *world) restart() {
	w.t.Helper()
	w.stop()
	w.start()
}

func (w *world) serve(service any, s grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(service, &served{s, w.sending})
}

// served is the platform's end of a call.
type served struct {
	grpc.ServerStream
	sending func(context.Context, *ampsiv1.Frame)
}

func (s *served) SendMsg(m any) error {
	if s.sending != nil {
		s.sending(s.Context(), m.(*ampsiv1.Frame))
	}
	return s.ServerStream.SendMsg(m)
}

func (w *world) put(facts ...store.Fact) {
	w.t.Helper()
	_, err := w.db.Put(w.t.Context(), func(yield func(store.Fact, error) bool) {
		for _, f := range facts {
			if !yield(f, nil) {
				return
			}
		}
	})
	must(w.t, err)
}

// accounts returns the accounts in a partner's audience.
func (w *world) accounts(a *advertiser, name string) (accounts []string) {
	w.t.Helper()
	for id, err := range w.db.AudienceAccounts(w.t.Context(), a.identity.ID(), name) {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		must(w.t, err)
		accounts = append(accounts, id)
	}
	return accounts
}

func (w *world) sessions() (list []store.Session) {
	w.t.Helper()
	for s, err := range w.db.Sessions(w.t.Context()) {
		must(w.t, err)
		list = append(list, s)
	}
	return list
}

// leftovers returns the files under the server's directory, also those that are
// open and have no name any more.
func (w *world) leftovers() (files []string) {
	must(w.t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !kept.MatchString(path) {
			files = append(files, path)
		}
		return err
	}))
	open, _ := os.ReadDir("/proc/self/fd") // where there is none, the names have to do
	for _, fd := range open {
		if path, err := os.Readlink(filepath.Join("/proc/self/fd", fd.Name())); err == nil && strings.HasPrefix(path, w.dir+"/") && path != filepath.Join(w.dir, "serving") {
			files = append(files, path)
		}
	}
	return files
}

// kept is what stays: the lock, the logs, and what a sealed session can be audited with.
var kept = regexp.MustCompile("/work/serving$|/logs/(public|access|policies)/|/tables/|/epochs/|/evidence/[0-9a-f]{64}/(leaves|blinded|digests|receipt)$")

// advertiser is a partner with a list.
type advertiser struct {
	w *world
	client.Config
	identity *identity.Identity
	on       func(m moment, f *ampsiv1.Frame) // told of each frame

	mu    sync.Mutex
	conns []net.Conn
	gone  bool // no connection can be made

	network func(ctx context.Context) (net.Conn, error) // nil: the world's
}

// moment is when a frame is looked at on its way.
type moment int

const (
	sending moment = iota // before the transport has it; the frame may be changed
	sent                  // when it has
	got                   // before the client sees it
)

// newAdvertiser makes a partner of the platform, also of one that is running.
func (w *world) newAdvertiser(name string) *advertiser {
	w.t.Helper()
	a := &advertiser{w: w, identity: newIdentity(w.t, name)}
	a.Config = client.Config{Identity: a.identity, Platform: w.identity.ID(), Policy: w.policy, Dir: w.t.TempDir()}
	w.partners = append(w.partners, server.Partner{Name: name, ID: a.identity.ID(), Policy: w.policy})
	if w.server != nil {
		must(w.t, w.server.SetPartners(w.partners))
	}
	return a
}

// again is another program of the same company, with the same state.
func (a *advertiser) again() *advertiser {
	return &advertiser{w: a.w, Config: a.Config, identity: a.identity}
}

func (a *advertiser) dial(o ...grpc.DialOption) *grpc.ClientConn {
	a.w.t.Helper()
	o = append(append(client.DialOptions(), o...),
		grpc.WithContextDialer(a.connect), grpc.WithChainStreamInterceptor(a.watch),
		grpc.WithTransportCredentials(a.Credentials()))
	conn, err := grpc.NewClient("passthrough:///platform", o...)
	must(a.w.t, err)
	return conn
}

func (a *advertiser) connect(ctx context.Context, _ string) (net.Conn, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return nil, errors.New("no network")
	}
	reach := a.w.reach
	if a.network != nil {
		reach = a.network
	}
	conn, err := reach(ctx)
	if err != nil {
		return nil, err
	}
	a.conns = append(a.conns, conn)
	return conn, nil
}

// hangUp cuts the advertiser's connections.
func (a *advertiser) hangUp() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, conn := range a.conns {
		conn.Close()
	}
	a.conns = nil
}

func (a *advertiser) watch(ctx context.Context, d *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
	s, err := open(ctx, d, conn, method, o...)
	if err != nil || a.on == nil {
		return s, err
	}
	return &watched{s, a.on}, nil
}

// watched is the advertiser's end of a call.
type watched struct {
	grpc.ClientStream
	on func(moment, *ampsiv1.Frame)
}

func (s *watched) SendMsg(m any) error {
	f, ok := m.(*ampsiv1.Frame)
	if !ok { // a request for a table
		return s.ClientStream.SendMsg(m)
	}
	s.on(sending, f)
	err := s.ClientStream.SendMsg(m)
	if err == nil {
		s.on(sent, f)
	}
	return err
}

func (s *watched) RecvMsg(m any) error {
	err := s.ClientStream.RecvMsg(m)
	if err == nil {
		s.on(got, m.(*ampsiv1.Frame))
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

// match matches people over a connection of its own.
func (a *advertiser) match(name string, people ...string) (*client.Report, error) {
	a.w.t.Helper()
	conn := a.dial()
	defer conn.Close()
	return a.matchOver(a.w.t.Context(), conn, name, people...)
}

func (a *advertiser) matchOver(ctx context.Context, conn *grpc.ClientConn, name string, people ...string) (*client.Report, error) {
	a.w.t.Helper()
	c, err := client.New(conn, a.Config)
	must(a.w.t, err)
	list, err := audience.Open(listFile(a.w.t, people), audience.Options{ListConsent: audience.Granted, Rule: a.Policy.Rule()})
	must(a.w.t, err)
	defer list.Close()
	return c.Match(ctx, name, list)
}

// listFile writes a customers file.
func listFile(t testing.TB, people []string) string {
	t.Helper()
	var text strings.Builder
	text.WriteString("email,phone\n")
	for _, p := range people {
		if isPhone(p) {
			text.WriteString(",")
		}
		text.WriteString(p)
		if !isPhone(p) {
			text.WriteString(",")
		}
		text.WriteString("\n")
	}
	path := filepath.Join(t.TempDir(), "customers.csv")
	must(t, os.WriteFile(path, []byte(text.String()), 0o600))
	return path
}

// person is somebody's address, or for every third a number, as normalised.
func person(i int) string {
	if i%3 == 0 {
		return fmt.Sprintf("+336%08d", 10_000_000+i)
	}
	return fmt.Sprintf("person%d@mail.example", i)
}

// people are the persons from first to below end.
func people(first, end int) (list []string) {
	for i := first; i < end; i++ {
		list = append(list, person(i))
	}
	return list
}

func isPhone(p string) bool { return p[0] == '+' }

// granted is a fact that may be matched, collected an hour ago.
func granted(account, p string) store.Fact {
	f := store.Fact{AccountID: account, Class: identifier.EmailUID2, Sum: sha256.Sum256([]byte(p)), Purpose: consent.AdsMatching,
		Status: consent.Granted, Basis: consent.BasisConsent, Jurisdiction: "US", CollectedAt: time.Now().Add(-time.Hour)}
	if isPhone(p) {
		f.Class = identifier.PhoneE164
	}
	return f
}

// members are accounts u0, u1, …, each of one person, who consented long ago.
func members(n int) (facts []store.Fact) {
	for i := range n {
		f := granted(account(i), person(i))
		f.CollectedAt = time.Unix(int64(i), 0)
		facts = append(facts, f)
	}
	return facts
}

func account(i int) string { return fmt.Sprintf("u%d", i) }

// accountsOf returns the accounts from first to below end, as accounts does.
func accountsOf(first, end int) (list []string) {
	for i := first; i < end; i++ {
		list = append(list, account(i))
	}
	slices.Sort(list)
	return list
}

// agreed is the default policy with other lines, and releases every second.
func agreed(t testing.TB, lines ...string) *policy.Policy {
	t.Helper()
	document := policy.Default().Bytes()
	for _, line := range append([]string{"release_step = 1"}, lines...) {
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

func newIdentity(t testing.TB, name string) *identity.Identity {
	t.Helper()
	i, err := identity.New(name)
	must(t, err)
	return i
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantCode fails unless err has the code.
func wantCode(t testing.TB, err error, want psi.AbortCode) {
	t.Helper()
	if err == nil || session.Code(err) != want {
		t.Errorf("%v, want code %d", err, want)
	}
}

// logbook is what the platform has logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
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

// failures returns the codes and errors of the sessions that failed, once those
// that have been told so are over at this end too.
func (l *logbook) failures(t testing.TB) (codes []psi.AbortCode, errors []string) {
	t.Helper()
	synctest.Wait()
	for line := range strings.Lines(l.String()) {
		var entry struct {
			Msg, Error string
			Code       psi.AbortCode
		}
		must(t, json.Unmarshal([]byte(line), &entry))
		if entry.Msg == "session failed" {
			codes, errors = append(codes, entry.Code), append(errors, entry.Error)
		}
	}
	return codes, errors
}
