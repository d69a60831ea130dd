package evidence

import (
	"crypto/sha512"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/internal/merkle"
	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// Source is what opening takes and is not kept with the session. It prints as
// REDACTED.
type Source struct {
	Receipt    *receipt.Receipt // the session's, the platform's own
	Seed       psi.Seed         // the session's
	SnapshotID [32]byte
	// Record returns the line of the ledger with this number, with its secret, or
	// nil if it has been erased.
	Record func(fact uint64) (*consent.Record, error)
}

// Format prints REDACTED whatever the verb.
func (Source) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps the seed out of structured logs.
func (Source) LogValue() slog.Value { return slog.StringValue("REDACTED") }

var (
	errOther  = errors.New("evidence: receipt is of another session than what was kept")
	errChosen = errors.New("evidence: positions to open are not in increasing order, or not of the session")
	errRecord = errors.New("evidence: a record is not the one that its leaf was made from")
)

// WriteOpenings writes the openings file for a challenge: what Check reads. It
// opens the challenge's positions and no others, so that nobody can ask about
// people of their choice. Memory grows with their number and the logarithm of
// the session's size; the leaves are read once.
//
// It opens honestly or not at all: an error says that what was kept, or the
// Source, is not the session's. What was written by then is no openings file.
func (s *Session) WriteOpenings(w io.Writer, c *Challenge, src *Source) error {
	asked, err := src.Receipt.Questions()
	if err != nil {
		return err
	}
	if asked.SID != s.sid || asked.Size != s.size {
		return errOther
	}
	if err := errors.Join(c.check(), c.isOf(asked)); err != nil {
		return err
	}
	return s.open(w, c.positions(s.size), asked, src)
}

// WriteChosen opens positions that the platform itself chose, in increasing
// order, such as those of the people that an incident affected: it shows to
// CheckChosen that each was in the snapshot, on which record. It is for who has a
// right to that, as an authority has. It is no audit: who chooses, chooses well.
func (s *Session) WriteChosen(w io.Writer, positions []uint64, src *Source) error {
	asked, err := src.Receipt.Questions()
	if err != nil {
		return err
	}
	if asked.SID != s.sid || asked.Size != s.size {
		return errOther
	}
	for i, at := range positions {
		if at >= s.size || i > 0 && at <= positions[i-1] {
			return errChosen
		}
	}
	return s.open(w, positions, asked, src)
}

func (s *Session) open(w io.Writer, positions []uint64, asked *receipt.Questions, src *Source) error {
	o := &opener{s: s, src: src, positions: positions}
	if err := o.prove(asked.ConsentRoot); err != nil {
		return err
	}
	return o.write(w)
}

// opener opens the given positions, which are in increasing order.
type opener struct {
	s         *Session
	src       *Source
	positions []uint64
	rows      []Row // of each position
	prover    *merkle.Prover
}

// prove reads the leaves, all of them, and finds rows and paths of the positions.
func (o *opener) prove(root [32]byte) (err error) {
	if o.prover, err = merkle.NewProver(o.s.size, o.positions); err != nil {
		return errDamaged
	}
	at := uint64(0)
	for row, err := range o.s.Rows() {
		if err != nil {
			return err
		}
		o.prover.Append(leafNode(&row.Leaf))
		if n := len(o.rows); n < len(o.positions) && o.positions[n] == at {
			o.rows = append(o.rows, row)
		}
		at++
	}
	if o.prover.Root() != tlog.Hash(root) {
		return errDamaged
	}
	return nil
}

func (o *opener) write(w io.Writer) error {
	if err := writePiece(w, headerPiece(o.src.Receipt, o.s.digests)); err != nil {
		return err
	}
	for i, at := range o.positions {
		if i == 0 || chunkOf(at) != chunkOf(o.positions[i-1]) {
			if err := o.writeChunk(w, chunkOf(at)); err != nil {
				return err
			}
		}
		opening, err := o.open(at, &o.rows[i])
		if err != nil {
			return err
		}
		if err := writePiece(w, openingPiece(opening)); err != nil {
			return err
		}
	}
	return nil
}

func (o *opener) writeChunk(w io.Writer, seq uint32) error {
	body, err := o.s.chunk(seq)
	if err != nil {
		return err
	}
	if sha512.Sum512(body) != o.s.digests[2*seq].Digest {
		return errDamaged
	}
	return writePiece(w, chunkPiece(seq, body))
}

// open opens the position at, whose row is given.
func (o *opener) open(at uint64, row *Row) (*overlapv1.Opening, error) {
	path, err := o.prover.Proof(at)
	if err != nil {
		return nil, errDamaged
	}
	opening := &overlapv1.Opening{Leaf: at}
	for i := range path {
		opening.Path = append(opening.Path, path[i][:])
	}
	if row.Fact == 0 {
		return opening, o.openPad(opening, row)
	}
	rec, err := o.src.Record(row.Fact)
	switch {
	case err != nil:
		return nil, fmt.Errorf("evidence: ledger: %w", err)
	case rec == nil:
		opening.Erased = row.Leaf[:]
		return opening, nil
	}
	return opening, o.openRecord(opening, row, rec)
}

func (o *opener) openPad(opening *overlapv1.Opening, row *Row) error {
	salt, leaf := consent.OpenPad(&o.src.SnapshotID, opening.Leaf)
	if leaf != row.Leaf {
		return errRecord
	}
	o.blind(opening, &salt)
	return nil
}

func (o *opener) openRecord(opening *overlapv1.Opening, row *Row, rec *consent.Record) error {
	salt, leaf := consent.OpenLeaf(rec, &o.src.SnapshotID)
	if leaf != row.Leaf {
		return errRecord
	}
	o.blind(opening, &salt)
	showRecord(opening, rec)
	return nil
}

func (o *opener) blind(opening *overlapv1.Opening, salt *[32]byte) {
	r := psi.BlindScalar(&o.src.Seed, salt, opening.Leaf)
	opening.Salt, opening.Blind = salt[:], r[:]
}

// showRecord sets the fields of an opening that the record says.
func showRecord(opening *overlapv1.Opening, rec *consent.Record) {
	encoded, hash := rec.Append(nil), rec.Hash()
	account, sum := rec.Account, rec.Sum
	opening.Record, opening.RecordHash = encoded, hash[:]
	opening.Class, opening.H, opening.Account = uint32(rec.Class), sum[:], account[:]
}

func headerPiece(r *receipt.Receipt, digests []psi.FrameDigest) *overlapv1.Piece {
	return &overlapv1.Piece{Piece: &overlapv1.Piece_Header{Header: &overlapv1.Header{
		Version: version,
		Receipt: r.UpToSeal().Bytes(),
		Digests: appendDigests(make([]byte, 0, len(digests)*digestLen), digests),
	}}}
}

func chunkPiece(seq uint32, body []byte) *overlapv1.Piece {
	return &overlapv1.Piece{Piece: &overlapv1.Piece_Chunk{Chunk: &overlapv1.Chunk{Seq: seq, Body: body}}}
}

func openingPiece(o *overlapv1.Opening) *overlapv1.Piece {
	return &overlapv1.Piece{Piece: &overlapv1.Piece_Opening{Opening: o}}
}
