package session

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// forgery is psi's chunk of which every answer is wrong and RFC 9497's proof is
// right.
type forgery struct {
	public             psi.Element
	blinded, evaluated []psi.Element
	proof              psi.Proof
}

var forged = sync.OnceValues(func() (*forgery, error) {
	text, err := os.ReadFile("../psi/testdata/forged_batch.json")
	if err != nil {
		return nil, err
	}
	var file struct {
		Key, Proof string
		Offsets    []uint32
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, err
	}
	key, err := hex.DecodeString(file.Key)
	if err != nil {
		return nil, err
	}
	proof, err := hex.DecodeString(file.Proof)
	if err != nil {
		return nil, err
	}
	k, err := ristretto.ScalarFromCanonical((*[32]byte)(key))
	if err != nil {
		return nil, err
	}
	n := len(file.Offsets)
	f := &forgery{blinded: make([]psi.Element, n), evaluated: make([]psi.Element, n), proof: psi.Proof(proof)}
	u, offsets := make([][64]byte, n), make([]ristretto.Scalar, n)
	for i, e := range file.Offsets {
		u[i] = sha512.Sum512(fmt.Appendf(nil, "AMPSI-V01 forged batch element %d", i))
		offsets[i] = ristretto.ScalarFromUniform(&[64]byte{byte(e), byte(e >> 8), byte(e >> 16)})
	}
	c := ristretto.FromUniform(u)
	c.Encode(f.blinded)
	c.Mul(&k).AddMulBase(ristretto.Generator(), offsets).Encode(f.evaluated)
	public := make([]psi.Element, 1)
	ristretto.Generator().Mul([]ristretto.Scalar{k}).Encode(public)
	f.public = public[0]
	return f, nil
})

// overwriting is a stream on which the Querier is made to have asked other elements
// than it drew: it is the sender's own memory that changes.
type overwriting struct {
	*pipe
	with []psi.Element
}

func (o *overwriting) Send(f *ampsiv1.Frame) error {
	if psi.FrameType(f.Type) == psi.FrameBlinded {
		for i, e := range o.with {
			copy(f.Body[i*len(e):], e[:])
		}
	}
	return o.pipe.Send(f)
}

// TestForgedBatchInEachMode: whoever holds, either company, sends the chunk in
// which no answer is right under a proof that RFC 9497 accepts. The session ends
// there: there is no output, no SEAL, no count.
func TestForgedBatchInEachMode(t *testing.T) {
	f, err := forged()
	if err != nil {
		t.Fatal(err)
	}
	public, err := psi.ParsePublicKey(f.public)
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify(f.blinded, f.evaluated, &f.proof, nil); err != nil {
		t.Fatalf("the chunk is no forgery of RFC 9497's proof: %v", err)
	}
	answer := func(fr *ampsiv1.Frame) {
		fr.Body = fr.Body[:0]
		for _, e := range f.evaluated {
			fr.Body = append(fr.Body, e[:]...)
		}
		fr.Body = append(fr.Body, f.proof[:]...)
	}
	for _, mode := range everyMode {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			b := meetIn(t, mode, func(a, p *company, fromA, fromP *pipe) {
				querier, holder, fromHolder := p, a, fromA
				if mode.AdvertiserAsks() {
					querier, holder, fromHolder = a, p, fromP
				}
				querier.in = inputs(0, psi.ChunkElems) // a full chunk
				querier.over = func(st *pipe) Stream { return &overwriting{st, f.blinded} }
				fromHolder.wire = func(fr *ampsiv1.Frame) []*ampsiv1.Frame {
					switch psi.FrameType(fr.Type) {
					case psi.FrameOpenH:
						return resigned(holder.c.Identity, psi.SenderHolder, new(ampsiv1.OpenH), func(m *ampsiv1.OpenH) { m.PkS = f.public[:] })(fr)
					case psi.FrameEvaluated:
						answer(fr)
					}
					return []*ampsiv1.Frame{fr}
				}
			})
			noticed, told := b.pErr, b.aErr
			if mode.AdvertiserAsks() {
				noticed, told = told, noticed
			}
			var abort *PeerAbort
			if Code(noticed) != psi.AbortProof || errors.As(noticed, &abort) {
				t.Errorf("the Querier: %v", noticed)
			}
			if !errors.As(told, &abort) || abort.Code != psi.AbortProof {
				t.Errorf("the Holder is told %v", told)
			}
			for _, late := range []psi.FrameType{psi.FrameSeal, psi.FrameTable, psi.FrameClaims, psi.FrameRelease, psi.FrameReceipt} {
				if slices.Contains(b.frames, late) {
					t.Errorf("%v is sent after the forged answers", late)
				}
			}
			if b.a.matches != nil || b.p.matches != nil {
				t.Error("somebody matched")
			}
		})
	}
}

