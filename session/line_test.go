package session

import (
	"errors"
	"slices"
	"testing"

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
	sealed       bool
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
	switch op % 8 {
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
		h.send(map[bool]psi.FrameType{true: psi.FrameTable, false: psi.FrameClaims}[holder])
	case 7:
		if !holder {
			once(psi.FrameRelease)
		}
		once(psi.FrameReceipt)
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
