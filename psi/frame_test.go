package psi

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestSignatures: a signature holds for one body, type, sender and session, and
// for the key it was made with.
func TestSignatures(t *testing.T) {
	private := ed25519.NewKeyFromSeed(make([]byte, 32))
	public := private.Public().(ed25519.PublicKey)
	other := ed25519.NewKeyFromSeed(append(make([]byte, 31), 1)).Public().(ed25519.PublicKey)
	sid, otherSID := ascending(1), ascending(2)
	body := []byte("a body")
	sig := Sign(private, FrameSeal, SenderQuerier, sid[:], body)
	must(t, VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, sig))

	digest := sha512.Sum512(body)
	signed := slices.Concat([]byte("\x00\x00\x00\x0dAMPSI-V01-sig\x0a\x01\x00\x00\x00\x20"), sid[:], []byte{0, 0, 0, 64}, digest[:])
	if !ed25519.Verify(public, signed, sig) {
		t.Error("what is signed is not PROTOCOL.md §5.1's")
	}
	flip := func(i int) []byte { b := slices.Clone(sig); b[i] ^= 1; return b }
	for name, err := range map[string]error{
		"another key":          VerifySignature(other, FrameSeal, SenderQuerier, sid[:], body, sig),
		"no key":               VerifySignature(nil, FrameSeal, SenderQuerier, sid[:], body, sig),
		"a key of small order": VerifySignature(append([]byte{1}, make([]byte, 31)...), FrameSeal, SenderQuerier, sid[:], body, append([]byte{1}, make([]byte, 63)...)),
		"half a key":           VerifySignature(public[:16], FrameSeal, SenderQuerier, sid[:], body, sig),
		"another type":         VerifySignature(public, FrameReceipt, SenderQuerier, sid[:], body, sig),
		"another sender":       VerifySignature(public, FrameSeal, SenderHolder, sid[:], body, sig),
		"another session":      VerifySignature(public, FrameSeal, SenderQuerier, otherSID[:], body, sig),
		"no session":           VerifySignature(public, FrameSeal, SenderQuerier, nil, body, sig),
		"another body":         VerifySignature(public, FrameSeal, SenderQuerier, sid[:], []byte("b body"), sig),
		"no signature":         VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, nil),
		"a byte short":         VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, sig[:63]),
		"a byte long":          VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, append(flip(0), 0)),
		"a bit of R":           VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, flip(0)),
		"a bit of S":           VerifySignature(public, FrameSeal, SenderQuerier, sid[:], body, flip(40)),
		"an unsigned type":     VerifySignature(public, FrameBlinded, SenderQuerier, sid[:], body, sig),
	} {
		if !errors.Is(err, AbortAuth) {
			t.Errorf("%s: %v, want AbortAuth", name, err)
		}
	}
	if Identity(public) != sha256.Sum256(public) || Identity(public) == Identity(other) {
		t.Error("an identity is not the SHA-256 of the key")
	}
}

// TestSessionID: a byte moved from one OPEN to the other makes another session.
func TestSessionID(t *testing.T) {
	seen := map[[32]byte]bool{}
	for _, c := range [][2]string{{"", ""}, {"ab", "c"}, {"a", "bc"}, {"abc", ""}, {"", "abc"}, {"c", "ab"}} {
		sid := SessionID([]byte(c[0]), []byte(c[1]))
		if seen[sid] {
			t.Errorf("%q repeats a session id", c)
		}
		seen[sid] = true
	}
}

func TestFrameTypes(t *testing.T) {
	signed := map[FrameType]bool{FrameOpenQ: true, FrameOpenH: true, FrameRelease: true, FrameReceipt: true,
		FrameSeal: true, FrameManifest: true}
	names := []string{"HELLO", "OPEN_Q", "OPEN_H", "BLINDED", "EVALUATED", "TABLE", "CLAIMS", "RELEASE", "RECEIPT",
		"ABORT", "SEAL", "RESUME", "MANIFEST", "SHARDS", "PROOF", "frame type 15"}
	for i, name := range names {
		f := FrameType(i)
		if f.String() != name || f.Signed() != signed[f] {
			t.Errorf("type %d is %q, signed %v", i, f, f.Signed())
		}
	}
	if got := FrameType(255).String(); got != "frame type 255" {
		t.Error(got)
	}
}

