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
	// The count the platform signed; Suppressed if it told none.
	Count      uint64 `json:"count"`
	Suppressed bool   `json:"suppressed"`
}

// Verify checks every signature and every hash of the receipt against the keys
// in it. Whose keys they are is for the reader to say: compare the Statement's
// two ids with those exchanged out of band.
func (r *Receipt) Verify() (*Statement, error) {
	var openQ ampsiv1.OpenQ
	var openH ampsiv1.OpenH
	var seal ampsiv1.Seal
	var release ampsiv1.Release
	var receiptQ, receiptH ampsiv1.Receipt
	if len(r.ReceiptQ) == 0 || len(r.ReceiptH) == 0 || len(r.Seal) == 0 || len(r.Release) == 0 {
		return nil, errors.New("session: the receipt is not complete: the session ended before both companies signed")
	}
	sid := psi.SessionID(r.OpenQ, r.OpenH)
	for _, b := range []struct {
		t         psi.FrameType
		from      psi.Sender
		body, sig []byte
		m         proto.Message
	}{
		{psi.FrameOpenQ, psi.SenderQuerier, r.OpenQ, r.OpenQSig, &openQ},
		{psi.FrameOpenH, psi.SenderHolder, r.OpenH, r.OpenHSig, &openH},
		{psi.FrameSeal, psi.SenderQuerier, r.Seal, r.SealSig, &seal},
		{psi.FrameRelease, psi.SenderQuerier, r.Release, r.ReleaseSig, &release},
		{psi.FrameReceipt, psi.SenderQuerier, r.ReceiptQ, r.ReceiptQSig, &receiptQ},
		{psi.FrameReceipt, psi.SenderHolder, r.ReceiptH, r.ReceiptHSig, &receiptH},
	} {
		if err := r.verifyBody(b.t, b.from, sid[:], b.body, b.sig, b.m); err != nil {
			return nil, err
		}
	}
	if err := consistent(sid, r, &openQ, &openH, &seal, &release, &receiptQ, &receiptH); err != nil {
		return nil, err
	}
	t := openQ.GetTerms()
	return &Statement{
		SID:         fmt.Sprintf("%x", sid),
		Platform:    identity.ID(t.GetQuerierId()),
		Advertiser:  identity.ID(t.GetHolderId()),
		Mode:        psi.Mode(t.GetMode()).String(),
		Universe:    t.GetUniverse(),
		Audience:    t.GetAudience(),
		PolicyHash:  fmt.Sprintf("%x", t.GetPolicyHash()),
		Queries:     receiptQ.GetQHat(),
		Entries:     receiptQ.GetNHat(),
		ConsentRoot: fmt.Sprintf("%x", receiptQ.GetConsentRoot()),
		TableRoot:   fmt.Sprintf("%x", receiptQ.GetTableRoot()),
		Transcript:  fmt.Sprintf("%x", receiptQ.GetTh()),
		Ended:       time.Unix(int64(receiptQ.GetTime()), 0).UTC(),
		Count:       release.GetValue(),
		Suppressed:  release.GetStatus() == 0,
	}, nil
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

// consistent checks that the six signed bodies tell one story.
func consistent(sid [32]byte, r *Receipt, openQ *ampsiv1.OpenQ, openH *ampsiv1.OpenH, seal *ampsiv1.Seal,
	release *ampsiv1.Release, receiptQ, receiptH *ampsiv1.Receipt) error {
	querier, holder := psi.Identity(r.QuerierKey), psi.Identity(r.HolderKey)
	openQHash := sha256.Sum256(r.OpenQ)
	t := openQ.GetTerms()
	same := proto.Clone(receiptH).(*ampsiv1.Receipt)
	same.Time = receiptQ.GetTime() // each company's own clock
	for _, check := range []struct {
		ok   bool
		what string
	}{
		{bytes.Equal(t.GetQuerierId(), querier[:]) && bytes.Equal(t.GetHolderId(), holder[:]), "the keys are not those of the companies named"},
		{t.GetMode() == uint32(psi.PLearns) && t.GetQuerierParty() == partyP && t.GetHolderParty() == partyA, "mode and parties are not those of this version"},
		{t.GetVersion() == version && t.GetSuite() == suite && t.GetPurpose() == purpose, "version, suite or purpose is not of this version"},
		{t.GetTableKind() == tableSession && t.GetRelease() && !t.GetClaims(), "table, release or claims are not those of this version"},
		{t.GetChunkElems() == psi.ChunkElems && uint64(seal.GetChunks()) == (openQ.GetQHat()+psi.ChunkElems-1)/psi.ChunkElems, "SEAL has another number of chunks than OPEN_Q asks for"},
		{release.Status != nil && release.Value != nil && release.Time != nil, "RELEASE lacks a field"},
		{release.GetStatus() == 1 || release.GetStatus() == 0 && release.GetValue() == 0, "RELEASE has a count and says it has none"},
		{proto.Equal(t, openH.GetTerms()), "the two OPENs have different terms"},
		{bytes.Equal(openH.GetOpenQHash(), openQHash[:]), "OPEN_H answers another OPEN_Q"},
		{bytes.Equal(seal.GetSid(), sid[:]), "SEAL is of another session"},
		{bytes.Equal(release.GetSid(), sid[:]), "RELEASE is of another session"},
		{bytes.Equal(receiptQ.GetSid(), sid[:]), "RECEIPT is of another session"},
		{proto.Equal(receiptQ, same), "the two RECEIPTs differ"},
		{receiptQ.GetOutcome() == 1, "the session did not complete"},
		{receiptQ.GetQHat() == openQ.GetQHat() && receiptQ.GetNHat() == openH.GetNHat(), "RECEIPT has other sizes than OPEN"},
		{bytes.Equal(receiptQ.GetTableRoot(), openH.GetTableRoot()), "RECEIPT has another table than OPEN_H"},
		{bytes.Equal(receiptQ.GetConsentRoot(), openQ.GetConsentRoot()), "RECEIPT has another consent root than OPEN_Q"},
	} {
		if !check.ok {
			return fmt.Errorf("session: the receipt contradicts itself: %s", check.what)
		}
	}
	return nil
}
