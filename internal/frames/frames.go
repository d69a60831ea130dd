// Package frames ends HTTP/2 connections that are made to hold more than they carry.
//
// Flow control counts what a peer sends, not what keeping it takes: gRPC keeps each
// DATA frame as it came until its message is whole. Padding is given back to the
// peer's window at once, and its bytes stay as long as the one byte beside them; a
// frame of one byte takes some hundred. A message of 1 MiB could so take 300.
package frames

import (
	"context"
	"errors"
	"net"

	"google.golang.org/grpc/credentials"
)

// What carries less than worth bytes is a crumb, and a connection may be so many
// crumbs ahead of what else it carries. An honest peer sends one now and then: a
// message that is short, or the end of a long one.
const (
	worth  = 256
	crumbs = 1024
)

// ErrWaste is why a connection ended.
var ErrWaste = errors.New("frames: DATA frames that are padded, or too many that hold next to nothing")

// preface is how many bytes a client sends before its first frame (RFC 9113 §3.4).
const preface = 24

// Credentials are the given ones for connections whose peers waste nothing.
func Credentials(of credentials.TransportCredentials) credentials.TransportCredentials {
	return thrifty{of}
}

type thrifty struct {
	credentials.TransportCredentials
}

func (t thrifty) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ClientHandshake(ctx, authority, raw)
	if err != nil {
		return nil, nil, err
	}
	return &watched{Conn: conn}, info, nil
}

func (t thrifty) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := t.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	return &watched{Conn: conn, skip: preface}, info, nil
}

func (t thrifty) Clone() credentials.TransportCredentials {
	return thrifty{t.TransportCredentials.Clone()}
}

// watched looks at the heads of the frames that come.
type watched struct {
	net.Conn
	skip  int // bytes until the next head
	head  [9]byte
	have  int // bytes of head
	ahead int // crumbs
	err   error
}

func (w *watched) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.Conn.Read(p)
	for b := p[:n]; len(b) > 0; {
		if w.skip > 0 {
			over := min(w.skip, len(b))
			w.skip, b = w.skip-over, b[over:]
			continue
		}
		got := copy(w.head[w.have:], b)
		w.have, b = w.have+got, b[got:]
		if w.have == len(w.head) {
			w.have = 0
			w.skip = int(w.head[0])<<16 | int(w.head[1])<<8 | int(w.head[2])
			if !w.takes(w.head[3], w.head[4]) {
				w.err = ErrWaste
				return 0, w.err
			}
		}
	}
	return n, err
}

// takes reports whether a frame of a type with these flags, of skip bytes, is well.
// The last one of a stream is no crumb: nothing more can be kept with it.
func (w *watched) takes(frame, flags byte) bool {
	const data, endStream, padded = 0x0, 0x1, 0x8 // RFC 9113 §6.1
	switch {
	case frame != data:
	case flags&padded != 0:
		return false
	case w.skip >= worth:
		w.ahead = max(0, w.ahead-w.skip/worth)
	case flags&endStream == 0:
		w.ahead++
	}
	return w.ahead <= crumbs
}
