package session

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// receiptFormat names the layout of a receipt file.
const receiptFormat = "overlap-receipt-1"

// Receipt is what both companies hold of a session: every signed body, exactly
// as it travelled, and the keys to check it with. It has no identifier, no
// token and no number of matches but the one that was released. Its JSON is the
// receipt file; Verify reads it without anybody's help.
type Receipt struct {
	Format      string `json:"format"`
	QuerierKey  []byte `json:"querier_public_key"` // Ed25519, 32 bytes
	HolderKey   []byte `json:"holder_public_key"`
	OpenQ       []byte `json:"open_q"`
	OpenQSig    []byte `json:"open_q_sig"`
	OpenH       []byte `json:"open_h"`
	OpenHSig    []byte `json:"open_h_sig"`
	Seal        []byte `json:"seal,omitempty"`
	SealSig     []byte `json:"seal_sig,omitempty"`
	Release     []byte `json:"release,omitempty"`
	ReleaseSig  []byte `json:"release_sig,omitempty"`
	ReceiptQ    []byte `json:"receipt_q,omitempty"`
	ReceiptQSig []byte `json:"receipt_q_sig,omitempty"`
	ReceiptH    []byte `json:"receipt_h,omitempty"`
	ReceiptHSig []byte `json:"receipt_h_sig,omitempty"`
}

// Evidence returns the receipt as far as the session has come. Before both
// companies have signed a RECEIPT, Verify says that it is not complete.
func (s *Session) Evidence() *Receipt {
	own, peer := []byte(s.c.Identity.Public()), []byte(s.c.Peer.Public)
	if s.role == psi.SenderHolder {
		own, peer = peer, own
	}
	r := &s.record
	return &Receipt{
		Format: receiptFormat, QuerierKey: own, HolderKey: peer,
		OpenQ: r.OpenQ, OpenQSig: r.OpenQSig, OpenH: r.OpenH, OpenHSig: r.OpenHSig,
		Seal: r.Seal, SealSig: r.SealSig, Release: s.release.Body, ReleaseSig: s.release.Sig,
		ReceiptQ: r.ReceiptQ, ReceiptQSig: r.ReceiptQSig, ReceiptH: r.ReceiptH, ReceiptHSig: r.ReceiptHSig,
	}
}

// ParseReceipt reads a receipt file. It does not verify it.
func ParseReceipt(file []byte) (*Receipt, error) {
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	r := new(Receipt)
	if err := dec.Decode(r); err != nil || r.Format != receiptFormat {
		return nil, errors.New("session: not a receipt of this version")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("session: the receipt goes on after its end")
	}
	return r, nil
}

// Bytes returns the receipt file.
func (r *Receipt) Bytes() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("session: a receipt is always valid JSON")
	}
	return append(b, '\n')
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

// bodies are the signed bodies of a receipt, decoded.
type bodies struct {
	openQ              ampsiv1.OpenQ
	openH              ampsiv1.OpenH
	seal               ampsiv1.Seal
	release            ampsiv1.Release // empty in a mode without RELEASE
	receiptQ, receiptH ampsiv1.Receipt
}

func (b *bodies) terms() *ampsiv1.Terms { return b.openQ.GetTerms() }

func (b *bodies) mode() psi.Mode { return psi.Mode(b.terms().GetMode()) }

// consentRoot returns the platform's, whose OPEN is the only one to have it.
func (b *bodies) consentRoot() []byte {
	if b.mode().AdvertiserAsks() {
		return b.openH.GetConsentRoot()
	}
	return b.openQ.GetConsentRoot()
}

// Verify checks every signature and every hash of the receipt against the keys
// in it. Whose keys they are is for the reader to say: compare the Statement's
// two ids with those exchanged out of band.
func (r *Receipt) Verify() (*Statement, error) {
	if len(r.ReceiptQ) == 0 || len(r.ReceiptH) == 0 || len(r.Seal) == 0 {
		return nil, errors.New("session: the receipt is not complete: the session ended before both companies signed")
	}
	sid, b := psi.SessionID(r.OpenQ, r.OpenH), new(bodies)
	for _, signed := range []struct {
		t         psi.FrameType
		from      psi.Sender
		body, sig []byte
		m         proto.Message
	}{
		{psi.FrameOpenQ, psi.SenderQuerier, r.OpenQ, r.OpenQSig, &b.openQ},
		{psi.FrameOpenH, psi.SenderHolder, r.OpenH, r.OpenHSig, &b.openH},
		{psi.FrameSeal, psi.SenderQuerier, r.Seal, r.SealSig, &b.seal},
		{psi.FrameReceipt, psi.SenderQuerier, r.ReceiptQ, r.ReceiptQSig, &b.receiptQ},
		{psi.FrameReceipt, psi.SenderHolder, r.ReceiptH, r.ReceiptHSig, &b.receiptH},
	} {
		if err := r.verifyBody(signed.t, signed.from, sid[:], signed.body, signed.sig, signed.m); err != nil {
			return nil, err
		}
	}
	if err := r.verifyRelease(sid[:], b); err != nil {
		return nil, err
	}
	if err := r.consistent(sid, b); err != nil {
		return nil, err
	}
	return b.statement(sid), nil
}

// verifyRelease checks RELEASE in the mode that has it. Any other has none.
func (r *Receipt) verifyRelease(sid []byte, b *bodies) error {
	switch has := len(r.Release)+len(r.ReleaseSig) > 0; {
	case has != b.mode().Releases() && has:
		return errors.New("session: the receipt has a RELEASE in a mode without one")
	case has != b.mode().Releases():
		return errors.New("session: the receipt is not complete: it has no RELEASE")
	case !has:
		return nil
	}
	return r.verifyBody(psi.FrameRelease, psi.SenderQuerier, sid, r.Release, r.ReleaseSig, &b.release)
}

