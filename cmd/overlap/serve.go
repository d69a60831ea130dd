package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type serveCommand struct {
	storeFlag
	Identity       string        `required:"" type:"path" help:"Directory of the platform's identity, made by keygen."`
	Partners       string        `required:"" type:"path" help:"JSON list of {\"name\", \"id\", \"policy\"}: the advertisers that may connect, and the policy agreed with each; without one, the default policy."`
	Listen         string        `required:"" placeholder:"HOST:PORT" help:"Address to listen on."`
	Dir            string        `type:"path" help:"Private directory for what a session keeps on disk while it runs. Default: IDENTITY/work."`
	MaxSessions    int           `default:"16" help:"Sessions at once, over all partners; a partner has a quarter of them."`
	SessionEvery   time.Duration `default:"10s" help:"How often a partner may start a session, on average; each costs a snapshot. 32 may come without a pause."`
	MaxConnections int           `default:"512" help:"Connections at once."`
	PerAddress     int           `default:"64" help:"Connections at once from one address (IPv6: from one /64); --per-address=-1 is no limit, for a platform behind a proxy."`
	Grace          time.Duration `default:"1h" help:"How long a published table is answered under after the next one is there, and after its epoch."`
	Drain          time.Duration `default:"10m" help:"How long a stop waits for running sessions."`

	RequireSignedPolicy bool   `help:"Start only if every partner's policy is signed by the partner and by this platform (FILE.sig beside the policy)."`
	Operations          string `placeholder:"HOST:PORT" help:"Private address for /metrics (Prometheus), /healthz and /readyz. Traces go where OTEL_EXPORTER_OTLP_ENDPOINT says, if anywhere."`
}

func (c *serveCommand) Run(ctx context.Context) (err error) {
	if err := c.limits(); err != nil {
		return err
	}
	i, err := loadIdentity(c.Identity)
	if err != nil {
		return err
	}
	partners, err := c.partners(i.ID())
	if err != nil {
		return err
	}
	if err := checkListen("--listen", c.Listen); err != nil {
		return err
	}
	var private net.Listener
	if c.Operations != "" {
		if private, err = listen("--operations", c.Operations); err != nil {
			return err
		}
		defer private.Close() // again, if it was served
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	if c.Dir == "" {
		c.Dir = filepath.Join(c.Identity, "work")
	}
	traces, flush, err := tracing(ctx)
	if err != nil {
		return err
	}
	defer func() {
		late, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, flush(late))
	}()
	o := newOperations()
	o.certificate(i.Expires())
	p, err := startPlatform(c.Listen, server.Config{
		Identity: i, Store: db, Partners: partners, Dir: c.Dir, MaxSessions: c.MaxSessions,
		SessionEvery: c.SessionEvery, MaxConnections: c.MaxConnections, PerAddress: c.PerAddress, Grace: c.Grace,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Watch: o.watch(),
	}, traces...)
	if err != nil {
		return err
	}
	if private != nil {
		stop := o.serve(private, p.health)
		defer func() { err = errors.Join(err, stop()) }()
	}
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	defer signal.Stop(hangup)
	p.logPolicies(partners)
	go c.reload(ctx, i.ID(), p, hangup)
	tending, stop := context.WithCancel(ctx)
	tended := p.tend(tending)
	lost := p.keepStore(tending, db)
	defer func() {
		stop()
		<-tended
		for range lost { // until it is closed
		}
	}()
	return p.until(ctx, c.Drain, lost)
}

// limits refuses numbers that would stop a server, or be taken for the default.
func (c *serveCommand) limits() error {
	for _, l := range []struct {
		flag string
		set  any
		bad  bool
		why  string
	}{
		{"--max-sessions", c.MaxSessions, c.MaxSessions < 1, "it has to be more than 0"},
		{"--session-every", c.SessionEvery, c.SessionEvery <= 0, "it has to be more than 0"},
		{"--max-connections", c.MaxConnections, c.MaxConnections < 1, "it has to be more than 0"},
		{"--per-address", c.PerAddress, c.PerAddress == 0, "it has to be more than 0, or -1 for no limit"},
		{"--grace", c.Grace, c.Grace <= 0, "it has to be more than 0"},
		{"--drain", c.Drain, c.Drain < 0, "it is negative"},
	} {
		if l.bad {
			return usageError{fmt.Errorf("%s %v: %s", l.flag, l.set, l.why)}
		}
	}
	return nil
}

// reload reads the partners file again at each SIGHUP, so that a partner can be
// added or removed while sessions run. A file with a mistake changes nothing.
func (c *serveCommand) reload(ctx context.Context, id identity.ID, p *platform, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
		}
		partners, err := c.partners(id)
		if err == nil {
			err = p.server.SetPartners(partners)
		}
		if err != nil {
			p.log.Error("partners not reloaded", "error", err)
			continue
		}
		p.log.Info("partners reloaded", "partners", len(partners))
		p.logPolicies(partners)
	}
}

