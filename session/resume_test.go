package session

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

// again is a session whose first stream breaks at the given frame of the Holder,
// and that goes on over a second, on which tamper changes what the Holder sends.
// It returns both sides' errors.
func again(t *testing.T, at psi.FrameType, tamper func(*ampsiv1.Frame) []*ampsiv1.Frame) (r result) {
	t.Helper()
	return resumed(t, 400, func(stream int, a, _ *pipe) {
		if stream > 0 {
			a.wire = tamper
			return
		}
		onFrame(a, at, func(*ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{nil} })
	})
}

// resumed is a session of the persons below n, of whom the Holder has those but the
// last 100 and the Querier those but the first 100, over as many streams as it
// takes. wire says what becomes of the frames of each.
func resumed(t *testing.T, n int, wire func(stream int, a, p *pipe)) (r result) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c := pair()
	h := &holderSide{c: c.holderConfig(), in: inputs(0, n-100), seen: unseen}
	q := &querierSide{c: c.querierConfig(), in: inputs(100, n-100), seen: unseen, count: release.Count{N: 199, Released: true}}
	q.c.Blinded = func([]byte) error { r.blinded++; return nil }
	a, p := newPipe()
	wire(0, a, p)
	gone := make(chan struct{})
	q.c.GiveUp = gone
	pipes := []*pipe{a}
	var calls sync.WaitGroup
	h.c.Reconnect = func(context.Context) (Stream, error) {
		a, p := newPipe()
		wire(len(pipes), a, p)
		pipes = append(pipes, a)
		calls.Go(func() {
			defer p.close()
			call, err := Accept(ctx, p, q.c)
			if err != nil {
				t.Errorf("the call that resumes: %v", err)
				return
			}
			defer call.Close()
			if sid, ok := call.Resumes(); !ok || sid != h.s.SID() {
				t.Error("the call resumes nothing")
			}
			if err := q.s.Rejoin(call); err != nil && !errors.Is(err, ErrBroken) {
				t.Errorf("rejoin: %v", err)
			}
			time.Sleep(100 * time.Millisecond) // an ABORT is read before the stream ends
		})
		return a, nil
	}
	r.h, r.q = h, q
	var both sync.WaitGroup
	both.Go(func() {
		r.holderErr = h.run(ctx, a)
		for _, p := range pipes {
			p.close()
		}
		close(gone)
	})
	both.Go(func() { r.queryErr = q.run(ctx, p) })
	both.Wait()
	calls.Wait()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatal("the session hangs")
	}
	return r
}

func TestResumed(t *testing.T) {
	for _, at := range []psi.FrameType{psi.FrameEvaluated, psi.FrameTable, psi.FrameReceipt} {
		r := again(t, at, nil)
		if r.holderErr != nil || r.queryErr != nil {
			t.Fatalf("broken at %v: holder: %v; querier: %v", at, r.holderErr, r.queryErr)
		}
		if len(r.q.matches) != 200 || r.h.count != r.q.count {
			t.Errorf("broken at %v: %d matches, count %v", at, len(r.q.matches), r.h.count)
		}
		one, err := r.h.s.Evidence().Verify()
		if err != nil {
			t.Fatal(err)
		}
		if two, err := r.q.s.Evidence().Verify(); err != nil || *one != *two {
			t.Errorf("broken at %v: two receipts: %v", at, err)
		}
	}
}

// A session of several chunks goes on at the next that is missing, wherever it
// broke and however often: nothing is sent twice that had arrived, nothing is
// computed twice, and what is sent again is the same bytes.
func TestNoWorkIsDoneAgain(t *testing.T) {
	const n = 40_000 // 3 chunks of questions, and as many of the table
	type number struct {
		t   psi.FrameType
		seq uint32
	}
	for _, cuts := range [][]number{
		{{psi.FrameEvaluated, 0}, {psi.FrameBlinded, 2}, {psi.FrameEvaluated, 2}},
		{{psi.FrameBlinded, 1}, {psi.FrameSeal, 0}, {psi.FrameTable, 0}, {psi.FrameTable, 2}},
	} {
		var mu sync.Mutex
		bodies, arrived, again := map[number][]byte{}, map[number]bool{}, 0
		look := func(stream int) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				mu.Lock()
				defer mu.Unlock()
				at := number{psi.FrameType(f.Type), f.Seq}
				if at.t == psi.FrameHello || at.t == psi.FrameResume || at.t == psi.FrameReceipt {
					return []*ampsiv1.Frame{f}
				}
				before, was := bodies[at]
				switch {
				case was && !bytes.Equal(before, f.Body):
					t.Errorf("%v %d is sent again with another body", at.t, at.seq)
				case was:
					again++
				}
				bodies[at] = bytes.Clone(f.Body)
				if stream < len(cuts) && at == cuts[stream] {
					return []*ampsiv1.Frame{nil}
				}
				arrived[at] = true
				return []*ampsiv1.Frame{f}
			}
		}
		r := resumed(t, n, func(stream int, a, p *pipe) { a.wire, p.wire = look(stream), look(stream) })
		if r.blinded != 3 {
			t.Errorf("broken at %v: %d chunks are kept for an audit", cuts, r.blinded)
		}
		if r.holderErr != nil || r.queryErr != nil {
			t.Fatalf("broken at %v: holder: %v; querier: %v", cuts, r.holderErr, r.queryErr)
		}
		if len(r.q.matches) != n-200 {
			t.Errorf("broken at %v: %d matches", cuts, len(r.q.matches))
		}
		// What broke, and no more than a window of what was on its way each time.
		if most := len(cuts) * (1 + int(pair().policy.Window)); again < len(cuts) || again > most {
			t.Errorf("broken at %v: %d frames are sent again, at most %d may be", cuts, again, most)
		}
		if len(arrived) != 3*3+4 {
			t.Errorf("broken at %v: %d frames", cuts, len(arrived))
		}
	}
}

