package psi

import "fmt"

// Querier is one session of the side that asks. It holds at most Window chunks
// of questions. It is not safe for concurrent use.
type Querier struct {
	round
	seed     *Seed
	blinded  uint32    // next chunk to blind
	inFlight []inquiry // blinded and not yet answered, oldest first
}

// inquiry is a chunk that waits for its answer.
type inquiry struct {
	in   []Query
	body []byte
}

// NewQuerier starts a session after its OPENs. The seed is this session's alone.
func NewQuerier(p Params, s *Seed) (*Querier, error) {
	r, err := newRound(p)
	if err != nil {
		return nil, err
	}
	return &Querier{round: r, seed: s}, nil
}

// InFlight returns the number of chunks that wait for their answers. Blind must
// not be called while it equals the window.
func (q *Querier) InFlight() int { return len(q.inFlight) }

// Unblinded reports whether chunks remain to be blinded.
func (q *Querier) Unblinded() bool { return q.blinded < q.p.Chunks() }

// Blind makes the next BLINDED frame. in has one Query for each element of the
// chunk; fewer are filled up with pads, as at the end of the set. It keeps in.
func (q *Querier) Blind(in []Query) (Frame, error) {
	if err := q.in(streaming, "Blind"); err != nil {
		return Frame{}, err
	}
	if !q.Unblinded() || len(q.inFlight) >= q.p.Window {
		return Frame{}, q.fail(fmt.Errorf("psi: Blind beyond the window or the declared size: %w", AbortInternal))
	}
	n := q.p.chunkLen(q.blinded)
	if len(in) > n {
		return Frame{}, q.fail(fmt.Errorf("psi: Blind of more queries than the chunk holds: %w", AbortInternal))
	}
	if len(in) < n {
		in = append(in[:len(in):len(in)], make([]Query, n-len(in))...)
	}
	w := newScratch()
	defer w.done()
	b := sized(&w.blinded, n)
	if err := Blind(b, in, q.seed, q.first(q.blinded)); err != nil {
		return Frame{}, q.fail(fmt.Errorf("%w: %w", err, AbortInternal))
	}
	f := Frame{Type: FrameBlinded, Seq: q.blinded, Body: appendElements(make([]byte, 0, n*len(Element{})), b)}
	q.inFlight = append(q.inFlight, inquiry{in, f.Body})
	q.blinded++
	return f, nil
}

// first returns the index of a chunk's first query in the session.
func (q *Querier) first(seq uint32) uint64 { return uint64(seq) * uint64(q.p.ChunkElems) }

// Finalize takes the answer to the oldest chunk in flight, verifies it and
// returns the chunk's outputs, a zero Output for each pad. They are worth
// nothing to anybody before Verified.
func (q *Querier) Finalize(f Frame) ([]Output, error) {
	if err := q.in(streaming, "EVALUATED"); err != nil {
		return nil, err
	}
	answered := q.blinded - uint32(len(q.inFlight))
	if err := q.expect(&f, FrameEvaluated, answered); err != nil {
		return nil, err
	}
	if len(q.inFlight) == 0 {
		return nil, q.fail(fmt.Errorf("psi: EVALUATED %d answers nothing: %w", f.Seq, AbortMalformed))
	}
	ask := q.inFlight[0]
	n := len(ask.in) * len(Element{})
	if len(f.Body) != n+ProofLen {
		return nil, q.fail(fmt.Errorf("psi: EVALUATED %d has another length than its question: %w", f.Seq, AbortMalformed))
	}
	w := newScratch()
	defer w.done()
	blinded := parseElements(sized(&w.blinded, len(ask.in)), ask.body)
	answer, proof := parseElements(sized(&w.evaluated, len(ask.in)), f.Body), Proof(f.Body[n:])
	d := newDigests(ask.body, f.Body[:n])
	bind := d.bind(&q.p.SID, f.Seq)
	out := make([]Output, len(ask.in))
	if err := q.p.Key.finalize(w, out, ask.in, blinded, answer, &proof, bind[:], q.seed, q.first(f.Seq)); err != nil {
		return nil, q.fail(err)
	}
	d.addTo(&q.th, &proof)
	q.inFlight = q.inFlight[1:]
	if answered+1 == q.p.Chunks() {
		q.state = evaluated
	}
	return out, nil
}

// ReadTable takes a TABLE frame and returns its entries. They are no table
// before Verified.
func (q *Querier) ReadTable(f Frame) (entries []byte, err error) {
	if err := q.in(sealed, "TABLE"); err != nil {
		return nil, err
	}
	if err := q.expect(&f, FrameTable, q.tableSeq); err != nil {
		return nil, err
	}
	if err := q.addTable(f.Body); err != nil {
		return nil, err
	}
	return f.Body, nil
}

// Verified returns nil once every proof, the table's order, its size and its
// root have been checked. Until then no match may be shown to anyone.
func (q *Querier) Verified() error {
	if q.state == failed {
		return q.err
	}
	if q.state < tableDone {
		return fmt.Errorf("psi: session is not verified yet: %w", AbortInternal)
	}
	return nil
}
