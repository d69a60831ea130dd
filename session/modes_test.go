package session

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

var everyMode = []psi.Mode{psi.PLearns, psi.ALearns, psi.MutualA, psi.MutualP}

// liberal is fastPolicy with every mode.
var liberal = sync.OnceValue(func() *policy.Policy {
	document := bytes.Replace(fastPolicy().Bytes(), []byte(`modes = ["P_LEARNS"]`),
		[]byte(`modes = ["P_LEARNS", "A_LEARNS", "MUTUAL_A", "MUTUAL_P"]`), 1)
	p, err := policy.Parse(document)
	if err != nil || len(p.Modes) != 4 {
		panic("the default policy has another line of modes")
	}
	return p
})

// company is either side of a session in any mode, with its sets in memory.
type company struct {
	c        Config
	calls    bool // the advertiser
	mode     psi.Mode
	audience string
	in       []psi.Input
	seen     Replay
	forge    func(outs []psi.Output) []psi.Output // what the Querier claims instead of its matches
	over     func(st *pipe) Stream                // what the company sends on instead of its end
	key      *psi.Key                             // the Holder's, if a test needs to know it

	label   func(i int) (text string, spoil bool) // what the Holder tells of in[i]
	told    []told                                // what the Querier was told
	s       *Session
	matches []int // indices of in: matched, or claimed by the other side
	count   release.Count
}

func (c *company) run(ctx context.Context, st *pipe) (err error) {
	var s *Session
	var end Stream = st
	if c.over != nil {
		end = c.over(st)
	}
	if c.calls {
		s, err = Ask(ctx, end, c.c, c.mode, c.audience)
	} else {
		defer st.close()
		s, err = Accept(ctx, end, c.c)
	}
	if err != nil {
		return err
	}
	c.s = s
	defer s.Close()
	defer func() { s.Abort(err) }()
	if s.Role() == psi.SenderHolder {
		return c.hold(ctx, s)
	}
	return c.ask(ctx, s)
}

// told is the label of a match.
type told struct {
	i    int // of in
	text string
	err  error
}

// entry is that of in[i].
func (c *company) entry(s *Session, out *psi.Output, i int) []byte {
	e := bytes.Clone(out[:TokenLen])
	if s.LabelLen() == 0 {
		return e
	}
	text, spoil := c.label(i)
	id := s.TableID()
	e, err := out.SealLabel(e, &id, TokenLen, s.LabelLen(), []byte(text))
	if err != nil {
		panic(err)
	}
	if spoil {
		e[len(e)-1] ^= 1
	}
	return e
}

func (c *company) hold(ctx context.Context, s *Session) error {
	if _, err := s.ReadOpenQ(ctx, time.Minute, c.seen); err != nil {
		return err
	}
	key := c.key
	if key == nil {
		key = psi.NewKey()
	}
	outs := make([]psi.Output, len(c.in))
	key.Evaluate(outs, c.in)
	behind := map[psi.Token]int{}
	var tokens [][]byte
	for i := range outs {
		behind[outs[i].Token(TokenLen)] = i
		tokens = append(tokens, c.entry(s, &outs[i], i))
	}
	seed := psi.NewSeed()
	for i := uint64(0); uint64(len(tokens)) < psi.PadSize(uint64(len(c.in))); i++ {
		pad := psi.PadToken(seed, i, TokenLen)
		tokens = append(tokens, append(pad[:TokenLen:TokenLen], make([]byte, s.entryLen()-TokenLen)...))
	}
	slices.SortFunc(tokens, bytes.Compare)
	table := bytes.Join(tokens, nil)
	hash := psi.NewTableHash(TokenLen, s.LabelLen())
	if err := hash.Write(table); err != nil {
		return err
	}
	root, n := hash.Root()
	from := Snapshot{}
	if !c.calls {
		rand.Read(from.Root[:])
		from.Size = psi.PadSize(2 * n)
	}
	if err := s.OpenH(ctx, key, n, root, from); err != nil {
		return err
	}
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	if err := s.SendTable(ctx, func(yield func([]byte, error) bool) {
		for chunk := range slices.Chunk(table, s.TableFrame()*s.entryLen()) {
			if !yield(chunk, nil) {
				return
			}
		}
	}); err != nil {
		return err
	}
	if s.Mode().Claims() {
		var claimed []int
		if _, err := s.ReadClaims(ctx, func(token psi.Token) (psi.Input, bool, error) {
			i, found := behind[token]
			if !found {
				return psi.Input{}, false, nil
			}
			claimed = append(claimed, i)
			return c.in[i], true, nil
		}); err != nil {
			return err
		}
		c.matches = claimed
	}
	if s.Mode().Releases() {
		var err error
		if c.count, err = s.ReadRelease(ctx); err != nil {
			return err
		}
	}
	return s.CloseHolder(ctx)
}

