package session

import (
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// half is a model of one side of a session: how many frames of each type it has
// sent, and how many of those the other side has shown to have.
type half struct {
	t            *testing.T
	l            *line
	sent, proven map[psi.FrameType]uint32
	taken        uint32 // questions, or answers
	sealed, over bool   // over: the other side has all of the table, or has signed
}

// takes takes a frame that the other side sends only when it has all of some types.
func (h *half) takes(t psi.FrameType, shows ...psi.FrameType) {
	h.l.took(psi.Frame{Type: t})
	for _, s := range shows {
		h.proven[s] = h.sent[s]
	}
}

func (h *half) send(t psi.FrameType) {
	f := psi.Frame{Type: t, Seq: h.sent[t], Body: []byte{byte(t), byte(h.sent[t])}}
	if err := h.l.send(h.t.Context(), f); err != nil {
		h.t.Fatal(err)
	}
	h.sent[t]++
}

// step does what a session may do next, of what an operation asks for.
func (h *half) step(op byte, holder bool, window uint32) {
	once := func(t psi.FrameType) {
		if h.sent[t] == 0 {
			h.send(t)
		}
	}
	switch op % 10 {
	case 0, 1, 2:
		if h.sealed {
			return // nothing is asked any more
		}
		if holder { // a question is answered
			h.l.took(psi.Frame{Type: psi.FrameBlinded, Seq: h.taken})
			if h.taken >= window {
				h.proven[psi.FrameEvaluated] = h.taken - window + 1
			}
			h.taken++
			h.send(psi.FrameEvaluated)
		} else if h.sent[psi.FrameBlinded]-h.taken < window {
			h.send(psi.FrameBlinded)
		}
	case 3, 4:
		if !holder && h.taken < h.sent[psi.FrameBlinded] {
			h.l.took(psi.Frame{Type: psi.FrameEvaluated, Seq: h.taken})
			h.taken++
			h.proven[psi.FrameBlinded] = h.taken
		}
	case 5:
		if h.sealed = true; holder {
			h.l.took(psi.Frame{Type: psi.FrameSeal})
			h.proven[psi.FrameEvaluated] = h.sent[psi.FrameEvaluated]
		} else {
			once(psi.FrameSeal)
		}
	case 6:
		if h.over {
			return
		}
		h.send(map[bool]psi.FrameType{true: psi.FrameTable, false: psi.FrameClaims}[holder])
	case 7:
		if !holder {
			once(psi.FrameRelease)
		}
		once(psi.FrameReceipt)
	case 8:
		if !holder {
			h.takes(psi.FrameTable, psi.FrameSeal)
			return
		}
		h.over = true
		h.takes(map[bool]psi.FrameType{true: psi.FrameClaims, false: psi.FrameRelease}[op < 100], psi.FrameTable)
	case 9:
		h.over, h.sealed = true, true
		h.takes(psi.FrameReceipt, psi.FrameSeal, psi.FrameTable, psi.FrameClaims, psi.FrameRelease, psi.FrameReceipt)
	}
}

// FuzzResend has a peer say anything in RESUME, at any moment of either side: what
// is sent again is all that it lacks, once, in order and as it was; if it can't
// lack that, or have what it says, nothing is sent.
func FuzzResend(f *testing.F) {
	f.Add([]byte{}, false, uint32(0), uint32(0), uint32(0), uint32(0), byte(0))
	f.Add([]byte{0, 0, 3, 0, 3, 3, 5, 6, 6, 7}, false, uint32(3), uint32(0), uint32(0), uint32(1), byte(1))
	f.Add([]byte{0, 0, 0, 3}, false, uint32(1), uint32(0), uint32(0), uint32(0), byte(0))
	f.Add([]byte{0, 0, 0, 3, 3}, false, uint32(1), uint32(0), uint32(0), uint32(0), byte(0)) // less than is known
	f.Add([]byte{0, 0, 0, 0, 0, 0}, true, uint32(0), uint32(2), uint32(0), uint32(0), byte(0))
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0}, true, uint32(0), uint32(1), uint32(0), uint32(0), byte(0))
	f.Add([]byte{0, 0, 5, 6, 6, 6, 7}, true, uint32(0), uint32(2), uint32(1), uint32(0), byte(4))
	f.Add([]byte{0, 0, 5, 6}, true, uint32(0), uint32(2), uint32(4_000_000_000), uint32(0), byte(2))
	f.Add([]byte{5, 8}, false, uint32(0), uint32(0), uint32(0), uint32(0), byte(0))             // lacks SEAL, and sent TABLE
	f.Add([]byte{5, 8}, false, uint32(0), uint32(0), uint32(0), uint32(0), byte(1))             //
	f.Add([]byte{5, 6, 6, 8}, true, uint32(0), uint32(0), uint32(0), uint32(0), byte(0))        // lacks TABLE, and sent CLAIMS
	f.Add([]byte{5, 6, 6, 108}, true, uint32(0), uint32(0), uint32(1), uint32(0), byte(0))      // or RELEASE
	f.Add([]byte{5, 6, 6, 108}, true, uint32(0), uint32(0), uint32(2), uint32(0), byte(0))      //
	f.Add([]byte{5, 8, 6, 6, 7, 9}, false, uint32(0), uint32(0), uint32(0), uint32(1), byte(7)) // lacks CLAIMS, and sent RECEIPT
	f.Add([]byte{5, 8, 6, 6, 7, 9}, false, uint32(0), uint32(0), uint32(0), uint32(2), byte(5)) // or RELEASE
	f.Add([]byte{5, 8, 6, 6, 7, 9}, false, uint32(0), uint32(0), uint32(0), uint32(2), byte(3)) // or RECEIPT
	f.Add([]byte{5, 8, 6, 6, 7, 9}, false, uint32(0), uint32(0), uint32(0), uint32(2), byte(7)) //
	f.Add([]byte{0, 5, 6, 6, 9, 7}, true, uint32(0), uint32(1), uint32(2), uint32(0), byte(0))  // signed, and waits for RECEIPT
	f.Fuzz(func(t *testing.T, ops []byte, holder bool, blinded, evaluated, table, claims uint32, flags byte) {
		const window = 4
		near, far := newPipe()
		defer far.close()
		var wire []*ampsiv1.Frame
		near.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame { wire = append(wire, f); return nil }
		l := newLine(near, window)
		defer l.close()
		l.mend = (&Session{}).mend // a line that survives keeps frames
		h := &half{t: t, l: l, sent: map[psi.FrameType]uint32{}, proven: map[psi.FrameType]uint32{}}
		for _, again := range []psi.FrameType{psi.FrameTable, psi.FrameClaims} {
			l.reread[again] = func(from, to uint32, send func(psi.Frame) error) error {
				for ; from < to; from++ {
					if err := send(psi.Frame{Type: again, Seq: from, Body: []byte{byte(again), byte(from)}}); err != nil {
						return err
					}
				}
				return nil
			}
		}
		for _, op := range ops[:min(len(ops), 200)] {
			h.step(op, holder, window)
		}
		if err := l.ch.written(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := slices.Clone(wire)
		wire = nil
		peer := &ampsiv1.Resume{Blinded: blinded, Evaluated: evaluated, Table: table, Claims: claims,
			HasSeal: flags&1 > 0, HasRelease: flags&2 > 0, HasReceipt: flags&4 > 0}
		has, possible := stated(peer), true
		var want []*ampsiv1.Frame
		for _, of := range resumable {
			possible = possible && has[of] <= h.sent[of] && has[of] >= h.proven[of]
			for _, f := range first {
				if psi.FrameType(f.Type) == of && f.Seq >= has[of] {
					want = append(want, f)
				}
			}
		}
		err := l.resend(t.Context(), has)
		switch {
		case !possible && (!errors.Is(err, psi.AbortMalformed) || len(wire) > 0):
			t.Errorf("%v: %v, and %d frames are sent", peer, err, len(wire))
		case possible && err != nil:
			t.Errorf("%v: %v", peer, err)
		case possible && !slices.EqualFunc(wire, want, func(a, b *ampsiv1.Frame) bool {
			return a.Type == b.Type && a.Seq == b.Seq && string(a.Body) == string(b.Body)
		}):
			t.Errorf("%v: %v is sent again, want %v", peer, wire, want)
		}
	})
}

