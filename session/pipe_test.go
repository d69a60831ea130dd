package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/input"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

// pipe is a stream with an end for each side, like a call without a network.
type pipe struct {
	send, recv chan *ampsiv1.Frame
	closed     chan struct{} // both ends share it
	shut       *sync.Once
	wire       func(*ampsiv1.Frame) []*ampsiv1.Frame // what becomes of a frame on the way; nil: nothing
	platform   bool                                  // whose end it is, where a test needs to know
}

func newPipe() (a, b *pipe) {
	x, y, closed, shut := make(chan *ampsiv1.Frame, 100), make(chan *ampsiv1.Frame, 100), make(chan struct{}), new(sync.Once)
	return &pipe{send: x, recv: y, closed: closed, shut: shut}, &pipe{send: y, recv: x, closed: closed, shut: shut}
}

func (p *pipe) Send(f *ampsiv1.Frame) error {
	frames := []*ampsiv1.Frame{proto.Clone(f).(*ampsiv1.Frame)}
	if p.wire != nil {
		frames = p.wire(frames[0])
	}
	for _, f := range frames {
		if f == nil { // the sender is gone
			p.close()
			return io.EOF
		}
		select {
		case p.send <- f:
		case <-p.closed:
			return io.EOF
		}
	}
	return nil
}

func (p *pipe) Recv() (*ampsiv1.Frame, error) {
	select {
	case f := <-p.recv:
		return f, nil
	default:
	}
	select {
	case f := <-p.recv:
		return f, nil
	case <-p.closed:
		select {
		case f := <-p.recv:
			return f, nil
		default:
			return nil, io.EOF
		}
	}
}

func (p *pipe) close() { p.shut.Do(func() { close(p.closed) }) }

// companies are the two sides of a test, with the same policy.
type companies struct {
	advertiser, platform *identity.Identity
	policy               *policy.Policy
}

var pair = sync.OnceValue(func() *companies {
	a, err := identity.New("advertiser")
	if err != nil {
		panic(err)
	}
	p, err := identity.New("platform")
	if err != nil {
		panic(err)
	}
	return &companies{a, p, fastPolicy()}
})

// fastPolicy is the default but for the time that a release waits.
func fastPolicy() *policy.Policy {
	document := bytes.Replace(policy.Default().Bytes(), []byte("release_step = 10\n"), []byte("release_step = 1\n"), 1)
	p, err := policy.Parse(document)
	if err != nil || p.ReleaseStep != 1 {
		panic("the default policy has another release_step")
	}
	return p
}

func peerOf(i *identity.Identity) identity.Peer {
	return identity.Peer{ID: i.ID(), Public: i.Public(), Exporter: bytes.Repeat([]byte{7}, 32)}
}

func (c *companies) holderConfig() Config {
	return Config{Identity: c.advertiser, Peer: peerOf(c.platform), Policy: c.policy}
}

func (c *companies) querierConfig() Config {
	return Config{Identity: c.platform, Peer: peerOf(c.advertiser), Policy: c.policy}
}

// inputs returns n identifiers, the first of which is number first.
func inputs(first, n int) []psi.Input {
	in := make([]psi.Input, n)
	for i := range in {
		h := [32]byte{byte(first + i), byte((first + i) >> 8), byte((first + i) >> 16)}
		in[i] = input.New(0x01, &h)
	}
	return in
}

func unseen(context.Context, identity.ID, [32]byte, time.Time) error { return nil }

// holderSide is what an advertiser does in a session, with its table in memory.
type holderSide struct {
	c     Config
	in    []psi.Input
	seen  Replay
	count release.Count
	s     *Session
}