func (c *company) ask(ctx context.Context, s *Session) error {
	var root [32]byte
	rand.Read(root[:])
	if err := s.OpenQ(ctx, psi.PadSize(uint64(len(c.in))), root); err != nil {
		return err
	}
	if err := s.ReadOpenH(ctx, psi.NewSeed(), c.seen); err != nil {
		return err
	}
	asked := map[string]psi.Output{}
	index := map[string]int{}
	if err := s.Query(ctx, func(yield func(psi.Query, error) bool) {
		for _, x := range c.in {
			if !yield(psi.Query{Input: x}, nil) {
				return
			}
		}
	}, func(outs []psi.Output, first uint64) error {
		for i := range outs {
			if !outs[i].IsZero() {
				token := string(outs[i][:TokenLen])
				asked[token], index[token] = outs[i], int(first)+i
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
	var matched []psi.Output // in the table's order
	var matches []int
	id := s.TableID()
	for entry := range slices.Chunk(table, s.entryLen()) {
		if out, found := asked[string(entry[:TokenLen])]; found {
			row := index[string(entry[:TokenLen])]
			matched, matches = append(matched, out), append(matches, row)
			if s.LabelLen() > 0 {
				text, err := out.OpenLabel(&id, TokenLen, entry[TokenLen:])
				c.told = append(c.told, told{row, string(text), err})
			}
		}
	}
	if s.Mode().Claims() {
		if c.forge != nil {
			matched = c.forge(matched)
		}
		if err := s.SendClaims(ctx, func(yield func([]psi.Output, error) bool) {
			for chunk := range slices.Chunk(matched, s.ClaimChunk()) {
				if !yield(chunk, nil) {
					return
				}
			}
		}); err != nil {
			return err
		}
	}
	if s.Mode().Releases() {
		body, err := s.ReleaseBody(c.count)
		if err != nil {
			return err
		}
		if err := s.SendRelease(ctx, body); err != nil {
			return err
		}
	}
	c.matches = matches
	return s.CloseQuerier(ctx)
}

// both is how a session in some mode ended on both sides.
type both struct {
	a, p       *company
	aErr, pErr error
	frames     []psi.FrameType // as sent, by either side
}

// meetIn runs a session in a mode to its end. The advertiser has 0…299, the
// platform 100…499. prepare may change either side, and what becomes of frames.
func meetIn(t *testing.T, mode psi.Mode, prepare func(a, p *company, fromA, fromP *pipe)) *both {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	x := *pair()
	x.policy = liberal()
	b := &both{
		a: &company{c: x.holderConfig(), calls: true, mode: mode, in: inputs(0, 300), seen: unseen},
		p: &company{c: x.querierConfig(), in: inputs(100, 400), seen: unseen, count: release.Count{N: 199, Released: true}},
	}
	if mode.FillsAudience() {
		b.a.audience = "spring"
	}
	fromA, fromP := newPipe()
	if prepare != nil {
		prepare(b.a, b.p, fromA, fromP)
	}
	var mu sync.Mutex
	for _, end := range []*pipe{fromA, fromP} {
		change := end.wire
		end.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			mu.Lock()
			b.frames = append(b.frames, psi.FrameType(f.Type))
			mu.Unlock()
			if change == nil {
				return []*ampsiv1.Frame{f}
			}
			return change(f)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { b.aErr = b.a.run(ctx, fromA) })
	wg.Go(func() { b.pErr = b.p.run(ctx, fromP) })
	wg.Wait()
	fromA.close()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatal("the session hangs")
	}
	return b
}

// In every mode each side learns what PROTOCOL.md §1 says and no more, the frames
// come in the order of §8.1, and both have one receipt that says so.
func TestModes(t *testing.T) {
	const (
		hello, openQ, openH, blinded, evaluated = psi.FrameHello, psi.FrameOpenQ, psi.FrameOpenH, psi.FrameBlinded, psi.FrameEvaluated
		seal, table, claims, rel, receipt       = psi.FrameSeal, psi.FrameTable, psi.FrameClaims, psi.FrameRelease, psi.FrameReceipt
	)
	begin := []psi.FrameType{hello, openQ, openH, blinded, evaluated, seal, table}
	for mode, want := range map[psi.Mode]struct {
		a, p bool // learns who matched
		end  []psi.FrameType
	}{
		psi.PLearns: {false, true, []psi.FrameType{rel, receipt, receipt}},
		psi.ALearns: {true, false, []psi.FrameType{receipt, receipt}},
		psi.MutualA: {true, true, []psi.FrameType{claims, receipt, receipt}},
		psi.MutualP: {true, true, []psi.FrameType{claims, receipt, receipt}},
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := meetIn(t, mode, nil)
			if b.aErr != nil || b.pErr != nil {
				t.Fatalf("advertiser: %v; platform: %v", b.aErr, b.pErr)
			}
			checkLearned(t, "advertiser", b.a, want.a, 100)
			checkLearned(t, "platform", b.p, want.p, 0)
			if b.a.count != (release.Count{}) != mode.Releases() {
				t.Errorf("the advertiser is told %+v", b.a.count)
			}
			if frames := append(slices.Clone(begin), want.end...); !slices.Equal(b.frames, frames) {
				t.Errorf("frames %v, want %v", b.frames, frames)
			}
			if b.p.s.Mode() != mode || b.p.s.Audience() != b.a.audience {
				t.Errorf("the platform runs %v for %q", b.p.s.Mode(), b.p.s.Audience())
			}
			checkReceipts(t, b, mode)
		})
	}
}

// checkLearned: the 200 of both sides are 100…299; at a side they begin at an index.
func checkLearned(t *testing.T, who string, c *company, learns bool, first int) {
	t.Helper()
	slices.Sort(c.matches)
	switch {
	case !learns && c.matches != nil:
		t.Errorf("the %s learns %d matches", who, len(c.matches))
	case learns && (len(c.matches) != 200 || c.matches[0] != first || c.matches[199] != first+199):
		t.Errorf("the %s learns %d matches", who, len(c.matches))
	}
}

func checkReceipts(t *testing.T, b *both, mode psi.Mode) {
	t.Helper()
	r := b.a.s.Evidence()
	a, err := r.Verify()
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.p.s.Evidence().Verify()
	if err != nil {
		t.Fatal(err)
	}
	if *a != *p {
		t.Errorf("two receipts of one session: %+v, %+v", a, p)
	}
	if a.Mode != mode.String() || a.Advertiser != pair().advertiser.ID() || a.Platform != pair().platform.ID() ||
		a.Audience != b.a.audience || a.Counted != mode.Releases() || a.Count != b.a.count.N || a.Suppressed ||
		len(a.ConsentRoot) != 64 || a.ConsentRoot == fmt.Sprintf("%064x", 0) {
		t.Errorf("the receipt says %+v", a)
	}
	for name, part := range map[string]*[]byte{
		"querier key": &r.QuerierKey, "holder key": &r.HolderKey, "OPEN_Q": &r.OpenQ, "OPEN_H": &r.OpenH,
		"SEAL": &r.Seal, "RELEASE": &r.Release, "RECEIPT of the Querier": &r.ReceiptQ, "RECEIPT of the Holder": &r.ReceiptH,
	} {
		whole := *part
		*part = append(bytes.Clone(whole), 1)
		if _, err := r.Verify(); err == nil {
			t.Errorf("a longer %s is not noticed", name)
		}
		if *part = whole; len(whole) == 0 {
			continue
		}
		*part = nil
		if _, err := r.Verify(); err == nil {
			t.Errorf("a receipt without %s is complete", name)
		}
		*part = whole
	}
	// The two companies' names can't be exchanged.
	r.QuerierKey, r.HolderKey = r.HolderKey, r.QuerierKey
	if _, err := r.Verify(); err == nil {
		t.Error("each company's key in the other's place")
	}
}

// A mode that the policy doesn't list is not asked for, and refused if it is.
func TestUnlistedModes(t *testing.T) {
	t.Parallel()
	for _, mode := range everyMode[1:] {
		strict := func(a, _ *company, _, _ *pipe) { a.c.Policy = fastPolicy() }
		if b := meetUnasked(t, mode, strict); Code(b.aErr) != psi.AbortTerms || len(b.frames) > 0 {
			t.Errorf("%v: %v, and %v were sent", mode, b.aErr, b.frames)
		}
	}
}

// meetUnasked runs only the advertiser's side, which should not begin.
func meetUnasked(t *testing.T, mode psi.Mode, prepare func(a, p *company, fromA, fromP *pipe)) *both {
	t.Helper()
	x := *pair()
	b := &both{a: &company{c: x.holderConfig(), calls: true, mode: mode, in: inputs(0, 3), seen: unseen, audience: "spring"}}
	fromA, fromP := newPipe()
	prepare(b.a, nil, fromA, fromP)
	fromA.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame {
		b.frames = append(b.frames, psi.FrameType(f.Type))
		return []*ampsiv1.Frame{f}
	}
	b.aErr = b.a.run(t.Context(), fromA)
	fromA.close()
	return b
}
