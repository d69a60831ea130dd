package receipt

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
	"github.com/overlap-psi/overlap/psi"
)

// Questions is what the platform signed in SEAL, before it could learn anything:
// what it asked, and on which records' ground.
type Questions struct {
	SID                  [32]byte
	Platform, Advertiser identity.ID
	PolicyHash           [32]byte
	ConsentRoot          [32]byte
	Size                 uint64   // q̂, the number of questions and of the snapshot's leaves
	Chunks               uint32   // BLINDED frames
	Transcript           [64]byte // th after the last EVALUATED

	// By the platform's clock: when OPEN_Q was sent, after the snapshot had been
	// cut, and when SEAL was.
	Opened, Sealed time.Time
}

// Statement is what a receipt proves: both companies signed it.
type Statement struct {
	SID         string      `json:"session"`
	Platform    identity.ID `json:"platform"`
	Advertiser  identity.ID `json:"advertiser"`
	Mode        string      `json:"mode"`
	Universe    string      `json:"universe"`
	Audience    string      `json:"audience"`
	PolicyHash  string      `json:"policy_sha256"`
	Queries     uint64      `json:"queries"` // padded
	Entries     uint64      `json:"entries"` // padded
	ConsentRoot string      `json:"consent_root"`
	TableRoot   string      `json:"table_root"`
	Transcript  string      `json:"transcript"`
	Ended       time.Time   `json:"ended"`
	// Counted says that the mode has a count: the one the platform signed, or
	// Suppressed if it told none.
	Counted    bool   `json:"counted"`
	Count      uint64 `json:"count"`
	Suppressed bool   `json:"suppressed"`
}

// bodies are a receipt's, decoded.
type bodies struct {
	sid                [32]byte
	openQ              body.OpenQ
	openH              body.OpenH
	seal               body.Seal
	release            body.Release // empty in a mode without RELEASE
	receiptQ, receiptH body.Receipt
}

func (b *bodies) mode() psi.Mode { return psi.Mode(b.openQ.GetTerms().GetMode()) }

// parties returns the ids of the platform and of the advertiser.
func (b *bodies) parties() (platform, advertiser identity.ID) {
	t := b.openQ.GetTerms()
	platform, advertiser = identity.ID(t.GetQuerierId()), identity.ID(t.GetHolderId())
	if b.mode().AdvertiserAsks() {
		platform, advertiser = advertiser, platform
	}
	return platform, advertiser
}

// consentRoot returns the platform's, whose OPEN is the only one to have it.
func (b *bodies) consentRoot() []byte {
	if b.mode().AdvertiserAsks() {
		return b.openH.GetConsentRoot()
	}
	return b.openQ.GetConsentRoot()
}

// Parties returns which party asks in a mode and which is asked.
func Parties(m psi.Mode) (querier, holder uint32) {
	if m.AdvertiserAsks() {
		return PartyA, PartyP
	}
	return PartyP, PartyA
}

// ValidAudience reports whether a session in the mode may fill the audience: one
// with a name of 1 to 64 characters of [a-z0-9._-], or none in A_LEARNS
// (PROTOCOL.md §5.2).
func ValidAudience(mode psi.Mode, name string) bool {
	if mode.FillsAudience() {
		return ValidName(name)
	}
	return name == ""
}

// ValidName reports whether an audience or universe has an allowed name: 1 to
// 64 characters of [a-z0-9._-] (PROTOCOL.md §15).
func ValidName(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return len(name) >= 1 && len(name) <= 64
}