func (h *holderSide) run(ctx context.Context, st Stream) (err error) {
	key := psi.NewKey()
	outs := make([]psi.Output, len(h.in))
	key.Evaluate(outs, h.in)
	var tokens [][]byte
	for i := range outs {
		tokens = append(tokens, outs[i][:TokenLen])
	}
	seed := psi.NewSeed()
	for i := uint64(0); uint64(len(tokens)) < psi.PadSize(uint64(len(h.in))); i++ {
		pad := psi.PadToken(seed, i, TokenLen)
		tokens = append(tokens, pad[:TokenLen])
	}
	slices.SortFunc(tokens, bytes.Compare)
	table := bytes.Join(tokens, nil)
	hash := psi.NewTableHash(TokenLen, 0)
	if err := hash.Write(table); err != nil {
		return err
	}
	root, n := hash.Root()

	s, err := Ask(ctx, st, h.c, psi.PLearns, "spring")
	if err != nil {
		return err
	}
	h.s = s
	defer s.Close()
	defer func() { s.Abort(err) }()
	if _, err := s.ReadOpenQ(ctx, time.Minute, h.seen); err != nil {
		return err
	}
	if err := s.OpenH(ctx, key, n, root, Snapshot{}); err != nil {
		return err
	}
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	chunks := func(yield func([]byte, error) bool) {
		for chunk := range slices.Chunk(table, TableChunk()*TokenLen) {
			if !yield(chunk, nil) {
				return
			}
		}
	}
	if err := s.SendTable(ctx, chunks); err != nil {
		return err
	}
	if h.count, err = s.ReadRelease(ctx); err != nil {
		return err
	}
	return s.CloseHolder(ctx)
}

// querierSide is what a platform does in a session, with its sets in memory.
type querierSide struct {
	c       Config
	in      []psi.Input
	seen    Replay
	count   release.Count // what it releases
	matches []int         // indices of in
	s       *Session
}

func (q *querierSide) run(ctx context.Context, st *pipe) (err error) {
	defer st.close()
	s, err := Accept(ctx, st, q.c)
	if err != nil {
		return err
	}
	q.s = s
	defer s.Close()
	defer func() { s.Abort(err) }()
	var root [32]byte
	rand.Read(root[:])
	if err := s.OpenQ(ctx, psi.PadSize(uint64(len(q.in))), root); err != nil {
		return err
	}
	if err := s.ReadOpenH(ctx, psi.NewSeed(), q.seen); err != nil {
		return err
	}
	var questions iter.Seq2[psi.Query, error] = func(yield func(psi.Query, error) bool) {
		for _, x := range q.in {
			if !yield(psi.Query{Input: x}, nil) {
				return
			}
		}
	}
	tokens := map[string][]int{}
	if err := s.Query(ctx, questions, func(outs []psi.Output, first uint64) error {
		for i := range outs {
			if !outs[i].IsZero() {
				token := string(outs[i][:TokenLen])
				tokens[token] = append(tokens[token], int(first)+i)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := s.Seal(ctx, nil); err != nil {
		return err
	}
	var table []byte
	if err := s.ReadTable(ctx, func(entries []byte) error { table = append(table, entries...); return nil }); err != nil {
		return err
	}
	for entry := range slices.Chunk(table, TokenLen) {
		q.matches = append(q.matches, tokens[string(entry)]...)
	}
	body, err := s.ReleaseBody(q.count)
	if err != nil {
		return err
	}
	if err := s.SendRelease(ctx, body); err != nil {
		return err
	}
	return s.CloseQuerier(ctx)
}

// result is how a session ended on both sides.
type result struct {
	h                   *holderSide
	q                   *querierSide
	holderErr, queryErr error
	blinded             int // chunks that the Querier would keep, where a test counts them
}

// meet runs a session to its end on both sides. prepare may change either side
// and what becomes of the frames that each sends.
func meet(t *testing.T, prepare func(h *holderSide, q *querierSide, fromHolder, fromQuerier *pipe)) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := pair()
	h := &holderSide{c: c.holderConfig(), in: inputs(0, 300), seen: unseen}
	q := &querierSide{c: c.querierConfig(), in: inputs(100, 400), seen: unseen, count: release.Count{N: 199, Released: true}}
	a, p := newPipe()
	if prepare != nil {
		prepare(h, q, a, p)
	}
	r := result{h: h, q: q}
	var wg sync.WaitGroup
	wg.Go(func() { r.holderErr = h.run(ctx, a) })
	wg.Go(func() { r.queryErr = q.run(ctx, p) })
	wg.Wait()
	a.close()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatal("the session hangs")
	}
	return r
}
