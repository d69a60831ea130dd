package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/types/known/emptypb"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/server"
)

// A method is called only if it is on the list, also if somebody registers more.
func TestMethodsThatCanBeCalled(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(w.server.Credentials()))...)
		w.server.Register(g)
		healthpb.RegisterHealthServer(g, health.NewServer())
		g.RegisterService(&grpc.ServiceDesc{ServiceName: "example.Debug", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{{MethodName: "Dump",
			Handler: func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
				t.Error("a method that is not on the list is called")
				return &emptypb.Empty{}, nil
			}}}}, struct{}{})
		w.listener = bufconn.Listen(1 << 20)
		go g.Serve(w.listener)
		defer g.Stop()
		conn := w.shop.dial()
		defer conn.Close()
		for _, method := range []string{"/example.Debug/Dump", "/ampsi.v1.Match/Table", "/ampsi.v1.Match/session", "/ampsi.v1.Match/Session/", "/ampsi.v1.match/Session",
			"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/grpc.channelz.v1.Channelz/GetServers", "/grpc.health.v1.Health/List", "/", "/x"} {
			err := conn.Invoke(t.Context(), method, &emptypb.Empty{}, &emptypb.Empty{})
			if status.Code(err) != codes.Unimplemented || !strings.HasSuffix(err.Error(), "no such method") {
				t.Errorf("%s: %v", method, err)
			}
		}
		got, err := healthpb.NewHealthClient(conn).Check(t.Context(), &healthpb.HealthCheckRequest{})
		if err != nil || got.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			t.Errorf("health: %v, %v", got, err)
		}
		stream, err := ampsiv1.NewMatchClient(conn).Session(t.Context())
		must(t, err)
		must(t, stream.Send(&ampsiv1.Frame{}))
		if f, err := stream.Recv(); err != nil || psi.FrameType(f.GetType()) != psi.FrameAbort {
			t.Errorf("Session: %v", err)
		}
	})
}

// A call with one request that does not come is ended, before the service has heard
// of it. A Watch goes on once it has its request.
func TestNoRequest(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		g := grpc.NewServer(append(server.GRPCOptions(), grpc.Creds(w.server.Credentials()))...)
		w.server.Register(g)
		healthpb.RegisterHealthServer(g, health.NewServer())
		w.listener = bufconn.Listen(1 << 20)
		go g.Serve(w.listener)
		defer g.Stop()
		conn := w.shop.dial()
		defer conn.Close()
		for _, method := range []string{"/ampsi.v1.Match/Tables", "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check"} {
			started := time.Now()
			call, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
			must(t, err)
			err = call.RecvMsg(new(emptypb.Empty))
			if status.Code(err) != codes.DeadlineExceeded || time.Since(started) > 11*time.Second {
				t.Errorf("%s: after %v %v", method, time.Since(started), err)
			}
		}
		watch, err := healthpb.NewHealthClient(conn).Watch(t.Context(), &healthpb.HealthCheckRequest{})
		must(t, err)
		_, err = watch.Recv()
		must(t, err)
		over := make(chan error, 1)
		go func() {
			_, err := watch.Recv()
			over <- err
		}()
		time.Sleep(10 * time.Minute)
		select {
		case err := <-over:
			t.Errorf("a Watch ends with %v", err)
		default:
		}
	})
}

// firstFrame sends a frame on a call of its own, and returns the code that the
// platform answers with, or else the call's error.
func firstFrame(t *testing.T, conn *grpc.ClientConn, f *ampsiv1.Frame) (psi.AbortCode, error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream, err := ampsiv1.NewMatchClient(conn).Session(ctx)
	must(t, err)
	if err := stream.Send(f); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	answer, err := stream.Recv()
	if err != nil {
		return 0, err
	}
	if psi.FrameType(answer.GetType()) != psi.FrameAbort || len(answer.GetBody()) != 1 {
		t.Fatalf("the answer is %v", psi.FrameType(answer.GetType()))
	}
	return psi.AbortCode(answer.GetBody()[0]), nil
}

