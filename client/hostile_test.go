package client_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	_ "google.golang.org/grpc/encoding/gzip" // as a program around the client may have it
	"google.golang.org/grpc/test/bufconn"

	"github.com/overlap-psi/overlap/identity"
)

// What a hostile platform may cost an advertiser: memory beyond what it has at
// rest, both ends included, and time on the bubble's clock. Goroutines and files are
// as before afterwards (rest.check).
const (
	heapOfAttack  = 48 << 20         // bytes, garbage included
	connectTime   = 25 * time.Second // until there is a connection, or none
	callTime      = 2*time.Minute + 30*time.Second
	preparingTime = 31 * time.Minute // a platform that answers pings may be cutting its snapshot
	floodOf       = 20_000           // frames
)

// evil is the hostile platform's end of a connection.
type evil struct {
	net.Conn
	*http2.Framer
	head bytes.Buffer
	enc  *hpack.Encoder
	peak *atomic.Uint64
}

func (e *evil) look() {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	e.peak.Store(max(e.peak.Load(), m.HeapAlloc))
}

// again does something until the advertiser is gone, or often.
func (e *evil) again(f func(i uint32) error) error {
	for i := range uint32(floodOf) {
		if err := f(i); err != nil {
			return err
		}
		if i%1000 == 0 {
			e.look()
		}
	}
	return nil
}

// listen reads what comes, and answers pings if asked to.
func (e *evil) listen(pings bool) {
	for {
		f, err := e.ReadFrame()
		if err != nil {
			return
		}
		if p, ok := f.(*http2.PingFrame); ok && pings && !p.IsAck() {
			_ = e.WritePing(true, p.Data) // an advertiser that is gone ends the next read
		}
	}
}

// answer begins the answer to the call.
func (e *evil) answer(more ...string) error {
	e.head.Reset()
	for _, f := range [][2]string{{":status", "200"}, {"content-type", "application/grpc"}} {
		_ = e.enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}) // to memory
	}
	for i := 0; i+1 < len(more); i += 2 {
		_ = e.enc.WriteField(hpack.HeaderField{Name: more[i], Value: more[i+1]})
	}
	return e.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: e.head.Bytes(), EndHeaders: true})
}

func (e *evil) message(compressed byte, length uint32, body []byte) error {
	body = append(binary.BigEndian.AppendUint32([]byte{compressed}, length), body...)
	for part := range slices.Chunk(body, 16<<10) {
		if err := e.WriteData(1, false, part); err != nil {
			return err
		}
	}
	return nil
}

// shake does the handshake as the platform.
func shake(w *world, conn net.Conn) (net.Conn, error) {
	c := w.platform.ServerTLS(func(identity.ID) bool { return true })
	c.NextProtos = []string{"h2"}
	t := tls.Server(conn, c)
	return t, t.Handshake()
}

// speak takes the advertiser's first words.
func speak(w *world, conn net.Conn, peak *atomic.Uint64) (*evil, error) {
	t, err := shake(w, conn)
	if err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(t, make([]byte, len(http2.ClientPreface))); err != nil {
		return nil, err
	}
	e := &evil{Conn: t, Framer: http2.NewFramer(t, t), peak: peak}
	e.Framer.AllowIllegalWrites = true
	e.enc = hpack.NewEncoder(&e.head)
	return e, nil
}

// connected is an attack on a connection whose settings are known and on which
// there may be a call.
func connected(attack func(e *evil) error, settings ...http2.Setting) func(*world, net.Conn, *atomic.Uint64) {
	return func(w *world, conn net.Conn, peak *atomic.Uint64) {
		e, err := speak(w, conn, peak)
		if err != nil || e.WriteSettings(settings...) != nil || e.WriteSettingsAck() != nil {
			return
		}
		called := make(chan struct{})
		go func() {
			for {
				f, err := e.ReadFrame()
				if err != nil {
					close(called)
					return
				}
				if f.Header().Type == http2.FrameHeaders {
					close(called)
					break
				}
			}
			e.listen(false)
		}()
		<-called
		_ = attack(e) // it ends when the advertiser has had enough
		_, _ = io.Copy(io.Discard, conn)
	}
}

