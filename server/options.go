package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// Limits of a connection. gRPC's own defaults are not made for the internet:
// streams without number, headers of 16 MiB, connections without end.
const (
	maxMessage    = 1 << 20 // bytes; a chunk is half of it (PROTOCOL.md §13)
	maxStreams    = 4       // per connection, against rapid reset
	maxHeaders    = 16 << 10
	streamWindow  = 4 << 20 // no less than a socket's buffer: in it what widens the other way's window waits behind chunks
	connWindow    = 8 << 20
	handshakeTime = 10 * time.Second
)

// methods is everything that can be called; the rest is refused before anything
// is allocated for it.
var methods = map[string]bool{
	"/ampsi.v1.Match/Session":      true,
	"/ampsi.v1.Match/Tables":       true,
	"/grpc.health.v1.Health/Check": true,
	"/grpc.health.v1.Health/Watch": true,
}

// GRPCOptions returns the settings that a grpc.Server on the internet needs, all
// but its credentials, which are Server.TLS. No compression is registered, and
// Server refuses calls that are compressed.
func GRPCOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
		grpc.MaxConcurrentStreams(maxStreams),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.ConnectionTimeout(handshakeTime),
		// Stop, too, returns when every session has ended and is on record: only then
		// may the store be closed.
		grpc.WaitForHandlers(true),
		grpc.StaticStreamWindowSize(streamWindow),
		grpc.StaticConnWindowSize(connWindow),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Minute}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionIdle: 5 * time.Minute,
			MaxConnectionAge:  time.Hour,
			// A session that still runs when its connection comes of age goes on over
			// the next (PROTOCOL.md §13).
			MaxConnectionAgeGrace: 10 * time.Minute,
			// A network that fell silent is noticed before the protocol's patience is
			// over, so that the session goes on instead of timing out.
			Time:    time.Minute,
			Timeout: 20 * time.Second,
		}),
		grpc.InTapHandle(func(ctx context.Context, info *tap.Info) (context.Context, error) {
			if !methods[info.FullMethodName] {
				return nil, status.Error(codes.Unimplemented, "no such method")
			}
			return ctx, nil
		}),
	}
}
