package psi

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// claimDeal is a session with claims that has come to its table on both sides,
// and what the Querier can claim.
type claimDeal struct {
	*deal
	behind  map[Token]Input // the Holder's own entries
	matched []Output        // in order of their tokens
	claims  Frame           // of all of them
}

// newClaimDeal has 12 queries, of which the even ones are in the table unless
// they are pads.
func newClaimDeal(t testing.TB) *claimDeal {
	t.Helper()
	c := &claimDeal{deal: newDeal(t, 12, 5, 16), behind: map[Token]Input{}}
	c.Claims = true
	for i := 0; i < len(c.in); i += 2 {
		if in := c.in[i].Input; !in.IsZero() {
			out := make([]Output, 1)
			c.key.Evaluate(out, []Input{in})
			c.behind[out[0].Token(c.TokenLen)] = in
			c.matched = append(c.matched, out[0])
		}
	}
	slices.SortFunc(c.matched, func(a, b Output) int { return bytes.Compare(a[:], b[:]) })
	var err error
	c.claims, err = c.querierAtTable(t).Claim(c.matched)
	must(t, err)
	return c
}

func (c *claimDeal) find(token Token) (Input, bool, error) {
	in, found := c.behind[token]
	return in, found, nil
}

func (c *claimDeal) querierAtTable(t testing.TB) *Querier {
	t.Helper()
	q, _ := c.atTable(t, c.Params)
	return q
}

func (c *claimDeal) holderAtTable(t testing.TB) *Holder {
	t.Helper()
	_, h := c.atTable(t, c.Params)
	return h
}

// atTable brings both sides to the end of the table.
func (c *claimDeal) atTable(t testing.TB, p Params) (*Querier, *Holder) {
	t.Helper()
	q, h, steps := c.steps(t, p)
	for _, step := range steps {
		step()
	}
	return q, h
}

// steps returns both sides at their start, and what leads to the end of the table.
func (c *claimDeal) steps(t testing.TB, p Params) (q *Querier, h *Holder, steps []func()) {
	t.Helper()
	q, err := NewQuerier(p, c.seed)
	must(t, err)
	h, err = NewHolder(p, c.key)
	must(t, err)
	for seq := range c.Chunks() {
		steps = append(steps, func() {
			b, err := q.Blind(c.chunk(seq))
			must(t, err)
			e, err := h.Evaluate(b)
			must(t, err)
			_, err = q.Finalize(e)
			must(t, err)
		})
	}
	steps = append(steps, func() {
		must(t, q.Seal(q.Transcript()))
		must(t, h.Seal(q.Transcript()))
	})
	for _, body := range c.tableBodies() {
		steps = append(steps, func() {
			f, err := h.WriteTable(body)
			must(t, err)
			_, err = q.ReadTable(f)
			must(t, err)
		})
	}
	return q, h, steps
}

// TestClaimsAnswers: the body and the transcript are those of an independent
// implementation.
func TestClaimsAnswers(t *testing.T) {
	kat := load[claimAnswers](t, "testdata/claims.json")
	p := Params{SID: [32]byte(kat.SID), ChunkElems: 4, Window: 1, TokenLen: 16, Claims: true, Queries: 4, Entries: 4, Key: newTestKey(t).Public()}
	q, err := NewQuerier(p, NewSeed())
	must(t, err)
	q.state = tableDone
	if th := q.Transcript(); !bytes.Equal(th[:], kat.TH0) {
		t.Error("another th_0")
	}
	var outs []Output
	for _, out := range kat.Outputs {
		outs = append(outs, Output(out))
	}
	f, err := q.Claim(outs)
	must(t, err)
	if f.Type != FrameClaims || f.Seq != 0 || !bytes.Equal(f.Body, kat.Body) {
		t.Error("another CLAIMS body")
	}
	if th := q.Transcript(); !bytes.Equal(th[:], kat.THClaims) || !q.Claimed() {
		t.Error("another transcript after CLAIMS, or not the last")
	}
	q.addClaims(nil)
	if th := q.Transcript(); !bytes.Equal(th[:], kat.THEnd) {
		t.Error("another transcript after a second, empty CLAIMS")
	}
}

