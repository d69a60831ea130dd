package psi

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"
)

// machine is what both machines have.
type machine interface {
	Seal([64]byte) error
	Released(Frame) error
	Transcript() [64]byte
}

// wantEnded checks that every later call of an ended session fails with the
// code that ended it, and changes nothing.
func wantEnded(t testing.TB, what string, m machine, code AbortCode) {
	t.Helper()
	th := m.Transcript()
	calls := map[string]error{"Seal": m.Seal(th), "Released": m.Released(Frame{Type: FrameRelease})}
	switch m := m.(type) {
	case *Querier:
		_, calls["Blind"] = m.Blind(nil)
		_, calls["Finalize"] = m.Finalize(Frame{Type: FrameEvaluated})
		_, calls["ReadTable"] = m.ReadTable(Frame{Type: FrameTable})
		_, calls["Claim"] = m.Claim(nil)
		calls["Verified"] = m.Verified()
	case *Holder:
		_, calls["Evaluate"] = m.Evaluate(Frame{Type: FrameBlinded})
		_, calls["WriteTable"] = m.WriteTable(nil)
		_, calls["CheckClaims"] = m.CheckClaims(Frame{Type: FrameClaims}, nil)
	}
	for call, err := range calls {
		wantAbort(t, what+", then "+call, err, code)
	}
	if m.Transcript() != th {
		t.Errorf("%s: a call after the end changed the transcript", what)
	}
}

// stages are how far a session can be, in order; at each, one frame or call is
// right. In a session of 4 queries in chunks of 2, "answered 1" has one chunk
// answered and one to go.
var stages = []string{"start", "asked 1", "answered 1", "asked 2", "answered 2", "sealed", "table", "released"}

// querierAt returns a Querier that has come to the stage.
func (d *deal) querierAt(t testing.TB, p *play, stage string) *Querier {
	t.Helper()
	q := d.querier(t)
	blind := func(seq uint32) { _, err := q.Blind(d.chunk(seq)); must(t, err) }
	finalize := func(seq uint32) { _, err := q.Finalize(p.evaluated[seq]); must(t, err) }
	steps := []func(){
		func() {}, func() { blind(0) }, func() { finalize(0) }, func() { blind(1) }, func() { finalize(1) },
		func() { must(t, q.Seal(p.th)) },
		func() { _, err := q.ReadTable(p.tables[0]); must(t, err) },
		func() { must(t, q.Released(p.release)) },
	}
	for _, step := range steps[:1+slices.Index(stages, stage)] {
		step()
	}
	return q
}

// holderAt returns a Holder that has come to the stage. It answers at once, so
// that "asked" is the stage before it.
func (d *deal) holderAt(t testing.TB, p *play, stage string) *Holder {
	t.Helper()
	h := d.holder(t)
	evaluate := func(seq uint32) { _, err := h.Evaluate(p.blinded[seq]); must(t, err) }
	steps := []func(){
		func() {}, func() {}, func() { evaluate(0) }, func() {}, func() { evaluate(1) },
		func() { must(t, h.Seal(h.Transcript())) },
		func() { _, err := h.WriteTable(p.tables[0].Body); must(t, err) },
		func() { must(t, h.Released(p.release)) },
	}
	for _, step := range steps[:1+slices.Index(stages, stage)] {
		step()
	}
	return h
}

// TestEveryFrameInEveryStage gives each frame of an honest session, and each
// other type of frame, to each method at each stage. Only the next frame, given
// to its own method, is accepted; all else is AbortMalformed and the end.
func TestEveryFrameInEveryStage(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	p := d.play(t)
	frames := slices.Concat(p.blinded, p.evaluated, p.tables, []Frame{p.release})
	for typ := FrameHello; typ <= FrameProof+1; typ++ {
		frames = append(frames, Frame{Type: typ}, Frame{Type: typ, Seq: 1}, Frame{Type: typ, Body: []byte{1}, Sig: make([]byte, 64)})
	}
	// What each machine takes at a stage: the method, and the frame's type and seq.
	type entry struct {
		method string
		Frame
	}
	querier := map[string]entry{
		"asked 1": {"Finalize", p.evaluated[0]}, "asked 2": {"Finalize", p.evaluated[1]},
		"sealed": {"ReadTable", p.tables[0]}, "table": {"Released", p.release},
	}
	holder := map[string]entry{
		"start": {"Evaluate", p.blinded[0]}, "asked 1": {"Evaluate", p.blinded[0]},
		"answered 1": {"Evaluate", p.blinded[1]}, "asked 2": {"Evaluate", p.blinded[1]}, "table": {"Released", p.release},
	}
	for _, stage := range stages {
		for _, f := range frames {
			accepts := func(e entry, method string) bool {
				same := e.method == method && e.Type == f.Type && e.Seq == f.Seq
				return same && (method == "Released" || bytes.Equal(e.Body, f.Body))
			}
			for _, method := range []string{"Finalize", "ReadTable", "Released"} {
				q := d.querierAt(t, p, stage)
				err := call(q, method, f)
				what := fmt.Sprintf("Querier, %s, %s of %v %d", stage, method, f.Type, f.Seq)
				checkStep(t, what, q, err, accepts(querier[stage], method))
			}
			for _, method := range []string{"Evaluate", "Released"} {
				h := d.holderAt(t, p, stage)
				err := call(h, method, f)
				what := fmt.Sprintf("Holder, %s, %s of %v %d", stage, method, f.Type, f.Seq)
				checkStep(t, what, h, err, accepts(holder[stage], method))
			}
		}
	}
}