// TestMaxBody: the longest body of a type is that of its fullest chunk, whatever the
// length of labels.
func TestMaxBody(t *testing.T) {
	longest := map[FrameType]int{FrameBlinded: 32 * ChunkElems, FrameEvaluated: 32*ChunkElems + len(Proof{}),
		FrameShards: 1 << 20, FrameProof: 1 << 20}
	for label := range 481 {
		for token := 11; token <= 32; token++ {
			entry := EntryLen(token, label)
			longest[FrameTable] = max(longest[FrameTable], entry*TableChunk(entry))
			longest[FrameClaims] = max(longest[FrameClaims], (token+ClaimTagLen)*ClaimChunk(token))
		}
	}
	for f := range FrameType(15) {
		want, ok := longest[f]
		if !ok {
			want = 4096
		}
		if got := f.MaxBody(); got != want {
			t.Errorf("a body of %v may have %d bytes, want %d", f, got, want)
		}
	}
}

func TestModes(t *testing.T) {
	for code, name := range map[Mode]string{1: "A_LEARNS", 2: "P_LEARNS", 3: "MUTUAL_A", 4: "MUTUAL_P"} {
		m, err := ParseMode(name)
		if err != nil || m != code || m.String() != name {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
	for _, name := range []string{"", "SPLIT", "p_learns", "P_LEARNS ", "Mode(0x02)"} {
		if m, err := ParseMode(name); err == nil || m != 0 {
			t.Errorf("ParseMode(%q) = %v, %v", name, m, err)
		}
	}
	for code, text := range map[Mode]string{0: "Mode(0x00)", 5: "Mode(0x05)", 255: "Mode(0xff)"} {
		if code.String() != text {
			t.Errorf("%d prints as %s", uint8(code), code)
		}
	}
}

func TestAbortCodes(t *testing.T) {
	texts := []string{"abort 0", "abort 1 (version or suite)", "abort 2 (policy or terms)", "abort 3 (authentication)",
		"abort 4 (replay or expiry)", "abort 5 (budget)", "abort 6 (malformed)", "abort 7 (proof)", "abort 8 (table)",
		"abort 9 (claim)", "abort 10 (internal)", "abort 11 (timeout)", "abort 12 (cannot resume)",
		"abort 13 (transcript differs)", "abort 14 (cancelled by operator)", "abort 15 (busy)", "abort 16"}
	for i, text := range texts {
		c := AbortCode(i)
		if c.Error() != text || c.Valid() != (i >= 1 && i <= 15) {
			t.Errorf("code %d: %q, valid %v", i, c, c.Valid())
		}
		wrapped := fmt.Errorf("somewhere: %w", c)
		if !errors.Is(wrapped, c) || errors.Is(wrapped, c+1) {
			t.Errorf("code %d is not found in an error that wraps it", i)
		}
	}
	if AbortCode(255).Valid() || AbortCode(255).Error() != "abort 255" {
		t.Error("code 255")
	}
}

// TestClaimTag: a tag is of one session and of one output's tail; the part of
// the output that travels as a token does not enter it.
func TestClaimTag(t *testing.T) {
	sid, other := ascending(1), ascending(2)
	out := Output(sha512.Sum512([]byte("an output")))
	tag := out.ClaimTag(&sid)
	same, changed := out, out
	same[0] ^= 1
	changed[32] ^= 1
	if same.ClaimTag(&sid) != tag {
		t.Error("the token enters the tag")
	}
	if changed.ClaimTag(&sid) == tag || out.ClaimTag(&other) == tag {
		t.Error("another tail or session has the same tag")
	}
	full := sha512.Sum512(slices.Concat([]byte("\x00\x00\x00\x0fAMPSI-V01-claim\x00\x00\x00\x20"), sid[:],
		[]byte{1, 0, 0, 0, 32}, out[32:]))
	want(t, "tag", tag[:], full[:16])
}

// TestToken: the first bytes of an output and zeros, so that they sort alike.
func TestToken(t *testing.T) {
	out := Output(sha512.Sum512([]byte("an output")))
	for _, n := range []int{0, 11, 16, 32} {
		token := out.Token(n)
		want(t, "token", token[:], append(slices.Clone(out[:n]), make([]byte, 32-n)...))
	}
	mustPanic(t, "a token of 33 bytes", func() { out.Token(33) })
	if out.IsZero() || !new(Output).IsZero() {
		t.Error("IsZero")
	}
}