type claimAnswers struct {
	TableID  hexBytes   `json:"table_id"`
	Output   hexBytes   `json:"output"`
	SID      hexBytes   `json:"sid"`
	Outputs  []hexBytes `json:"claimed_outputs"`
	Body     hexBytes   `json:"claims_body"`
	TH0      hexBytes   `json:"th_0"`
	THClaims hexBytes   `json:"th_claims"`
	THEnd    hexBytes   `json:"th_claims_end"`
	Labels   []struct {
		Label    hexBytes `json:"label"`
		LabelLen int      `json:"label_len"`
		LabelCT  hexBytes `json:"label_ct"`
	} `json:"labels"`
}

// TestClaims: all, some and none of the matches can be claimed; both sides have
// one transcript then, and nothing follows.
func TestClaims(t *testing.T) {
	c := newClaimDeal(t)
	for _, n := range []int{len(c.matched), 2, 0} {
		q, h := c.atTable(t, c.Params)
		f, err := q.Claim(c.matched[:n])
		must(t, err)
		tokens, err := h.CheckClaims(f, c.find)
		must(t, err)
		if len(tokens) != n || !q.Claimed() || !h.Claimed() {
			t.Errorf("%d claims arrive as %d", n, len(tokens))
		}
		for i, token := range tokens {
			if token != c.matched[i].Token(c.TokenLen) {
				t.Errorf("claim %d is of another token", i)
			}
		}
		if q.Transcript() != h.Transcript() {
			t.Error("the sides have different transcripts")
		}
		must(t, q.Verified())
		_, err = q.Claim(nil)
		wantAbort(t, "Claim after the last", err, AbortMalformed)
		wantEnded(t, "Claim after the last", q, AbortMalformed)
		_, err = h.CheckClaims(Frame{Type: FrameClaims, Seq: 1}, c.find)
		wantAbort(t, "CLAIMS after the last", err, AbortMalformed)
		wantEnded(t, "CLAIMS after the last", h, AbortMalformed)
	}
}