// slowStream writes a frame when it is let to, and reads none.
type slowStream struct {
	begun chan uint32 // the frames whose writing has begun
	let   chan error
}

func (s slowStream) Send(f *ampsiv1.Frame) error {
	s.begun <- f.Seq
	return <-s.let
}

func (slowStream) Recv() (*ampsiv1.Frame, error) { return nil, io.EOF }

// A chunk is written while the next is made, and no more than one is: what becomes
// of it is known with the next, and before anything else is sent.
func TestChunkIsWrittenWhileTheNextIsMade(t *testing.T) {
	slow := slowStream{make(chan uint32, 10), make(chan error, 10)}
	l := newLine(slow, 4)
	defer l.close()
	send := func(typ psi.FrameType, seq uint32) error {
		return l.send(t.Context(), psi.Frame{Type: typ, Seq: seq, Body: make([]byte, 10)})
	}
	if err := send(psi.FrameBlinded, 1); err != nil { // while it is written
		t.Fatal(err)
	}
	if seq := <-slow.begun; seq != 1 || l.bytesSent() != 0 {
		t.Errorf("frame %d is being written, and %d bytes are", seq, l.bytesSent())
	}
	sent := make(chan error)
	go func() { sent <- send(psi.FrameBlinded, 2) }()
	select {
	case err := <-sent:
		t.Fatalf("two frames are being written: %v", err)
	case <-slow.begun:
		t.Fatal("a frame is written before the one before it is")
	case <-time.After(50 * time.Millisecond):
	}
	slow.let <- nil
	if err := <-sent; err != nil || l.bytesSent() != 10 {
		t.Errorf("%d bytes are written (%v)", l.bytesSent(), err)
	}
	slow.let <- errors.New("cut")
	if err := send(psi.FrameSeal, 0); !errors.Is(err, ErrBroken) {
		t.Errorf("after a frame that was not written: %v", err)
	}
	slow.let <- nil
	if err := send(psi.FrameSeal, 0); err != nil || l.bytesSent() != 20 {
		t.Errorf("any other frame is sent when it is written: %d bytes, %v", l.bytesSent(), err)
	}
}
