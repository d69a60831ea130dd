package server

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/experimental"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"
)

// Limits of a connection. gRPC's own defaults are not made for the internet:
// streams without number, headers of 16 MiB, connections without end.
const (
	maxMessage    = 1 << 20 // bytes; a chunk is half of it (PROTOCOL.md §13)
	maxStreams    = 2       // per connection, against rapid reset; each may hold a window that nobody reads
	maxHeaders    = 16 << 10
	streamWindow  = 2 << 20 // a far link's worth, with losses: Limit keeps what widens it from waiting behind chunks
	connWindow    = 4 << 20
	handshakeTime = 10 * time.Second
)

// methods is everything that can be called, and how long gRPC may take for all of
// it; 0 is no limit, where this package has its own.
var methods = map[string]time.Duration{
	"/ampsi.v1.Match/Session":      0,
	"/ampsi.v1.Match/Tables":       0,
	"/grpc.health.v1.Health/Check": helloTime,
	"/grpc.health.v1.Health/Watch": 0,
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
		grpc.InTapHandle(known),
		grpc.ChainStreamInterceptor(prompt),
		experimental.BufferPool(buffers),
	}
}

// buffers are of each power of two, so that what a peer sends and nobody reads takes
// twice its size at most: gRPC's own take four times that, if the peer chooses well.
var buffers = func() mem.BufferPool {
	pool, err := mem.NewBinaryTieredBufferPool(8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20)
	if err != nil {
		panic(err) // the list is wrong
	}
	return pool
}()

// known refuses what is no method, before anything is allocated for it.
func known(ctx context.Context, info *tap.Info) (context.Context, error) {
	switch patience, ok := methods[info.FullMethodName]; {
	case !ok:
		return nil, status.Error(codes.Unimplemented, "no such method")
	case patience > 0:
		ctx, cancel := context.WithTimeout(ctx, patience)
		context.AfterFunc(ctx, cancel) // as the call ends
		return ctx, nil
	default:
		return ctx, nil
	}
}

// prompt ends a call that brings no request in time. Of a call that has one request
// the service hears only then. In a Session frames come one after another, and the
// door waits for the first.
func prompt(service any, call grpc.ServerStream, info *grpc.StreamServerInfo, serve grpc.StreamHandler) error {
	if !info.IsClientStream {
		call = &prompted{call}
	}
	return serve(service, call)
}

type prompted struct{ grpc.ServerStream }

// RecvMsg is called once. When it gives up, gRPC's own ends with the call.
func (p *prompted) RecvMsg(m any) error {
	got := make(chan error, 1)
	go func() { got <- p.ServerStream.RecvMsg(m) }()
	timer := time.NewTimer(helloTime)
	defer timer.Stop()
	select {
	case err := <-got:
		return err
	case <-timer.C:
		return status.Error(codes.DeadlineExceeded, "no request in time")
	}
}
