package psi

import "fmt"

// Holder is one session of the side that has the key and the table. It holds
// one chunk at a time. It is not safe for concurrent use.
type Holder struct {
	round
	key  *Key
	next uint32 // next chunk to evaluate
}

// NewHolder starts a session after its OPENs. The key is this session's alone.
func NewHolder(p Params, k *Key) (*Holder, error) {
	r, err := newRound(p)
	if err != nil {
		return nil, err
	}
	if k.Public().Bytes() != p.Key.Bytes() {
		return nil, fmt.Errorf("psi: session has another public key than the Holder: %w", AbortInternal)
	}
	return &Holder{round: r, key: k}, nil
}

// Evaluate answers a BLINDED frame: the elements times the key, and the proof,
// bound to this chunk of this session.
func (h *Holder) Evaluate(f Frame) (Frame, error) {
	if err := h.in(streaming, "BLINDED"); err != nil {
		return Frame{}, err
	}
	if err := h.expect(&f, FrameBlinded, h.next); err != nil {
		return Frame{}, err
	}
	n := h.p.chunkLen(f.Seq)
	if len(f.Body) != n*len(Element{}) {
		return Frame{}, h.fail(fmt.Errorf("psi: BLINDED %d has another length than declared: %w", f.Seq, AbortMalformed))
	}
	w := newScratch()
	defer w.done()
	blinded := parseElements(sized(&w.blinded, n), f.Body)
	body := make([]byte, 0, n*len(Element{})+ProofLen)
	var d *digests
	proof, err := h.key.blindEvaluate(w, blinded, func(e []Element) Bind {
		body = appendElements(body, e)
		d = newDigests(f.Body, body)
		return d.bind(&h.p.SID, f.Seq)
	})
	if err != nil {
		return Frame{}, h.fail(err)
	}
	reply := Frame{Type: FrameEvaluated, Seq: f.Seq, Body: append(body, proof[:]...)}
	d.addTo(&h.th, &proof)
	h.next++
	if h.next == h.p.Chunks() {
		h.state = evaluated
	}
	return reply, nil
}

// WriteTable makes the next TABLE frame of the committed table's entries, a
// full frame's worth or the rest. It is possible only after Seal: the Querier
// signs its questions before it can learn anything.
func (h *Holder) WriteTable(entries []byte) (Frame, error) {
	if err := h.in(sealed, "TABLE"); err != nil {
		return Frame{}, err
	}
	f := Frame{Type: FrameTable, Seq: h.tableSeq, Body: entries}
	if err := h.addTable(entries); err != nil {
		return Frame{}, err
	}
	return f, nil
}
