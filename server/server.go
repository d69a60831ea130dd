// Package server is the platform's side: it matches its consented accounts with
// the lists of its partners, each under the policy agreed with that partner.
//
// The caller owns the grpc.Server, its listener and its life:
//
//	s, err := server.New(config)
//	g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(s.Credentials()))...)
//	s.Register(g)
//	err = g.Serve(listener)
//
// and to end: s.Close(), then g.GracefulStop(), or s.Stop(), then g.Stop(); then the
// store's Close, after which another server may have the store and the directory.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/overlap-psi/overlap/epoch"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/frames"
	"github.com/overlap-psi/overlap/logbook"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
)

// Config is a platform's side.
type Config struct {
	// Identity is the platform's own. Required.
	Identity *identity.Identity
	// Store holds the consent ledger, and keeps budgets and audiences. Required.
	Store *store.DB
	// Partners may connect, and nobody else. Required.
	Partners []Partner
	// Dir is a private directory for snapshots and sorted tokens while sessions
	// run, and for what each can be audited with afterwards. Required; it needs
	// about 200 bytes for each eligible identifier and session that runs, and 72
	// for each of those whose policy's retention_days are not over.
	Dir string
	// Logs is the directory of the platform's logs (package logbook); empty means
	// "logs" below Dir. What is in it by the name of "public" is for everybody.
	Logs string
	// MaxSessions is how many sessions run at once, over all partners; 0 means
	// 16. A partner has at most a quarter of them, rounded up.
	MaxSessions int
	// SessionEvery is how often a partner may start a session, on average; 0 means
	// every 10 seconds. It may start 32 without a pause. Each costs a snapshot.
	SessionEvery time.Duration
	// MaxConnections is how many connections Limit lets be open at once; 0 means
	// 512. PerAddress is how many of one address; 0 means 64, and a negative number
	// no limit: that is for a platform whose connections come through a proxy.
	MaxConnections, PerAddress int
	// Grace is how long a published table is answered under after the next one is
	// there, and after its epoch; 0 means an hour.
	Grace time.Duration
	// Log, if not nil, gets sizes, durations, codes and session ids, never an
	// identifier, a token, an element or a key.
	Log *slog.Logger
	// Watch is told what sessions do.
	Watch Watch
}

// Server implements ampsi.v1.Match.
type Server struct {
	ampsiv1.UnimplementedMatchServer
	c        Config
	partners atomic.Pointer[partners]
	door     *door
	late     *endings
	book     *logbook.Book
	shelf    *epoch.Shelf
	stop     chan struct{} // closed by Stop
	stopped  sync.Once
}