// Questions checks the signatures and hashes of the receipt up to SEAL, which is
// all there is of a session that broke after it. Whose keys they are is for the
// reader to say: compare the two ids with those exchanged out of band.
func (r *Receipt) Questions() (*Questions, error) {
	b, err := r.verifySeal()
	if err != nil {
		return nil, err
	}
	if b.mode().AdvertiserAsks() {
		return nil, errors.New("receipt: in this mode the advertiser asked, and the platform did not")
	}
	t := b.openQ.GetTerms()
	platform, advertiser := b.parties()
	return &Questions{
		SID:         b.sid,
		Platform:    platform,
		Advertiser:  advertiser,
		PolicyHash:  [32]byte(t.GetPolicyHash()),
		ConsentRoot: [32]byte(b.openQ.GetConsentRoot()),
		Size:        b.openQ.GetQHat(),
		Chunks:      b.seal.GetChunks(),
		Transcript:  [64]byte(b.seal.GetTh()),
		Opened:      unix(b.openQ.GetNotAfter()).Add(-OpenLife),
		Sealed:      unix(b.seal.GetTime()),
	}, nil
}

// Opened is what both companies signed up to SEAL, in any mode.
type Opened struct {
	SID                  [32]byte
	Mode                 psi.Mode
	Platform, Advertiser identity.ID
	PolicyHash           [32]byte
	ConsentRoot          [32]byte
	Records              uint64 // leaves of the platform's snapshot, with pads
	Listed               uint64 // identifiers on the advertiser's list, with pads
}

// Sealed checks the signatures and hashes of the receipt up to SEAL, as Questions
// does, and also where the advertiser asked: SEAL is the advertiser's then.
func (r *Receipt) Sealed() (*Opened, error) {
	b, err := r.verifySeal()
	if err != nil {
		return nil, err
	}
	o := &Opened{SID: b.sid, Mode: b.mode(), PolicyHash: [32]byte(b.openQ.GetTerms().GetPolicyHash()), ConsentRoot: [32]byte(b.consentRoot()),
		Records: b.openQ.GetQHat(), Listed: b.openH.GetNHat()}
	if o.Mode.AdvertiserAsks() { // an identifier of two accounts is two leaves and one entry
		o.Records, o.Listed = b.openH.GetConsentSize(), b.openQ.GetQHat()
	}
	o.Platform, o.Advertiser = b.parties()
	return o, nil
}

// Verify checks every signature and every hash of the receipt against the keys
// in it. Whose keys they are is for the reader to say: compare the Statement's
// two ids with those exchanged out of band.
func (r *Receipt) Verify() (*Statement, error) {
	if !r.Complete() {
		return nil, errors.New("receipt: not complete: the session ended before both companies signed")
	}
	b, err := r.verifySeal()
	if err != nil {
		return nil, err
	}
	if err := r.verifyEnd(b); err != nil {
		return nil, err
	}
	t := b.openQ.GetTerms()
	platform, advertiser := b.parties()
	return &Statement{
		SID:         hex.EncodeToString(b.sid[:]),
		Platform:    platform,
		Advertiser:  advertiser,
		Mode:        b.mode().String(),
		Universe:    t.GetUniverse(),
		Audience:    t.GetAudience(),
		PolicyHash:  hex.EncodeToString(t.GetPolicyHash()),
		Queries:     b.receiptQ.GetQHat(),
		Entries:     b.receiptQ.GetNHat(),
		ConsentRoot: hex.EncodeToString(b.receiptQ.GetConsentRoot()),
		TableRoot:   hex.EncodeToString(b.receiptQ.GetTableRoot()),
		Transcript:  hex.EncodeToString(b.receiptQ.GetTh()),
		Ended:       unix(b.receiptQ.GetTime()),
		Counted:     b.mode().Releases(),
		Count:       b.release.GetValue(),
		Suppressed:  b.mode().Releases() && b.release.GetStatus() == 0,
	}, nil
}

func unix(seconds uint64) time.Time { return time.Unix(int64(seconds), 0).UTC() }

// signed is one of a receipt's bodies.
type signed struct {
	t         psi.FrameType
	from      psi.Sender
	body, sig []byte
	m         proto.Message
}

