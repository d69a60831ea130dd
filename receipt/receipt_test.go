package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
	"github.com/overlap-psi/overlap/psi"
)

// story is what two companies say in a session, before they sign it.
type story struct {
	openQ              body.OpenQ
	openH              body.OpenH
	seal               body.Seal
	release            body.Release
	receiptQ, receiptH body.Receipt
}

func key(first byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(append([]byte{first}, make([]byte, 31)...))
}

var platform, advertiser = key(1), key(2)

const opened = 1_790_000_000

// tell has the companies sign a good story, changed before either signs anything
// that follows from it.
func tell(t testing.TB, change func(s *story)) *Receipt {
	t.Helper()
	q, h := psi.Identity(platform.Public().(ed25519.PublicKey)), psi.Identity(advertiser.Public().(ed25519.PublicKey))
	terms := func() *body.Terms {
		return &body.Terms{Version: 1, Suite: 1, Mode: 2, Purpose: 1, Classes: []byte{1}, ChunkElems: psi.ChunkElems, TokenLen: 16,
			QuerierId: q[:], HolderId: h[:], QuerierParty: 2, HolderParty: 1, PolicyHash: make([]byte, 32), Universe: "eu",
			TableKind: 1, Release: true, Audience: "spring"}
	}
	end := func(at uint64) body.Receipt {
		return body.Receipt{Th: bytes.Repeat([]byte{4}, 64), QHat: 20_480, NHat: 1024, TableRoot: bytes.Repeat([]byte{2}, 32),
			ConsentRoot: bytes.Repeat([]byte{1}, 32), Outcome: 1, Time: at}
	}
	status, value, at := uint32(1), uint64(199), uint64(opened+60)
	s := &story{
		openQ:   body.OpenQ{Terms: terms(), NotAfter: opened + 300, QHat: 20_480, ConsentRoot: bytes.Repeat([]byte{1}, 32)},
		openH:   body.OpenH{Terms: terms(), NotAfter: opened + 300, TableRoot: bytes.Repeat([]byte{2}, 32), NHat: 1024},
		seal:    body.Seal{Th: bytes.Repeat([]byte{3}, 64), Chunks: 2, Time: opened + 30},
		release: body.Release{Status: &status, Value: &value, Time: &at},
	}
	first, second := end(opened+60), end(opened+70)
	proto.Merge(&s.receiptQ, &first)
	proto.Merge(&s.receiptH, &second)
	sign := func(from psi.Sender, f psi.FrameType, sid []byte, m proto.Message) (b, sig []byte) {
		k := platform
		if from == psi.SenderHolder {
			k = advertiser
		}
		b, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return b, psi.Sign(k, f, from, sid, b)
	}
	// The change is made twice, so that it holds for what is filled in on the way.
	change(s)
	r := &Receipt{Format: Format, QuerierKey: platform.Public().(ed25519.PublicKey), HolderKey: advertiser.Public().(ed25519.PublicKey)}
	r.OpenQ, r.OpenQSig = sign(psi.SenderQuerier, psi.FrameOpenQ, nil, &s.openQ)
	hash := sha256.Sum256(r.OpenQ)
	s.openH.OpenQHash = hash[:]
	change(s)
	r.OpenH, r.OpenHSig = sign(psi.SenderHolder, psi.FrameOpenH, nil, &s.openH)
	sid := psi.SessionID(r.OpenQ, r.OpenH)
	s.seal.Sid, s.release.Sid, s.receiptQ.Sid, s.receiptH.Sid = sid[:], sid[:], sid[:], sid[:]
	change(s)
	r.Seal, r.SealSig = sign(psi.SenderQuerier, psi.FrameSeal, sid[:], &s.seal)
	r.Release, r.ReleaseSig = sign(psi.SenderQuerier, psi.FrameRelease, sid[:], &s.release)
	r.ReceiptQ, r.ReceiptQSig = sign(psi.SenderQuerier, psi.FrameReceipt, sid[:], &s.receiptQ)
	r.ReceiptH, r.ReceiptHSig = sign(psi.SenderHolder, psi.FrameReceipt, sid[:], &s.receiptH)
	return r
}

func TestGoodReceipt(t *testing.T) {
	r := tell(t, func(*story) {})
	s, err := r.Verify()
	if err != nil {
		t.Fatal(err)
	}
	if s.Queries != 20_480 || s.Entries != 1024 || s.Count != 199 || s.Suppressed || s.Universe != "eu" || s.Audience != "spring" ||
		s.Mode != "P_LEARNS" || s.ConsentRoot != strings.Repeat("01", 32) || s.Transcript != strings.Repeat("04", 64) {
		t.Errorf("%+v", s)
	}
	q, err := r.UpToSeal().Questions()
	if err != nil {
		t.Fatal(err)
	}
	if q.Platform != s.Platform || q.Advertiser != s.Advertiser || q.Size != 20_480 || q.Chunks != 2 || q.Transcript[63] != 3 ||
		q.ConsentRoot[31] != 1 || !q.Opened.Equal(time.Unix(opened, 0)) || !q.Sealed.Equal(time.Unix(opened+30, 0)) {
		t.Errorf("%+v", q)
	}
	again, err := Parse(r.Bytes())
	if err != nil || !bytes.Equal(again.Bytes(), r.Bytes()) {
		t.Errorf("the file reads otherwise than it was written: %v", err)
	}
}

