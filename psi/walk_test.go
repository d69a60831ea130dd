package psi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
)

// This file has a second, tiny description of what PROTOCOL.md §8.1 allows,
// written as counters, and walks both machines at random beside it. Whatever the
// order of calls and frames, machine and model must agree on what is accepted,
// on the code of a refusal, and that nothing is accepted after one.

// chooser makes the walk's choices: a seeded generator's, or a fuzzer's bytes.
type chooser func(n int) int

// walkDeal is the session that is walked through, with all frames of an honest
// run. A Querier's frames depend only on its seed, so each walk's are these.
func walkDeal(t testing.TB) *dealt {
	t.Helper()
	walked.once.Do(func() {
		d := newDeal(t, 5, 2, 6)
		walked.dealt = &dealt{d, d.play(t)}
	})
	return walked.dealt
}

var walked struct {
	once  sync.Once
	dealt *dealt
}

type dealt struct {
	*deal
	*play
}

// model counts what has happened.
type model struct {
	asked, answered, chunks, window int
	sealed, table, released         bool
	ended                           AbortCode // 0 while the session is on
}

func (m *model) streaming() bool { return m.answered < m.chunks }
func (m *model) complete() bool  { return m.answered == m.chunks && !m.sealed }

// step judges one call: in tells whether its state allows it, then the checks in
// order, each with the code of its failure.
func (m *model) step(in bool, checks ...check) AbortCode {
	if m.ended == 0 && !in {
		m.ended = AbortMalformed
	}
	for _, c := range checks {
		if m.ended == 0 && !c.ok {
			m.ended = c.code
		}
	}
	return m.ended
}

type check struct {
	ok   bool
	code AbortCode
}

// flaw is what the walk does to a frame before it hands it over.
type flaw int

const (
	none flaw = iota
	otherType
	otherSeq
	tooLong
	tooShort
	badElement // or, in a table, entries that fall
	badProof   // or, in a table, another last entry
)

// spoil returns f with the flaw. body is not shared with f if it is changed.
func (f Frame) spoil(with flaw, entryLen int) Frame {
	body := slices.Clone(f.Body)
	switch with {
	case otherType:
		f.Type = (f.Type + 1) % 14
	case otherSeq:
		f.Seq++
	case tooLong:
		f.Body = append(body, 0)
	case tooShort:
		f.Body = body[:len(body)-1]
	case badElement:
		clear(body[max(0, len(body)-entryLen):]) // the lowest of tokens, last
		if f.Type == FrameBlinded || f.Type == FrameEvaluated {
			clear(body[:32])
		}
		f.Body = body
	case badProof:
		body[len(body)-1] ^= 1
		if f.Type == FrameEvaluated { // s stays canonical
			body[len(body)-1] ^= 1
			body[len(body)-32] ^= 1
		}
		f.Body = body
	}
	return f
}

// pick chooses mostly what the model would allow, so that walks get far, and
// else anything.
func pick[T any](choose chooser, likely T, all []T) T {
	if choose(24) > 0 {
		return likely
	}
	return all[choose(len(all))]
}

func (d *dealt) frames() []Frame {
	return slices.Concat(d.blinded, d.evaluated, d.tables, []Frame{d.release})
}

// walkQuerier makes one walk of at most n steps and returns how far it came.
func walkQuerier(t *testing.T, choose chooser, n int) *model {
	d := walkDeal(t)
	q := d.querier(t)
	m := &model{chunks: len(d.blinded), window: d.Window}
	calls := []string{"Blind", "Finalize", "Seal", "ReadTable", "Released", "Verified"}
	for i := range n {
		call := pick(choose, m.nextOfQuerier(choose), calls)
		what := fmt.Sprintf("step %d, %s after %+v", i, call, *m)
		before := q.Transcript()
		want, err := d.stepQuerier(q, m, call, choose)
		agree(t, what, err, want)
		if err != nil && q.Transcript() != before {
			t.Fatalf("%s: a refused call changed the transcript", what)
		}
		if q.InFlight() != m.asked-m.answered && m.ended == 0 {
			t.Fatalf("%s: %d in flight, want %d", what, q.InFlight(), m.asked-m.answered)
		}
		if verified := q.Verified() == nil; verified != (m.table && m.ended == 0) {
			t.Fatalf("%s: Verified is %v", what, verified)
		}
	}
	return m
}

func (m *model) nextOfQuerier(choose chooser) string {
	switch {
	case m.streaming() && m.asked < m.chunks && m.asked-m.answered < m.window && (m.asked == m.answered || choose(2) == 0):
		return "Blind"
	case m.streaming():
		return "Finalize"
	case !m.sealed:
		return "Seal"
	case !m.table:
		return "ReadTable"
	case !m.released:
		return "Released"
	}
	return "Verified"
}

