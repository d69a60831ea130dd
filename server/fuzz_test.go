package server_test

import (
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/client"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// script says what becomes of an advertiser's frames: bytes from a fuzzer, read as
// operations. When they are used up, every frame is honest.
type script struct {
	mu    sync.Mutex
	bytes []byte
	model advance
}

// advance is the model: how many of the frames that the protocol wants next have
// arrived, each as the honest advertiser made it. One other frame ends it.
type advance struct {
	honest []psi.FrameType // arrived in their place
	lost   bool            // something else has arrived
	hello  bool            // it was in the place of HELLO, and may have been one
}

func (a *advance) arrives(f, honest *ampsiv1.Frame, again bool) {
	switch {
	case a.lost:
	case again || !proto.Equal(f, honest) && !sameHello(f, honest):
		a.lost, a.hello = true, len(a.honest) == 0
	default:
		a.honest = append(a.honest, psi.FrameType(f.Type))
	}
}

// sameHello reports whether f says what the honest HELLO does in other bytes, such as
// a true that is 17. HELLO is not signed, and what it says is in OPEN again.
func sameHello(f, honest *ampsiv1.Frame) bool {
	var said, meant ampsiv1.Hello
	return f.Type == uint32(psi.FrameHello) && honest.Type == f.Type && f.Seq == honest.Seq && len(f.Sig) == len(honest.Sig) &&
		proto.Unmarshal(f.Body, &said) == nil && proto.Unmarshal(honest.Body, &meant) == nil && proto.Equal(&said, &meant)
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

// steps are the platform's.
var steps = []psi.FrameType{psi.FrameOpenQ, psi.FrameBlinded, psi.FrameSeal, psi.FrameRelease}

// allowed is how many of the platform's steps the model allows: one for HELLO, and
// one more for each frame in its place.
func (a *advance) allowed() int {
	n := 0
	for i, t := range []psi.FrameType{psi.FrameHello, psi.FrameOpenH, psi.FrameEvaluated, psi.FrameTable} {
		if i < len(a.honest) && a.honest[i] == t {
			n = i + 1
		}
	}
	if a.hello { // a changed one may still be valid, and what follows it is then another session's
		n = max(n, 1)
	}
	return n
}

// FuzzAdvertiser sends a platform the frames of a script. Whatever it is, the
// platform takes no step before the frames that the step rests on have come as they
// should, answers nothing after ABORT, and is as before when the call is over.
func FuzzAdvertiser(f *testing.F) {
	for i, seed := range [][]byte{
		{}, {0, 0, 0, 0, 0}, {1}, {0, 1}, {0, 0, 1}, {0, 0, 0, 1}, {0, 0, 0, 0, 1}, {7}, {0, 7}, {0, 0, 7}, {0, 0, 0, 7}, {0, 0, 0, 0, 7},
		{2, 0, 0, 4, 8, 1, 16, 1}, {0, 2, 3, 0, 3, 1, 2, 3, 1, 9}, {0, 0, 3, 5, 1, 0, 0}, {0, 0, 0, 3, 9, 0, 1, 15, 0}, {0, 0, 2, 9, 0, 1, 0, 0},
		{4, 0, 9}, {0, 4, 0, 5}, {0, 0, 0, 0, 4, 0, 5}, {0, 4, 0, 200}, {0, 0, 4, 0, 31}, {0, 0, 4, 0x7f, 0xff}, {0, 0, 0, 4, 1, 1}, {0, 0, 0, 0, 4, 0, 1},
		{4, 0x52}, {5, 1}, {0, 5, 2}, {0, 0, 5, 7}, {0, 0, 0, 5, 23}, {6, 0}, {0, 6, 3}, {0, 0, 6, 31}, {0, 0, 0, 6, 15}, {0, 0, 0, 0, 6, 255},
	} {
		if !testing.Short() || i%3 == 0 { // a session takes a second
			f.Add(seed)
		}
	}
	f.Fuzz(func(t *testing.T, ops []byte) {
		// A broken stream is the end: who resumes is FuzzResumed's.
		inBubble(t, agreed(t, "resume_seconds = 0"), members(20), func(t *testing.T, w *world) { play(t, w, ops) })
	})
}

// play has a session by a script.
func play(t *testing.T, w *world, ops []byte) {
	s := &script{bytes: ops}
	var answers []psi.FrameType
	w.shop.on = func(m moment, f *ampsiv1.Frame) {
		if m == got {
			answers = append(answers, psi.FrameType(f.Type))
		}
	}
	conn := w.shop.dial(through(s.change))
	report, err := w.shop.matchOver(t.Context(), conn, "spring", people(0, 5)...)
	conn.Close()
	synctest.Wait()

	if at := slices.Index(answers, psi.FrameAbort); at >= 0 && at != len(answers)-1 {
		t.Errorf("after ABORT: %v", answers)
	}
	most := s.model.allowed()
	for _, a := range answers {
		if step := slices.Index(steps, a); step >= most {
			t.Errorf("%v, though of the frames there were only %v", answers, s.model.honest)
		}
	}
	matched := len(w.accounts(w.shop, "spring"))
	if most < len(steps) && matched > 0 {
		t.Errorf("%d accounts matched after %v", matched, s.model.honest)
	}
	if !s.model.lost && (err != nil || matched != 5 || report.Session == "") {
		t.Errorf("an honest session: %v, %d accounts", err, matched)
	}
	if files := w.leftovers(); len(files) > 0 {
		t.Errorf("files are left: %v", files)
	}
}

// FuzzResumed has a call resume a session and then send the frames of a script,
// before the advertiser itself comes back. The session ends as it should or not at
// all well: with exact results or none, one charge, and nothing left behind.
func FuzzResumed(f *testing.F) {
	f.Add([]byte{}, false, uint32(0), byte(0))
	f.Add([]byte{}, true, uint32(0), byte(0))
	f.Add([]byte{}, true, uint32(1), byte(1))
	f.Add([]byte{4, 0, 3, 1, 2, 3, 0, 11, 0, 0, 0}, true, uint32(0), byte(0))
	f.Add([]byte{11, 0, 4, 8, 1, 16, 1, 0, 9, 0, 1, 12, 0}, false, uint32(0), byte(7))
	f.Add([]byte{5, 1, 0, 0, 8, 0, 0, 1, 9}, true, uint32(1), byte(4))
	f.Fuzz(func(t *testing.T, ops []byte, polite bool, has uint32, flags byte) {
		inBubble(t, agreed(t), members(20), func(t *testing.T, w *world) {
			end := make(chan error, 1)
			sid := w.broken(t, end)
			beside := w.shop.again()
			conn := beside.dial()
			call := beside.call(conn, sid)
			if polite {
				body, err := proto.Marshal(&ampsiv1.Resume{Sid: sid[:], Blinded: has, HasSeal: flags&1 > 0, HasRelease: flags&2 > 0, HasReceipt: flags&4 > 0})
				must(t, err)
				_ = call.Send(&ampsiv1.Frame{Type: uint32(psi.FrameResume), Body: body}) // it may have been sent away
			}
			for s := (&script{bytes: ops}); len(s.bytes) > 0; {
				_ = call.Send(s.made())
			}
			synctest.Wait()
			conn.Close()
			w.shop.away(false)
			err := <-end
			time.Sleep(time.Hour)
			synctest.Wait()
			list, matched := outcomes(w.sessions()), len(w.accounts(w.shop, "spring"))
			switch complete := slices.Equal(list, []string{"complete"}); {
			case len(list) != 1 || list[0] == "open":
				t.Errorf("on record %v", list)
			case complete != (err == nil) || complete != (matched == 5) || !complete && matched > 0:
				t.Errorf("on record %v, the advertiser has %v, %d accounts", list, err, matched)
			}
			if c := w.charged(); c.sum() > chargeOf(client.PLearns) {
				t.Errorf("charges %+v", c)
			}
			if files := w.leftovers(); len(files) > 0 {
				t.Errorf("files are left: %v", files)
			}
		})
	})
}
