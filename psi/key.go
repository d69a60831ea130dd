package psi

import (
	"crypto/rand"
	"errors"
	"fmt"
	"iter"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// Key is a Holder's secret scalar k and its public key. It serves one session
// and is destroyed at its end (PROTOCOL.md §12). It prints as REDACTED.
type Key struct {
	k      ristretto.Scalar
	public *PublicKey
}

// NewKey draws a key from crypto/rand.
func NewKey() *Key {
	k := randomScalar()
	return newKey(&k)
}

// DeriveKey is DeriveKeyPair of RFC 9497 §3.2.1. info names the key's only use.
func DeriveKey(seed *[32]byte, info []byte) (*Key, error) {
	if len(info) > 0xffff {
		return nil, errors.New("psi: key info is longer than 65535 bytes")
	}
	// One array: what append leaves behind when it grows nobody can overwrite.
	msg := append(make([]byte, 0, len(seed)+2+len(info)+1), seed[:]...)
	msg = append(msg, byte(len(info)>>8), byte(len(info)))
	msg = append(msg, info...)
	defer func() { clear(msg[:cap(msg)]) }()
	for counter := range 256 {
		k := hashToScalar(append(msg, byte(counter)), dstDeriveKey)
		if !k.IsZero() {
			return newKey(&k), nil
		}
	}
	return nil, errors.New("psi: no key can be derived from this seed")
}

func newKey(k *ristretto.Scalar) *Key {
	var enc [1][32]byte
	ristretto.Generator().Mul([]ristretto.Scalar{*k}).Encode(enc[:])
	public, err := ParsePublicKey(enc[0])
	if err != nil {
		panic("psi: a non-zero key has an invalid public key")
	}
	return &Key{k: *k, public: public}
}

// Public returns K = k·G.
func (k *Key) Public() *PublicKey { return k.public }

// Destroy overwrites the secret scalar: best effort, since Go may have copied
// it. The key evaluates nothing afterwards.
func (k *Key) Destroy() { *k = Key{} }

// Evaluate computes the PRF's output at each of the Holder's own inputs, as
// RFC 9497 §3.3.2 Evaluate does: N = k·HashToGroup(x). dst has the length of in.
// A zero Input is refused: the Holder has no pads of this kind.
func (k *Key) Evaluate(dst []Output, in []Input) {
	mustMatch(len(dst), len(in))
	k.mustLive()
	for i := range in { // here, where the caller can recover
		if in[i].IsZero() {
			panic("psi: Evaluate of a zero Input")
		}
	}
	each(len(in), func(d *desk, lo, hi int) {
		queries, n := sized(&d.queries, hi-lo), sized(&d.n, hi-lo)
		for i := range queries {
			queries[i] = Query{Input: in[lo+i]}
		}
		d.hashToGroup(queries).MulEncode(n, &k.k)
		for i, out := range d.finalizeHashes(queries, n) {
			dst[lo+i] = out
		}
	})
}

// EvaluateAll is Evaluate of any number of inputs, ChunkElems at a time, to whose
// outputs do is called, with the index of the first of them: until the next call, for
// they are overwritten after it. An error of the inputs or of do ends it.
func (k *Key) EvaluateAll(inputs iter.Seq2[Input, error], do func(outs []Output, first uint64) error) error {
	in, outs := make([]Input, 0, ChunkElems), make([]Output, ChunkElems)
	defer func() {
		clear(in[:cap(in)])
		clear(outs)
	}()
	first := uint64(0)
	flush := func() error {
		if len(in) == 0 {
			return nil
		}
		k.Evaluate(outs[:len(in)], in)
		err := do(outs[:len(in)], first)
		first += uint64(len(in))
		in = in[:0]
		return err
	}
	for input, err := range inputs {
		if err != nil {
			return err
		}
		if in = append(in, input); len(in) == cap(in) {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// BlindEvaluate multiplies a chunk of the Querier's blinded elements by k and
// proves that it did (RFC 9497 §3.3.2 BlindEvaluate, with the bind of
// PROTOCOL.md §6). dst and blinded have equal lengths, 1 to 65535; on an error,
// an *ElementError, dst is untouched. A nil bind makes the proof of RFC 9497,
// which can be forged for a batch and is for test vectors only.
func (k *Key) BlindEvaluate(dst, blinded []Element, bind func(evaluated []Element) Bind) (Proof, error) {
	mustMatch(len(dst), len(blinded))
	mustBeBatch(len(blinded))
	k.mustLive()
	w := newScratch()
	defer w.done()
	proof, err := k.blindEvaluate(w, blinded, bind)
	if err == nil {
		copy(dst, w.evaluated)
	}
	return proof, err
}

// blindEvaluate is BlindEvaluate to w.evaluated.
func (k *Key) blindEvaluate(w *scratch, blinded []Element, bind func([]Element) Bind) (Proof, error) {
	e := sized(&w.evaluated, len(blinded))
	b := decoding{from: blinded, to: vectorOf(&w.b, len(blinded))}
	each(len(e), func(_ *desk, lo, hi int) {
		if v := b.run(lo, hi); v != nil {
			v.MulEncode(e[lo:hi], &k.k)
		}
	})
	if err := b.err(); err != nil {
		return Proof{}, err
	}
	nonce := randomScalar()
	return generateProof(w, k, b.to, blinded, e, bindOf(bind, e), &nonce), nil
}

// Prove is GenerateProof of RFC 9497 §2.2.1 alone, as BlindEvaluate makes it: the
// elements of evaluated, which k made, are k times those of blinded. Both have the
// same length, 1 to 65535. It doesn't compute evaluated again; a proof over wrong
// elements just doesn't verify. The error is an *ElementError about blinded. What
// BlindEvaluate says of a nil bind holds here.
func (k *Key) Prove(blinded, evaluated []Element, bind *Bind) (Proof, error) {
	mustMatch(len(evaluated), len(blinded))
	mustBeBatch(len(blinded))
	k.mustLive()
	w := newScratch()
	defer w.done()
	b := vectorOf(&w.b, len(blinded))
	if err := decode(b, blinded); err != nil {
		return Proof{}, err
	}
	nonce := randomScalar()
	return generateProof(w, k, b, blinded, evaluated, bind.bytes(), &nonce), nil
}

func (k *Key) mustLive() {
	if k.public == nil {
		panic("psi: use of a destroyed or zero Key")
	}
}

// PublicKey is a Holder's K, checked, with a table of its multiples.
type PublicKey struct {
	enc  Element
	base *ristretto.Base
}

// ParsePublicKey decodes K. It refuses what RFC 9496 refuses, and the identity.
func ParsePublicKey(e Element) (*PublicKey, error) {
	base, err := ristretto.NewBase(&e)
	if err != nil {
		return nil, fmt.Errorf("psi: public key: %w", AbortMalformed)
	}
	return &PublicKey{enc: e, base: base}, nil
}

// Bytes returns K as it travels in OPEN_H.
func (k *PublicKey) Bytes() Element { return k.enc }

// randomScalar is RandomScalar of PROTOCOL.md §4: 64 bytes of crypto/rand mod ℓ,
// never 0. crypto/rand.Read does not return errors: it ends the program.
func randomScalar() ristretto.Scalar {
	var u [64]byte
	for {
		rand.Read(u[:])
		s := ristretto.ScalarFromUniform(&u)
		if !s.IsZero() {
			clear(u[:])
			return s
		}
	}
}