// TestFalseClaims: whoever claims what it has not evaluated ends the session, and
// learns nothing but that.
func TestFalseClaims(t *testing.T) {
	c := newClaimDeal(t)
	const size = 16 + ClaimTagLen
	each := slices.Collect(slices.Chunk(c.claims.Body, size))
	body := func(claims ...[]byte) Frame { return Frame{Type: FrameClaims, Body: bytes.Join(claims, nil)} }
	changed := func(i, at int) []byte { b := bytes.Clone(each[i]); b[at] ^= 1; return b }
	elsewhere := c.Params // the same key and queries, in another session
	elsewhere.SID[0] ^= 1
	other, _ := c.atTable(t, elsewhere)
	replayed, err := other.Claim(c.matched)
	must(t, err)
	pad := slices.Collect(slices.Chunk(c.table, 16))
	pad = slices.DeleteFunc(pad, func(token []byte) bool {
		_, own := c.behind[Token(append(bytes.Clone(token), make([]byte, 16)...))]
		return own
	})
	stranger := append(slices.Repeat([]byte{0xff}, 16), each[0][16:]...)
	wrong := func(Token) (Input, bool, error) { return c.in[1].Input, true, nil }
	broken := errors.New("the disk is gone")
	for _, f := range []struct {
		name string
		Frame
		find func(Token) (Input, bool, error)
		code AbortCode
	}{
		{"a tag with another bit", body(each[0], changed(1, 31)), c.find, AbortClaim},
		{"a tag with another first bit", body(changed(0, 16)), c.find, AbortClaim},
		{"a token with another bit", body(changed(0, 15)), c.find, AbortClaim},
		{"another entry's tag", body(append(bytes.Clone(each[0][:16]), each[1][16:]...)), c.find, AbortClaim},
		{"a zero tag", body(append(bytes.Clone(each[0][:16]), make([]byte, 16)...)), c.find, AbortClaim},
		{"claims of another session", replayed, c.find, AbortClaim},
		{"a published token without its tail", body(append(bytes.Clone(each[2][:16]), each[2][:16]...)), c.find, AbortClaim},
		{"a pad of the table", body(append(bytes.Clone(pad[0]), each[0][16:]...)), c.find, AbortClaim},
		{"a stranger", body(stranger), c.find, AbortClaim},
		{"one claim twice", body(each[0], each[0]), c.find, AbortClaim},
		{"claims out of order", body(each[1], each[0]), c.find, AbortClaim},
		{"an entry that its Holder can't find", c.claims, func(Token) (Input, bool, error) { return Input{}, false, nil }, AbortClaim},
		{"an entry without an input", c.claims, func(Token) (Input, bool, error) { return Input{}, true, nil }, AbortClaim},
		{"an entry found for another", c.claims, wrong, AbortClaim},
		{"a disk that fails", c.claims, func(Token) (Input, bool, error) { return Input{}, false, broken }, AbortInternal},
		{"a byte too many", body(each[0], []byte{0}), c.find, AbortMalformed},
		{"a byte too few", body(each[0][1:]), c.find, AbortMalformed},
		{"a frame too long", body(bytes.Repeat(each[0], ClaimChunk(16)+1)), c.find, AbortMalformed},
		{"another number", Frame{Type: FrameClaims, Seq: 1, Body: c.claims.Body}, c.find, AbortMalformed},
		{"another type", Frame{Type: FrameTable, Body: c.claims.Body}, c.find, AbortMalformed},
	} {
		h := c.holderAtTable(t)
		before := h.Transcript()
		tokens, err := h.CheckClaims(f.Frame, f.find)
		wantAbort(t, f.name, err, f.code)
		wantEnded(t, f.name, h, f.code)
		if tokens != nil || h.Claimed() || h.Transcript() != before {
			t.Errorf("%s: something came of it", f.name)
		}
	}
	h := c.holderAtTable(t)
	h.p.Queries = 2
	_, err = h.CheckClaims(c.claims, c.find)
	wantAbort(t, "more claims than questions", err, AbortClaim)
}

// TestClaimsOutOfPlace: not before the table, not where they weren't agreed, and
// not beside a RELEASE.
func TestClaimsOutOfPlace(t *testing.T) {
	c := newClaimDeal(t)
	_, _, all := c.steps(t, c.Params)
	for n := range all {
		q, h, steps := c.steps(t, c.Params)
		for _, step := range steps[:n] {
			step()
		}
		what := fmt.Sprintf("after %d of %d steps", n, len(steps))
		_, err := q.Claim(nil)
		wantAbort(t, "Claim "+what, err, AbortMalformed)
		wantEnded(t, "Claim "+what, q, AbortMalformed)
		_, err = h.CheckClaims(c.claims, c.find)
		wantAbort(t, "CLAIMS "+what, err, AbortMalformed)
		wantEnded(t, "CLAIMS "+what, h, AbortMalformed)
	}

	unasked := c.Params
	unasked.Claims = false
	q, h := c.atTable(t, unasked)
	_, err := q.Claim(c.matched)
	wantAbort(t, "Claim without claims", err, AbortMalformed)
	_, err = h.CheckClaims(c.claims, c.find)
	wantAbort(t, "CLAIMS without claims", err, AbortMalformed)

	q, h = c.atTable(t, c.Params)
	wantAbort(t, "RELEASE where claims belong", q.Released(Frame{Type: FrameRelease}), AbortMalformed)
	wantAbort(t, "RELEASE where claims belong", h.Released(Frame{Type: FrameRelease}), AbortMalformed)
}