// A peer that says in RESUME what can't be, or that sends another body for a
// number that was used, is told ABORT 6.
func TestResumedByALiar(t *testing.T) {
	resume := func(change func(*ampsiv1.Resume)) func(*ampsiv1.Frame) []*ampsiv1.Frame {
		edit := resigned(nil, 0, new(ampsiv1.Resume), change)
		return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			if psi.FrameType(f.Type) == psi.FrameResume {
				return edit(f)
			}
			return []*ampsiv1.Frame{f}
		}
	}
	after := func(t psi.FrameType, change func(*ampsiv1.Frame)) func(*ampsiv1.Frame) []*ampsiv1.Frame {
		return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			if psi.FrameType(f.Type) != t {
				return []*ampsiv1.Frame{f}
			}
			before := proto.Clone(f).(*ampsiv1.Frame)
			change(before)
			return []*ampsiv1.Frame{before, f}
		}
	}
	for name, tamper := range map[string]func(*ampsiv1.Frame) []*ampsiv1.Frame{
		"more than was sent":      resume(func(m *ampsiv1.Resume) { m.Blinded = 7 }),
		"a SEAL not sent":         resume(func(m *ampsiv1.Resume) { m.HasRelease = true }),
		"of a type it sends":      resume(func(m *ampsiv1.Resume) { m.Table = 1 }),
		"less than it had":        resume(func(m *ampsiv1.Resume) { m.Blinded = 0 }),
		"of another session":      resume(func(m *ampsiv1.Resume) { m.Sid[0] ^= 1 }),
		"with an unknown field":   resume(func(m *ampsiv1.Resume) { addUnknown(m) }),
		"a used number":           after(psi.FrameTable, func(f *ampsiv1.Frame) { f.Type, f.Body = uint32(psi.FrameEvaluated), []byte{1} }),
		"RESUME twice":            after(psi.FrameResume, func(*ampsiv1.Frame) {}),
		"something before RESUME": after(psi.FrameResume, func(f *ampsiv1.Frame) { f.Type = uint32(psi.FrameTable) }),
	} {
		r := again(t, psi.FrameTable, tamper)
		if r.queryErr == nil || Code(r.queryErr) != psi.AbortMalformed {
			t.Errorf("%s: the platform has %v", name, r.queryErr)
		}
		if r.holderErr == nil || len(r.q.matches) > 0 {
			t.Errorf("%s: %d matches, the advertiser has %v", name, len(r.q.matches), r.holderErr)
		}
	}
}

// What a HELLO that resumes may hold.
func TestHelloThatResumes(t *testing.T) {
	for name, c := range map[string]struct {
		hello *ampsiv1.Hello
		code  psi.AbortCode
	}{
		"short":              {&ampsiv1.Hello{Version: version, ResumeSid: make([]byte, 31)}, psi.AbortMalformed},
		"for an audience":    {&ampsiv1.Hello{Version: version, ResumeSid: make([]byte, 32), Audience: "x"}, psi.AbortMalformed},
		"of another version": {&ampsiv1.Hello{Version: 2, ResumeSid: make([]byte, 32)}, psi.AbortVersion},
		"":                   {&ampsiv1.Hello{Version: version, ResumeSid: make([]byte, 32)}, 0},
	} {
		a, p := newPipe()
		body, err := proto.Marshal(c.hello)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Send(&ampsiv1.Frame{Type: uint32(psi.FrameHello), Body: body}); err != nil {
			t.Fatal(err)
		}
		config := pair().querierConfig()
		config.GiveUp = make(chan struct{})
		s, err := Accept(t.Context(), p, config)
		if err == nil {
			s.Close()
		}
		if c.code == 0 && err != nil || c.code != 0 && Code(err) != c.code {
			t.Errorf("HELLO %s: %v, want code %d", name, err, c.code)
		}
		a.close()
	}
}
