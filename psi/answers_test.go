package psi

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// ascending returns R(a) of PROTOCOL.md §16: the 32 bytes a, a+1, …, a+31.
func ascending(a byte) (r [32]byte) {
	for i := range r {
		r[i] = a + byte(i)
	}
	return r
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestFurtherAnswers checks PROTOCOL.md §16's second table as far as it is this
// package's: labels aren't used in this version, leaves are consent's.
func TestFurtherAnswers(t *testing.T) {
	kat := load[knownAnswers](t, "testdata/ampsi/draft.json")
	key, err := DeriveKey((*[32]byte)(kat.Key.Seed), []byte(kat.Key.Info))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("bind and proof", func(t *testing.T) { furtherProof(t, &kat, key) })
	t.Run("table pad", func(t *testing.T) {
		seed := Seed(ascending(0))
		pad := PadToken(&seed, 0, 16)
		want(t, "pad 0", pad[:16], unhex(t, "377d3c5e13bc1aabfcf9bc2447028cea"))
		want(t, "the rest of pad 0", pad[16:], make([]byte, 16))
	})
	t.Run("blind", func(t *testing.T) {
		seed := Seed(ascending(0))
		alice := inputOf(0x01, "alice@example.com")
		in := []Query{{Input: alice, Salt: ascending(0x20)}}
		r := seed.scalars(new(desk), in, 0)[0].Bytes()
		want(t, "r_0", r[:], unhex(t, "a156c5fd12c1d313f809a8fb834b2cc7063247f707cae65d4457e3f72be7d50d"))
		var b [1]Element
		if err := Blind(b[:], in, &seed, 0); err != nil {
			t.Fatal(err)
		}
		want(t, "B_0", b[0][:], unhex(t, "a0e0b48af10c0f528f60c140ba1a7ba4ff98fe1069215ee1daecd6f3f2f7351e"))
	})
	t.Run("signature", func(t *testing.T) {
		seed := ascending(0x40)
		private := ed25519.NewKeyFromSeed(seed[:])
		body := []byte("kat open querier body")
		sig := Sign(private, FrameOpenQ, SenderQuerier, nil, body)
		want(t, "signature", sig, unhex(t, "c73ef3b62550528209e758ab96325d1e29dc4ba9ae64dc661e11f18756b4a376"+
			"6cf8e1c2be302be104010d1cccb53cf3566c4bcae438819eba1f607a2aa9be00"))
		if err := VerifySignature(private.Public().(ed25519.PublicKey), FrameOpenQ, SenderQuerier, nil, body, sig); err != nil {
			t.Error(err)
		}
	})
}

func furtherProof(t *testing.T, kat *knownAnswers, key *Key) {
	blinded, evaluated, _, err := kat.checkQueries(key)
	if err != nil {
		t.Fatal(err)
	}
	sid := [32]byte(kat.Transcript.SID)
	bind := NewBind(&sid, 0, blinded, evaluated)
	want(t, "bind", bind[:], unhex(t, "1893751c41c1b7a16acb443a13be0f4056c16b74b2e12554cddda662bbde32cf"+
		"16955bdcf1e0426ecb9b0935793455b18df620b25bcb31a0dfd943be44af44ab"))
	nonce := scalar(t, kat.Proof.R)
	b, err := decoded(blinded)
	if err != nil {
		t.Fatal(err)
	}
	p := generateProof(new(scratch), key, b, blinded, evaluated, bind[:], &nonce)
	want(t, "proof", p[:], unhex(t, "696c5da3de50e78df0dc0c41bdb3295c8ca9ca59c8a57ffa2aa92ba147a8dd0e"+
		"526f7ccb8ceda1ec405fb8e44656bb726fb4db3183d2854ef3c4391f12274200"))
	if err := key.public.Verify(blinded, evaluated, &p, &bind); err != nil {
		t.Error(err)
	}
	if err := key.public.Verify(blinded, evaluated, (*Proof)(kat.Proof.Proof), &bind); !errors.Is(err, AbortProof) {
		t.Errorf("the proof with an empty bind, verified with one: %v", err)
	}
}

// TestAnswersAdditiveForm: the file's B is hash_to_group + r·G0, by whichever
// way the sum is computed.
func TestAnswersAdditiveForm(t *testing.T) {
	for _, q := range load[knownAnswers](t, "testdata/ampsi/draft.json").Queries {
		h, err := decoded([]Element{Element(q.HashToGroup)})
		if err != nil {
			t.Fatal(err)
		}
		r := scalar(t, q.AdditiveBlind)
		one := ristretto.ScalarFromUniform(&[64]byte{1})
		g := ristretto.Generator().Mul([]ristretto.Scalar{one})
		b := enc(h.Add(g.Mul(&r)))[0]
		want(t, "blinded", b[:], q.Blinded)
	}
}
