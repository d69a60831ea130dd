package client_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

func TestWhatAClientNeeds(t *testing.T) {
	me := newIdentity(t, "shop")
	whole := client.Config{Identity: me, Platform: identity.ID{1}, Dir: filepath.Join(t.TempDir(), "a", "state")}
	conn, err := client.Dial("localhost:1", whole)
	must(t, err)
	defer conn.Close()
	if _, err := client.New(conn, whole); err != nil {
		t.Errorf("without a policy the default holds: %v", err)
	}
	if info, err := os.Stat(whole.Dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory is made for its owner only: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		want    string
		change  func(*client.Config)
		dialsNo bool
	}{
		{"Identity", func(c *client.Config) { c.Identity = nil }, true},
		{"Platform", func(c *client.Config) { c.Platform = identity.ID{} }, true},
		{"Dir", func(c *client.Config) { c.Dir = "" }, false},
		{"journal", func(c *client.Config) { c.Dir = file }, false},
		{"sweep", func(c *client.Config) {
			c.Dir = t.TempDir()
			must(t, os.WriteFile(filepath.Join(c.Dir, "spill"), nil, 0o600))
		}, false},
	} {
		config := whole
		c.change(&config)
		if _, err := client.New(conn, config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New without %s: %v", c.want, err)
		}
		if d, err := client.Dial("localhost:1", config); (err != nil) != c.dialsNo {
			t.Errorf("Dial without %s: %v", c.want, err)
		} else if err == nil {
			d.Close()
		}
	}
}

// New removes what a killed process left, and nothing else.
func TestNewClearsWhatAKilledProcessLeft(t *testing.T) {
	conf := client.Config{Identity: newIdentity(t, "shop"), Platform: identity.ID{1}, Dir: t.TempDir()}
	spill := filepath.Join(conf.Dir, "spill")
	must(t, os.Mkdir(spill, 0o700))
	for _, name := range []string{".overlap-tokens-123", "mine"} {
		must(t, os.WriteFile(filepath.Join(spill, name), []byte("tokens"), 0o600))
	}
	_, err := client.New(nil, conf)
	must(t, err)
	left, err := os.ReadDir(spill)
	if err != nil || len(left) != 1 || left[0].Name() != "mine" {
		t.Errorf("left are %v, %v", left, err)
	}
}

// A client talks to the one company that it was given, over TLS that ends here.
func TestOtherPlatforms(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 5, func(t *testing.T, w *world) {
		right := w.Config
		other := newIdentity(t, "other")
		match := func(conn grpc.ClientConnInterface, c client.Config) error {
			t.Helper()
			m, err := client.New(conn, c)
			must(t, err)
			r, err := m.Match(t.Context(), "spring", w.list(0, 5))
			if r == nil || r.Session != "" || r.BytesSent != 0 {
				t.Errorf("report %+v", r)
			}
			return err
		}
		// The handshake finds another company than the one pinned.
		w.Platform = other.ID()
		conn := w.dial()
		if err := match(conn, w.Config); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("another company's certificate: %v", err)
		}
		conn.Close()
		// A connection that the caller made pins one company, the client another.
		w.Config = right
		conn = w.dial()
		elsewhere := right
		elsewhere.Platform = other.ID()
		if err := match(conn, elsewhere); !errors.Is(err, identity.ErrUnknown) {
			t.Errorf("a connection to another company: %v", err)
		}
		conn.Close()
		// TLS of another kind, or none, says nothing about who is there.
		if err := match(plain(t), right); err == nil || !strings.Contains(err.Error(), "not TLS") {
			t.Errorf("a connection without TLS: %v", err)
		}
		// The platform does not know this advertiser.
		w.Identity = other
		conn = w.dial()
		if err := match(conn, w.Config); err == nil || errors.Is(err, identity.ErrUnknown) {
			t.Errorf("a platform that doesn't know us: %v", err)
		}
		conn.Close()
	})
}

// plain connects without TLS to a server of which everything is accepted.
func plain(t *testing.T) *grpc.ClientConn {
	l := bufconn.Listen(1 << 16)
	g := grpc.NewServer()
	ampsiv1.RegisterMatchServer(g, ampsiv1.UnimplementedMatchServer{})
	go g.Serve(l)
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("passthrough:///plain", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.DialContext(ctx) }))
	must(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}

// The advertiser's own limit stops a platform that asks too much, whatever the
// client is told, over restarts and until the epoch is over.
func TestBudgetOfQuestions(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t, "max_evaluations = 2048"), 5, func(t *testing.T, w *world) {
		refused := func() {
			t.Helper()
			var frames tape
			w.there = func(m moment, f *ampsiv1.Frame) {
				if m == got {
					frames.note(f)
				}
			}
			r, err := w.match(t.Context(), "spring", 0, 5)
			wantCode(t, err, psi.AbortBudget)
			if !errors.Is(err, client.ErrBudget) || r.Session != "" {
				t.Errorf("%v; session %q", err, r.Session)
			}
			synctest.Wait()
			frames.want(t, psi.FrameHello, psi.FrameAbort)
			w.there = nil
		}
		for range 2 {
			_, err := w.match(t.Context(), "spring", 0, 5)
			must(t, err)
		}
		refused()
		refused()
		time.Sleep(time.Duration(w.Policy.EpochSeconds) * time.Second)
		// A session that fails after its start is charged, too.
		w.here = at(sending, psi.FrameEvaluated, func(f *ampsiv1.Frame) { copy(f.Body, f.Body[32:64]) })
		_, err := w.match(t.Context(), "spring", 0, 5)
		wantCode(t, err, psi.AbortProof)
		w.here = nil
		_, err = w.match(t.Context(), "spring", 0, 5)
		must(t, err)
		refused()
	})
}

