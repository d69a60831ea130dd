package evidence

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/policy"
	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// Case is what an auditor brings; none of it comes from the platform alone.
type Case struct {
	Receipt   *receipt.Receipt // the advertiser's
	Policy    *policy.Policy   // the one that both companies signed for
	Challenge *Challenge       // the auditor's own
	// Erasures has the hash of each leaf that was closed because its record was
	// erased, and when that was logged, from a log that the platform can't rewrite.
	Erasures map[[32]byte]time.Time
	// Covered says that all of Erasures are in the part of the log that a checkpoint
	// covers which the auditor had when it drew. Else their times decide alone.
	Covered bool
}

// What makes a file no evidence at all.
var (
	errPolicy     = errors.New("evidence: the session ran under another policy")
	errReceipts   = errors.New("evidence: the openings are of another session than the receipt")
	errTranscript = errors.New("evidence: the digests are not those of the transcript in SEAL")
	errChunk      = errors.New("evidence: a chunk is not the one in the transcript")
	errOrder      = errors.New("evidence: a chunk or an opening is not where it belongs")
)

// Check reads an openings file and says what it shows. An error is a file that
// shows nothing: it is of another session or policy, or not whole, or its chunks
// aren't those that were asked. Otherwise each position drawn is in the Report,
// and Report.Err says whether one is bad. Memory does not grow with the file but
// with its header and the number of samples.
func Check(r io.Reader, c *Case) (*Report, error) {
	k, err := newChecker(c)
	if err != nil {
		return nil, err
	}
	return k.read(r)
}

// CheckChosen reads the openings of positions that the platform chose, and calls
// seen with the record of each that is good. The Case needs no Challenge. The
// Report says nothing of what would have been found.
func CheckChosen(r io.Reader, c *Case, seen func(position uint64, rec *consent.Record)) (*Report, error) {
	k, err := newChosenChecker(c)
	if err != nil {
		return nil, err
	}
	k.judge.seen = seen
	return k.read(r)
}

func (k *checker) read(r io.Reader) (*Report, error) {
	first, err := readPiece(r)
	if err == io.EOF {
		err = errOpenings
	}
	if err != nil {
		return nil, err
	}
	if err := k.header(first.GetHeader()); err != nil {
		return nil, err
	}
	for {
		switch p, err := readPiece(r); {
		case err == io.EOF:
			return k.end(), nil
		case err != nil:
			return nil, err
		case p.GetChunk() != nil:
			err = k.chunk(p.GetChunk())
			if err != nil {
				return nil, err
			}
		default:
			if err := k.opening(p.GetOpening()); err != nil {
				return nil, err
			}
		}
	}
}

// checker is one run of Check.
type checker struct {
	c       *Case
	asked   *receipt.Questions
	judge   judge
	digests []psi.FrameDigest
	todo    []uint64 // positions not seen yet, increasing; nil if the platform chose them
	chosen  bool
	next    uint64 // if it did: the first position that may come
	seq     int64  // of the chunk that was read last, −1 before
	body    []byte // its body
	report  *Report
}

func newChecker(c *Case) (*checker, error) {
	k, err := newChosenChecker(c)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(c.Challenge.check(), c.Challenge.isOf(k.asked)); err != nil {
		return nil, err
	}
	k.chosen, k.todo = false, c.Challenge.positions(k.asked.Size)
	k.report.Samples, k.report.Drawn, k.judge.drawn = c.Challenge.Samples, len(k.todo), c.Challenge.Drawn
	for _, f := range fractions {
		k.report.Detection = append(k.report.Detection, Detection{f, k.report.Detects(f)})
	}
	return k, nil
}

