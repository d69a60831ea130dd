package server_test

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/net/http2"
	_ "google.golang.org/grpc/encoding/gzip" // as a program around the server may have it
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/server"
)

// Connections that are opened and come no further are ended by the platform.
func TestSiegeOfHalfOpenConnections(t *testing.T) {
	slowly := func(s *siege, conn net.Conn, text []byte) error {
		for i := range text {
			if _, err := conn.Write(text[i : i+1]); err != nil {
				return err
			}
			time.Sleep(handshake / 10)
		}
		return s.until(conn)
	}
	preface := []byte(http2.ClientPreface)
	besiege(t,
		attack{name: "TCP, and nothing", conns: 60, do: func(s *siege, conn net.Conn) error { return s.until(conn) }},
		attack{name: "TLS a byte at a time", conns: 20, do: func(s *siege, conn net.Conn) error {
			return slowly(s, conn, append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3}, make([]byte, 500)...))
		}},
		attack{name: "a ClientHello of 16 MiB", conns: 8, do: func(s *siege, conn net.Conn) error {
			// A record of 16 KiB and a message of 2^24-1 bytes, of which there is more and more.
			head := append([]byte{22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff}, make([]byte, 1<<14-4)...)
			for {
				if _, err := conn.Write(head); err != nil {
					return err
				}
				head = append([]byte{22, 3, 1, 0x40, 0}, make([]byte, 1<<14)...)
			}
		}},
		attack{name: "TLS, and nothing", conns: 30, do: func(s *siege, conn net.Conn) error {
			t, err := shown(conn, s.partner(), s.identity.ID())
			if err != nil {
				return err
			}
			return s.until(t)
		}},
		attack{name: "the preface a byte at a time", conns: 15, do: func(s *siege, conn net.Conn) error {
			t, err := shown(conn, s.partner(), s.identity.ID())
			if err != nil {
				return err
			}
			return slowly(s, t, preface)
		}},
		attack{name: "half of a frame", conns: 15, do: func(s *siege, conn net.Conn) error {
			t, err := shown(conn, s.partner(), s.identity.ID())
			if err == nil {
				_, err = t.Write(append(preface, 0, 0, 18, 4, 0, 0, 0, 0, 0, 0, 3)) // SETTINGS of 18 bytes
			}
			if err != nil {
				return err
			}
			return s.until(t)
		}},
	)
}

// Silent connections from many addresses, which are behind a proxy here, may take all
// places: who has not shown a certificate makes way for a partner.
func TestStrangersMakeWay(t *testing.T) {
	const most = 32
	w := newWorld(t, agreed(t), members(20), &server.Config{MaxConnections: most, PerAddress: -1})
	for range most {
		conn, err := w.reach(t.Context())
		must(t, err)
		defer conn.Close()
	}
	_, err := w.shop.match("spring", people(0, 10)...)
	must(t, err)
}

// Strangers get no further than the handshake.
func TestSiegeByStrangers(t *testing.T) {
	nobody := newIdentity(t, "nobody")
	try := func(who func(*siege) *identity.Identity, change ...func(*tls.Config)) func(*siege, net.Conn) error {
		return func(s *siege, conn net.Conn) error {
			c, err := shown(conn, who(s), s.identity.ID(), change...)
			if err != nil {
				return err
			}
			r, err := speak(c)
			if err == nil {
				err = errors.Join(r.call(1), r.out.Flush())
			}
			if err != nil {
				return err
			}
			for {
				f, err := r.ReadFrame()
				if err != nil {
					return err
				}
				if f.Header().Type == http2.FrameSettings && !s.over.Load() {
					t.Error("a stranger speaks HTTP/2 with the platform")
				}
			}
		}
	}
	partner := (*siege).partner
	besiege(t,
		attack{name: "nobody's certificate", conns: 8, do: try(func(*siege) *identity.Identity { return nobody })},
		attack{name: "no certificate", conns: 4, do: try(partner, func(c *tls.Config) { c.Certificates = nil })},
		attack{name: "TLS 1.2", conns: 4, do: try(partner, func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 })},
		attack{name: "no ALPN", conns: 4, do: try(partner, func(c *tls.Config) { c.NextProtos = nil })},
		attack{name: "another ALPN", conns: 4, do: try(partner, func(c *tls.Config) { c.NextProtos = []string{"http/1.1"} })},
		attack{name: "no TLS", conns: 4, do: func(s *siege, conn net.Conn) error {
			r, err := speak(conn)
			if err == nil {
				err = errors.Join(r.call(1), r.out.Flush())
			}
			if err == nil {
				_, err = io.Copy(io.Discard, conn)
			}
			return errors.Join(err, io.EOF)
		}},
		attack{name: "noise", conns: 4, do: func(s *siege, conn net.Conn) error {
			for b := bytes.Repeat([]byte{0xaa, 22, 3, 3}, 4096); ; {
				if _, err := conn.Write(b); err != nil {
					return err
				}
			}
		}},
	)
}