// TestOwnFalseClaims: a Querier refuses to claim what no Holder would take.
func TestOwnFalseClaims(t *testing.T) {
	c := newClaimDeal(t)
	for name, outs := range map[string][]Output{
		"a pad":        {{}},
		"one twice":    {c.matched[0], c.matched[0]},
		"out of order": {c.matched[1], c.matched[0]},
		"too many":     make([]Output, ClaimChunk(16)+1),
	} {
		q := c.querierAtTable(t)
		_, err := q.Claim(outs)
		wantAbort(t, name, err, AbortInternal)
		wantEnded(t, name, q, AbortInternal)
	}
	few := c.querierAtTable(t)
	few.p.Queries = 1
	_, err := few.Claim(c.matched[:2])
	wantAbort(t, "more claims than questions", err, AbortInternal)
}

// TestFullFramesOfClaims: a full frame is never the last, and order holds from
// one frame to the next.
func TestFullFramesOfClaims(t *testing.T) {
	full := ClaimChunk(16)
	in := inputs(full)
	key := newTestKey(t)
	outs := make([]Output, full)
	key.Evaluate(outs, in)
	behind := map[Token]Input{}
	for i := range outs {
		behind[outs[i].Token(16)] = in[i]
	}
	find := func(token Token) (Input, bool, error) { x, ok := behind[token]; return x, ok, nil }
	slices.SortFunc(outs, func(a, b Output) int { return bytes.Compare(a[:], b[:]) })
	p := Params{ChunkElems: ChunkElems, Window: 1, TokenLen: 16, Claims: true, Queries: uint64(full), Entries: uint64(full), Key: key.Public()}
	start := func() (*Querier, *Holder) {
		q, err := NewQuerier(p, NewSeed())
		must(t, err)
		h, err := NewHolder(p, key)
		must(t, err)
		q.state, h.state = tableDone, tableDone
		return q, h
	}
	q, h := start()
	f, err := q.Claim(outs)
	must(t, err)
	tokens, err := h.CheckClaims(f, find)
	must(t, err)
	if len(tokens) != full || q.Claimed() || h.Claimed() {
		t.Errorf("%d of %d claims; a full frame ends them", len(tokens), full)
	}
	last, err := q.Claim(nil)
	must(t, err)
	if _, err := h.CheckClaims(last, find); err != nil || !h.Claimed() || last.Seq != 1 || q.Transcript() != h.Transcript() {
		t.Errorf("the empty frame at the end: %v", err)
	}

	_, h = start() // a frame that goes back behind the one before it
	_, err = h.CheckClaims(f, find)
	must(t, err)
	_, err = h.CheckClaims(Frame{Type: FrameClaims, Seq: 1, Body: f.Body[:32]}, find)
	wantAbort(t, "the first claim once more in another frame", err, AbortClaim)
}

// FuzzClaims: whatever arrives, what is accepted are honest claims, in order.
func FuzzClaims(f *testing.F) {
	c := newClaimDeal(f)
	f.Add([]byte{}, uint32(0))
	f.Add(c.claims.Body, uint32(0))
	f.Add(c.claims.Body[:32], uint32(0))
	f.Add(c.claims.Body[1:], uint32(0))
	f.Add(append(bytes.Clone(c.claims.Body[32:64]), c.claims.Body[:32]...), uint32(0))
	f.Add(append(bytes.Clone(c.claims.Body[:16]), make([]byte, 16)...), uint32(1))
	honest := map[string]bool{}
	for claim := range slices.Chunk(c.claims.Body, 32) {
		honest[string(claim)] = true
	}
	f.Fuzz(func(t *testing.T, body []byte, seq uint32) {
		h, err := NewHolder(c.Params, c.key)
		must(t, err)
		h.state = tableDone
		tokens, err := h.CheckClaims(Frame{Type: FrameClaims, Seq: seq, Body: body}, c.find)
		if err != nil {
			var code AbortCode
			if !errors.As(err, &code) || code != AbortClaim && code != AbortMalformed || tokens != nil {
				t.Errorf("%v, and %d tokens", err, len(tokens))
			}
			wantEnded(t, "CLAIMS", h, code)
			return
		}
		var last []byte
		for claim := range slices.Chunk(body, 32) {
			if !honest[string(claim)] || bytes.Compare(last, claim) >= 0 {
				t.Error("a claim that nobody made is accepted")
			}
			last = claim
		}
	})
}