func call(m machine, method string, f Frame) (err error) {
	switch method {
	case "Finalize":
		_, err = m.(*Querier).Finalize(f)
	case "ReadTable":
		_, err = m.(*Querier).ReadTable(f)
	case "Evaluate":
		_, err = m.(*Holder).Evaluate(f)
	case "Released":
		err = m.Released(f)
	}
	return err
}

func checkStep(t *testing.T, what string, m machine, err error, accepted bool) {
	t.Helper()
	if accepted {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
		return
	}
	wantAbort(t, what, err, AbortMalformed)
	wantEnded(t, what, m, AbortMalformed)
}

// TestOwnCallsInEveryStage: the calls that take no frame.
func TestOwnCallsInEveryStage(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	p := d.play(t)
	for _, stage := range stages {
		q := d.querierAt(t, p, stage)
		_, err := q.Blind(d.chunk(0))
		switch stage {
		case "start", "asked 1", "answered 1":
			must(t, err)
		case "asked 2": // nothing left to ask
			wantAbort(t, "Blind, "+stage, err, AbortInternal)
			wantEnded(t, "Blind, "+stage, q, AbortInternal)
		default:
			checkStep(t, "Blind, "+stage, q, err, false)
		}
		for _, m := range []machine{d.querierAt(t, p, stage), d.holderAt(t, p, stage)} {
			checkStep(t, fmt.Sprintf("Seal of %T, %s", m, stage), m, m.Seal(m.Transcript()), stage == "answered 2")
		}
		h := d.holderAt(t, p, stage)
		_, err = h.WriteTable(d.table)
		checkStep(t, "WriteTable, "+stage, h, err, stage == "sealed")
	}
}

// TestVerifiedOnlyAtTheEnd: to ask too early is no failure, but never nil.
func TestVerifiedOnlyAtTheEnd(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	p := d.play(t)
	for _, stage := range stages {
		q := d.querierAt(t, p, stage)
		for range 2 {
			err := q.Verified()
			if done := stage == "table" || stage == "released"; done != (err == nil) {
				t.Errorf("Verified, %s: %v", stage, err)
			} else if !done {
				wantAbort(t, "Verified, "+stage, err, AbortInternal)
			}
		}
		if q.state == failed {
			t.Errorf("Verified ended the session, %s", stage)
		}
	}
}

// TestVerifiedAfterFailure: a session that fails after the table was verified
// is verified no more.
func TestVerifiedAfterFailure(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	q := d.querierAt(t, d.play(t), "table")
	must(t, q.Verified())
	wantAbort(t, "a wrong RELEASE", q.Released(Frame{Type: FrameReceipt}), AbortMalformed)
	wantEnded(t, "a wrong RELEASE", q, AbortMalformed)
}

// TestWindow: no more chunks are in flight than the window allows, and each
// answer makes room for one.
func TestWindow(t *testing.T) {
	d := newDeal(t, 7, 1, 4)
	p := d.play(t)
	for window := 1; window <= 7; window++ {
		d.Window = window
		q := d.querier(t)
		for seq := range uint32(7) {
			if q.InFlight() == window {
				_, err := q.Finalize(p.evaluated[int(seq)-window])
				must(t, err)
			}
			_, err := q.Blind(d.chunk(seq))
			must(t, err)
			if want := min(window, int(seq)+1); q.InFlight() != want || q.Unblinded() != (seq < 6) {
				t.Fatalf("window %d, %d asked: %d in flight, want %d; Unblinded %v", window, seq+1, q.InFlight(), want, q.Unblinded())
			}
		}
		if window == 7 {
			continue
		}
		q = d.querier(t)
		for seq := range uint32(window) {
			_, err := q.Blind(d.chunk(seq))
			must(t, err)
		}
		_, err := q.Blind(d.chunk(uint32(window)))
		wantAbort(t, "beyond the window", err, AbortInternal)
		wantEnded(t, "beyond the window", q, AbortInternal)
	}
}

