package psi

import (
	"bytes"
	"crypto/sha512"
	"encoding/binary"
	"math"
	"math/big"
	"slices"
	"testing"
)

// PROTOCOL.md §16: r_0, B_0 and the positions of an audit.
func TestOpeningKnownAnswers(t *testing.T) {
	seed, salt := Seed(ascending(0)), ascending(0x20)
	r := BlindScalar(&seed, &salt, 0)
	want(t, "r_0", r[:], unhex(t, "a156c5fd12c1d313f809a8fb834b2cc7063247f707cae65d4457e3f72be7d50d"))
	b := reblindOne(inputOf(0x01, "alice@example.com"), r)
	want(t, "B_0", b[:], unhex(t, "a0e0b48af10c0f528f60c140ba1a7ba4ff98fe1069215ee1daecd6f3f2f7351e"))

	sid := [32]byte(load[knownAnswers](t, "testdata/ampsi/draft.json").Transcript.SID)
	challenge := ascending(0x80)
	if got := AuditPositions(&sid, &challenge, 4, 1280); !slices.Equal(got, []uint64{1065, 40, 184, 876}) {
		t.Errorf("positions %v", got)
	}
}

// The th of PROTOCOL.md §16 is that of the list of its frames' digests.
func TestTranscriptOfDigests(t *testing.T) {
	kat := load[knownAnswers](t, "testdata/ampsi/draft.json")
	sid := [32]byte(kat.Transcript.SID)
	if th := Transcript(&sid, nil); !bytes.Equal(th[:], kat.Transcript.TH[0]) {
		t.Error("th_0 differs")
	}
	var body []byte
	for _, q := range kat.Queries {
		body = append(body, q.Blinded...)
	}
	th := Transcript(&sid, []FrameDigest{{FrameBlinded, SenderQuerier, sha512.Sum512(body)}})
	if !bytes.Equal(th[:], kat.Transcript.TH[1]) {
		t.Error("th after BLINDED differs")
	}
}

// Both sides of a session have one list, which gives their th at every step.
func TestDigestsOfSession(t *testing.T) {
	d := newDeal(t, 11, 4, 6)
	q, h := d.querier(t), d.holder(t)
	agree := func(frames int) {
		t.Helper()
		digests := q.Digests()
		if len(digests) != frames || !slices.Equal(digests, h.Digests()) || Transcript(&d.SID, digests) != q.Transcript() {
			t.Errorf("after %d frames: the lists differ or give another th", frames)
		}
		for i := range digests { // a list is the caller's
			digests[i].Digest[0] ^= 1
			if Transcript(&d.SID, digests) == q.Transcript() {
				t.Errorf("frame %d of %d is not in th", i, frames)
			}
			digests[i].Digest[0] ^= 1
			digests[i].From ^= 3
			if Transcript(&d.SID, digests) == q.Transcript() {
				t.Errorf("the sender of frame %d of %d is not in th", i, frames)
			}
		}
	}
	agree(0)
	for seq := range d.Chunks() {
		b, err := q.Blind(d.chunk(seq))
		must(t, err)
		e, err := h.Evaluate(b)
		must(t, err)
		_, err = q.Finalize(e)
		must(t, err)
		agree(2 * int(seq+1))
		if f := q.Digests()[2*seq]; f.Type != FrameBlinded || f.From != SenderQuerier || f.Digest != sha512.Sum512(b.Body) {
			t.Errorf("BLINDED %d is not where its digest is looked for", seq)
		}
	}
	must(t, q.Seal(h.Transcript()))
	must(t, h.Seal(q.Transcript()))
	f, err := h.WriteTable(d.table)
	must(t, err)
	_, err = q.ReadTable(f)
	must(t, err)
	agree(7)
}

