package psi

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/internal/input"
	"github.com/overlap-psi/overlap/internal/ristretto"
)

// hexBytes is a byte string as the vector files write it.
type hexBytes []byte

func (h *hexBytes) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// knownAnswers is the format of testdata/ampsi/*.json.
type knownAnswers struct {
	Note  string
	Suite string
	DST   hexBytes `json:"dst_hash_to_group"`
	Key   struct {
		Seed hexBytes
		Info string
		SK   hexBytes `json:"skS"`
		PK   hexBytes `json:"pkS"`
	}
	Queries []struct {
		Purpose, Type byte
		Normalised    string
		X             hexBytes
		HashToGroup   hexBytes `json:"hash_to_group"`
		AdditiveBlind hexBytes `json:"additive_blind"`
		Blinded       hexBytes
		Evaluated     hexBytes
		N             hexBytes
		Output        hexBytes
		Token96       hexBytes
		Token128      hexBytes
	}
	Proof struct {
		R     hexBytes
		Proof hexBytes
	}
	Table struct {
		TokenBytes   int        `json:"token_bytes"`
		HolderSet    []string   `json:"holder_set"`
		PaddingToken hexBytes   `json:"padding_token"`
		TokensSorted []hexBytes `json:"tokens_sorted"`
		Root         hexBytes   `json:"merkle_root_sha256"`
	}
	Intersection []string
	Transcript   struct {
		OpenQ  hexBytes   `json:"open_q"`
		OpenH  hexBytes   `json:"open_h"`
		SID    hexBytes   `json:"sid"`
		TH     []hexBytes `json:"th_after_each_frame"`
		Frames []string
	}
	Claims []struct {
		Token hexBytes
		Tag   hexBytes
	}
}