// verifySeal checks and decodes what was signed up to SEAL.
func (r *Receipt) verifySeal() (*bodies, error) {
	if len(r.Seal) == 0 {
		return nil, errors.New("receipt: not complete: the session ended before SEAL")
	}
	b := &bodies{sid: psi.SessionID(r.OpenQ, r.OpenH)}
	for _, s := range []signed{
		{psi.FrameOpenQ, psi.SenderQuerier, r.OpenQ, r.OpenQSig, &b.openQ},
		{psi.FrameOpenH, psi.SenderHolder, r.OpenH, r.OpenHSig, &b.openH},
		{psi.FrameSeal, psi.SenderQuerier, r.Seal, r.SealSig, &b.seal},
	} {
		if err := r.verify(&b.sid, s); err != nil {
			return nil, err
		}
	}
	return b, agree(r.opened(b))
}

// verifyEnd checks and decodes what was signed after SEAL.
func (r *Receipt) verifyEnd(b *bodies) error {
	if err := r.verifyRelease(b); err != nil {
		return err
	}
	for _, s := range []signed{
		{psi.FrameReceipt, psi.SenderQuerier, r.ReceiptQ, r.ReceiptQSig, &b.receiptQ},
		{psi.FrameReceipt, psi.SenderHolder, r.ReceiptH, r.ReceiptHSig, &b.receiptH},
	} {
		if err := r.verify(&b.sid, s); err != nil {
			return err
		}
	}
	return agree(b.ended())
}

// verifyRelease checks RELEASE in the mode that has it. Any other has none.
func (r *Receipt) verifyRelease(b *bodies) error {
	has := len(r.Release)+len(r.ReleaseSig) > 0
	switch releases := b.mode().Releases(); {
	case has && !releases:
		return errors.New("receipt: it has a RELEASE in a mode without one")
	case !has && releases:
		return errors.New("receipt: not complete: it has no RELEASE")
	case !has:
		return nil
	}
	if err := r.verify(&b.sid, signed{psi.FrameRelease, psi.SenderQuerier, r.Release, r.ReleaseSig, &b.release}); err != nil {
		return err
	}
	return agree([]claim{
		{b.release.Status != nil && b.release.Value != nil && b.release.Time != nil, "RELEASE lacks a field"},
		{b.release.GetStatus() == 1 || b.release.GetStatus() == 0 && b.release.GetValue() == 0, "RELEASE has a count and says it has none"},
		{bytes.Equal(b.release.GetSid(), b.sid[:]), "RELEASE is of another session"},
	})
}

func (r *Receipt) verify(sid *[32]byte, s signed) error {
	key, over := ed25519.PublicKey(r.QuerierKey), sid[:]
	if s.from == psi.SenderHolder {
		key = r.HolderKey
	}
	if s.t == psi.FrameOpenQ || s.t == psi.FrameOpenH {
		over = nil
	}
	if err := psi.VerifySignature(key, s.t, s.from, over, s.body, s.sig); err != nil {
		return err
	}
	return Decode(s.body, s.m)
}

// Decode reads a signed or HELLO body. A field this version does not know is
// refused: both companies must read one meaning out of one body. Its error wraps
// psi.AbortMalformed.
func Decode(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil || hasUnknown(m) {
		return fmt.Errorf("receipt: body cannot be read: %w", psi.AbortMalformed)
	}
	return nil
}

func hasUnknown(m proto.Message) bool {
	r := m.ProtoReflect()
	if len(r.GetUnknown()) > 0 {
		return true
	}
	if terms := r.Descriptor().Fields().ByName("terms"); terms != nil && r.Has(terms) {
		return len(r.Get(terms).Message().GetUnknown()) > 0
	}
	return false
}

// claim is one thing that must be so for the bodies to tell one story.
type claim struct {
	ok        bool
	otherwise string
}

func agree(claims []claim) error {
	for _, c := range claims {
		if !c.ok {
			return fmt.Errorf("receipt: it contradicts itself: %s", c.otherwise)
		}
	}
	return nil
}

// maxSize is the largest q̂ (PROTOCOL.md §5.2).
const maxSize = 1 << 40