// flood writes as a partner what means little, thousands of times a second, while
// the answers are read. With the pauses the attackers don't take the processor from
// the platform, with which they share it here.
func flood(batch uint32, write func(r *raw, i uint32) error) func(*siege, net.Conn) error {
	return func(s *siege, conn net.Conn) error {
		r, err := s.speak(conn)
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- r.listen() }()
		for i := uint32(0); !s.over.Load() && err == nil; i++ {
			r.mu.Lock()
			err = write(r, i)
			if i%batch == 0 {
				err = errors.Join(err, r.out.Flush())
			}
			r.mu.Unlock()
			if i%batch == 0 {
				time.Sleep(5 * time.Millisecond)
			}
		}
		conn.Close()
		return errors.Join(err, <-ended)
	}
}

// Floods of frames that mean little.
func TestSiegeOfFloods(t *testing.T) {
	besiege(t,
		attack{name: "PING", conns: 3, do: flood(50, func(r *raw, i uint32) error { return r.WritePing(false, [8]byte{byte(i)}) })},
		attack{name: "SETTINGS", conns: 3, do: flood(50, func(r *raw, i uint32) error {
			return r.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: i % 100}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: i})
		})},
		attack{name: "rapid reset", conns: 3, do: flood(50, func(r *raw, i uint32) error {
			return errors.Join(r.call(2*i+1), r.WriteRSTStream(2*i+1, http2.ErrCodeCancel))
		})},
		attack{name: "calls without end", conns: 3, do: flood(50, func(r *raw, i uint32) error { return r.call(2*i + 1) })},
		// The platform resets what is wrong (CVE-2025-8671).
		attack{name: "made to reset", conns: 3, do: flood(50, func(r *raw, i uint32) error {
			return errors.Join(r.call(2*i+1), r.WriteWindowUpdate(2*i+1, 1<<31-1), r.WriteWindowUpdate(2*i+1, 1<<31-1))
		})},
		attack{name: "empty DATA", conns: 3, do: flood(50, func(r *raw, i uint32) error {
			if i == 0 {
				return r.call(1)
			}
			return r.WriteData(1, false, nil)
		})},
		attack{name: "PRIORITY", conns: 2, do: flood(50, func(r *raw, i uint32) error { return r.WritePriority(2*i+1, http2.PriorityParam{StreamDep: 2*i + 3}) })},
		attack{name: "unheard frames", conns: 2, do: flood(50, func(r *raw, i uint32) error { return r.WriteRawFrame(0xee, 0, i, make([]byte, 100)) })},
		attack{name: "WINDOW_UPDATE", conns: 2, do: flood(50, func(r *raw, i uint32) error { return r.WriteWindowUpdate(0, 1) })},
	)
}

// Bombs: headers and messages that are larger than they look, or than they may be.
func TestSiegeOfBombs(t *testing.T) {
	bomb := squeezed(t, 64<<20)
	message := func(compressed byte, length uint32, first []byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{compressed}, length), first...)
	}
	send := func(r *raw, i uint32, body []byte, more ...string) error {
		err := r.call(2*i+1, more...)
		for len(body) > 0 && err == nil {
			n := min(len(body), 16<<10)
			err = r.WriteData(2*i+1, false, body[:n])
			body = body[n:]
		}
		return err
	}
	part := bytes.Repeat([]byte{0}, 10<<10)
	besiege(t,
		attack{name: "a header without end", conns: 3, do: flood(2, func(r *raw, i uint32) error {
			if i == 0 {
				return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: []byte{0x00, 1, 'x', 0x7f, 0xff, 0xff, 0xff, 0x07}})
			}
			return r.WriteContinuation(1, false, part)
		})},
		attack{name: "one entry, thousands of times", conns: 3, do: flood(2, func(r *raw, i uint32) error {
			// 4000 bytes in the table of headers once, then a byte each.
			block := append([]byte{0x40, 1, 'x', 0x7f, 0xa1, 0x1e}, bytes.Repeat([]byte{'a'}, 4000)...)
			return r.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: append(block, bytes.Repeat([]byte{0xbe}, 2_000)...), EndHeaders: true})
		})},
		attack{name: "a message of 1 GiB", conns: 3, do: flood(2, func(r *raw, i uint32) error { return send(r, i, message(0, 1<<30, part)) })},
		attack{name: "a message of 4 GiB", conns: 3, do: flood(2, func(r *raw, i uint32) error { return send(r, i, message(0, 1<<32-1, part)) })},
		attack{name: "1 MiB that never comes whole", conns: 3, do: flood(2, func(r *raw, i uint32) error { return send(r, i, message(0, 1<<20, part)) })},
		attack{name: "gzip", conns: 3, do: flood(2, func(r *raw, i uint32) error {
			return send(r, i, message(1, uint32(len(bomb)), bomb), "grpc-encoding", "gzip")
		})},
		attack{name: "gzip that is not declared", conns: 3, do: flood(2, func(r *raw, i uint32) error {
			return send(r, i, message(1, uint32(len(bomb)), bomb))
		})},
	)
}