// TestBlindSizes: fewer queries than the chunk holds are filled with pads
// without touching the caller's slice; more are refused.
func TestBlindSizes(t *testing.T) {
	d := newDeal(t, 4, 4, 4)
	backing := queries(4)
	q := d.querier(t)
	f, err := q.Blind(backing[:1])
	must(t, err)
	if len(f.Body) != 4*32 {
		t.Errorf("%d bytes, want those of 4 elements", len(f.Body))
	}
	if !slices.Equal(backing, queries(4)) {
		t.Error("the queries after the slice were overwritten")
	}
	e, err := d.holder(t).Evaluate(f)
	must(t, err)
	out, err := q.Finalize(e)
	must(t, err)
	checkOutputs(t, d.key, append(queries(1), make([]Query, 3)...), out)

	q = d.querier(t)
	_, err = q.Blind(queries(5))
	wantAbort(t, "five queries for four", err, AbortInternal)
	wantEnded(t, "five queries for four", q, AbortInternal)
}

// TestSealOfAnotherTranscript ends the session of either side, before the
// Holder has sent anything of its table.
func TestSealOfAnotherTranscript(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	p := d.play(t)
	for _, m := range []machine{d.querierAt(t, p, "answered 2"), d.holderAt(t, p, "answered 2")} {
		th := m.Transcript()
		th[63] ^= 1
		wantAbort(t, "another th", m.Seal(th), AbortTranscript)
		wantEnded(t, "another th", m, AbortTranscript)
	}
}

// TestTranscript: canonical whatever the order of arrival, and each side's is
// the hash chain of PROTOCOL.md §5.3.
func TestTranscript(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	p := d.play(t)
	late := d.querier(t)
	for seq := range uint32(2) { // both asked before either is answered
		_, err := late.Blind(d.chunk(seq))
		must(t, err)
	}
	for _, f := range p.evaluated {
		_, err := late.Finalize(f)
		must(t, err)
	}
	if late.Transcript() != p.th {
		t.Error("the transcript depends on the order of arrival")
	}
	th := newTranscript(&d.SID)
	for i := range p.blinded {
		th.add(FrameBlinded, SenderQuerier, p.blinded[i].Body)
		th.add(FrameEvaluated, SenderHolder, p.evaluated[i].Body)
	}
	if th.th != p.th {
		t.Error("SEAL has another transcript than BLINDED and EVALUATED make")
	}
	for _, f := range p.tables {
		th.add(FrameTable, SenderHolder, f.Body)
	}
	th.add(FrameRelease, SenderQuerier, p.release.Body)
	if th.th != p.end {
		t.Error("the end has another transcript than the frames make")
	}
}

// TestParams: what no session can be made of.
func TestParams(t *testing.T) {
	d := newDeal(t, 4, 2, 8)
	for name, change := range map[string]func(p *Params){
		"chunks of none":         func(p *Params) { p.ChunkElems = 0 },
		"chunks of minus one":    func(p *Params) { p.ChunkElems = -1 },
		"chunks of 16 385":       func(p *Params) { p.ChunkElems = ChunkElems + 1 },
		"no window":              func(p *Params) { p.Window = 0 },
		"tokens of no byte":      func(p *Params) { p.TokenLen = 0 },
		"tokens of 33 bytes":     func(p *Params) { p.TokenLen = 33 },
		"no query":               func(p *Params) { p.Queries = 0 },
		"no entry":               func(p *Params) { p.Entries = 0 },
		"no key":                 func(p *Params) { p.Key = nil },
		"2^32 frames of entries": func(p *Params) { p.Entries = (1<<32-1)*ChunkElems + 1 },
		"2^32 chunks":            func(p *Params) { p.ChunkElems, p.Queries = 1, 1<<32 },
		"labels of one byte":     func(p *Params) { p.LabelLen = 1 },
		"labels of 481 bytes":    func(p *Params) { p.LabelLen = MaxLabelLen + 1 },
		"labels of minus one":    func(p *Params) { p.LabelLen = -1 },
		"2^32 frames of labels":  func(p *Params) { p.LabelLen, p.Entries = MaxLabelLen, (1<<32-1)*1024+1 },
		"2^64 - 1 queries":       func(p *Params) { p.Queries = 1<<64 - 1 },
	} {
		p := d.Params
		change(&p)
		q, err := NewQuerier(p, d.seed)
		wantAbort(t, "Querier, "+name, err, AbortTerms)
		h, err := NewHolder(p, d.key)
		wantAbort(t, "Holder, "+name, err, AbortTerms)
		if q != nil || h != nil {
			t.Errorf("%s: a session in spite of the error", name)
		}
	}
	h, err := NewHolder(d.Params, NewKey())
	wantAbort(t, "another key than announced", err, AbortInternal)
	if h != nil {
		t.Error("a Holder in spite of the error")
	}
}

