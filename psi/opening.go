package psi

import (
	"crypto/sha512"
	"encoding/binary"
	"math"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// What follows is for whoever opens a session's questions to an auditor, and for
// the auditor (PROTOCOL.md §10). A platform is the Querier; what it blinded is
// fixed by the transcript that it signed in SEAL.

// FrameDigest is what the transcript takes from one frame: SHA-512 of its body.
type FrameDigest struct {
	Type   FrameType
	From   Sender
	Digest [64]byte
}

// Transcript returns th of PROTOCOL.md §5.3 after the frames with these digests.
func Transcript(sid *[32]byte, digests []FrameDigest) [64]byte {
	t := newTranscript(sid)
	t.digests = make([]FrameDigest, 0, len(digests))
	for i := range digests {
		t.addDigest(digests[i].Type, digests[i].From, &digests[i].Digest)
	}
	return t.th
}

// BlindScalar returns r_j, the blind of the session's item j, from the session's
// seed and the salt of leaf j. Shown to anyone, it unblinds this one item.
func BlindScalar(s *Seed, salt *[32]byte, j uint64) [32]byte {
	var r [32]byte
	each(1, func(d *desk, _, _ int) { r = s.scalars(d, []Query{{Salt: *salt}}, j)[0].Bytes() })
	return r
}

// Reblind makes of each identifier and blind what Blind makes of them:
// HashToGroup(x) + r·G, or r·G for the zero Input of a pad. The blinds came from
// somebody else; where r is not below the group's order, or the sum is the
// identity, dst gets 32 zero bytes, which no Querier may send.
//
// Nobody can open one element in two ways: whoever knew two blinds for it would
// know a discrete logarithm between the hashes of two inputs.
func Reblind(dst []Element, in []Input, r [][32]byte) {
	mustMatch(len(dst), len(in))
	mustMatch(len(r), len(in))
	each(len(in), func(d *desk, lo, hi int) { d.reblind(dst[lo:hi], in[lo:hi], r[lo:hi]) })
}

func (d *desk) reblind(dst []Element, in []Input, r [][32]byte) {
	queries := make([]Query, len(in))
	scalars := make([]ristretto.Scalar, len(in))
	bad := make([]bool, len(in))
	for i := range in {
		var err error
		scalars[i], err = ristretto.ScalarFromCanonical(&r[i])
		queries[i].Input, bad[i] = in[i], err != nil
	}
	d.blind(dst, queries, scalars)
	for i := range dst {
		if bad[i] {
			dst[i] = Element{}
		}
	}
}

// AuditPositions returns the positions below n that an audit of the session
// opens, in the order in which they are drawn; one may be drawn twice. The
// auditor draws the challenge once it holds the session's SEAL. It panics if n
// is 0 or samples is negative.
//
//	v_s = SHA-512( LV("AMPSI-V01-audit") ‖ LV(sid) ‖ LV(challenge32) ‖ I2OSP(s,8) )[0:8],  s = 0, 1, …
//
// is skipped from ⌊2⁶⁴/n⌋·n up, so that no position is likelier than another.
func AuditPositions(sid, challenge *[32]byte, samples int, n uint64) []uint64 {
	if n == 0 || samples < 0 {
		panic("psi: AuditPositions of nothing")
	}
	b := lv(nil, "AMPSI-V01-audit")
	b = lv(b, sid[:])
	b = lv(b, challenge[:])
	most := math.MaxUint64 - (math.MaxUint64%n+1)%n // ⌊2⁶⁴/n⌋·n − 1
	positions := make([]uint64, 0, samples)
	for s := uint64(0); len(positions) < samples; s++ {
		digest := sha512.Sum512(binary.BigEndian.AppendUint64(b[:len(b):len(b)], s))
		if v := binary.BigEndian.Uint64(digest[:]); v <= most {
			positions = append(positions, v%n)
		}
	}
	return positions
}