// squeezed is so many zeros.
func squeezed(t *testing.T, n int) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for zeros := make([]byte, 1<<20); n > 0; n -= len(zeros) {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Peers that read nothing, or take nothing, from each of many connections.
func TestSiegeByPeersThatDoNotRead(t *testing.T) {
	shut := http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}
	calls := func(r *raw, body []byte) (err error) {
		for i := range uint32(4) {
			err = errors.Join(err, r.call(2*i+1))
			if body != nil {
				err = errors.Join(err, r.WriteData(2*i+1, false, body))
			}
		}
		return errors.Join(err, r.out.Flush())
	}
	open := framed(t, hello(t, agreed(t, "max_releases = 100")))
	besiege(t,
		attack{name: "no window", conns: 20, do: func(s *siege, conn net.Conn) error {
			r, err := s.speak(conn, shut)
			if err == nil {
				err = calls(r, open)
			}
			return stay(s, r, err)
		}},
		attack{name: "not reading", conns: 20, do: func(s *siege, conn net.Conn) error {
			r, err := s.speak(conn)
			if err == nil {
				err = calls(r, open)
			}
			for err == nil && !s.over.Load() { // what has to be answered
				_ = conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				err = errors.Join(r.WriteSettings(), r.out.Flush())
			}
			for errors.Is(err, os.ErrDeadlineExceeded) && !s.over.Load() {
				time.Sleep(10 * time.Millisecond)
			}
			return err
		}},
		attack{name: "no HELLO", conns: 20, do: func(s *siege, conn net.Conn) error {
			r, err := s.speak(conn)
			if err == nil {
				err = calls(r, nil)
			}
			return stay(s, r, err)
		}},
	)
}

// What is sent is held until somebody reads it, or the call has ended. Calls that
// are refused end only when the refusal is taken, and these peers take nothing. They
// fill the windows, and what is added to them for a message of 1 MiB that never comes
// whole, in frames for which gRPC's own buffers would be four times too large, or in
// the largest.
func TestSiegeOfFullWindows(t *testing.T) {
	refused := framed(t, hello(t, agreed(t, "max_releases = 100")))
	besiege(t,
		attack{name: "small frames", conns: 20, do: fill(refused, 1025, 0), holds: 8 << 20},
		attack{name: "large frames", conns: 20, do: fill(refused, 16<<10, 0), holds: 4 << 20},
		attack{name: "no HELLO", conns: 20, do: fill(nil, 4097, 0), holds: 12 << 20},
	)
}

// Frames that take far more room than they have in them end their connection.
func TestSiegeOfCrumbs(t *testing.T) {
	refused := framed(t, hello(t, agreed(t, "max_releases = 100")))
	besiege(t,
		attack{name: "padding", conns: 6, do: fill(nil, 1, 255)},
		attack{name: "padding, refused", conns: 6, do: fill(refused, 1, 255)},
		attack{name: "a byte at a time", conns: 6, do: fill(nil, 1, 0)},
		attack{name: "a byte at a time, refused", conns: 6, do: fill(refused, 1, 0)},
		attack{name: "as small as may be", conns: 6, do: fill(nil, 256, 0), holds: 12 << 20},
	)
}

// fill sends on each of two calls first, and then parts of a message for as long as
// there is room for them.
func fill(first []byte, size, padding int) func(*siege, net.Conn) error {
	return func(s *siege, conn net.Conn) error {
		r, err := s.speak(conn, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		if err != nil {
			return err
		}
		ended := make(chan error, 1)
		go func() { ended <- r.listen() }()
		long := append(bytes.Clone(first), 0, 0, 0x10, 0, 0) // and a message of 1 MiB
		left := map[uint32]int{}
		r.mu.Lock()
		for _, stream := range []uint32{1, 3} {
			err = errors.Join(err, r.call(stream), r.WriteData(stream, false, long), r.out.Flush())
			left[stream] = 2<<20 - len(long)
		}
		r.mu.Unlock()
		part, pad := make([]byte, size), make([]byte, padding)
		for err == nil && !s.over.Load() {
			r.mu.Lock()
			for stream := range left {
				left[stream] += r.more[stream]
				delete(r.more, stream)
				for n := 0; n < 256 && left[stream] > size && err == nil; n++ {
					if padding > 0 {
						err = r.WriteDataPadded(stream, false, part, pad)
					} else {
						err = r.WriteData(stream, false, part)
					}
					left[stream] -= size
				}
			}
			err = errors.Join(err, r.out.Flush())
			r.mu.Unlock()
			time.Sleep(2 * time.Millisecond) // for the processor
		}
		r.Close()
		return errors.Join(err, <-ended)
	}
}

// stay answers what HTTP/2 asks and does nothing else until the siege is over.
func stay(s *siege, r *raw, err error) error {
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- r.listen() }()
	for !s.over.Load() {
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
	r.Close()
	return <-ended
}

// framed is a message as gRPC sends it.
func framed(t *testing.T, f *ampsiv1.Frame) []byte {
	t.Helper()
	body, err := proto.Marshal(f)
	must(t, err)
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}