func TestHostilePlatforms(t *testing.T) {
	bomb := squeezed(t, 64<<20)
	part := make([]byte, 10<<10)
	half := []byte{0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3} // of SETTINGS
	shut := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}
	for name, c := range map[string]struct {
		within time.Duration
		attack func(w *world, conn net.Conn, peak *atomic.Uint64)
	}{
		"TCP, and nothing": {connectTime, func(_ *world, conn net.Conn, _ *atomic.Uint64) { _, _ = io.Copy(io.Discard, conn) }},
		"noise": {connectTime, func(_ *world, conn net.Conn, _ *atomic.Uint64) {
			for b := bytes.Repeat([]byte{22, 3, 3, 0x40, 0}, 1000); ; {
				if _, err := conn.Write(b); err != nil {
					return
				}
			}
		}},
		"TLS, and nothing": {connectTime, func(w *world, conn net.Conn, _ *atomic.Uint64) {
			if t, err := shake(w, conn); err == nil {
				_, _ = io.Copy(io.Discard, t)
			}
		}},
		"half of a frame": {connectTime, func(w *world, conn net.Conn, _ *atomic.Uint64) {
			if t, err := shake(w, conn); err == nil {
				_, _ = t.Write(half)
				_, _ = io.Copy(io.Discard, t)
			}
		}},
		"a byte a second": {connectTime, func(w *world, conn net.Conn, _ *atomic.Uint64) {
			t, err := shake(w, conn)
			go io.Copy(io.Discard, t)
			for b := append([]byte{0, 0x0f, 0xff, 4, 0, 0, 0, 0, 0}, part...); err == nil; b = b[1:] {
				_, err = t.Write(b[:1])
				time.Sleep(time.Second)
			}
		}},
		"no answer, to pings neither": {callTime, connected(func(e *evil) error { return nil })},
		"no window":                   {callTime, connected(func(e *evil) error { return nil }, shut)},
		"PING":                        {callTime, connected(func(e *evil) error { return e.again(func(i uint32) error { return e.WritePing(false, [8]byte{}) }) })},
		"SETTINGS":                    {callTime, connected(func(e *evil) error { return e.again(func(i uint32) error { return e.WriteSettings(shut) }) })},
		"WINDOW_UPDATE":               {callTime, connected(func(e *evil) error { return e.again(func(i uint32) error { return e.WriteWindowUpdate(1, 1<<20) }) })},
		"RST_STREAM": {callTime, connected(func(e *evil) error {
			return e.again(func(i uint32) error { return e.WriteRSTStream(2*i+1, http2.ErrCodeCancel) })
		})},
		"PUSH_PROMISE": {callTime, connected(func(e *evil) error {
			return e.WritePushPromise(http2.PushPromiseParam{StreamID: 1, PromiseID: 2, BlockFragment: part[:1], EndHeaders: true})
		})},
		"GOAWAY, and again": {callTime, connected(func(e *evil) error {
			return e.again(func(i uint32) error { return e.WriteGoAway(1<<31-1, http2.ErrCodeEnhanceYourCalm, part) })
		})},
		"unheard frames": {callTime, connected(func(e *evil) error { return e.again(func(i uint32) error { return e.WriteRawFrame(0xee, 0, 1, part) }) })},
		"calls that nobody made": {callTime, connected(func(e *evil) error {
			return e.again(func(i uint32) error { return e.WriteData(2*i+2, false, part[:100]) })
		})},
		"a header without end": {callTime, connected(func(e *evil) error {
			if err := e.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x00, 1, 'x', 0x7f, 0xff, 0xff, 0xff, 0x07}}); err != nil {
				return err
			}
			return e.again(func(uint32) error { return e.WriteContinuation(1, false, part) })
		})},
		"one entry, thousands of times": {callTime, connected(func(e *evil) error {
			block := append([]byte{0x88, 0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'a'}, 4000)...)
			return e.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 10_000)...), EndHeaders: true})
		})},
		"empty DATA": {callTime, connected(func(e *evil) error {
			err := e.answer()
			return errors.Join(err, e.again(func(uint32) error { return e.WriteData(1, false, nil) }))
		})},
		"a message of 4 GiB": {callTime, connected(func(e *evil) error {
			err := errors.Join(e.answer(), e.message(0, 1<<32-1, part))
			return errors.Join(err, e.again(func(uint32) error { return e.WriteData(1, false, part) }))
		})},
		"more than the window": {callTime, connected(func(e *evil) error {
			err := errors.Join(e.answer(), e.message(0, 1<<20, part))
			return errors.Join(err, e.again(func(uint32) error { return e.WriteData(1, false, part) }))
		})},
		"gzip": {callTime, connected(func(e *evil) error {
			return errors.Join(e.answer("grpc-encoding", "gzip"), e.message(1, uint32(len(bomb)), bomb))
		})},
		"gzip that is not declared": {callTime, connected(func(e *evil) error { return errors.Join(e.answer(), e.message(1, uint32(len(bomb)), bomb)) })},
		"a status of 12 KiB": {callTime, connected(func(e *evil) error {
			return e.answer("grpc-status", "10", "grpc-message", string(bytes.Repeat([]byte{'a'}, 12<<10)))
		})},
		"a message of a byte a minute, and pings answered": {preparingTime, func(w *world, conn net.Conn, peak *atomic.Uint64) {
			e, err := speak(w, conn, peak)
			if err != nil {
				return
			}
			_ = errors.Join(e.WriteSettings(), e.WriteSettingsAck())
			go e.listen(true)
			time.Sleep(time.Second)
			for err = errors.Join(e.answer(), e.message(0, 1<<20, nil)); err == nil; err = e.WriteData(1, false, part[:1]) {
				time.Sleep(time.Minute)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, agreed(t), 20, func(t *testing.T, w *world) {
				rest := atRest(t, w)
				honest, peak := w.connect, new(atomic.Uint64)
				l := bufconn.Listen(64 << 10)
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
				w.connect = l.DialContext
				var before runtime.MemStats
				runtime.ReadMemStats(&before)
				started := time.Now()
				_, err := w.match(t.Context(), "spring", 0, 5)
				if err == nil {
					t.Error("a hostile platform matched")
				}
				if took := time.Since(started); took > c.within {
					t.Errorf("the advertiser gives up after %v: %v", took, err)
				}
				if text := fmt.Sprint(err); len(text) > 1000 || bytes.Contains([]byte(text), []byte("aaaaaaaa")) {
					t.Errorf("the error is the platform's text, of %d bytes", len(text))
				}
				if peak.Load() > before.HeapAlloc+heapOfAttack {
					t.Errorf("it takes %d MiB", (peak.Load()-before.HeapAlloc)>>20)
				}
				w.connect = honest
				l.Close()
				rest.check(name)
				_, err = w.match(t.Context(), "spring", 0, 5)
				must(t, err)
			})
		})
	}
}

// squeezed is so many zeros.
func squeezed(t *testing.T, n int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		_, err := z.Write(zeros)
		must(t, err)
	}
	must(t, z.Close())
	return b.Bytes()
}