// partners loads the partners file of the platform of that id.
func (c *serveCommand) partners(id identity.ID) ([]server.Partner, error) {
	partners, err := server.LoadPartners(c.Partners)
	switch {
	case errors.Is(err, policy.ErrOther):
		return nil, err // which says what to do
	case err != nil:
		return nil, hint(err, `a partners file looks like [{"name": "acme", "id": "9f2c…", "policy": "acme.toml"}]`)
	case slices.ContainsFunc(partners, func(p server.Partner) bool { return p.ID == id }):
		return nil, hint(errors.New("the partners file names the company that serves"), "--identity is the platform's own; the partners are the others")
	case !c.RequireSignedPolicy:
		return partners, nil
	}
	if err := server.CheckSigned(partners, id); err != nil {
		return nil, hint(refusedError{err}, "both companies sign with: overlap policy sign FILE --identity DIR; the .sig file stands beside the policy")
	}
	return partners, nil
}

// logPolicies says under which policy each partner is, and who signed it.
func (p *platform) logPolicies(partners []server.Partner) {
	for _, partner := range partners {
		a := agreement{partner.Policy, partner.Signed}
		if a.Policy == nil {
			a.Policy = policy.Default()
		}
		p.log.Info("policy", "partner", partner.Name, "sha256", fmt.Sprintf("%x", a.Hash()), "version", a.Consent.Version, "signed_by", short(a.signers()))
	}
}

// platform is a running matching server.
type platform struct {
	server *server.Server
	addr   net.Addr
	grpc   *grpc.Server
	health *health.Server
	log    *slog.Logger
	done   chan error
}

// startPlatform listens and serves: the Match service and gRPC's health service,
// on one port, to partners only.
func startPlatform(at string, c server.Config, extra ...grpc.ServerOption) (*platform, error) {
	s, err := server.New(c)
	if err != nil {
		return nil, err
	}
	l, err := listen("--listen", at)
	if err != nil {
		return nil, err
	}
	p := &platform{
		server: s,
		addr:   l.Addr(),
		grpc:   grpc.NewServer(slices.Concat(server.GRPCOptions(), extra, []grpc.ServerOption{grpc.Creds(s.Credentials())})...),
		health: health.NewServer(),
		log:    c.Log,
		done:   make(chan error, 1),
	}
	s.Register(p.grpc)
	healthpb.RegisterHealthServer(p.grpc, p.health)
	go func() { p.done <- p.grpc.Serve(s.Limit(l)) }()
	p.log.Info("serving", "address", p.addr.String(), "id", c.Identity.ID().String(), "partners", len(c.Partners), "certificate_until", c.Identity.Expires().Format(time.DateOnly))
	return p, nil
}

// storeEvery is how often a server looks whether it has its store, and storePatience
// how long it waits for an answer.
const (
	storeEvery    = time.Second
	storePatience = 5 * time.Second
)

// keepStore looks whether the store can be used, without which the server is not
// ready, and whether it is this server's: if not, lost has why. It is closed when
// nobody looks any more.
func (p *platform) keepStore(ctx context.Context, db *store.DB) (lost <-chan error) {
	over := make(chan error, 1)
	said := saidOnce{log: p.log, wrong: "not ready: the store can't be used; said once, and tried again and again", right: "ready: the store can be used again"}
	look := func() error {
		short, cancel := context.WithTimeout(ctx, storePatience)
		defer cancel()
		err := db.Check(short)
		if ctx.Err() != nil {
			return nil
		}
		said.result(err)
		status := healthpb.HealthCheckResponse_SERVING
		if err != nil {
			status = healthpb.HealthCheckResponse_NOT_SERVING
		}
		p.health.SetServingStatus("", status) // of no effect once it stops
		return err
	}
	go func() {
		defer close(over)
		ticker := time.NewTicker(storeEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
			if err := look(); errors.Is(err, store.ErrTaken) {
				over <- err
				return
			}
		}
	}()
	return over
}

// until serves until ctx ends, then lets running sessions end, for as long as
// drain at most. Without its store it can't end them: it stops at once, with lost's
// error.
func (p *platform) until(ctx context.Context, drain time.Duration, lost <-chan error) (err error) {
	select {
	case err := <-p.done:
		return err
	case taken, is := <-lost: // else it is closed, for ctx has ended
		if is {
			err, drain = taken, 0
		}
	case <-ctx.Done():
	}
	p.log.Info("stopping: no new sessions; running ones may end", "within", drain)
	p.health.Shutdown() // readiness goes first
	p.server.Close()    // nobody could resume a session here any more
	stopped := make(chan struct{})
	go func() {
		p.grpc.GracefulStop()
		close(stopped)
	}()
	select {
	case <-stopped:
	case <-time.After(drain):
		p.log.Warn("stopping: sessions are cut off")
		p.server.Stop()
		p.grpc.Stop()
		<-stopped
	}
	if served := <-p.done; served != nil && !errors.Is(served, grpc.ErrServerStopped) {
		return served
	}
	return err
}

// closing closes the store when a command returns, and keeps the first error.
func closing(db *store.DB, err *error) {
	if e := db.Close(); *err == nil {
		*err = e
	}
}
