package evidence

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/proto"

	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
)

// version is that of an openings file. maxPiece is the length of the longest
// piece that is read: the digests of 16 million frames fit, those of 10¹¹ questions.
const (
	version  = 1
	maxPiece = 1 << 30
)

var errOpenings = errors.New("evidence: not an openings file of this version")

// encoding is the one encoding of a piece.
var encoding = proto.MarshalOptions{Deterministic: true}

// writePiece appends a piece to the file.
func writePiece(w io.Writer, p *overlapv1.Piece) error {
	b, err := encoding.MarshalAppend(make([]byte, 4, 4+encoding.Size(p)), p)
	if err != nil {
		return fmt.Errorf("evidence: openings: %w", err)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := w.Write(b); err != nil {
		return fmt.Errorf("evidence: openings: %w", err)
	}
	return nil
}

// readPiece reads the next piece, io.EOF at the end of the file. Memory grows
// with what is there, not with the length that is said.
func readPiece(r io.Reader) (*overlapv1.Piece, error) {
	var length [4]byte
	switch _, err := io.ReadFull(r, length[:]); {
	case err == io.EOF:
		return nil, io.EOF
	case err == io.ErrUnexpectedEOF:
		return nil, errOpenings
	case err != nil:
		return nil, fmt.Errorf("evidence: openings: %w", err)
	}
	n := int64(binary.BigEndian.Uint32(length[:]))
	if n > maxPiece {
		return nil, errOpenings
	}
	var b bytes.Buffer
	switch got, err := io.Copy(&b, io.LimitReader(r, n)); {
	case err != nil:
		return nil, fmt.Errorf("evidence: openings: %w", err)
	case got < n:
		return nil, errOpenings
	}
	return parsePiece(b.Bytes())
}

// parsePiece reads a piece that has its one encoding: a file can't be changed
// without being another.
func parsePiece(b []byte) (*overlapv1.Piece, error) {
	p := new(overlapv1.Piece)
	if err := proto.Unmarshal(b, p); err != nil {
		return nil, errOpenings
	}
	if again, err := encoding.Marshal(p); err != nil || !bytes.Equal(again, b) || len(p.ProtoReflect().GetUnknown()) > 0 {
		return nil, errOpenings
	}
	for _, m := range []proto.Message{p.GetHeader(), p.GetChunk(), p.GetOpening()} {
		if len(m.ProtoReflect().GetUnknown()) > 0 {
			return nil, errOpenings
		}
	}
	return p, nil
}