// Reblind with the session's own blind is Blind, for identifiers and pads.
func TestReblindIsBlind(t *testing.T) {
	seed := NewSeed()
	in := make([]Query, 70)
	for i := range in {
		in[i].Salt = ascending(byte(i))
		if i%3 > 0 {
			in[i].Input = inputOf(0x01, string(rune('a'+i))+"@example.com")
		}
	}
	const first = 1 << 40
	b := make([]Element, len(in))
	if err := Blind(b, in, seed, first); err != nil {
		t.Fatal(err)
	}
	inputs, r := make([]Input, len(in)), make([][32]byte, len(in))
	for i := range in {
		inputs[i], r[i] = in[i].Input, BlindScalar(seed, &in[i].Salt, first+uint64(i))
	}
	got := make([]Element, len(in))
	Reblind(got, inputs, r)
	if !slices.Equal(got, b) {
		t.Fatal("other elements than Blind's")
	}
	for i := range in {
		next := inputs[(i+1)%len(in)]
		if (reblindOne(next, r[i]) == b[i]) != (next == inputs[i]) {
			t.Fatalf("item %d opens as the next one", i)
		}
		r[i][0] ^= 1
		if reblindOne(inputs[i], r[i]) == b[i] {
			t.Fatalf("item %d opens with another blind", i)
		}
	}
}

func reblindOne(in Input, r [32]byte) Element {
	var b [1]Element
	Reblind(b[:], []Input{in}, [][32]byte{r})
	return b[0]
}

func TestReblindRefuses(t *testing.T) {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	littleEndian := func(n *big.Int) (b [32]byte) {
		n.FillBytes(b[:])
		slices.Reverse(b[:])
		return b
	}
	ones := [32]byte(bytes.Repeat([]byte{0xff}, 32))
	below := littleEndian(new(big.Int).Sub(order, big.NewInt(1)))
	alice := inputOf(0x01, "alice@example.com")
	for _, c := range []struct {
		what string
		in   Input
		r    [32]byte
		bad  bool
	}{
		{"ℓ", alice, littleEndian(order), true},
		{"ℓ, pad", Input{}, littleEndian(order), true},
		{"all ones", alice, ones, true},
		{"ℓ − 1", alice, below, false},
		{"a pad blinded with 0", Input{}, [32]byte{}, true},
		{"an identifier blinded with 0", alice, [32]byte{}, false},
	} {
		if got := reblindOne(c.in, c.r); (got == Element{}) != c.bad {
			t.Errorf("%s: refused is %v", c.what, !c.bad)
		}
	}
}

// Positions are those of the formula, computed with big integers, for sizes
// whose multiples end far below 2⁶⁴, so that values are skipped.
func TestAuditPositionsAgainstFormula(t *testing.T) {
	sid, challenge := ascending(3), ascending(9)
	for _, n := range []uint64{1, 2, 3, 1280, 1 << 40, 1<<63 - 1, 1 << 63, 1<<63 + 1, math.MaxUint64} {
		got := AuditPositions(&sid, &challenge, 50, n)
		size := new(big.Int).SetUint64(n)
		limit := new(big.Int).Lsh(big.NewInt(1), 64)
		limit.Div(limit, size).Mul(limit, size)
		var all []uint64
		for s := uint64(0); len(all) < 50; s++ {
			b := lv(lv(lv(nil, "AMPSI-V01-audit"), sid[:]), challenge[:])
			digest := sha512.Sum512(binary.BigEndian.AppendUint64(b, s))
			v := new(big.Int).SetBytes(digest[:8])
			if v.Cmp(limit) < 0 {
				all = append(all, v.Mod(v, size).Uint64())
			}
		}
		if !slices.Equal(got, all) {
			t.Errorf("n = %d: %v, want %v", n, got, all)
		}
	}
}

// Every position is about as likely as any other.
func TestAuditPositionsAreEven(t *testing.T) {
	const n, samples = 5, 50_000
	sid := ascending(1)
	var count [n]float64
	for _, p := range AuditPositions(&sid, new([32]byte), samples, n) {
		count[p]++
	}
	var chi float64
	for _, c := range count {
		chi += (c - samples/n) * (c - samples/n) / (samples / n)
	}
	if chi > 33.4 { // 4 degrees of freedom: above it once in a million
		t.Errorf("χ² = %.1f", chi)
	}
}

func BenchmarkReblind(b *testing.B) {
	const n = 4603
	in, r := make([]Input, n), make([][32]byte, n)
	for i := range in {
		in[i], r[i] = inputOf(0x01, "alice@example.com"), [32]byte{byte(i), byte(i >> 8), 1}
	}
	dst := make([]Element, n)
	for b.Loop() {
		Reblind(dst, in, r)
	}
}