// Bodies that are well signed, and do not tell one story.
func TestContradictions(t *testing.T) {
	nine := bytes.Repeat([]byte{9}, 32)
	for name, change := range map[string]func(s *story){ // up to SEAL
		"querier":      func(s *story) { s.openQ.Terms.QuerierId, s.openH.Terms.QuerierId = nine, nine },
		"holder":       func(s *story) { s.openQ.Terms.HolderId, s.openH.Terms.HolderId = nine, nine },
		"mode":         func(s *story) { s.openQ.Terms.Mode, s.openH.Terms.Mode = 1, 1 },
		"party":        func(s *story) { s.openQ.Terms.QuerierParty, s.openH.Terms.QuerierParty = 1, 1 },
		"version":      func(s *story) { s.openQ.Terms.Version, s.openH.Terms.Version = 2, 2 },
		"suite":        func(s *story) { s.openQ.Terms.Suite, s.openH.Terms.Suite = 2, 2 },
		"purpose":      func(s *story) { s.openQ.Terms.Purpose, s.openH.Terms.Purpose = 2, 2 },
		"labels":       func(s *story) { s.openQ.Terms.LabelLen, s.openH.Terms.LabelLen = 34, 34 },
		"table":        func(s *story) { s.openQ.Terms.TableKind, s.openH.Terms.TableKind = 2, 2 },
		"claims":       func(s *story) { s.openQ.Terms.Claims, s.openH.Terms.Claims = true, true },
		"chunk size":   func(s *story) { s.openQ.Terms.ChunkElems, s.openH.Terms.ChunkElems = 1, 1 },
		"policy hash":  func(s *story) { s.openQ.Terms.PolicyHash, s.openH.Terms.PolicyHash = nil, nil },
		"terms":        func(s *story) { s.openH.Terms.Audience = "autumn" },
		"no terms":     func(s *story) { s.openQ.Terms, s.openH.Terms = nil, nil },
		"consent root": func(s *story) { s.openQ.ConsentRoot = nil },
		"th":           func(s *story) { s.seal.Th = nine },
		"chunks":       func(s *story) { s.seal.Chunks = 3 },
		"no questions": func(s *story) { s.openQ.QHat, s.seal.Chunks = 0, 0 },
		"many":         func(s *story) { s.openQ.QHat, s.seal.Chunks = 1<<64-1, 0 },
		"open_q_hash":  func(s *story) { s.openH.OpenQHash = nine },
		"SEAL's sid":   func(s *story) { s.seal.Sid = nine },
	} {
		r := tell(t, change)
		if _, err := r.Questions(); err == nil || !strings.Contains(err.Error(), "contradicts itself") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Verify(); err == nil {
			t.Errorf("%s: the whole receipt is good", name)
		}
	}
	for name, change := range map[string]func(s *story){ // after it
		"no status":     func(s *story) { s.release.Status = nil },
		"no value":      func(s *story) { s.release.Value = nil },
		"no time":       func(s *story) { s.release.Time = nil },
		"status":        func(s *story) { s.release.Status = proto.Uint32(2) },
		"count":         func(s *story) { s.release.Status = proto.Uint32(0) },
		"RELEASE's sid": func(s *story) { s.release.Sid = nine },
		"RECEIPTs' sid": func(s *story) { s.receiptQ.Sid, s.receiptH.Sid = nine, nine },
		"th":            func(s *story) { s.receiptH.Th = nine },
		"outcome":       func(s *story) { s.receiptQ.Outcome, s.receiptH.Outcome = 2, 2 },
		"q_hat":         func(s *story) { s.receiptQ.QHat, s.receiptH.QHat = 1024, 1024 },
		"n_hat":         func(s *story) { s.receiptQ.NHat, s.receiptH.NHat = 2048, 2048 },
		"table root":    func(s *story) { s.receiptQ.TableRoot, s.receiptH.TableRoot = nine, nine },
		"consent root":  func(s *story) { s.receiptQ.ConsentRoot, s.receiptH.ConsentRoot = nine, nine },
	} {
		r := tell(t, change)
		if _, err := r.Verify(); err == nil || !strings.Contains(err.Error(), "contradicts itself") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := r.Questions(); err != nil {
			t.Errorf("%s: what came before is bad too: %v", name, err)
		}
	}
}

// A body with a field that this version doesn't know is not read, though it is
// well signed.
func TestUnknownField(t *testing.T) {
	unknown := []byte{0xfa, 0x01, 0x01, 'x'} // field 31
	for name, change := range map[string]func(s *story){
		"SEAL":  func(s *story) { s.seal.ProtoReflect().SetUnknown(unknown) },
		"terms": func(s *story) { s.openQ.Terms.ProtoReflect().SetUnknown(unknown) },
	} {
		if _, err := tell(t, change).Questions(); !errors.Is(err, psi.AbortMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Whatever is parsed is written as it is read, and verified without panic.
func FuzzParse(f *testing.F) {
	good := tell(f, func(*story) {})
	f.Add(good.Bytes())
	f.Add([]byte(`{"format":"overlap-receipt-1"}`))
	f.Add([]byte(`{"format":"overlap-receipt-1","seal":"AA==","release":"AA==","receipt_q":"AA==","receipt_h":"AA=="}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Parse(file)
		if err != nil {
			return
		}
		if again, err := Parse(r.Bytes()); err != nil || !bytes.Equal(again.Bytes(), r.Bytes()) {
			t.Error("a receipt doesn't read as it was written")
		}
		if _, err := r.Verify(); err == nil && !bytes.Equal(r.Bytes(), good.Bytes()) {
			t.Error("another receipt is good")
		}
		r.Questions()
	})
}

func TestLabelLengths(t *testing.T) {
	for n, want := range map[uint32]bool{0: true, 1: false, 2: true, 480: true, 481: false, 1<<32 - 1: false} {
		for _, mode := range []psi.Mode{psi.PLearns, psi.ALearns, psi.MutualA, psi.MutualP} {
			if got := validLabelLen(mode, n); got != (want && (n == 0 || mode.AdvertiserAsks())) {
				t.Errorf("%d in %v: %v", n, mode, got)
			}
		}
	}
}
