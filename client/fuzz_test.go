package client_test

import (
	"encoding/binary"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// changed is the platform's end of a call whose frames become others on their way;
// nil among them ends it.
type changed struct {
	grpc.ServerStream
	change func(*ampsiv1.Frame) []*ampsiv1.Frame
}

func (s *changed) SendMsg(m any) error {
	for _, f := range s.change(proto.Clone(m.(*ampsiv1.Frame)).(*ampsiv1.Frame)) {
		if f == nil {
			return io.EOF
		}
		if err := s.ServerStream.SendMsg(f); err != nil {
			return err
		}
	}
	return nil
}

// script says what becomes of a platform's frames: bytes from a fuzzer, read as
// operations. When they are used up, every frame is honest.
type script struct {
	mu    sync.Mutex
	bytes []byte
	model advance
}

// advance is the model: how many of the frames that the protocol wants next have
// arrived, each as the honest platform made it. One other frame ends it.
type advance struct {
	honest []psi.FrameType // arrived in their place
	lost   bool            // something else has arrived
}

func (a *advance) arrives(f, honest *ampsiv1.Frame, again bool) {
	switch {
	case a.lost:
	case again || !proto.Equal(f, honest):
		a.lost = true
	default:
		a.honest = append(a.honest, psi.FrameType(f.Type))
	}
}

func (s *script) next() byte {
	if len(s.bytes) == 0 {
		return 0
	}
	b := s.bytes[0]
	s.bytes = s.bytes[1:]
	return b
}

// flip changes a bit of a frame, counted in bytes from the end of its signature.
func flip(f *ampsiv1.Frame, at int) {
	whole := len(f.Body) + len(f.Sig)
	if whole == 0 {
		return
	}
	if at = whole - 1 - at%whole; at < len(f.Body) {
		f.Body[at] ^= 1 << (at % 8)
	} else {
		f.Sig[at-len(f.Body)] ^= 1 << (at % 8)
	}
}

// made is a frame of the fuzzer's own.
func (s *script) made() *ampsiv1.Frame {
	f := &ampsiv1.Frame{Type: uint32(s.next() % 24), Seq: uint32(s.next() % 3)}
	n := min(int(s.next()), len(s.bytes))
	f.Body, s.bytes = slices.Clone(s.bytes[:n]), s.bytes[n:]
	if s.next()%2 == 1 {
		f.Sig = make([]byte, 64)
		binary.BigEndian.PutUint64(f.Sig, uint64(s.next()))
	}
	return f
}

// change does an operation to a frame, and tells the model what arrives. nil ends
// the stream.
func (s *script) change(f *ampsiv1.Frame) (list []*ampsiv1.Frame) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if psi.FrameType(f.Type) == psi.FrameAbort {
		s.model.lost = true
		return []*ampsiv1.Frame{f}
	}
	was := proto.Clone(f).(*ampsiv1.Frame)
	switch s.next() % 8 {
	case 1: // twice
		list = []*ampsiv1.Frame{f, f}
	case 2: // another instead
		list = []*ampsiv1.Frame{s.made(), nil}
	case 3: // another before
		list = []*ampsiv1.Frame{s.made(), f, nil}
	case 4: // a bit
		at := int(s.next())<<8 | int(s.next()) // from the end, which is the signature's if there is one
		flip(f, at)
		list = []*ampsiv1.Frame{f}
	case 5: // another type
		f.Type = uint32(s.next() % 24)
		list = []*ampsiv1.Frame{f}
	case 6: // shorter
		f.Body = f.Body[:len(f.Body)-min(len(f.Body), 1+int(s.next()))]
		list = []*ampsiv1.Frame{f}
	case 7: // the end
		list = []*ampsiv1.Frame{nil}
	default:
		list = []*ampsiv1.Frame{f}
	}
	seen := false
	for _, g := range list {
		if g == nil {
			s.model.lost = true
			continue
		}
		s.model.arrives(g, was, seen)
		seen = seen || proto.Equal(g, was)
	}
	return list
}

// needs says how many of the platform's frames have to have come before each of the
// advertiser's. A question is the platform's own choice until SEAL signs for all of
// them, so another valid element is answered, too.
var needs = map[psi.FrameType]int{psi.FrameHello: 0, psi.FrameOpenH: 1, psi.FrameEvaluated: 1, psi.FrameTable: 3, psi.FrameReceipt: 5}

// FuzzPlatform sends an advertiser the frames of a script. Whatever it is, the
// advertiser discloses nothing before the frames on which that rests have come as
// they should, reports no count that was not signed for this session, sends nothing
// after ABORT, and is as before when the call is over.
func FuzzPlatform(f *testing.F) {
	for i, seed := range [][]byte{
		{}, {1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}, {0, 0, 0, 0, 1}, {7}, {0, 7}, {0, 0, 7}, {0, 0, 0, 7}, {0, 0, 0, 0, 7},
		{2, 3, 0, 4, 8, 1, 16, 1}, {0, 2, 4, 0, 3, 1, 2, 3, 1, 9}, {0, 0, 3, 6, 1, 0, 0}, {0, 0, 0, 3, 8, 0, 1, 15, 0}, {3, 10, 0, 1, 15, 0},
		{4, 0, 9}, {0, 0, 4, 0, 5}, {0, 0, 0, 4, 0, 5}, {0, 4, 0, 200}, {0, 0, 4, 0, 31}, {0, 0, 0, 4, 0x7f, 0xff}, {0, 0, 0, 0, 4, 1, 1},
		{5, 1}, {0, 5, 2}, {0, 0, 5, 7}, {0, 0, 0, 5, 10}, {6, 0}, {0, 6, 31}, {0, 0, 6, 3}, {0, 0, 0, 6, 15}, {0, 0, 0, 0, 6, 255},
	} {
		if !testing.Short() || i%3 == 0 { // a session takes its time
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		inBubble(t, agreed(t), 20, func(t *testing.T, w *world) { play(t, w, ops) })
	})
}

// play has a session by a script.
func play(t *testing.T, w *world, ops []byte) {
	rest := atRest(t, w)
	s := &script{bytes: ops}
	var said []psi.FrameType
	w.change = s.change
	w.here = func(m moment, f *ampsiv1.Frame) {
		if m == sending {
			said = append(said, psi.FrameType(f.Type))
		}
	}
	report, err := w.match(t.Context(), "spring", 0, 5)
	synctest.Wait()
	if at := slices.Index(said, psi.FrameAbort); at >= 0 && at != len(said)-1 {
		t.Errorf("after ABORT: %v", said)
	}
	for _, f := range said {
		if need, ok := needs[f]; f != psi.FrameAbort && (!ok || need > len(s.model.honest)) {
			t.Errorf("%v, though of the platform's frames there were only %v", said, s.model.honest)
		}
	}
	if !s.model.lost && err != nil {
		t.Errorf("an honest session: %v", err)
	}
	if len(s.model.honest) < needs[psi.FrameReceipt] && (err == nil || report.Released || report.Count != 0) {
		t.Errorf("%v after %v", err, s.model.honest)
	}
	rest.check("a script")
}