// TestTable: everything that can be wrong with a table, at both sides, in a
// table of two frames.
func TestTable(t *testing.T) {
	d := newDeal(t, 1, 1, ChunkElems+3)
	p := d.play(t)
	if len(p.tables) != 2 || len(p.tables[1].Body) != 3*d.TokenLen {
		t.Fatal("the table is not one frame and three entries")
	}
	n := d.TokenLen
	entry := func(i int) []byte { return d.table[i*n : (i+1)*n] }
	join := func(entries ...[]byte) []byte { return slices.Concat(entries...) }
	last := ChunkElems
	for name, c := range map[string]struct {
		first, second []byte
		code          AbortCode
	}{
		"empty":                       {nil, nil, AbortMalformed},
		"first an entry short":        {d.table[:(last-1)*n], nil, AbortMalformed},
		"first an entry long":         {d.table[:(last+1)*n], nil, AbortMalformed},
		"first a byte short":          {d.table[:last*n-1], nil, AbortMalformed},
		"second an entry short":       {d.table[:last*n], join(entry(last), entry(last+1)), AbortMalformed},
		"second an entry long":        {d.table[:last*n], append(slices.Clone(d.table[last*n:]), bytes.Repeat([]byte{0xff}, n)...), AbortMalformed},
		"second a byte long":          {d.table[:last*n], append(slices.Clone(d.table[last*n:]), 0xff), AbortMalformed},
		"second empty":                {d.table[:last*n], nil, AbortMalformed},
		"two entries exchanged":       {join(entry(1), entry(0), d.table[2*n:last*n]), nil, AbortTable},
		"an entry twice":              {join(entry(0), entry(0), d.table[2*n:last*n]), nil, AbortTable},
		"an entry twice, over two":    {d.table[:last*n], join(entry(last-1), entry(last), entry(last+1)), AbortTable},
		"falling from frame to frame": {d.table[:last*n], join(entry(0), entry(last), entry(last+1)), AbortTable},
		"last two exchanged":          {d.table[:last*n], join(entry(last), entry(last+2), entry(last+1)), AbortTable},
		"another last entry":          {d.table[:last*n], join(entry(last), entry(last+1), bytes.Repeat([]byte{0xff}, n)), AbortTable},
	} {
		t.Run(name, func(t *testing.T) {
			bodies := [][]byte{c.first, c.second}
			checkTable(t, d, p, bodies, c.code)
		})
	}
}

func checkTable(t *testing.T, d *deal, p *play, bodies [][]byte, code AbortCode) {
	q, h := d.querier(t), d.holder(t)
	_, err := q.Blind(d.chunk(0))
	must(t, err)
	_, err = q.Finalize(p.evaluated[0])
	must(t, err)
	_, err = h.Evaluate(p.blinded[0])
	must(t, err)
	must(t, q.Seal(p.th))
	must(t, h.Seal(h.Transcript()))
	var qErr, hErr error
	for seq, body := range bodies {
		if qErr == nil {
			_, qErr = q.ReadTable(Frame{Type: FrameTable, Seq: uint32(seq), Body: body})
		}
		if hErr == nil {
			_, hErr = h.WriteTable(body)
		}
		if q.Verified() == nil {
			t.Error("verified")
		}
	}
	wantAbort(t, "Querier", qErr, code)
	wantEnded(t, "Querier", q, code)
	wantAbort(t, "Holder", hErr, code)
	wantEnded(t, "Holder", h, code)
}

// TestTableOfAnotherRoot: the right table, but not the one of OPEN_H.
func TestTableOfAnotherRoot(t *testing.T) {
	d := newDeal(t, 1, 1, 4)
	p := d.play(t)
	for bit := range 3 {
		d.Root = tlog.Hash(rootOf(t, d.table, d.TokenLen))
		d.Root[bit*15] ^= 1
		checkTable(t, d, p, d.tableBodies(), AbortTable)
	}
}