// TestKnownAnswers checks every file in testdata/ampsi: one more file there is
// one more test. They were computed by an independent big-integer reference.
func TestKnownAnswers(t *testing.T) {
	files, err := filepath.Glob("testdata/ampsi/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no known answers: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var kat knownAnswers
			if err := json.Unmarshal(text, &kat); err != nil {
				t.Fatal(err)
			}
			if err := kat.check(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestKnownAnswersNoticeOneWrongByte changes every value of the published file
// in turn and wants each change noticed.
func TestKnownAnswersNoticeOneWrongByte(t *testing.T) {
	text, err := os.ReadFile("testdata/ampsi/draft.json")
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for _, at := range hexDigits(text) {
		wrong := bytes.Clone(text)
		if wrong[at] == '0' {
			wrong[at] = '1'
		} else {
			wrong[at] = '0'
		}
		var kat knownAnswers
		if err := json.Unmarshal(wrong, &kat); err != nil {
			t.Fatal(err)
		}
		if kat.check() == nil {
			line := 1 + bytes.Count(text[:at], []byte("\n"))
			t.Errorf("a wrong digit on line %d is not noticed", line)
		}
		changed++
	}
	if changed < 40 {
		t.Fatalf("only %d values were changed", changed)
	}
}

// hexDigits returns the offset of one digit inside every quoted string of 16 or
// more hexadecimal digits.
func hexDigits(text []byte) (at []int) {
	for i := 0; i < len(text); i++ {
		if text[i] != '"' {
			continue
		}
		end := i + 1 + bytes.IndexByte(text[i+1:], '"')
		if _, err := hex.DecodeString(string(text[i+1 : end])); err == nil && end-i > 16 {
			at = append(at, i+1+(end-i)/3)
		}
		i = end
	}
	return at
}

// check recomputes everything in the file from the seed, the names and the
// scalars, and compares.
func (kat *knownAnswers) check() error {
	if string(kat.DST) != dstHashToGroup {
		return fmt.Errorf("dst_hash_to_group differs")
	}
	if len(kat.Key.Seed) != 32 {
		return fmt.Errorf("key seed is not 32 bytes")
	}
	key, err := DeriveKey((*[32]byte)(kat.Key.Seed), []byte(kat.Key.Info))
	if err != nil {
		return err
	}
	sk, pk := key.k.Bytes(), key.Public().Bytes()
	if err := equal("skS", sk[:], kat.Key.SK); err != nil {
		return err
	}
	if err := equal("pkS", pk[:], kat.Key.PK); err != nil {
		return err
	}
	blinded, evaluated, outputs, err := kat.checkQueries(key)
	if err != nil {
		return err
	}
	if err := kat.checkProof(key, blinded, evaluated); err != nil {
		return err
	}
	table, err := kat.checkTable(key)
	if err != nil {
		return err
	}
	sid, err := kat.checkTranscript(blinded, evaluated, table)
	if err != nil {
		return err
	}
	return kat.checkMatches(sid, outputs)
}

func (kat *knownAnswers) checkQueries(key *Key) (blinded, evaluated []Element, outputs []Output, err error) {
	for i, q := range kat.Queries {
		if q.Purpose != input.Advertising {
			return nil, nil, nil, fmt.Errorf("query %d has another purpose", i)
		}
		x := inputOf(q.Type, q.Normalised)
		in := []Query{{Input: x}}
		var h, b, e, n [1]Element
		new(desk).hashToGroup(in).Encode(h[:])
		r, err := ristretto.ScalarFromCanonical((*[32]byte)(q.AdditiveBlind))
		if err != nil {
			return nil, nil, nil, err
		}
		scalars := []ristretto.Scalar{r}
		new(desk).blind(b[:], in, scalars)
		if _, err := key.BlindEvaluate(e[:], b[:], nil); err != nil {
			return nil, nil, nil, err
		}
		answer, err := decoded(e[:])
		if err != nil {
			return nil, nil, nil, err
		}
		answer.SubMulBase(key.public.base, scalars).Encode(n[:])
		var out, direct [1]Output
		new(desk).unblind(out[:], in, answer, key.public.base, scalars)
		key.Evaluate(direct[:], []Input{x})
		t96, t128 := out[0].Token(12), out[0].Token(16)
		for _, c := range []struct {
			what      string
			got, want []byte
		}{
			{"x", x.Bytes()[:], q.X},
			{"hash_to_group", h[0][:], q.HashToGroup},
			{"blinded", b[0][:], q.Blinded},
			{"evaluated", e[0][:], q.Evaluated},
			{"N", n[0][:], q.N},
			{"output", out[0][:], q.Output},
			{"output by the Holder", direct[0][:], q.Output},
			{"token96", t96[:12], q.Token96},
			{"token128", t128[:16], q.Token128},
		} {
			if err := equal(c.what, c.got, c.want); err != nil {
				return nil, nil, nil, fmt.Errorf("query %d: %w", i, err)
			}
		}
		blinded, evaluated, outputs = append(blinded, b[0]), append(evaluated, e[0]), append(outputs, out[0])
	}
	return blinded, evaluated, outputs, nil
}

// checkProof makes the file's proof again with its nonce, and verifies it. It
// has an empty bind, as RFC 9497's have.
func (kat *knownAnswers) checkProof(key *Key, blinded, evaluated []Element) error {
	nonce, err := ristretto.ScalarFromCanonical((*[32]byte)(kat.Proof.R))
	if err != nil {
		return err
	}
	b, err := decoded(blinded)
	if err != nil {
		return err
	}
	p := generateProof(new(scratch), key, b, blinded, evaluated, nil, &nonce)
	if err := equal("proof", p[:], kat.Proof.Proof); err != nil {
		return err
	}
	err = key.public.Verify(blinded, evaluated, (*Proof)(kat.Proof.Proof), nil)
	return err
}

func (kat *knownAnswers) checkTable(key *Key) (entries []byte, err error) {
	var tokens [][]byte
	if len(kat.Table.PaddingToken) > 0 {
		tokens = append(tokens, kat.Table.PaddingToken)
	}
	for _, name := range kat.Table.HolderSet {
		var out [1]Output
		key.Evaluate(out[:], []Input{inputOf(kat.classOf(name), name)})
		tokens = append(tokens, out[0][:kat.Table.TokenBytes])
	}
	slices.SortFunc(tokens, bytes.Compare)
	tokens = slices.CompactFunc(tokens, bytes.Equal)
	h := NewTableHash(kat.Table.TokenBytes, 0)
	for i, token := range tokens {
		if i >= len(kat.Table.TokensSorted) {
			return nil, fmt.Errorf("table has %d tokens, want %d", len(tokens), len(kat.Table.TokensSorted))
		}
		if err := equal(fmt.Sprintf("token %d", i), token, kat.Table.TokensSorted[i]); err != nil {
			return nil, err
		}
		if err := h.Write(token); err != nil {
			return nil, err
		}
		entries = append(entries, token...)
	}
	root, n := h.Root()
	if n != uint64(len(kat.Table.TokensSorted)) {
		return nil, fmt.Errorf("table has %d tokens, want %d", n, len(kat.Table.TokensSorted))
	}
	return entries, equal("merkle_root_sha256", root[:], kat.Table.Root)
}

func (kat *knownAnswers) checkTranscript(blinded, evaluated []Element, table []byte) (sid [32]byte, err error) {
	sid = SessionID(kat.Transcript.OpenQ, kat.Transcript.OpenH)
	if err := equal("sid", sid[:], kat.Transcript.SID); err != nil {
		return sid, err
	}
	if len(kat.Transcript.TH) != 4 {
		return sid, fmt.Errorf("transcript has %d hashes, want 4", len(kat.Transcript.TH))
	}
	th := newTranscript(&sid)
	steps := []func(){
		func() {},
		func() { th.add(FrameBlinded, SenderQuerier, appendElements(nil, blinded)) },
		func() {
			th.add(FrameEvaluated, SenderHolder, append(appendElements(nil, evaluated), kat.Proof.Proof...))
		},
		func() { th.add(FrameTable, SenderHolder, table) },
	}
	for i, step := range steps {
		step()
		if err := equal(fmt.Sprintf("th %d", i), th.th[:], kat.Transcript.TH[i]); err != nil {
			return sid, err
		}
	}
	return sid, nil
}

// checkMatches joins the outputs with the table and checks the claims, which
// are sorted by token.
func (kat *knownAnswers) checkMatches(sid [32]byte, outputs []Output) error {
	inTable := map[string]bool{}
	for _, token := range kat.Table.TokensSorted {
		inTable[string(token)] = true
	}
	var names []string
	type claim struct{ token, tag []byte }
	var claims []claim
	for i, out := range outputs {
		token := out[:kat.Table.TokenBytes]
		if inTable[string(token)] && !slices.Contains(names, kat.Queries[i].Normalised) {
			tag := out.ClaimTag(&sid)
			names = append(names, kat.Queries[i].Normalised)
			claims = append(claims, claim{token, tag[:]})
		}
	}
	if !slices.Equal(names, kat.Intersection) {
		return fmt.Errorf("intersection differs")
	}
	slices.SortFunc(claims, func(a, b claim) int { return bytes.Compare(a.token, b.token) })
	if len(claims) != len(kat.Claims) {
		return fmt.Errorf("%d claims, want %d", len(claims), len(kat.Claims))
	}
	for i, c := range claims {
		if err := equal("claimed token", c.token, kat.Claims[i].Token); err != nil {
			return err
		}
		if err := equal("tag", c.tag, kat.Claims[i].Tag); err != nil {
			return err
		}
	}
	return nil
}

func inputOf(class byte, normalised string) Input {
	h := sha256.Sum256([]byte(normalised))
	return input.New(class, &h)
}

// classOf is the class of a name in the Holder's set: that of the query of the
// same name, else the default class of its kind.
func (kat *knownAnswers) classOf(name string) byte {
	for _, q := range kat.Queries {
		if q.Normalised == name {
			return q.Type
		}
	}
	if name[0] == '+' {
		return 0x02
	}
	return 0x01
}

func equal(what string, got, want []byte) error {
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%s = %x, want %x", what, got, want)
	}
	return nil
}