// stepQuerier makes one call of both and returns the model's verdict.
func (d *dealt) stepQuerier(q *Querier, m *model, call string, choose chooser) (want AbortCode, err error) {
	wrong := pick(choose, none, []flaw{none, otherType, otherSeq, tooLong, tooShort, badElement, badProof})
	switch call {
	case "Blind":
		extra := wrong == tooLong
		in := d.chunk(uint32(min(m.asked, m.chunks-1)))
		if extra {
			in = d.in
		}
		want = m.step(m.streaming(),
			check{m.asked < m.chunks && m.asked-m.answered < m.window, AbortInternal}, check{!extra, AbortInternal})
		var f Frame
		if f, err = q.Blind(in); err == nil {
			if !bytes.Equal(f.Body, d.blinded[m.asked].Body) {
				return want, fmt.Errorf("BLINDED differs from the honest one")
			}
			m.asked++
		}
	case "Finalize":
		f := pick(choose, d.evaluated[min(m.answered, m.chunks-1)], d.frames()).spoil(wrong, 32)
		next := d.evaluated[min(m.answered, m.chunks-1)]
		want = m.step(m.streaming(), named(f, next), check{m.asked > m.answered, AbortMalformed},
			check{len(f.Body) == len(next.Body), AbortMalformed}, check{wrong != badElement, AbortMalformed},
			check{bytes.Equal(f.Body, next.Body), AbortProof})
		if _, err = q.Finalize(f); err == nil {
			m.answered++
		}
	case "Seal":
		th := d.th
		th[0] ^= byte(wrong)
		want = m.step(m.complete(), check{wrong == none, AbortTranscript})
		if err = q.Seal(th); err == nil {
			m.sealed = true
		}
	case "ReadTable":
		f := pick(choose, d.tables[0], d.frames()).spoil(wrong, d.TokenLen)
		want = m.step(m.sealed && !m.table, named(f, d.tables[0]),
			check{len(f.Body) == len(d.table), AbortMalformed}, check{bytes.Equal(f.Body, d.table), AbortTable})
		if _, err = q.ReadTable(f); err == nil {
			m.table = true
		}
	default:
		return d.stepEnd(q, m, call, choose, wrong)
	}
	return want, err
}

// stepEnd makes the calls that are both machines', or that change nothing.
func (d *dealt) stepEnd(q machine, m *model, call string, choose chooser, wrong flaw) (want AbortCode, err error) {
	if call == "Verified" {
		want = m.ended
		if want == 0 && !m.table {
			want = AbortInternal // and the session goes on
		}
		return want, q.(*Querier).Verified()
	}
	f := pick(choose, d.release, d.frames()).spoil(wrong, 1)
	want = m.step(m.table && !m.released, named(f, d.release))
	if err = q.Released(f); err == nil {
		m.released = true
	}
	return want, err
}

func named(f, next Frame) check {
	return check{f.Type == next.Type && f.Seq == next.Seq, AbortMalformed}
}

// walkHolder is the Holder's walk.
func walkHolder(t *testing.T, choose chooser, n int) *model {
	d := walkDeal(t)
	h := d.holder(t)
	m := &model{chunks: len(d.blinded)}
	calls := []string{"Evaluate", "Seal", "WriteTable", "Released"}
	for i := range n {
		likely := "Released"
		switch {
		case m.released && choose(2) > 0: // nothing is left that is allowed
			return m
		case m.streaming():
			likely = "Evaluate"
		case !m.sealed:
			likely = "Seal"
		case !m.table:
			likely = "WriteTable"
		}
		call := pick(choose, likely, calls)
		what := fmt.Sprintf("step %d, %s after %+v", i, call, *m)
		before := h.Transcript()
		want, err := d.stepHolder(h, m, call, choose)
		agree(t, what, err, want)
		if err != nil && h.Transcript() != before {
			t.Fatalf("%s: a refused call changed the transcript", what)
		}
	}
	return m
}

func (d *dealt) stepHolder(h *Holder, m *model, call string, choose chooser) (want AbortCode, err error) {
	wrong := pick(choose, none, []flaw{none, otherType, otherSeq, tooLong, tooShort, badElement})
	switch call {
	case "Evaluate":
		next := d.blinded[min(m.answered, m.chunks-1)]
		f := pick(choose, next, d.frames()).spoil(wrong, 32)
		want = m.step(m.streaming(), named(f, next), check{len(f.Body) == len(next.Body), AbortMalformed},
			check{wrong != badElement, AbortMalformed})
		var reply Frame
		if reply, err = h.Evaluate(f); err == nil {
			if reply.Type != FrameEvaluated || reply.Seq != uint32(m.answered) || len(reply.Body) != len(f.Body)+ProofLen {
				return want, fmt.Errorf("the answer has another type, number or length")
			}
			m.answered++
		}
	case "Seal":
		th := h.Transcript()
		th[63] ^= byte(wrong)
		want = m.step(m.complete(), check{wrong == none, AbortTranscript})
		if err = h.Seal(th); err == nil {
			m.sealed = true
		}
	case "WriteTable":
		body := d.tables[0].spoil(wrong, d.TokenLen).Body
		want = m.step(m.sealed && !m.table, check{len(body) == len(d.table), AbortMalformed},
			check{bytes.Equal(body, d.table), AbortTable})
		if _, err = h.WriteTable(body); err == nil {
			m.table = true
		}
	default:
		return d.stepEnd(h, m, call, choose, wrong)
	}
	return want, err
}

func agree(t *testing.T, what string, err error, want AbortCode) {
	t.Helper()
	if want == 0 && err != nil {
		t.Fatalf("%s: %v, the model accepts", what, err)
	}
	if want != 0 {
		if wantAbort(t, what, err, want); t.Failed() {
			t.FailNow()
		}
	}
}

func TestRandomWalks(t *testing.T) {
	const walks, steps = 500, 16
	finished, ends := [2]int{}, map[AbortCode]int{}
	for seed := range uint64(walks) {
		choose := rand.New(rand.NewPCG(seed, 77)).IntN
		for i, m := range []*model{walkQuerier(t, choose, steps), walkHolder(t, choose, steps)} {
			if m.released && m.ended == 0 {
				finished[i]++
			}
			ends[m.ended]++
		}
	}
	t.Logf("%d and %d walks came to the end; how they ended: %v", finished[0], finished[1], ends)
	for _, code := range []AbortCode{AbortMalformed, AbortProof, AbortTable, AbortInternal, AbortTranscript} {
		if ends[code] == 0 {
			t.Errorf("no walk ended with %v", code)
		}
	}
	if finished[0] < walks/10 || finished[1] < walks/10 {
		t.Errorf("only %v walks came to the end", finished)
	}
}
