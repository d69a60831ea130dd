package client_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/overlap-psi/overlap/client"
)

// Some hostile platforms again, over TCP and as client.Dial connects: the kernel
// holds and gathers what is sent, and the clock is the machine's.
func TestHostilePlatformsOverTCP(t *testing.T) {
	bomb := squeezed(t, 64<<20)
	part := make([]byte, 10<<10)
	for name, c := range map[string]struct {
		says   string // in the error
		attack func(w *world, conn net.Conn, peak *atomic.Uint64)
	}{
		"TCP, and nothing": {unconnected, func(_ *world, conn net.Conn, _ *atomic.Uint64) { _, _ = io.Copy(io.Discard, conn) }},
		"TLS, and nothing": {unconnected, func(w *world, conn net.Conn, _ *atomic.Uint64) {
			if t, err := shake(w, conn); err == nil {
				_, _ = io.Copy(io.Discard, t)
			}
		}},
		"a byte a second": {unconnected, func(w *world, conn net.Conn, _ *atomic.Uint64) {
			t, err := shake(w, conn)
			go io.Copy(io.Discard, t)
			for b := append([]byte{0, 0x0f, 0xff, 4, 0, 0, 0, 0, 0}, part...); err == nil; b = b[1:] {
				_, err = t.Write(b[:1])
				time.Sleep(time.Second)
			}
		}},
		"PING": {"session: the connection broke", hastily(func(e *evil) error { return e.again(func(uint32) error { return e.WritePing(false, [8]byte{}) }) })},
		"SETTINGS": {"session: the connection broke", hastily(func(e *evil) error {
			return e.again(func(i uint32) error {
				return e.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: i})
			})
		})},
		"a header without end": {"session: the connection broke", hastily(func(e *evil) error {
			if err := e.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x00, 1, 'x', 0x7f, 0xff, 0xff, 0xff, 0x07}}); err != nil {
				return err
			}
			return e.again(func(uint32) error { return e.WriteContinuation(1, false, part) })
		})},
		"one entry, thousands of times": {"session: the connection broke", hastily(func(e *evil) error {
			block := append([]byte{0x88, 0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'a'}, 4000)...)
			return e.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 10_000)...), EndHeaders: true})
		})},
		"a message of 4 GiB": {"frame refused by the transport", hastily(func(e *evil) error {
			err := errors.Join(e.answer(), e.message(0, 1<<32-1, part))
			return errors.Join(err, e.again(func(uint32) error { return e.WriteData(1, false, part) }))
		})},
		"gzip": {"frame refused by the transport", hastily(func(e *evil) error {
			return errors.Join(e.answer("grpc-encoding", "gzip"), e.message(1, uint32(len(bomb)), bomb))
		})},
	} {
		t.Run(name, func(t *testing.T) {
			if c.says == unconnected { // these only wait
				t.Parallel()
			}
			w := newWorld(t, agreed(t), 0)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			defer l.Close()
			peak := new(atomic.Uint64)
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						defer conn.Close()
						c.attack(w, conn, peak)
					}()
				}
			}()
			var before runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			started := time.Now()
			conn, err := client.Dial(l.Addr().String(), w.Config)
			must(t, err)
			defer conn.Close()
			advertiser, err := client.New(conn, w.Config)
			must(t, err)
			list := w.list(0, 5)
			defer list.Close()
			_, err = advertiser.Match(t.Context(), "spring", list)
			if took := time.Since(started); took > connectTime {
				t.Errorf("the advertiser gives up after %v", took)
			}
			if text := fmt.Sprint(err); !strings.Contains(text, c.says) || len(text) > 1000 || strings.Contains(text, "aaaaaaaa") {
				t.Errorf("the error of %d bytes does not say %q: %.200s", len(text), c.says, text)
			}
			if peak.Load() > before.HeapAlloc+heapOfAttack {
				t.Errorf("it takes %d MiB", (peak.Load()-before.HeapAlloc)>>20)
			}
			for _, name := range w.files() {
				if name != "journal.jsonl" && name != "journal.jsonl.lock" {
					t.Errorf("%s is left", name)
				}
			}
		})
	}
}

// unconnected begins what an advertiser says that no connection came about.
const unconnected = "client: cannot reach "

// hastily is an attack on a call after which the platform hangs up.
func hastily(attack func(e *evil) error) func(*world, net.Conn, *atomic.Uint64) {
	return connected(func(e *evil) error {
		_ = attack(e) // it ends when the advertiser has had enough
		e.look()
		return e.Close()
	})
}