// New returns a server. It clears what a killed process left in Dir, and records
// that its sessions ended. It reserves the store and Dir, until the store is closed:
// while another server has one, the error is store.ErrReserved or ErrDirReserved.
// A store that is older than its logs is refused with audit.ErrBehind or ErrApart.
func New(c Config) (*Server, error) {
	if c.Identity == nil || c.Store == nil || c.Dir == "" {
		return nil, errors.New("server: Identity, Store and Dir are required")
	}
	if c.MaxSessions < 0 || c.MaxConnections < 0 || c.SessionEvery < 0 || c.Grace < 0 {
		return nil, errors.New("server: MaxSessions, MaxConnections, SessionEvery or Grace is negative")
	}
	if c.MaxSessions == 0 {
		c.MaxSessions = 16
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = 512
	}
	if c.PerAddress == 0 {
		c.PerAddress = 64
	}
	if c.SessionEvery == 0 {
		c.SessionEvery = 10 * time.Second
	}
	if c.Grace == 0 {
		c.Grace = time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Logs == "" {
		c.Logs = LogsDir(c.Dir)
	}
	if err := c.Identity.Check(time.Now()); err != nil {
		return nil, fmt.Errorf("server: this company's own identity: %w", err)
	}
	// Before anything: what is found unfinished may be another server's, at work.
	if err := c.Store.Reserve(context.Background()); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	if err := c.Store.ReserveDir(c.Dir); err != nil {
		return nil, err
	}
	s := &Server{c: c, stop: make(chan struct{}), door: newDoor(c.MaxSessions, c.SessionEvery), late: newEndings()}
	var err error
	if s.book, err = logbook.Open(c.Logs, c.Identity, c.Store); err != nil {
		return nil, err
	}
	// Before anything is recorded in a store that may be older than its logs.
	if err := s.book.Publish(context.Background()); err != nil {
		return nil, err
	}
	if s.shelf, err = epoch.Open(epoch.Config{Identity: c.Identity, Store: c.Store, Book: s.book, Dir: c.Dir, Grace: c.Grace, Log: c.Log}); err != nil {
		return nil, err
	}
	if err := s.SetPartners(c.Partners); err != nil {
		return nil, err
	}
	return s, s.recover(context.Background())
}

type partners map[identity.ID]*Partner

// SetPartners replaces the partners, effective for the next connection and the
// next session. Running sessions go on as they were agreed; those of a company that
// is no partner any more end with their connection.
func (s *Server) SetPartners(list []Partner) error {
	m, err := byID(list)
	if err != nil {
		return err
	}
	if err := s.logPolicies(context.Background(), m); err != nil {
		return err
	}
	s.partners.Store((*partners)(&m))
	s.door.running.giveUp(func(of identity.ID) bool { return m[of] == nil })
	return nil
}

func (s *Server) partner(id identity.ID) *Partner { return (*s.partners.Load())[id] }

func (s *Server) spill() string { return filepath.Join(s.c.Dir, "spill") }

// Credentials are mutual TLS 1.3 that lets the partners in, each with as many of
// Limit's connections as it may have calls.
func (s *Server) Credentials() credentials.TransportCredentials {
	mutual := s.c.Identity.ServerTLS(func(id identity.ID) bool { return s.partner(id) != nil })
	return &counting{frames.Credentials(credentials.NewTLS(mutual)), s.door.connections}
}

// Register adds the Match service to a server the caller owns.
func (s *Server) Register(r grpc.ServiceRegistrar) { ampsiv1.RegisterMatchServer(r, s) }

// Session implements ampsi.v1.Match. Whatever goes wrong, the advertiser learns
// one code and nothing else.
func (s *Server) Session(stream ampsiv1.Match_SessionServer) error {
	v, err := s.admit(stream.Context())
	if err != nil {
		return refuse(stream, err)
	}
	call, err := s.door.enter(stream, v.id)
	if err != nil {
		return refuse(stream, v.turnedAway("door", err))
	}
	r := &run{s: s, partner: v.partner, log: v.log, started: time.Now(), over: make(chan struct{}), alone: make(chan struct{})}
	if !call.resumes {
		defer close(r.over)
		defer s.door.leave(v.id)
	}
	if r.advertiser, err = v.verify(); err != nil {
		return refuse(stream, err)
	}
	if call.resumes {
		return r.resume(call)
	}
	return r.run(call)
}

// run runs the session that a call starts.
func (r *run) run(call *begun) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(call.Context()), time.Duration(r.partner.Policy.SessionSeconds)*time.Second)
	defer cancel()
	r.outlive = context.AfterFunc(call.Context(), cancel)
	defer r.outlive()
	defer r.close()
	r.s.c.Watch.started(r.partner.Name)
	err := r.match(ctx, call)
	r.failure = err
	r.s.c.Watch.ended(r.summary(err))
	if err != nil {
		r.log.Warn("session failed", "sid", r.sidText(), "code", uint8(session.Code(err)), "error", err, "took", time.Since(r.started))
		return aborted(err)
	}
	return nil
}

// compressed reports whether the messages of a call are compressed. None may be
// (PROTOCOL.md §13): that would let bombs in, and the lengths of frames depend on
// what is in them. This package registers no compressor, but the program around it
// may have done so for its own ends, and gRPC has one list of them for all.
func compressed(call context.Context) bool {
	s, ok := grpc.ServerTransportStreamFromContext(call).(interface{ RecvCompress() string })
	return ok && s.RecvCompress() != "" && s.RecvCompress() != encoding.Identity
}

// refuse ends a call before any session.
func refuse(stream interface{ Send(*ampsiv1.Frame) error }, err error) error {
	// The status below says the same to a peer that did not get the frame.
	_ = stream.Send(&ampsiv1.Frame{Type: uint32(psi.FrameAbort), Body: []byte{byte(session.Code(err))}})
	return aborted(err)
}

// aborted is the status of a call that ended with ABORT (PROTOCOL.md §13). To who
// may come back it says when, as google.rpc.RetryInfo.
func aborted(err error) error {
	st := status.New(codes.Aborted, session.Code(err).Error())
	var b *busyError
	if errors.As(err, &b) {
		if with, err := st.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(b.after)}); err == nil {
			st = with
		}
	}
	return st.Err()
}

// caller says which partner is at the other end. The handshake has let only
// partners in; one that was removed since is refused here. It is cheap, for a peer
// may make any number of calls: who comes through the door is looked at again.
func (s *Server) caller(ctx context.Context) (tls.ConnectionState, identity.ID, *Partner, error) {
	refused := func(err error) (tls.ConnectionState, identity.ID, *Partner, error) {
		return tls.ConnectionState{}, identity.ID{}, nil, err
	}
	p, ok := peer.FromContext(ctx)
	if !ok {
		return refused(errors.New("server: the connection has no peer"))
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return refused(errors.New("server: the connection is not TLS"))
	}
	id, err := identity.Named(info.State)
	if err != nil {
		return refused(err)
	}
	partner := s.partner(id)
	if partner == nil {
		return refused(identity.ErrUnknown)
	}
	return info.State, id, partner, nil
}
