// Package client is what an advertiser's engineer imports: it matches a list of
// customers with a platform, without showing the platform the list.
//
//	conn, err := client.Dial("ads.example:8443", config)
//	...
//	c, err := client.New(conn, config)
//	list, err := audience.Open("customers.csv", config.ListOptions(audience.Granted))
//	report, err := c.Match(ctx, "spring", list)
//
// In the default mode, PLearns, the platform learns which of its own, consented
// accounts are on the list; the advertiser learns one noised count at most. In the
// others, which a policy has to list, Config.Matched is told which rows matched:
// in ALearns only the advertiser learns it, in MutualA and MutualP both do. Neither
// raw nor hashed identifiers leave this machine.
package client

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/peer"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/frames"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// Config is an advertiser's side.
type Config struct {
	// Identity is the advertiser's own. Required.
	Identity *identity.Identity
	// Platform is the id of the only platform this client talks to. Required.
	Platform identity.ID
	// Policy is the document both companies hold; nil means policy.Default.
	Policy *policy.Policy
	// Dir is a private directory for the journal, which holds what the platform
	// has asked, and while a session runs for sorted tokens and, where rows are
	// learned, the list's hashed identifiers. Required: the budget it keeps
	// protects the list.
	Dir string
	// Mode is that of its sessions; zero means PLearns. The Policy must list it.
	Mode Mode
	// Listed, if not nil, is told what became of each row of the list when it was
	// read, before anything leaves. Its error ends Match.
	Listed func(audience.Report) error
	// Matched, if not nil, is told of each identifier of the list that matched, in
	// the list's order, once a session is complete in which the advertiser learns
	// them: every mode but PLearns. Its error ends Match.
	Matched func(Match) error
	// Tables, if not empty, is a directory for the platform's published tables, which
	// are then used in ALearns and MutualA instead of one for each session
	// (PROTOCOL.md §7.4). A table stays there until it expires.
	Tables string
	// TablesFrom, if not empty, is a directory with a copy of what the platform has
	// published, to fetch tables from. Without, the platform sends them.
	TablesFrom string
	// Witnesses are the keys of those whose cosignatures count, of which the policy
	// may ask for some on the log that a published table is in.
	Witnesses []*audit.WitnessKey
	// Progress, if not nil, is told how far a long step has come, often. It must
	// return at once.
	Progress func(step string, done, total uint64)
	// Log, if not nil, gets sizes, durations, codes and session ids, never a
	// value of the list.
	Log *slog.Logger
}

// Client matches lists with one platform. It may be used by several goroutines.
type Client struct {
	c       Config
	conn    grpc.ClientConnInterface
	match   ampsiv1.MatchClient
	journal *journal
}

// MaxMessage is the size in bytes of the largest message of the protocol
// (PROTOCOL.md §13).
const MaxMessage = 1 << 20

// Dial prepares a connection to the platform: mutual TLS 1.3, the platform's
// identity pinned, no compression, bounded messages. Nothing is sent before the
// first call. A platform takes two calls at a time over a connection; a third
// waits. The caller closes it.
func Dial(address string, c Config) (*grpc.ClientConn, error) {
	if c.Identity == nil || c.Platform == (identity.ID{}) {
		return nil, errors.New("client: Identity and Platform are required")
	}
	return grpc.NewClient(address, append(DialOptions(), grpc.WithTransportCredentials(c.Credentials()))...)
}

// Credentials are mutual TLS 1.3 with the platform's identity pinned, on connections
// that end when they are made to hold more than they carry.
func (c *Config) Credentials() credentials.TransportCredentials {
	return frames.Credentials(credentials.NewTLS(c.Identity.ClientTLS(c.Platform)))
}

