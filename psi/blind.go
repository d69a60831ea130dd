package psi

import (
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// Seed fixes all blinds of one session: item j's is a function of the seed, j
// and the item's salt, so that none is stored and any can be opened to an
// auditor later (PROTOCOL.md §10). It prints as REDACTED.
type Seed [32]byte

// NewSeed draws a seed from crypto/rand.
func NewSeed() *Seed {
	s := new(Seed)
	rand.Read(s[:])
	return s
}

// Destroy overwrites the seed: best effort, since Go may have copied it.
func (s *Seed) Destroy() { clear(s[:]) }

// scalars returns r_j of PROTOCOL.md §10 for the items j from first on. They lie
// on the desk.
func (s *Seed) scalars(d *desk, in []Query, first uint64) []ristretto.Scalar {
	r := sized(&d.r, len(in))
	d.hashToScalars(r, func(b []byte, i int) []byte {
		return s.appendBlind(b, &in[i].Salt, first+uint64(i))
	}, dstBlind)
	return r
}

// appendBlind appends the message that r_j is hashed from.
func (s *Seed) appendBlind(b []byte, salt *[32]byte, j uint64) []byte {
	b = lv(b, "AMPSI-V01-blind")
	b = lv(b, s[:])
	b = lv(b, salt[:])
	return binary.BigEndian.AppendUint64(b, j)
}

// Blind blinds in[i], the session's item first+i, additively (PROTOCOL.md §6):
// B = HashToGroup(x) + r·G, or r·G for a pad. dst has the length of in.
//
// This form is sound only together with Finalize, which verifies the Holder's
// proof under an authenticated K before it makes anything of the answer.
func Blind(dst []Element, in []Query, s *Seed, first uint64) error {
	mustMatch(len(dst), len(in))
	each(len(in), func(d *desk, lo, hi int) {
		r := s.scalars(d, in[lo:hi], first+uint64(lo))
		d.blind(dst[lo:hi], in[lo:hi], r)
	})
	for i := range dst {
		if dst[i] == (Element{}) { // probability 2⁻²⁵²; the blinds can't be redrawn
			return errors.New("psi: a blinded element is the identity: start the session again")
		}
	}
	return nil
}

// blind does the same work for a pad as for an identifier, so that the time a
// chunk takes does not tell how many of its elements are pads.
func (d *desk) blind(dst []Element, in []Query, r []ristretto.Scalar) {
	h := d.hashToGroup(in)
	for i := range in {
		if in[i].Input.IsZero() {
			h.Slice(i, i+1).SetIdentity()
		}
	}
	h.AddMulBaseEncode(dst, ristretto.Generator(), r)
}

// Finalize verifies the Holder's proof over a chunk and only then unblinds the
// chunk and computes its outputs (PROTOCOL.md §6): N = E − r·K. All slices have
// equal lengths, 1 to 65535; in, s and first are as Blind had them. A pad's
// output is the zero Output. If it fails, dst is untouched; the error is or
// wraps an AbortCode.
func (k *PublicKey) Finalize(dst []Output, in []Query, blinded, evaluated []Element, p *Proof, bind *Bind, s *Seed, first uint64) error {
	mustMatch(len(dst), len(in))
	mustMatch(len(blinded), len(in))
	mustBeBatch(len(in))
	if err := sameNumber(blinded, evaluated); err != nil {
		return err
	}
	w := newScratch()
	defer w.done()
	return k.finalize(w, dst, in, blinded, evaluated, p, bind.bytes(), s, first)
}

// finalize is Finalize in scratch memory.
func (k *PublicKey) finalize(w *scratch, dst []Output, in []Query, blinded, evaluated []Element, p *Proof, bind []byte, s *Seed, first uint64) error {
	if err := k.verify(w, blinded, evaluated, p, bind); err != nil {
		return err
	}
	each(len(in), func(d *desk, lo, hi int) {
		r := s.scalars(d, in[lo:hi], first+uint64(lo))
		d.unblind(dst[lo:hi], in[lo:hi], w.e.Slice(lo, hi), k.base, r)
	})
	return nil
}

// unblind is sound only for evaluated elements whose proof has been verified.
// An identifier's N is never the identity then: it is k·HashToGroup(x). A pad is
// hashed too, for the sake of time as in blind, and its output set to zero.
func (d *desk) unblind(dst []Output, in []Query, e *ristretto.Vector, key *ristretto.Base, r []ristretto.Scalar) {
	n := sized(&d.n, len(in))
	e.SubMulBaseEncode(n, key, r)
	for i, out := range d.finalizeHashes(in, n) {
		if in[i].Input.IsZero() {
			dst[i] = Output{}
		} else {
			dst[i] = out
		}
	}
}
