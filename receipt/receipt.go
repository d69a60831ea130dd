// Package receipt is what two companies hold of a session that is over: every
// signed body as it travelled, and what they prove together. It takes no network
// and nobody's help to check one; who audits a platform starts here.
package receipt

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
)

// What version 1 of the protocol fixes in the Terms that both companies sign
// (PROTOCOL.md §5.2).
const (
	Version        = 1
	Suite          = 0x0001 // ristretto255, SHA-512
	Purpose        = 0x01   // advertising audience
	PartyA         = 1
	PartyP         = 2
	TableSession   = 1
	TablePublished = 2
)

// OpenLife is how long an OPEN is good for: its sender's clock is that much
// before its not_after (PROTOCOL.md §5.2).
const OpenLife = 300 * time.Second

// Format names the layout of a receipt file (PROTOCOL.md, Appendix B).
const Format = "overlap-receipt-1"

// Receipt is what both companies hold of a session: every signed body, exactly
// as it travelled, and the keys to check it with. It has no identifier, no
// token and no number of matches but the one that was released. Its JSON is the
// receipt file. RELEASE is in P_LEARNS only.
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

// Parse reads a receipt file, which has each member once and in order, whatever white
// space is between them. It does not verify it.
func Parse(file []byte) (*Receipt, error) {
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	r := new(Receipt)
	if err := dec.Decode(r); err != nil || r.Format != Format {
		return nil, errors.New("receipt: not a receipt of this version")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("receipt: the file goes on after its end")
	}
	// encoding/json takes OPEN_Q for open_q, and of two members the last; another
	// reader may take another session out of such a file.
	var have, want bytes.Buffer
	if json.Compact(&have, file) != nil || json.Compact(&want, r.Bytes()) != nil || !bytes.Equal(have.Bytes(), want.Bytes()) {
		return nil, errors.New("receipt: not a receipt in its one form")
	}
	return r, nil
}

// Bytes returns the receipt file.
func (r *Receipt) Bytes() []byte {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		panic("receipt: a receipt is always valid JSON")
	}
	return append(b, '\n')
}

// UpToSeal returns the receipt without what was signed after SEAL. Of one session
// both companies have the same, byte for byte, also if it broke at its end.
func (r *Receipt) UpToSeal() *Receipt {
	cut := *r
	cut.Release, cut.ReleaseSig = nil, nil
	cut.ReceiptQ, cut.ReceiptQSig, cut.ReceiptH, cut.ReceiptHSig = nil, nil, nil, nil
	return &cut
}

// Complete reports whether both companies' RECEIPTs are there. Verify says whether
// they are good.
func (r *Receipt) Complete() bool {
	return len(r.Seal) > 0 && len(r.ReceiptQ) > 0 && len(r.ReceiptH) > 0
}

// RecordHash returns what a platform's log says of the session: the SHA-256 of
// the Record, all that was signed but RELEASE (PROTOCOL.md §10, §15).
func (r *Receipt) RecordHash() [32]byte {
	record, err := proto.MarshalOptions{Deterministic: true}.Marshal(&body.Record{
		OpenQ: r.OpenQ, OpenQSig: r.OpenQSig, OpenH: r.OpenH, OpenHSig: r.OpenHSig, Seal: r.Seal, SealSig: r.SealSig,
		ReceiptQ: r.ReceiptQ, ReceiptQSig: r.ReceiptQSig, ReceiptH: r.ReceiptH, ReceiptHSig: r.ReceiptHSig,
	})
	if err != nil {
		panic("receipt: a record of byte strings can always be encoded")
	}
	return sha256.Sum256(record)
}