// DialOptions returns Dial's settings except TLS, which is Config.Credentials, for
// callers who make their own connection.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(MaxMessage), grpc.MaxCallSendMsgSize(MaxMessage)),
		grpc.WithMaxHeaderListSize(16 << 10),
		// No less than a socket's buffer: in it what widens the platform's window waits
		// behind chunks. gRPC's dialer, which knows of proxies, leaves no say in that.
		grpc.WithStaticStreamWindowSize(4 << 20),
		grpc.WithStaticConnWindowSize(8 << 20),
		grpc.WithDisableRetry(),
		// A session that lost its connection has minutes to find another.
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: redial, MinConnectTimeout: 20 * time.Second}),
		grpc.WithDisableServiceConfig(),
		// A dead platform is noticed before the protocol's patience of two minutes is
		// over, so that the session goes on; the server allows a ping a minute.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 70 * time.Second, Timeout: 20 * time.Second}),
	}
}

// redial is gRPC's own but for its longest wait, which is two minutes.
var redial = backoff.Config{BaseDelay: time.Second, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 10 * time.Second}

// New returns a client on a connection to the platform.
func New(conn grpc.ClientConnInterface, c Config) (*Client, error) {
	switch {
	case c.Identity == nil:
		return nil, errors.New("client: Identity is required")
	case c.Platform == identity.ID{}:
		return nil, errors.New("client: Platform is required: the id the platform gave you")
	case c.Dir == "":
		return nil, errors.New("client: Dir is required: it keeps the budget that protects the list")
	}
	if c.Policy == nil {
		c.Policy = policy.Default()
	}
	if c.Mode == 0 {
		c.Mode = PLearns
	}
	if err := c.Identity.Check(time.Now()); err != nil {
		return nil, fmt.Errorf("client: this company's own identity: %w", err)
	}
	if !c.Mode.Valid() {
		return nil, errors.New("client: Mode is not one of the protocol's")
	}
	if c.Tables != "" && c.Mode.AdvertiserAsks() && !publication.For(c.Policy) {
		return nil, ErrNoTables
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	j, err := openJournal(c.Dir)
	if err == nil {
		err = j.look()
	}
	if err != nil {
		return nil, err
	}
	// What a killed process left is nobody's any more.
	if err := table.Sweep(c.spill()); err != nil {
		return nil, err
	}
	return &Client{c: c, conn: conn, match: ampsiv1.NewMatchClient(conn), journal: j}, nil
}

// spill is where sorted tokens are kept while a session runs.
func (c *Config) spill() string { return filepath.Join(c.Dir, "spill") }

func (c *Client) progress(step session.Step, done, total uint64) {
	if c.c.Progress != nil {
		c.c.Progress(string(step), done, total)
	}
}

// open starts a call and says who is at its other end. The call outlives ctx, so
// that the platform can still be told why it ends; hangUp ends it.
func (c *Client) open(ctx context.Context) (stream ampsiv1.Match_SessionClient, platform identity.Peer, hangUp context.CancelFunc, err error) {
	call, hangUp := context.WithCancel(context.WithoutCancel(ctx))
	connected := context.AfterFunc(ctx, hangUp)
	stream, err = c.match.Session(call)
	connected()
	switch {
	case err == nil:
		platform, err = c.platform(stream.Context())
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		err = refusal(c.conn, ctx.Err())
	case ctx.Err() != nil:
		err = fmt.Errorf("client: connect to the platform: %w", context.Cause(ctx))
	default:
		err = refusal(c.conn, err)
	}
	if err != nil {
		hangUp()
	}
	return stream, platform, hangUp, err
}

// platform says who is at the other end of a call.
func (c *Client) platform(call context.Context) (identity.Peer, error) {
	at, ok := peer.FromContext(call)
	if !ok {
		return identity.Peer{}, errors.New("client: the connection has no peer")
	}
	info, ok := at.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return identity.Peer{}, errors.New("client: the connection is not TLS")
	}
	platform, err := identity.PeerOf(info.State)
	if err == nil && platform.ID != c.c.Platform {
		err = identity.ErrUnknown
	}
	return platform, err
}
