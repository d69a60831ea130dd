package psi

import (
	"cmp"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"hash"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// ProofLen is the length in bytes of a Proof.
const ProofLen = 64

// Proof is c ‖ s of RFC 9497 §2.2.1: the evaluated elements of a chunk are its
// blinded elements times the key whose public key is K.
type Proof [ProofLen]byte

// Bind ties a chunk's proof to the whole chunk and to its session (PROTOCOL.md
// §6). In RFC 9497 the coefficient of a pair depends on that pair alone, so a
// Holder can choose 16 384 wrong answers whose errors cancel; with the bind the
// coefficients exist only after every answer is fixed.
type Bind [64]byte

// NewBind returns the bind of chunk seq of session sid.
func NewBind(sid *[32]byte, seq uint32, blinded, evaluated []Element) Bind {
	return newDigests(appendElements(nil, blinded), appendElements(nil, evaluated)).bind(sid, seq)
}

// digests are what a chunk's bind and the transcript have in common, computed
// once: BLINDED's digest is that of the blinded elements, and EVALUATED's is that
// of the evaluated ones, continued over the proof.
type digests struct {
	blinded   [sha512.Size]byte
	evaluated hash.Hash
}

// newDigests hashes a BLINDED body, and an EVALUATED body up to its proof.
func newDigests(blinded, evaluated []byte) *digests {
	d := &digests{evaluated: sha512.New()}
	atOnce(
		func() { d.blinded = sha512.Sum512(blinded) },
		func() { d.evaluated.Write(evaluated) })
	return d
}

func (d *digests) bind(sid *[32]byte, seq uint32) Bind {
	buf := lv(nil, "AMPSI-V01-batch")
	buf = lv(buf, sid[:])
	buf = binary.BigEndian.AppendUint32(buf, seq)
	buf = lv(buf, d.blinded[:])
	buf = lv(buf, d.evaluated.Sum(nil))
	return sha512.Sum512(buf)
}

// addTo adds both frames to a transcript.
func (d *digests) addTo(th *transcript, p *Proof) {
	th.addDigest(FrameBlinded, SenderQuerier, &d.blinded)
	d.evaluated.Write(p[:])
	th.addDigest(FrameEvaluated, SenderHolder, (*[sha512.Size]byte)(d.evaluated.Sum(nil)))
}

func bindOf(f func([]Element) Bind, evaluated []Element) []byte {
	if f == nil {
		return nil
	}
	b := f(evaluated)
	return b[:]
}

// bytes returns what the proof's seed hashes: nothing for a nil bind.
func (b *Bind) bytes() []byte {
	if b == nil {
		return nil
	}
	return b[:]
}

// generateProof is GenerateProof of RFC 9497 §2.2.1 with A = G, B = K, C the
// blinded and D the evaluated elements, and the nonce given.
func generateProof(w *scratch, k *Key, c *ristretto.Vector, blinded, evaluated []Element, bind []byte, nonce *ristretto.Scalar) Proof {
	// ComputeCompositesFast: Z = k·M, which must be constant time.
	d := sized(&w.d, len(blinded))
	composites(d, k.public.enc, blinded, evaluated, bind)
	m := sums(d, c)[0]
	z := m.Mul(&k.k)
	t2 := ristretto.Generator().Mul([]ristretto.Scalar{*nonce})
	t3 := m.Mul(nonce)

	challenge := proofChallenge(k.public.enc, m, z, t2, t3)
	// s = r - c·k
	s := *nonce
	ck := challenge.Mul(&k.k)
	s = s.Sub(&ck)
	return newProof(&challenge, &s)
}

func newProof(c, s *ristretto.Scalar) (p Proof) {
	cb, sb := c.Bytes(), s.Bytes()
	copy(p[:32], cb[:])
	copy(p[32:], sb[:])
	return p
}

// Verify is VerifyProof of RFC 9497 §2.2.2: it returns nil if the elements of
// evaluated are those of blinded times the key whose K this is, and p was made
// with this bind. blinded has 1 to 65535 elements. The error is or wraps an
// AbortCode.
func (k *PublicKey) Verify(blinded, evaluated []Element, p *Proof, bind *Bind) error {
	mustBeBatch(len(blinded))
	if err := sameNumber(blinded, evaluated); err != nil {
		return err
	}
	w := newScratch()
	defer w.done()
	return k.verify(w, blinded, evaluated, p, bind.bytes())
}

func sameNumber(blinded, evaluated []Element) error {
	if len(evaluated) != len(blinded) {
		return fmt.Errorf("psi: answer has another number of elements than the question: %w", AbortMalformed)
	}
	return nil
}

// verify is VerifyProof of RFC 9497 §2.2.2. If it returns nil, w.e begins with
// the evaluated elements, decoded, and they are what the proof says.
func (k *PublicKey) verify(w *scratch, blinded, evaluated []Element, p *Proof, bind []byte) error {
	e := decoding{from: evaluated, to: vectorOf(&w.e, len(evaluated))}
	b := decoding{from: blinded, to: vectorOf(&w.b, len(blinded))}
	each(len(blinded), func(_ *desk, lo, hi int) {
		e.run(lo, hi)
		b.run(lo, hi)
	})
	if err := cmp.Or(e.err(), b.err()); err != nil {
		return err
	}
	c, err := ristretto.ScalarFromCanonical((*[32]byte)(p[:32]))
	if err != nil {
		return fmt.Errorf("psi: proof's c is not canonical: %w", AbortMalformed)
	}
	s, err := ristretto.ScalarFromCanonical((*[32]byte)(p[32:]))
	if err != nil {
		return fmt.Errorf("psi: proof's s is not canonical: %w", AbortMalformed)
	}
	// ComputeComposites: M = Σ d_i·C_i, Z = Σ d_i·D_i.
	d := sized(&w.d, len(blinded))
	composites(d, k.enc, blinded, evaluated, bind)
	mz := sums(d, b.to, e.to)
	m, z := mz[0], mz[1]
	// t2 = s·A + c·B, t3 = s·M + c·Z
	t2 := ristretto.Generator().Mul([]ristretto.Scalar{s}).AddMulBase(k.base, []ristretto.Scalar{c})
	t3 := m.Mul(&s).Add(z.Mul(&c))
	if proofChallenge(k.enc, m, z, t2, t3) != c {
		return fmt.Errorf("psi: proof does not verify: %w", AbortProof)
	}
	return nil
}

// composites sets dst[i] to d_i = HashToScalar(I2OSP(64,2) || seed || I2OSP(i,2) ||
// I2OSP(32,2) || C_i || I2OSP(32,2) || D_i || "Composite"), RFC 9497 §2.2.1,
// where the seed also hashes the bind.
func composites(dst []ristretto.Scalar, k Element, c, d []Element, bind []byte) {
	t := append(lengthPrefixed(nil, k[:]), lengthPrefixed(nil, []byte(dstSeed))...)
	seed := sha512.Sum512(append(t, bind...))

	each(len(dst), func(w *desk, lo, hi int) {
		w.hashToScalars(dst[lo:hi], func(b []byte, i int) []byte {
			return appendComposite(b, &seed, lo+i, &c[lo+i], &d[lo+i])
		}, dstHashToScalar)
	})
}

// appendComposite appends the message that d_i is hashed from.
func appendComposite(b []byte, seed *[64]byte, i int, c, d *Element) []byte {
	b = lengthPrefixed(b, seed[:])
	b = binary.BigEndian.AppendUint16(b, uint16(i))
	b = lengthPrefixed(b, c[:])
	b = lengthPrefixed(b, d[:])
	return append(b, "Composite"...)
}

// proofChallenge is HashToScalar over B, M, Z, t2, t3 and "Challenge".
func proofChallenge(k Element, m, z, t2, t3 *ristretto.Vector) ristretto.Scalar {
	buf := lengthPrefixed(make([]byte, 0, 192), k[:])
	for _, v := range []*ristretto.Vector{m, z, t2, t3} {
		var enc [1][32]byte
		v.Encode(enc[:])
		buf = lengthPrefixed(buf, enc[0][:])
	}
	return hashToScalar(append(buf, "Challenge"...), dstHashToScalar)
}

func lengthPrefixed(dst, b []byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(b)))
	return append(dst, b...)
}