func (b *bodies) statement(sid [32]byte) *Statement {
	t := b.terms()
	platform, advertiser := t.GetQuerierId(), t.GetHolderId()
	if b.mode().AdvertiserAsks() {
		platform, advertiser = advertiser, platform
	}
	return &Statement{
		SID:         fmt.Sprintf("%x", sid),
		Platform:    identity.ID(platform),
		Advertiser:  identity.ID(advertiser),
		Mode:        b.mode().String(),
		Universe:    t.GetUniverse(),
		Audience:    t.GetAudience(),
		PolicyHash:  fmt.Sprintf("%x", t.GetPolicyHash()),
		Queries:     b.receiptQ.GetQHat(),
		Entries:     b.receiptQ.GetNHat(),
		ConsentRoot: fmt.Sprintf("%x", b.receiptQ.GetConsentRoot()),
		TableRoot:   fmt.Sprintf("%x", b.receiptQ.GetTableRoot()),
		Transcript:  fmt.Sprintf("%x", b.receiptQ.GetTh()),
		Ended:       time.Unix(int64(b.receiptQ.GetTime()), 0).UTC(),
		Counted:     b.mode().Releases(),
		Count:       b.release.GetValue(),
		Suppressed:  b.mode().Releases() && b.release.GetStatus() == 0,
	}
}

func (r *Receipt) verifyBody(t psi.FrameType, from psi.Sender, sid, body, sig []byte, m proto.Message) error {
	key := ed25519.PublicKey(r.QuerierKey)
	if from == psi.SenderHolder {
		key = r.HolderKey
	}
	if t == psi.FrameOpenQ || t == psi.FrameOpenH {
		sid = nil
	}
	if err := psi.VerifySignature(key, t, from, sid, body, sig); err != nil {
		return err
	}
	return decodeBody(body, m)
}

// consistent checks that the signed bodies tell one story.
func (r *Receipt) consistent(sid [32]byte, b *bodies) error {
	querier, holder := psi.Identity(r.QuerierKey), psi.Identity(r.HolderKey)
	openQHash := sha256.Sum256(r.OpenQ)
	t, mode := b.terms(), b.mode()
	querierParty, holderParty := parties(mode)
	same := proto.Clone(&b.receiptH).(*ampsiv1.Receipt)
	same.Time = b.receiptQ.GetTime() // each company's own clock
	for _, check := range []struct {
		ok   bool
		what string
	}{
		{bytes.Equal(t.GetQuerierId(), querier[:]) && bytes.Equal(t.GetHolderId(), holder[:]), "the keys are not those of the companies named"},
		{mode.Valid() && uint32(mode) == t.GetMode() && t.GetQuerierParty() == querierParty && t.GetHolderParty() == holderParty, "mode and parties are not those of this version"},
		{t.GetVersion() == version && t.GetSuite() == suite && t.GetPurpose() == purpose, "version, suite or purpose is not of this version"},
		{t.GetTableKind() == tableSession && t.GetRelease() == mode.Releases() && t.GetClaims() == mode.Claims(), "table, release or claims are not those of the mode"},
		{ValidAudience(mode, t.GetAudience()), "the audience is not one of the mode"},
		{t.GetChunkElems() == psi.ChunkElems && uint64(b.seal.GetChunks()) == (b.openQ.GetQHat()+psi.ChunkElems-1)/psi.ChunkElems, "SEAL has another number of chunks than OPEN_Q asks for"},
		{proto.Equal(t, b.openH.GetTerms()), "the two OPENs have different terms"},
		{bytes.Equal(b.openH.GetOpenQHash(), openQHash[:]), "OPEN_H answers another OPEN_Q"},
		{bytes.Equal(b.seal.GetSid(), sid[:]), "SEAL is of another session"},
		{bytes.Equal(b.receiptQ.GetSid(), sid[:]), "RECEIPT is of another session"},
		{proto.Equal(&b.receiptQ, same), "the two RECEIPTs differ"},
		{b.receiptQ.GetOutcome() == 1, "the session did not complete"},
		{b.receiptQ.GetQHat() == b.openQ.GetQHat() && b.receiptQ.GetNHat() == b.openH.GetNHat(), "RECEIPT has other sizes than OPEN"},
		{bytes.Equal(b.receiptQ.GetTableRoot(), b.openH.GetTableRoot()), "RECEIPT has another table than OPEN_H"},
		{bytes.Equal(b.receiptQ.GetConsentRoot(), b.consentRoot()), "RECEIPT has another consent root than the platform's OPEN"},
		{len(b.openQ.GetConsentRoot()) == 0 || len(b.openH.GetConsentRoot()) == 0, "both OPENs have a consent root"},
		{!mode.Releases() || consistentRelease(&b.release, sid), "RELEASE is of another session, lacks a field, or has a count and says it has none"},
	} {
		if !check.ok {
			return fmt.Errorf("session: the receipt contradicts itself: %s", check.what)
		}
	}
	return nil
}

func consistentRelease(m *ampsiv1.Release, sid [32]byte) bool {
	return bytes.Equal(m.GetSid(), sid[:]) && m.Status != nil && m.Value != nil && m.Time != nil &&
		(m.GetStatus() == 1 || m.GetStatus() == 0 && m.GetValue() == 0)
}
