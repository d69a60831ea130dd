package psi

import (
	"fmt"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Params is what both sides know of a session once the OPENs are exchanged and
// checked.
type Params struct {
	SID        [32]byte
	ChunkElems int        // elements in a full chunk; ChunkElems on the wire
	Window     int        // chunks in flight, the policy's window
	TokenLen   int        // bytes, 11 to 32
	LabelLen   int        // bytes, 2 to MaxLabelLen; 0 means that entries are tokens
	Published  bool       // the Querier has the table already, and no TABLE comes (PROTOCOL.md §7.4)
	Claims     bool       // CLAIMS follow the table, as in MUTUAL_A and MUTUAL_P
	Queries    uint64     // q̂, padded
	Entries    uint64     // n̂, padded
	Root       tlog.Hash  // table_root, which the Holder fixed before any query
	Key        *PublicKey // K
}

func (p *Params) check() error {
	if p.ChunkElems < 1 || p.ChunkElems > ChunkElems || p.Window < 1 || p.TokenLen < 1 || p.TokenLen > 32 ||
		p.Queries == 0 || p.Entries == 0 || p.Key == nil {
		return fmt.Errorf("psi: session parameters out of range: %w", AbortTerms)
	}
	if err := CheckLabelLen(p.LabelLen); err != nil {
		return err
	}
	const most = 1<<32 - 1 // frames of a type: Seq has 32 bits
	if (p.Queries-1)/uint64(p.ChunkElems) >= most || (p.Entries-1)/uint64(TableChunk(p.entryLen())) >= most {
		return fmt.Errorf("psi: session has more frames than can be numbered: %w", AbortTerms)
	}
	return nil
}

// entryLen returns the length in bytes of a table entry.
func (p *Params) entryLen() int { return EntryLen(p.TokenLen, p.LabelLen) }

// Chunks returns the number of BLINDED frames, which is that of EVALUATED frames.
func (p *Params) Chunks() uint32 {
	return uint32((p.Queries + uint64(p.ChunkElems) - 1) / uint64(p.ChunkElems))
}

// chunkLen returns the number of elements in chunk seq: all are full but the last.
func (p *Params) chunkLen(seq uint32) int {
	first := uint64(seq) * uint64(p.ChunkElems)
	return int(min(uint64(p.ChunkElems), p.Queries-first))
}

// state is how far a session has come (PROTOCOL.md §13). A Holder that serves
// and a Querier that streams are in the same state.
type state uint8

const (
	streaming state = iota // BLINDED and EVALUATED
	evaluated              // every chunk answered, and at the Querier verified
	sealed                 // SEAL sent or accepted
	tableDone              // every entry sent, or received and found to be the committed table
	released               // RELEASE added to the transcript
	claimed                // the last CLAIMS made or checked
	failed                 // a check failed; nothing more is accepted
)

// round is what Querier and Holder share: parameters, state and transcript. Any
// call out of order, and any failed check, ends it: every later call fails.
type round struct {
	p        Params
	state    state
	err      error
	th       transcript
	table    *TableHash // what has been read or written of the table
	tableSeq uint32
	claims   claims
}

func newRound(p Params) (round, error) {
	if err := p.check(); err != nil {
		return round{}, err
	}
	return round{p: p, th: newTranscript(&p.SID), table: NewTableHash(p.TokenLen, p.LabelLen)}, nil
}

// in returns an error unless the session is in state s.
func (r *round) in(s state, what string) error {
	if r.state == failed {
		return fmt.Errorf("psi: session has ended: %w", r.err)
	}
	if r.state != s {
		return r.fail(fmt.Errorf("psi: %s is out of order: %w", what, AbortMalformed))
	}
	return nil
}

// fail ends the session for good with err, which wraps an AbortCode.
func (r *round) fail(err error) error {
	if r.state != failed {
		r.state, r.err = failed, err
	}
	return err
}

// Transcript returns th as it stands: the frames so far, in canonical order.
func (r *round) Transcript() [64]byte { return r.th.th }

// Digests returns the digests of the frames in the transcript, in its order: 66
// bytes a frame, two frames for each chunk of questions, then the table's.
func (r *round) Digests() []FrameDigest { return slices.Clone(r.th.digests) }

// Seal moves on from the last EVALUATED to the table, or past a published one. The
// Querier calls it when it sends SEAL with its own transcript; the Holder with the
// transcript in the SEAL it received. A difference wraps AbortTranscript.
func (r *round) Seal(th [64]byte) error {
	if err := r.in(evaluated, "SEAL"); err != nil {
		return err
	}
	if th != r.th.th {
		return r.fail(fmt.Errorf("psi: SEAL has another transcript: %w", AbortTranscript))
	}
	r.state = sealed
	if r.p.Published {
		r.state = tableDone
	}
	return nil
}

// Released adds RELEASE to the transcript, after the whole table.
func (r *round) Released(f Frame) error {
	if err := r.in(tableDone, "RELEASE"); err != nil {
		return err
	}
	if r.p.Claims {
		return r.fail(fmt.Errorf("psi: session has claims and no RELEASE: %w", AbortMalformed))
	}
	if f.Type != FrameRelease || f.Seq != 0 {
		return r.fail(fmt.Errorf("psi: want RELEASE, have %v: %w", f.Type, AbortMalformed))
	}
	r.th.add(FrameRelease, SenderQuerier, f.Body)
	r.state = released
	return nil
}

// expect checks a chunk's type, and that it is the next of its type.
func (r *round) expect(f *Frame, t FrameType, seq uint32) error {
	if f.Type != t {
		return r.fail(fmt.Errorf("psi: want %v, have %v: %w", t, f.Type, AbortMalformed))
	}
	if f.Seq != seq {
		return r.fail(fmt.Errorf("psi: %v %d is out of order, want %d: %w", t, f.Seq, seq, AbortMalformed))
	}
	return nil
}

// addTable takes one TABLE body into the table's hash and the transcript. The
// last one must complete the table that OPEN_H committed to.
func (r *round) addTable(body []byte) error {
	entryLen := r.p.entryLen()
	full := TableChunk(entryLen)
	_, have := r.table.Root()
	if want := min(uint64(full), r.p.Entries-have); uint64(len(body)) != want*uint64(entryLen) {
		return r.fail(fmt.Errorf("psi: TABLE %d has another length than declared: %w", r.tableSeq, AbortMalformed))
	}
	if err := r.table.Write(body); err != nil {
		return r.fail(err)
	}
	root, n := r.table.Root()
	whole := n == r.p.Entries
	if whole && root != r.p.Root {
		return r.fail(fmt.Errorf("psi: table is not the one committed to: %w", AbortTable))
	}
	r.th.add(FrameTable, SenderHolder, body)
	r.tableSeq++
	if whole {
		r.state = tableDone
	}
	return nil
}