// A message of 1 MiB is read, and found to be none; one of a byte more is not read.
func TestLargestMessage(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		conn := w.shop.dial(grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1 << 30)))
		defer conn.Close()
		const head = 4 // tag and length of Frame.body, and of nothing else
		for _, size := range []int{1 << 20, 1<<20 + 1, 16 << 20} {
			code, err := firstFrame(t, conn, &ampsiv1.Frame{Body: make([]byte, size-head)})
			if size <= 1<<20 && code != psi.AbortMalformed || size > 1<<20 && status.Code(err) != codes.ResourceExhausted {
				t.Errorf("%d bytes: code %d, %v", size, code, err)
			}
		}
		_, errs := w.log.failures(t) // of sessions: the others were refused at the door
		if len(errs) != 1 || !strings.Contains(errs[0], "HELLO is longer than any") || strings.Count(w.log.String(), "refused by the transport") != 2 {
			t.Errorf("the platform logs %s", w.log)
		}
	})
}

// squeeze is a compressor that a program may have registered for its own ends.
type squeeze struct{}

func (squeeze) Name() string                                 { return "overlap-test" }
func (squeeze) Compress(w io.Writer) (io.WriteCloser, error) { return unclosed{w}, nil }
func (squeeze) Decompress(r io.Reader) (io.Reader, error)    { return r, nil }

type unclosed struct{ io.Writer }

func (unclosed) Close() error { return nil }

func init() { encoding.RegisterCompressor(squeeze{}) }

// A compressed call is refused, also in a program that could read it.
func TestCompressionIsRefused(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
		conn := w.shop.dial(grpc.WithDefaultCallOptions(grpc.UseCompressor(squeeze{}.Name())))
		defer conn.Close()
		code, err := firstFrame(t, conn, &ampsiv1.Frame{Body: bytes.Repeat([]byte("bomb"), 1000)})
		if code != psi.AbortMalformed {
			t.Errorf("code %d, %v", code, err)
		}
		_, err = w.shop.matchOver(t.Context(), conn, "spring", people(0, 5)...)
		wantCode(t, err, psi.AbortMalformed)
		if n := len(w.sessions()); n != 0 {
			t.Errorf("%d sessions were opened", n)
		}
		// The platform compresses nothing itself.
		plain := w.shop.dial()
		defer plain.Close()
		stream, err := ampsiv1.NewMatchClient(plain).Session(t.Context())
		must(t, err)
		must(t, stream.Send(&ampsiv1.Frame{}))
		header, err := stream.Header()
		if err != nil || len(header.Get("grpc-encoding")) > 0 {
			t.Errorf("the answer's header is %v; %v", header, err)
		}
		_, err = w.shop.match("spring", people(0, 5)...)
		must(t, err)
	})
}

// Nothing that the server is made of registers gzip, so that a program without
// compressors of its own has none.
func TestNoCompressorIsLinked(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "github.com/overlap-psi/overlap/server").Output()
	must(t, err)
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, "google.golang.org/grpc") || !slices.Contains(deps, "github.com/overlap-psi/overlap/session") {
		t.Fatalf("%d packages; gRPC and session are not among them", len(deps))
	}
	for _, banned := range []string{"google.golang.org/grpc/encoding/gzip", "google.golang.org/grpc/reflection", "google.golang.org/grpc/channelz/service",
		"github.com/overlap-psi/overlap/client", "net/http/pprof"} {
		if slices.Contains(deps, banned) {
			t.Errorf("the server is made of %s", banned)
		}
	}
}

// A connection has two calls at a time; the next one waits.
func TestCallsOfAConnection(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		w.places = 100
		w.restart()
		conn := w.shop.dial()
		defer conn.Close()
		match := ampsiv1.NewMatchClient(conn)
		first, cancel := context.WithCancel(t.Context())
		defer cancel()
		_, err := match.Session(first)
		must(t, err)
		synctest.Wait() // the connection's settings have arrived
		_, err = match.Session(t.Context())
		must(t, err)
		ctx, cancelThird := context.WithTimeout(t.Context(), time.Second)
		defer cancelThird()
		if _, err := match.Session(ctx); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("the third call: %v", err)
		}
		cancel()
		synctest.Wait()
		if _, err := match.Session(t.Context()); err != nil {
			t.Errorf("when the first has ended: %v", err)
		}
	})
}

// Headers are bounded, too.
func TestLargeHeaders(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), nil, func(t *testing.T, w *world) {
		conn := w.shop.dial()
		defer conn.Close()
		for size, ok := range map[int]bool{8 << 10: true, 17 << 10: false} {
			ctx := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", size))
			stream, err := ampsiv1.NewMatchClient(conn).Session(ctx)
			if err == nil {
				_ = stream.Send(&ampsiv1.Frame{}) // Recv says what became of the call
				_, err = stream.Recv()
			}
			if (err == nil) != ok {
				t.Errorf("a header of %d bytes: %v", size, err)
			}
		}
	})
}
