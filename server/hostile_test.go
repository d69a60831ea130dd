package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/server"
)

// What an attack may cost a platform beyond what it needs at rest. The attackers
// are in the same process, so their share is in it.
const (
	heapOfSiege = 64 << 20         // bytes, garbage included
	heapOfConn  = 192 << 10        // more for each connection that is open: gRPC's buffers and TLS's, of both ends
	goroutines1 = 10               // for each connection, of both ends
	files1      = 2                // for each connection: both ends
	logOfSiege  = 32 << 10         // bytes, most of it of the sessions that partners start without a pause
	slowest     = 30 * time.Second // the honest session, of which a second or two is release_step
	recovery    = 30 * time.Second // until everything is as before
	heapAfter   = 8 << 20          // bytes that may stay: pools, tables of what has gone
	filesAfter  = 4                // gRPC and SQLite open what they need when they need it
	handshake   = 2 * time.Second  // instead of ten, which a bubble tests (TestConnectionWithoutCall)
)

// siege is a platform on TCP that is attacked while honest partners use it.
type siege struct {
	*world
	t       *testing.T
	gang    []*advertiser // partners that attack together: each has few connections
	next    atomic.Int64
	rest    cost
	over    atomic.Bool
	refused atomic.Int64 // connections that the platform ended
}

// cost is what the process takes.
type cost struct{ heap, goroutines, files, log int }

func (c cost) max(d cost) cost {
	return cost{max(c.heap, d.heap), max(c.goroutines, d.goroutines), max(c.files, d.files), max(c.log, d.log)}
}

func (s *siege) cost() cost {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return cost{int(m.HeapAlloc), runtime.NumGoroutine(), openFiles(), len(s.log.String())}
}

// openFiles returns how many descriptors the process has, or 0 where no system says.
func openFiles() int {
	d, _ := os.ReadDir("/proc/self/fd")
	return len(d)
}

// attack is what each of some connections does, again and again until the siege is
// over. It returns when its connection is of no more use.
type attack struct {
	name  string
	conns int
	do    func(s *siege, conn net.Conn) error
	holds int // bytes that each connection may hold beyond heapOfConn
}

// besiege lets attackers have their way while an honest partner has a session, and
// holds the platform to the bounds.
func besiege(t *testing.T, attacks ...attack) {
	s := &siege{t: t, world: newWorld(t, agreed(t, "max_releases = 100"), members(40),
		&server.Config{MaxConnections: 4000, PerAddress: -1}, // as behind a proxy, so that gRPC sees it all
		grpc.ConnectionTimeout(handshake))}
	for i := range 3 { // four could take all places, each its quarter
		s.gang = append(s.gang, s.newAdvertiser(fmt.Sprintf("hostile %d", i)))
	}
	honest := s.newAdvertiser("honest")
	_, err := honest.match("spring", people(0, 10)...) // what is made once is made now
	must(t, err)
	s.rest = s.settled()

	var crowd sync.WaitGroup
	conns, holds := 0, 0
	for _, a := range attacks {
		if testing.Short() {
			a.conns = (a.conns + 3) / 4
		}
		conns += a.conns
		holds += a.conns * a.holds
		for range a.conns {
			crowd.Go(func() { s.repeat(a) })
		}
	}
	peak := make(chan cost)
	go s.watch(peak)
	started := time.Now()
	time.Sleep(handshake / 8) // the attack is in full swing
	_, err = honest.match("summer", people(20, 30)...)
	if err != nil {
		t.Errorf("the honest partner has %v", err)
	}
	if got, want := s.accounts(honest, "summer"), accountsOf(20, 30); !slices.Equal(got, want) {
		t.Errorf("the honest partner's audience is %v, want %v", got, want)
	}
	if took := time.Since(started); took > slowest {
		t.Errorf("the honest partner's session took %v", took)
	}
	time.Sleep(time.Until(started.Add(handshake + time.Second)))
	s.over.Store(true)
	s.within(<-peak, conns, holds)
	crowd.Wait()
	s.recovers()
	if _, err := honest.match("autumn", people(0, 10)...); err != nil {
		t.Errorf("after the siege: %v", err)
	}
}

func (s *siege) repeat(a attack) {
	for !s.over.Load() {
		conn, err := s.reach(context.Background())
		if err != nil {
			s.t.Errorf("%s: %v", a.name, err)
			return
		}
		err = a.do(s, conn)
		conn.Close()
		if err != nil && !s.over.Load() {
			s.refused.Add(1)
		}
		time.Sleep(20 * time.Millisecond) // so that it is not the attacker who takes all of the processor
	}
}

func (s *siege) watch(peak chan<- cost) {
	var most cost
	for !s.over.Load() {
		most = most.max(s.cost())
		time.Sleep(20 * time.Millisecond)
	}
	peak <- most
}

