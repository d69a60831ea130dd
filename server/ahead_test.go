package server_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// An advertiser sends, while its sessions wait for their release, frame after frame
// that nobody waits for, and calls each session again and does the same there. The
// platform holds a window of chunks and one more of each session, and nothing of a
// call that the session has not turned to.
func TestFramesAhead(t *testing.T) {
	const (
		sessions = 4 // a partner's quarter
		window   = 64
		session  = 12 << 20 // bytes of one for which nothing waits: of both ends, and their network
		call     = 8 << 20  // the same of another call
	)
	for _, c := range []struct {
		t    psi.FrameType
		body int
		most int // bytes that each session may hold ahead
	}{
		{psi.FrameReceipt, 1<<20 - 128, 0},
		{psi.FrameHello, 1<<20 - 128, 0},
		{psi.FrameShards, 1<<20 - 128, 0},
		{psi.FrameTable, 1<<20 - 128, 0},
		{psi.FrameEvaluated, psi.ChunkElems*32 + 64, (window + 1) * (psi.ChunkElems*32 + 64)},
	} {
		t.Run(c.t.String(), func(t *testing.T) {
			inBubble(t, agreed(t, "max_releases = 100", "release_step = 20", fmt.Sprintf("window = %d", window)), members(20), func(t *testing.T, w *world) {
				ctx, cancel := context.WithCancel(t.Context())
				defer synctest.Wait()
				defer cancel()
				junk := &ampsiv1.Frame{Type: uint32(c.t), Body: make([]byte, c.body)}
				if c.t.Signed() {
					junk.Sig = make([]byte, 64)
				}
				before := held()
				for i := range sessions {
					a := w.shop.again()
					a.Dir = t.TempDir()
					conn := a.dial(through(func(f *ampsiv1.Frame) []*ampsiv1.Frame {
						list := []*ampsiv1.Frame{f}
						for range map[bool]int{true: 2 * window}[psi.FrameType(f.Type) == psi.FrameTable] {
							list = append(list, junk)
						}
						return list
					}))
					defer conn.Close()
					go a.matchOver(ctx, conn, fmt.Sprint("spring", i), people(0, 10)...)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got, most := held()-before, sessions*(c.most+session); got > most {
					t.Errorf("%d sessions hold %d MiB, want at most %d", sessions, got>>20, most>>20)
				}
				list := w.sessions()
				if len(list) != sessions {
					t.Fatalf("%d sessions are open, want %d", len(list), sessions)
				}
				for _, s := range list {
					hello, err := proto.Marshal(&ampsiv1.Hello{Version: 1, ResumeSid: s.SID[:]})
					must(t, err)
					conn := w.shop.dial()
					defer conn.Close()
					st, err := ampsiv1.NewMatchClient(conn).Session(ctx)
					must(t, err)
					must(t, st.Send(&ampsiv1.Frame{Type: uint32(psi.FrameHello), Body: hello}))
					go func() {
						for range 2 * window {
							if st.Send(junk) != nil {
								return
							}
						}
					}()
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if got, most := held()-before, sessions*(c.most+session+call); got > most {
					t.Errorf("%d sessions that are called again hold %d MiB, want at most %d", sessions, got>>20, most>>20)
				}
			})
		})
	}
}

// held is what the process holds, without garbage.
func held() int {
	runtime.GC()
	runtime.GC() // of pools, too
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}