func (r *Receipt) opened(b *bodies) []claim {
	querier, holder := psi.Identity(r.QuerierKey), psi.Identity(r.HolderKey)
	openQHash := sha256.Sum256(r.OpenQ)
	t, mode, size := b.openQ.GetTerms(), b.mode(), b.openQ.GetQHat()
	querierParty, holderParty := Parties(mode)
	return []claim{
		{bytes.Equal(t.GetQuerierId(), querier[:]) && bytes.Equal(t.GetHolderId(), holder[:]), "the keys are not those of the companies named"},
		{mode.Valid() && t.GetMode() == uint32(mode) && t.GetQuerierParty() == querierParty && t.GetHolderParty() == holderParty, "mode and parties are not those of this version"},
		{t.GetVersion() == Version && t.GetSuite() == Suite && t.GetPurpose() == Purpose, "version, suite or purpose is not of this version"},
		{b.validTable() && t.GetRelease() == mode.Releases() && t.GetClaims() == mode.Claims(), "table, release or claims are not those of the mode"},
		{validLabelLen(mode, t.GetLabelLen()), "labels are not of a length that the mode has"},
		{ValidAudience(mode, t.GetAudience()), "the audience is not one of the mode"},
		{len(b.openQ.GetConsentRoot())+len(b.openH.GetConsentRoot()) == 32, "a consent root belongs in the platform's OPEN, and there only"},
		{len(t.GetPolicyHash()) == 32 && len(b.consentRoot()) == 32 && len(b.seal.GetTh()) == 64, "a hash has another length"},
		{1 <= size && size <= maxSize, "OPEN_Q asks for a size that this version does not have"},
		{t.GetChunkElems() == psi.ChunkElems && uint64(b.seal.GetChunks()) == (size+psi.ChunkElems-1)/psi.ChunkElems, "SEAL has another number of chunks than OPEN_Q asks for"},
		{proto.Equal(t, b.openH.GetTerms()), "the two OPENs have different terms"},
		{bytes.Equal(b.openH.GetOpenQHash(), openQHash[:]), "OPEN_H answers another OPEN_Q"},
		{bytes.Equal(b.seal.GetSid(), b.sid[:]), "SEAL is of another session"},
	}
}

// validLabelLen reports whether entries may have labels of that length: the platform
// tells of its accounts where it is asked, and nobody elsewhere (PROTOCOL.md §7.3).
func validLabelLen(mode psi.Mode, n uint32) bool {
	return n == 0 || mode.AdvertiserAsks() && n <= psi.MaxLabelLen && psi.CheckLabelLen(int(n)) == nil
}

// validTable reports whether the table is one of the session, or a published one
// of a platform, which names its manifest.
func (b *bodies) validTable() bool {
	switch b.openQ.GetTerms().GetTableKind() {
	case TableSession:
		return len(b.openH.GetManifestHash()) == 0
	case TablePublished:
		return b.mode().AdvertiserAsks() && len(b.openH.GetManifestHash()) == 32
	}
	return false
}

func (b *bodies) ended() []claim {
	same := proto.Clone(&b.receiptH).(*body.Receipt)
	same.Time = b.receiptQ.GetTime() // each company's own clock
	return []claim{
		{bytes.Equal(b.receiptQ.GetSid(), b.sid[:]), "RECEIPT is of another session"},
		{proto.Equal(&b.receiptQ, same), "the two RECEIPTs differ"},
		{b.receiptQ.GetOutcome() == 1, "the session did not complete"},
		{b.receiptQ.GetQHat() == b.openQ.GetQHat() && b.receiptQ.GetNHat() == b.openH.GetNHat(), "RECEIPT has other sizes than OPEN"},
		{bytes.Equal(b.receiptQ.GetTableRoot(), b.openH.GetTableRoot()), "RECEIPT has another table than OPEN_H"},
		{bytes.Equal(b.receiptQ.GetConsentRoot(), b.consentRoot()), "RECEIPT has another consent root than the platform's OPEN"},
	}
}
