package psi

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"fmt"
	"math/bits"

	"github.com/overlap-psi/overlap/internal/edkey"
)

// FrameType is the kind of a message of a session (PROTOCOL.md §5.4).
type FrameType uint8

// The frames of PROTOCOL.md §5.4.
const (
	FrameHello     FrameType = 0
	FrameOpenQ     FrameType = 1
	FrameOpenH     FrameType = 2
	FrameBlinded   FrameType = 3
	FrameEvaluated FrameType = 4
	FrameTable     FrameType = 5
	FrameClaims    FrameType = 6
	FrameRelease   FrameType = 7
	FrameReceipt   FrameType = 8
	FrameAbort     FrameType = 9
	FrameSeal      FrameType = 10
	FrameResume    FrameType = 11
	FrameManifest  FrameType = 12
	FrameShards    FrameType = 13
	FrameProof     FrameType = 14
)

var frameNames = [...]string{"HELLO", "OPEN_Q", "OPEN_H", "BLINDED", "EVALUATED", "TABLE", "CLAIMS",
	"RELEASE", "RECEIPT", "ABORT", "SEAL", "RESUME", "MANIFEST", "SHARDS", "PROOF"}

func (t FrameType) String() string {
	if int(t) < len(frameNames) {
		return frameNames[t]
	}
	return fmt.Sprintf("frame type %d", uint8(t))
}

// Signed reports whether frames of this type carry a signature (PROTOCOL.md §5.1).
func (t FrameType) Signed() bool {
	switch t {
	case FrameOpenQ, FrameOpenH, FrameRelease, FrameReceipt, FrameSeal, FrameManifest:
		return true
	}
	return false
}

// MaxBody is the length in bytes of the longest body that a frame of this type may
// have (PROTOCOL.md §5.4): who reads frames before it needs them holds no more.
func (t FrameType) MaxBody() int {
	switch t {
	case FrameBlinded, FrameTable, FrameClaims:
		return maxChunkBody
	case FrameEvaluated:
		return maxChunkBody + len(Proof{})
	case FrameShards, FrameProof:
		return 1 << 20 // as all messages
	}
	return 4096
}

// Sender is the role that sends a frame: it enters signatures and transcript.
type Sender uint8

// The two roles (PROTOCOL.md §5.1).
const (
	SenderQuerier Sender = 1
	SenderHolder  Sender = 2
)

// Frame is one message of a session. Its body is serialised once, by its
// sender; digests and signatures run over exactly those bytes.
type Frame struct {
	Type FrameType
	Seq  uint32 // index within its type; 0 for single frames
	Body []byte
	Sig  []byte // 64 bytes on signed types, else empty
}

// SessionID returns sid of PROTOCOL.md §5.3.
func SessionID(openQ, openH []byte) [32]byte {
	b := lv(nil, "AMPSI-V01-sid")
	b = lv(b, openQ)
	b = lv(b, openH)
	full := sha512.Sum512(b)
	return [32]byte(full[:32])
}

// Identity returns the id of a company from its Ed25519 public key.
func Identity(public ed25519.PublicKey) [32]byte { return sha256.Sum256(public) }

// Sign signs a body (PROTOCOL.md §5.1). sid is nil for OPEN_Q, OPEN_H and MANIFEST.
func Sign(key ed25519.PrivateKey, t FrameType, from Sender, sid, body []byte) []byte {
	return ed25519.Sign(key, signedBytes(t, from, sid, body))
}

// VerifySignature checks what Sign made. A key that cannot bind its owner verifies
// nothing. Its error wraps AbortAuth.
func VerifySignature(key ed25519.PublicKey, t FrameType, from Sender, sid, body, sig []byte) error {
	if !edkey.Valid(key) || !ed25519.Verify(key, signedBytes(t, from, sid, body), sig) {
		return fmt.Errorf("psi: signature on %v does not verify: %w", t, AbortAuth)
	}
	return nil
}

func signedBytes(t FrameType, from Sender, sid, body []byte) []byte {
	digest := sha512.Sum512(body)
	b := lv(nil, "AMPSI-V01-sig")
	b = append(b, byte(t), byte(from))
	b = lv(b, sid)
	return lv(b, digest[:])
}

// transcript is the hash chain th of PROTOCOL.md §5.3 over the frames of a
// session in their canonical order, whatever order they arrive in, and the list
// of what it was made from: with the list, a frame can be shown to be in th.
type transcript struct {
	th      [64]byte
	digests []FrameDigest
}

func newTranscript(sid *[32]byte) transcript {
	return transcript{th: sha512.Sum512(lv(lv(nil, "AMPSI-V01-th0"), sid[:]))}
}

func (t *transcript) add(typ FrameType, from Sender, body []byte) {
	digest := sha512.Sum512(body)
	t.addDigest(typ, from, &digest)
}

func (t *transcript) addDigest(typ FrameType, from Sender, digest *[64]byte) {
	var scratch [256]byte
	b := lv(scratch[:0], "AMPSI-V01-th")
	b = lv(b, t.th[:])
	b = append(b, byte(typ), byte(from))
	b = lv(b, digest[:])
	t.th = sha512.Sum512(b)
	t.digests = append(t.digests, FrameDigest{typ, from, *digest})
}

// CheckTokenLen reports whether tokens of tokenLen bytes are long enough for a
// session of these padded sizes, neither of them 0 (PROTOCOL.md §9): a false
// match anywhere in it has probability at most 2⁻⁴⁰. Against a Holder that
// searches for two identifiers with one token a session table takes 16 bytes.
func CheckTokenLen(tokenLen int, queries, entries uint64) error {
	if tokenLen < 11 || tokenLen > 32 || 8*tokenLen < 40+log2(queries, entries) {
		return fmt.Errorf("psi: token length does not fit the sizes of the sets: %w", AbortTerms)
	}
	return nil
}

// log2 returns ⌈log₂(a·b)⌉.
func log2(a, b uint64) int {
	hi, lo := bits.Mul64(a, b)
	lo, borrow := bits.Sub64(lo, 1, 0)
	if hi -= borrow; hi > 0 {
		return 64 + bits.Len64(hi)
	}
	return bits.Len64(lo)
}
