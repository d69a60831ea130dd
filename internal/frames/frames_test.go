package frames

import (
	"bytes"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"golang.org/x/net/http2"
)

// from is a connection that reads from a reader.
type from struct {
	net.Conn
	io.Reader
}

func (f from) Read(p []byte) (int, error) { return f.Reader.Read(p) }

// Whatever the pieces in which frames come, all that is honest comes through as it
// was, and what is not ends the connection.
func TestWatched(t *testing.T) {
	many := func(n int, one func(f *http2.Framer)) func(*http2.Framer) {
		return func(f *http2.Framer) {
			for range n {
				one(f)
			}
		}
	}
	data := func(size int, end bool) func(*http2.Framer) {
		return func(f *http2.Framer) { f.WriteData(1, end, make([]byte, size)) }
	}
	both := func(a, b func(*http2.Framer)) func(*http2.Framer) {
		return func(f *http2.Framer) { a(f); b(f) }
	}
	for name, c := range map[string]struct {
		write func(f *http2.Framer)
		fine  bool
	}{
		"nothing":                         {func(*http2.Framer) {}, true},
		"a chunk":                         {many(33, data(16<<10, false)), true},
		"crumbs, as many as may be":       {many(crumbs, data(1, false)), true},
		"one more":                        {many(crumbs+1, data(worth-1, false)), false},
		"empty ones":                      {many(crumbs+1, data(0, false)), false},
		"ends of streams":                 {many(5*crumbs, data(7, true)), true},
		"chunks with ends between":        {many(3*crumbs, both(data(16<<10, false), data(100, false))), true},
		"crumbs that little pays for":     {many(2*crumbs, both(data(worth, false), both(data(1, false), data(1, false)))), false},
		"paid for in advance":             {both(many(100, data(16<<10, false)), many(crumbs+1, data(1, false))), false},
		"padding":                         {func(f *http2.Framer) { f.WriteDataPadded(1, false, []byte{7}, make([]byte, 255)) }, false},
		"no padding, and room for it":     {func(f *http2.Framer) { f.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{0, 7}) }, false},
		"frames of other types, no DATA":  {many(5*crumbs, func(f *http2.Framer) { f.WritePing(false, [8]byte{}) }), true},
		"a frame that looks like another": {func(f *http2.Framer) { f.WriteData(1, false, bytes.Repeat([]byte{0, 0, 1, 0, 8}, 3000)) }, true},
	} {
		var wire bytes.Buffer
		wire.WriteString(http2.ClientPreface)
		c.write(http2.NewFramer(&wire, nil))
		for how, pieces := range map[string]func(io.Reader) io.Reader{
			"at once": func(r io.Reader) io.Reader { return r }, "by the byte": iotest.OneByteReader, "by halves": iotest.HalfReader,
			"with its end": iotest.DataErrReader,
		} {
			w := &watched{Conn: from{Reader: pieces(bytes.NewReader(wire.Bytes()))}, skip: preface}
			got, err := io.ReadAll(w)
			switch {
			case c.fine && (err != nil || !bytes.Equal(got, wire.Bytes())):
				t.Errorf("%s, %s: %v, %d bytes of %d", name, how, err, len(got), wire.Len())
			case !c.fine && !errors.Is(err, ErrWaste):
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if _, err := w.Read(make([]byte, 1)); !c.fine && !errors.Is(err, ErrWaste) {
				t.Errorf("%s, %s, read again: %v", name, how, err)
			}
		}
	}
}

// However bytes come in pieces, they are the same frames; what comes through is what
// came.
func FuzzWatched(f *testing.F) {
	f.Add([]byte(http2.ClientPreface), byte(1))
	f.Add(append([]byte(http2.ClientPreface), 0, 0, 4, 0, 8, 0, 0, 0, 1, 2, 7, 0, 0), byte(2))
	f.Add(append([]byte(http2.ClientPreface), bytes.Repeat([]byte{0, 0, 1, 0, 0, 0, 0, 0, 1, 7}, crumbs+1)...), byte(7))
	f.Fuzz(func(t *testing.T, wire []byte, piece byte) {
		whole, err1 := io.ReadAll(&watched{Conn: from{Reader: bytes.NewReader(wire)}, skip: preface})
		cut, err2 := io.ReadAll(&watched{Conn: from{Reader: &pieces{wire, int(piece) + 1}}, skip: preface})
		if !errors.Is(err1, err2) || err1 == nil && (!bytes.Equal(whole, wire) || !bytes.Equal(cut, wire)) || !bytes.HasPrefix(wire, cut) {
			t.Errorf("%d of %d bytes and %v at once, %d and %v in pieces", len(whole), len(wire), err1, len(cut), err2)
		}
	})
}

// pieces reads so many bytes at a time.
type pieces struct {
	left []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.left) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.left)
	p.left = p.left[n:]
	return n, nil
}