// A set that is over the policy's size of a session is refused.
func TestPolicyLimitsOfASession(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"max_q_hat = 1023", "max_n_hat = 1023"} {
		inBubble(t, agreed(t, line), 5, func(t *testing.T, w *world) {
			_, err := w.match(t.Context(), "spring", 0, 5)
			wantCode(t, err, psi.AbortBudget)
		})
	}
}

// What no message of the protocol can be is refused by the transport, unread.
func TestOversizeFrame(t *testing.T) {
	t.Parallel()
	inBubble(t, agreed(t), 1, func(t *testing.T, w *world) {
		body := make([]byte, client.MaxMessage)
		rand.Read(body)
		l := bufconn.Listen(1 << 20)
		g := grpc.NewServer(grpc.Creds(w.server.Credentials())) // gRPC's own limits
		ampsiv1.RegisterMatchServer(g, oversize{body: body})
		go g.Serve(l)
		defer g.Stop()
		w.connect = l.DialContext
		_, err := w.match(t.Context(), "spring", 0, 5)
		wantCode(t, err, psi.AbortMalformed)
		if err == nil || !strings.Contains(err.Error(), "transport") {
			t.Errorf("%v", err)
		}
	})
}

type oversize struct {
	ampsiv1.UnimplementedMatchServer
	body []byte
}

func (o oversize) Session(s ampsiv1.Match_SessionServer) error {
	return s.Send(&ampsiv1.Frame{Type: uint32(psi.FrameOpenQ), Body: o.body})
}

// The advertiser's process is killed when the questions are charged and before
// OPEN_H leaves: they stay charged. The process is this test itself.
func TestKilledBetweenChargeAndAnswer(t *testing.T) {
	const of = "OVERLAP_TEST_KILLED"
	if dir := os.Getenv(of); dir != "" {
		killedAtOpenH(t, dir)
		return
	}
	t.Parallel()
	w := newWorld(t, agreed(t, "max_evaluations = 1024"), 5)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	var frames tape
	ended := make(chan struct{}, 1)
	w.there = func(m moment, f *ampsiv1.Frame) {
		if m == got {
			frames.note(f)
		}
	}
	w.ended = func() { ended <- struct{}{} }
	w.serve(l)
	w.connect = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	}
	dir := t.TempDir()
	must(t, w.Identity.Save(filepath.Join(dir, "identity")))
	must(t, os.WriteFile(filepath.Join(dir, "policy.toml"), w.Policy.Bytes(), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "platform"), []byte(l.Addr().String()+" "+w.Platform.String()), 0o600))
	w.Dir = filepath.Join(dir, "state")

	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), of+"="+dir)
	out, err := process.CombinedOutput()
	if err == nil || process.ProcessState.Exited() || len(out) > 0 {
		t.Fatalf("the process was not killed: %v: %s", err, out)
	}
	<-ended
	frames.want(t, psi.FrameHello)
	journal, err := os.ReadFile(filepath.Join(w.Dir, "journal.jsonl"))
	must(t, err)
	if !bytes.Contains(journal, []byte(`"queries":1024`)) {
		t.Fatalf("the journal: %s", journal)
	}
	_, err = w.match(t.Context(), "spring", 0, 5)
	if !errors.Is(err, client.ErrBudget) {
		t.Errorf("after the kill: %v", err)
	}
}

// killedAtOpenH is the process that is killed.
func killedAtOpenH(t *testing.T, dir string) {
	me, err := identity.Load(filepath.Join(dir, "identity"))
	must(t, err)
	document, err := os.ReadFile(filepath.Join(dir, "policy.toml"))
	must(t, err)
	agreed, err := policy.Parse(document)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(dir, "platform"))
	must(t, err)
	address, id, _ := strings.Cut(string(text), " ")
	platform, err := identity.ParseID(id)
	must(t, err)
	w := &world{t: t, Config: client.Config{Identity: me, Platform: platform, Policy: agreed, Dir: filepath.Join(dir, "state")}}
	w.connect = func(ctx context.Context) (net.Conn, error) { return new(net.Dialer).DialContext(ctx, "tcp", address) }
	w.here = at(sending, psi.FrameOpenH, func(*ampsiv1.Frame) {
		me, err := os.FindProcess(os.Getpid())
		must(t, errors.Join(err, me.Kill()))
		select {} // SIGKILL is on its way
	})
	_, err = w.match(t.Context(), "spring", 0, 5)
	fmt.Println("not killed:", err)
}
