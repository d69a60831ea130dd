package server_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/client"
)

// wires is a network of memory where each way of a connection is a pipe of its
// own, so that one can end alone.
type wires struct {
	calls chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newWires() *wires { return &wires{calls: make(chan net.Conn), done: make(chan struct{})} }

func (w *wires) Accept() (net.Conn, error) {
	select {
	case c := <-w.calls:
		return c, nil
	case <-w.done:
		return nil, net.ErrClosed
	}
}

func (w *wires) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

func (w *wires) Addr() net.Addr { return &net.UnixAddr{Name: "wires"} }

// end is an end of a connection.
type end struct {
	net.Conn // to write to
	from     net.Conn
}

func (e *end) Read(b []byte) (int, error)         { return e.from.Read(b) }
func (e *end) Close() error                       { return errors.Join(e.Conn.Close(), e.from.Close()) }
func (e *end) SetReadDeadline(at time.Time) error { return e.from.SetReadDeadline(at) }
func (e *end) SetDeadline(at time.Time) error {
	return errors.Join(e.Conn.SetWriteDeadline(at), e.from.SetReadDeadline(at))
}

// dial connects, with a proxy in between unless there is none.
func (w *wires) dial(ctx context.Context, p *proxy) (net.Conn, error) {
	a, atA := net.Pipe() // a writes, or reads, its end
	b, atB := net.Pipe()
	near, far := &end{a, b}, &end{atB, atA}
	if p != nil {
		c, atC := net.Pipe()
		d, atD := net.Pipe()
		far = &end{atD, atC}
		p.ends = []net.Conn{a, atA, b, atB, c, atC, d, atD}
		go p.pump(atA, c, &p.ways[0])
		go p.pump(d, atB, &p.ways[1])
	}
	select {
	case w.calls <- far:
		return near, nil
	case <-w.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// proxy joins two ends as a bad network does, each way in its own.
type proxy struct {
	ways [2]way // from a to b, and from b to a
	once sync.Once
	ends []net.Conn
}

// way is what a network does with bytes one way: it delays and throttles them,
// gathers and splits what was written, and after so many of them comes the end.
type way struct {
	random *rand.Rand
	after  int64
	end    int
	delay  time.Duration // before each piece
	each   time.Duration // before each byte of it
	piece  int           // bytes read at a time
	gather time.Duration // how long to wait for more
	split  bool
}

// What comes in the end.
const (
	cuts    = iota // both ways, in the middle of a piece
	closes         // this way, and what is sent it is lost
	silence        // this way, so that only time shows it
)

func newProxy(r *rand.Rand) *proxy {
	p := new(proxy)
	for i := range p.ways {
		p.ways[i] = way{
			random: rand.New(rand.NewPCG(r.Uint64(), r.Uint64())),
			// A session of these tests takes less than a MiB one way.
			after: r.Int64N(3 << (10 + r.IntN(11))),
			end:   [...]int{cuts, cuts, cuts, cuts, closes, closes, silence}[r.IntN(7)],
			delay: time.Duration(r.IntN(3)) * time.Millisecond,
			each:  time.Duration(r.IntN(4)) * time.Microsecond * time.Duration(r.IntN(2)),
			piece: 1 << (6 + r.IntN(10)),
			split: r.IntN(2) == 0,
		}
		if r.IntN(2) == 0 {
			p.ways[i].gather = time.Duration(1+r.IntN(20)) * time.Millisecond
		}
	}
	return p
}

func (p *proxy) close() {
	p.once.Do(func() {
		for _, c := range p.ends {
			c.Close()
		}
	})
}

func (p *proxy) pump(from, to net.Conn, w *way) {
	defer p.close()
	b := make([]byte, w.piece)
	for {
		n, err := w.read(from, b)
		time.Sleep(w.delay + time.Duration(n)*w.each)
		if w.after -= int64(n); w.after < 0 {
			if w.end == cuts {
				_, _ = to.Write(b[:n/2])
				return
			}
			if w.end == closes {
				to.Close()
			}
			_, _ = io.Copy(io.Discard, from)
			return
		}
		if w.write(to, b[:n]) != nil || err != nil {
			return
		}
	}
}

// read reads a piece, which is what several writes have made if it gathers.
func (w *way) read(from net.Conn, b []byte) (n int, err error) {
	if n, err = from.Read(b); w.gather == 0 || err != nil {
		return n, err
	}
	defer from.SetReadDeadline(time.Time{})
	if err := from.SetReadDeadline(time.Now().Add(w.gather)); err != nil {
		return n, err
	}
	for n < len(b) {
		more, err := from.Read(b[n:])
		n += more
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// write writes a piece, in several if it splits.
func (w *way) write(to net.Conn, b []byte) error {
	for len(b) > 0 {
		n := len(b)
		if w.split {
			n = 1 + w.random.IntN(n)
		}
		if _, err := to.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// Two variables steer TestFlakyNetwork: how many sessions it has, and their seed.
const (
	flakyVariable     = "OVERLAP_RESUMES"
	flakySeedVariable = "OVERLAP_RESUME_SEED"
)

func number(t *testing.T, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// Over a network that breaks anywhere, delays, slows down, gathers and splits,
// closes one way or falls silent, sessions end with exact results or with none,
// and never charge twice.
func TestFlakyNetwork(t *testing.T) {
	t.Parallel()
	inBubble(t, liberal(t, "max_releases = 1000", "label_len = 12"), labelled(20), func(t *testing.T, w *world) {
		network := newWires()
		go w.grpc.Serve(network)
		steady := newSteady(t, w)
		modes := []client.Mode{client.PLearns, client.PLearns, client.ALearns, client.MutualA, client.MutualP}
		runs, seed := number(t, flakyVariable, 15), uint64(number(t, flakySeedVariable, 27))
		complete, resumed, calls, failed := 0, 0, 0, map[string]int{}
		for run := 0; run < runs && !t.Failed(); run++ {
			r := rand.New(rand.NewPCG(seed, uint64(run)))
			mode, dials, bad := modes[run%len(modes)], 0, 1+r.IntN(4)
			w.shop.network = func(ctx context.Context) (net.Conn, error) {
				if dials++; dials > bad {
					return network.dial(ctx, nil)
				}
				return network.dial(ctx, newProxy(r))
			}
			name := fmt.Sprintf("run %d of seed %d, %v", run, seed, mode)
			before := len(w.sessions())
			if w.flakySession(t, name, mode) {
				complete++
				calls += dials
				if dials > 1 {
					resumed++
				}
			} else if opened := w.sessions()[before:]; len(opened) == 0 {
				failed["before it opened"]++
			} else {
				failed[opened[0].Outcome]++
			}
			steady.check(name)
		}
		w.shop.network = nil
		t.Logf("of %d sessions of seed %d, %d are complete, %d of those resumed, over %d connections; the others failed: %v", runs, seed, complete, resumed, calls, failed)
		if complete == 0 || resumed == 0 {
			t.Error("nothing was resumed")
		}
		steady.serves("bad networks")
	})
}

// flakySession runs a session and checks what there is of it. It reports whether
// it is complete.
func (w *world) flakySession(t *testing.T, name string, mode client.Mode) bool {
	t.Helper()
	audience := map[bool]string{true: "x"}[mode.FillsAudience()]
	before, charged := len(w.sessions()), w.charged()
	labels := map[uint64]string{}
	w.shop.Mode, w.shop.Matched = mode, func(m client.Match) error { labels[m.Row] = m.Label; return nil }
	r, err := w.shop.match(audience, people(0, 5)...)
	w.shop.Mode, w.shop.Matched = 0, nil
	time.Sleep(time.Hour) // the platform ends what it has
	got, now := w.sessions(), w.charged()
	if len(got) > before+1 {
		t.Fatalf("%s: %d sessions on record", name, len(got)-before)
	}
	if len(got) == before+1 && got[before].Outcome == "open" {
		t.Errorf("%s: a session does not end", name)
	}
	if most := chargeOf(mode); now.sum() > charged.sum()+most {
		t.Errorf("%s: charges %+v, before %+v", name, now, charged)
	}
	if err != nil {
		if len(labels) > 0 {
			t.Errorf("%s: rows of a session that failed", name)
		}
		return false
	}
	if now.sum() != charged.sum()+chargeOf(mode) {
		t.Errorf("%s: charges %+v, before %+v", name, now, charged)
	}
	if mode != client.PLearns && len(labels) != 5 {
		t.Errorf("%s: %d rows", name, len(labels))
	}
	for row, label := range labels {
		want := map[bool]string{true: account(int(row) - 1)}[mode.AdvertiserAsks()]
		if row < 1 || row > 5 || label != want {
			t.Errorf("%s: row %d is told %q", name, row, label)
		}
	}
	if mode.FillsAudience() {
		wantAccounts(t, w, audience, accountsOf(0, 5))
	}
	if len(got) != before+1 || got[before].Outcome != "complete" {
		t.Errorf("%s: the advertiser's is complete, on record is %v", name, outcomes(got[before:]))
	}
	wantModeEvidence(t, w, r, mode)
	return true
}