func newChosenChecker(c *Case) (*checker, error) {
	asked, err := c.Receipt.Questions()
	if err != nil {
		return nil, err
	}
	if c.Receipt.Complete() {
		if _, err := c.Receipt.Verify(); err != nil {
			return nil, err
		}
	}
	if c.Policy.Hash() != asked.PolicyHash {
		return nil, errPolicy
	}
	k := &checker{c: c, asked: asked, seq: -1, chosen: true}
	k.report = &Report{
		Session:     hex.EncodeToString(asked.SID[:]),
		Platform:    asked.Platform,
		Advertiser:  asked.Advertiser,
		PolicyHash:  hex.EncodeToString(asked.PolicyHash[:]),
		ConsentRoot: hex.EncodeToString(asked.ConsentRoot[:]),
		Complete:    c.Receipt.Complete(),
		Size:        asked.Size,
		Bad:         []Finding{},
	}
	// What the platform chose it chose after everything that was logged.
	k.judge = judge{asked: asked, rule: c.Policy.Rule(), erasures: c.Erasures, drawn: time.Unix(1<<40, 0), report: k.report}
	return k, nil
}

// header checks that the file is of this session, and that its digests are what
// the platform signed.
func (k *checker) header(h *overlapv1.Header) (err error) {
	if h.GetVersion() != version {
		return errOpenings
	}
	if !bytes.Equal(h.GetReceipt(), k.c.Receipt.UpToSeal().Bytes()) {
		return errReceipts
	}
	var whole bool
	if k.digests, whole = parseDigests(h.GetDigests(), k.asked.Chunks); !whole {
		return errTranscript
	}
	if psi.Transcript(&k.asked.SID, k.digests) != k.asked.Transcript {
		return errTranscript
	}
	return nil
}

// chunk takes a BLINDED frame, which was sent in this session and holds a
// position that is still to come.
func (k *checker) chunk(c *overlapv1.Chunk) error {
	if int64(c.GetSeq()) <= k.seq || c.GetSeq() >= k.asked.Chunks {
		return errOrder
	}
	first := uint64(c.GetSeq()) * psi.ChunkElems
	size := min(psi.ChunkElems, k.asked.Size-first)
	if uint64(len(c.GetBody())) != size*uint64(elementLen) || sha512.Sum512(c.GetBody()) != k.digests[2*c.GetSeq()].Digest {
		return errChunk
	}
	k.seq, k.body = int64(c.GetSeq()), c.GetBody()
	if k.chosen {
		return nil
	}
	k.skip(first)
	if len(k.todo) == 0 || k.todo[0] >= first+size {
		return errOrder
	}
	return nil
}

// skip reports the positions below at that are still to come: they weren't opened.
func (k *checker) skip(at uint64) {
	for len(k.todo) > 0 && k.todo[0] < at {
		k.report.bad(k.todo[0], ReasonMissing)
		k.todo = k.todo[1:]
	}
}

// opening takes the opening of a position that was drawn, in the chunk before it.
func (k *checker) opening(o *overlapv1.Opening) error {
	at := o.GetLeaf()
	if o == nil || at >= k.asked.Size || int64(chunkOf(at)) != k.seq {
		return errOrder
	}
	if err := k.expect(at); err != nil {
		return err
	}
	offset := at % psi.ChunkElems * uint64(elementLen)
	k.judge.opening(o, psi.Element(k.body[offset:]))
	return nil
}

// expect takes the position off what is still to come.
func (k *checker) expect(at uint64) error {
	if k.chosen {
		if at < k.next {
			return errOrder
		}
		k.next = at + 1
		k.report.Drawn++
		return nil
	}
	k.skip(at)
	if len(k.todo) == 0 || k.todo[0] != at {
		return errOrder
	}
	k.todo = k.todo[1:]
	return nil
}

func (k *checker) end() *Report {
	k.skip(k.asked.Size)
	k.judge.flush()
	switch {
	case k.report.Erased == 0:
	case k.c.Covered:
		k.report.ErasedBy = ByCheckpoint
	default:
		k.report.ErasedBy = ByLogTime
	}
	return k.report
}
