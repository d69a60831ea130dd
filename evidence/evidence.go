// Package evidence shows that a platform asked about nobody but those whose
// consent records it had committed to (PROTOCOL.md §10).
//
// In a session a platform blinds one question for each leaf of its snapshot. It
// signs the snapshot's root before, and the questions, by their transcript,
// before it can learn anything from them. Afterwards an auditor draws positions
// at random, and the platform opens them: the record that the leaf commits to,
// the leaf's place under the root, and the blind, with which anyone can make the
// question again from the record.
//
//	platform                         auditor, with the advertiser's receipt
//	Create, Leaf, Blinded, Seal
//	                                 Draw          a Challenge, at random
//	Open, WriteOpenings ───────────▶ Check         a Report
//
// What a platform keeps of a session for this are hashes and blinded elements:
// no identifier, salt, secret or account. With the secret of an erased record its
// leaf is closed, and so is the question made from it: the seed alone opens
// nothing.
//
// An auditor is shown the records of the positions drawn, with hashed
// identifiers: personal data.
//
// The package uses no network and no gRPC, so that a verifier can be small.
package evidence

import (
	"errors"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/internal/merkle"
	"github.com/overlap-psi/overlap/psi"
)

// Lengths in bytes: of a row of leaves, of a row of blinded, of a row of digests.
const (
	rowLen     = 32 + 8
	elementLen = len(psi.Element{})
	digestLen  = 1 + 1 + 64
)

var errDamaged = errors.New("evidence: what was kept of the session is damaged")

// leafNode returns the tree's hash of a leaf (PROTOCOL.md §10).
func leafNode(leaf *[32]byte) tlog.Hash { return merkle.LeafHash(leaf[:]) }

// chunkOf returns the BLINDED frame that holds a position.
func chunkOf(at uint64) uint32 { return uint32(at / psi.ChunkElems) }

// appendDigests appends digests as they are kept and shown: I2OSP(type,1) ‖
// I2OSP(sender,1) ‖ SHA-512(body), 66 bytes each.
func appendDigests(b []byte, digests []psi.FrameDigest) []byte {
	for i := range digests {
		d := &digests[i]
		b = append(append(b, byte(d.Type), byte(d.From)), d.Digest[:]...)
	}
	return b
}

// parseDigests reads the digests of chunks BLINDED frames and their answers, in
// the transcript's order up to SEAL. It reports whether b is that and no more.
func parseDigests(b []byte, chunks uint32) ([]psi.FrameDigest, bool) {
	if uint64(len(b)) != 2*uint64(chunks)*digestLen {
		return nil, false
	}
	digests := make([]psi.FrameDigest, 0, 2*chunks)
	for ; len(b) > 0; b = b[digestLen:] {
		want := psi.FrameDigest{Type: psi.FrameBlinded, From: psi.SenderQuerier, Digest: [64]byte(b[2:])}
		if len(digests)%2 == 1 {
			want.Type, want.From = psi.FrameEvaluated, psi.SenderHolder
		}
		if b[0] != byte(want.Type) || b[1] != byte(want.From) {
			return nil, false
		}
		digests = append(digests, want)
	}
	return digests, true
}
