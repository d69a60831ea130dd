package sheet

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the window of zstd's highest level: the most memory that a
// compressed file can make its decoder take. (gzip's window has 32 KiB.) What
// comes out is a stream, and how much comes out is bounded row by row.
const maxWindow = 128 << 20

// source is the file's text: decompressed if it was compressed, and counted.
type source struct {
	io.Reader
	read  atomic.Int64 // bytes of the file, compressed if it is
	size  int64
	close func()
}

// newSource looks at the first bytes and reads through what they announce.
func newSource(r io.Reader, size int64) (*source, error) {
	s := &source{size: size, close: func() {}}
	raw := bufio.NewReaderSize(&counter{r, &s.read}, blockLen)
	magic, err := raw.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	s.Reader = raw
	switch {
	case bytes.HasPrefix(magic, gzipMagic):
		zr, err := gzip.NewReader(raw)
		if err != nil {
			return nil, damaged(err)
		}
		s.Reader = decompressed{zr}
	case bytes.HasPrefix(magic, zstdMagic):
		// One goroutine, the caller's.
		zr, err := zstd.NewReader(raw, zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, damaged(err)
		}
		s.Reader, s.close = decompressed{zr}, zr.Close
	}
	return s, nil
}

// Close frees the decompressor.
func (s *source) Close() error {
	s.close()
	return nil
}

// counter counts what is read from the file.
type counter struct {
	io.Reader
	n *atomic.Int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// decompressed gives a decompressor's errors their reason.
type decompressed struct{ io.Reader }

func (d decompressed) Read(p []byte) (int, error) {
	n, err := d.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = damaged(err)
	}
	return n, err
}

// damaged says what a decompressor's error means for the file.
func damaged(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || err == io.EOF {
		return &Error{Reason: Truncated, Err: err}
	}
	return &Error{Reason: Damaged, Err: err}
}

var (
	gzipMagic = []byte{0x1f, 0x8b}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// signatures are the first bytes of what isn't a delimited file.
var signatures = []struct {
	prefix string
	reason Reason
}{
	{"\xff\xfe", UTF16},
	{"\xfe\xff", UTF16},
	{"PK\x03\x04", Workbook},
	{"PK\x05\x06", Workbook},
	{"\xd0\xcf\x11\xe0", Workbook},
	{"PAR1", Parquet},
	{"BZh91AY&SY", Compression},
	{"\xfd7zXZ", Compression},
	{string(gzipMagic), Compression}, // inside gzip or zstd
	{string(zstdMagic), Compression},
}

// refuse says why the file that starts with block can't be a delimited file,
// or returns zero. NUL bytes are looked for in the block alone: further on they
// are one cell's fault, not the file's.
func refuse(block []byte) Reason {
	for _, s := range signatures {
		if bytes.HasPrefix(block, []byte(s.prefix)) {
			return s.reason
		}
	}
	switch {
	case looksUTF16(block):
		return UTF16
	case bytes.IndexByte(block, 0) >= 0:
		return Binary
	case looksJSON(block):
		return JSON
	}
	return 0
}

// looksUTF16 finds UTF-16 without a byte order mark: in Latin text one byte of
// each pair is NUL and the other isn't.
func looksUTF16(block []byte) bool {
	block = block[:min(len(block), 256)&^1]
	var nul [2]int
	for i, c := range block {
		if c == 0 {
			nul[i&1]++
		}
	}
	most, least := max(nul[0], nul[1]), min(nul[0], nul[1])
	return len(block) >= 4 && least == 0 && most > len(block)/4
}

// looksJSON finds an object, or a list of objects. A lone bracket doesn't make
// it JSON: some databases write [Email],[Phone].
func looksJSON(block []byte) bool {
	const space = " \t\r\n"
	block = bytes.TrimLeft(block[byteOrderMark(block):], space)
	if len(block) > 0 && block[0] == '[' {
		block = bytes.TrimLeft(block[1:], space)
	}
	return len(block) > 0 && block[0] == '{'
}