// TestUnboundProofInEachMode: the proof of RFC 9497, which does not bind its
// batch, is refused even over answers that are right.
func TestUnboundProofInEachMode(t *testing.T) {
	for _, mode := range everyMode {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			var blinded []psi.Element
			b := meetIn(t, mode, func(a, p *company, fromA, fromP *pipe) {
				holder, fromQuerier, fromHolder := a, fromP, fromA
				if mode.AdvertiserAsks() {
					holder, fromQuerier, fromHolder = p, fromA, fromP
				}
				holder.key = psi.NewKey()
				onFrame(fromQuerier, psi.FrameBlinded, func(f *ampsiv1.Frame) []*ampsiv1.Frame {
					for e := range slices.Chunk(f.Body, 32) {
						blinded = append(blinded, psi.Element(e))
					}
					return []*ampsiv1.Frame{f}
				})
				onFrame(fromHolder, psi.FrameEvaluated, body(func(b []byte) []byte {
					evaluated := make([]psi.Element, len(blinded))
					proof, err := holder.key.BlindEvaluate(evaluated, blinded, nil)
					if err != nil || !bytes.Equal(b[:32], evaluated[0][:]) {
						t.Error("not the same answers", err)
					}
					return append(b[:len(b)-len(proof)], proof[:]...)
				}))
			})
			noticed := b.pErr
			if mode.AdvertiserAsks() {
				noticed = b.aErr
			}
			if Code(noticed) != psi.AbortProof {
				t.Errorf("%v, want code %d", noticed, psi.AbortProof)
			}
		})
	}
}

// smallOrder are the encodings of the points of order 1, 2, 4 and 8 of the curve
// under the group, canonical or not, with either sign.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// TestSmallOrderElements: an element of which a multiple tells the key's
// remainder, or that makes all answers equal, is no question, no answer and no
// key, in any mode and from either company.
func TestSmallOrderElements(t *testing.T) {
	for _, text := range smallOrder {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		element := [32]byte(raw)
		for _, mode := range everyMode {
			for where, by := range map[psi.FrameType]psi.Sender{psi.FrameBlinded: psi.SenderQuerier, psi.FrameEvaluated: psi.SenderHolder, psi.FrameOpenH: psi.SenderHolder} {
				t.Run(fmt.Sprintf("%s in %v of %v", text[:8]+text[62:], where, mode), func(t *testing.T) {
					t.Parallel()
					byA := (by == psi.SenderQuerier) == mode.AdvertiserAsks()
					b := meetIn(t, mode, func(a, p *company, fromA, fromP *pipe) {
						attacker, from := p, fromP
						if byA {
							attacker, from = a, fromA
						}
						edit := set(1023, element)
						if where == psi.FrameOpenH {
							edit = resigned(attacker.c.Identity, by, new(ampsiv1.OpenH), func(m *ampsiv1.OpenH) { m.PkS = raw })
						}
						onFrame(from, where, edit)
					})
					noticed := b.aErr
					if byA {
						noticed = b.pErr
					}
					if Code(noticed) != psi.AbortMalformed {
						t.Errorf("%v, want code %d", noticed, psi.AbortMalformed)
					}
				})
			}
		}
	}
}