func (s *siege) within(peak cost, conns, holds int) {
	s.t.Helper()
	s.t.Logf("%d connections: %d MiB, %d goroutines, %d files, %d bytes of log; the platform ended %d", conns,
		(peak.heap-s.rest.heap)>>20, peak.goroutines-s.rest.goroutines, peak.files-s.rest.files, peak.log-s.rest.log, s.refused.Load())
	for _, b := range []struct {
		what      string
		got, most int
	}{
		{"bytes of heap", peak.heap - s.rest.heap, heapOfSiege + conns*heapOfConn + holds},
		{"goroutines", peak.goroutines - s.rest.goroutines, 50 + conns*goroutines1},
		{"files", peak.files - s.rest.files, 20 + conns*files1*2}, // of the connections before, too, while they end
		{"bytes of log", peak.log - s.rest.log, logOfSiege},
	} {
		if b.got > b.most {
			s.t.Errorf("the siege takes %d %s, want at most %d", b.got, b.what, b.most)
		}
	}
}

// settled returns the cost once nothing happens any more.
func (s *siege) settled() cost {
	last := cost{}
	for range 50 {
		runtime.GC()
		now := s.cost()
		if now.goroutines == last.goroutines && now.files == last.files {
			return now
		}
		last = now
		time.Sleep(50 * time.Millisecond)
	}
	return last
}

// recovers waits until everything is as it was.
func (s *siege) recovers() {
	s.t.Helper()
	var now cost
	for deadline := time.Now().Add(recovery); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		runtime.GC()
		now = s.cost()
		if now.goroutines <= s.rest.goroutines && now.files <= s.rest.files+filesAfter && now.heap <= s.rest.heap+heapAfter {
			if files := s.leftovers(); len(files) > 0 {
				s.t.Errorf("files are left: %v", files)
			}
			return
		}
	}
	stacks := make([]byte, 1<<20)
	s.t.Errorf("after the siege %+v, before %+v\n%s", now, s.rest, stacks[:runtime.Stack(stacks, true)])
}

// shown dials TLS as a company.
func shown(conn net.Conn, who *identity.Identity, platform identity.ID, change ...func(*tls.Config)) (*tls.Conn, error) {
	c := who.ClientTLS(platform)
	c.NextProtos = []string{"h2"}
	for _, f := range change {
		f(c)
	}
	t := tls.Client(conn, c)
	return t, t.Handshake()
}

// raw is HTTP/2 without its manners.
type raw struct {
	net.Conn
	*http2.Framer
	out  *bufio.Writer
	head bytes.Buffer
	enc  *hpack.Encoder
	mu   sync.Mutex     // of writes and of more
	more map[uint32]int // what the platform has widened the windows of streams by
}

// partner is one of those that attack, each in its turn.
func (s *siege) partner() *identity.Identity {
	return s.gang[int(s.next.Add(1))%len(s.gang)].identity
}

// speak begins HTTP/2 as a partner.
func (s *siege) speak(conn net.Conn, settings ...http2.Setting) (*raw, error) {
	t, err := shown(conn, s.partner(), s.identity.ID())
	if err != nil {
		return nil, err
	}
	return speak(t, settings...)
}

func speak(t net.Conn, settings ...http2.Setting) (*raw, error) {
	if _, err := io.WriteString(t, http2.ClientPreface); err != nil {
		return nil, err
	}
	out := bufio.NewWriterSize(t, 64<<10)
	r := &raw{Conn: t, Framer: http2.NewFramer(out, t), out: out, more: map[uint32]int{}}
	r.Framer.AllowIllegalWrites = true
	r.enc = hpack.NewEncoder(&r.head)
	return r, errors.Join(r.WriteSettings(settings...), out.Flush())
}

// listen reads whatever comes, so that nothing waits for this peer, until the
// connection ends.
func (r *raw) listen() error {
	for {
		f, err := r.ReadFrame()
		if err != nil {
			return err
		}
		r.mu.Lock()
		switch f := f.(type) {
		case *http2.WindowUpdateFrame:
			r.more[f.StreamID] += int(f.Increment)
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = errors.Join(r.WriteSettingsAck(), r.out.Flush())
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = errors.Join(r.WritePing(true, f.Data), r.out.Flush())
			}
		}
		r.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// call opens a call, with more headers if there are any. It is not flushed.
func (r *raw) call(stream uint32, more ...string) error {
	r.head.Reset()
	for _, f := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":path", "/ampsi.v1.Match/Session"}, {":authority", "platform"},
		{"content-type", "application/grpc"}, {"te", "trailers"}} {
		must2(r.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
	}
	for i := 0; i+1 < len(more); i += 2 {
		must2(r.enc.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]}))
	}
	return r.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: r.head.Bytes(), EndHeaders: true})
}

// must2 is for what only writes to memory.
func must2(err error) {
	if err != nil {
		panic(err)
	}
}

// until reads until the platform ends the connection.
func (s *siege) until(conn net.Conn) error {
	for b := make([]byte, 4<<10); ; {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		_, err := conn.Read(b)
		if errors.Is(err, os.ErrDeadlineExceeded) && !s.over.Load() {
			continue
		}
		if err != nil {
			return fmt.Errorf("ended: %w", err)
		}
	}
}
