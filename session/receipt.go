package session

import (
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// Receipt is what both companies hold of a session, and Statement what it proves.
type (
	Receipt   = receipt.Receipt
	Statement = receipt.Statement
)

// ParseReceipt reads a receipt file. It does not verify it.
func ParseReceipt(file []byte) (*Receipt, error) { return receipt.Parse(file) }

// Digests returns the digests of the frames in the transcript so far (PROTOCOL.md
// §5.3): at SEAL those of the questions and their answers.
func (s *Session) Digests() []psi.FrameDigest {
	if s.role == psi.SenderHolder {
		return s.holder.Digests()
	}
	return s.querier.Digests()
}

// Evidence returns the receipt as far as the session has come. Before both
// companies have signed a RECEIPT, Verify says that it is not complete.
func (s *Session) Evidence() *Receipt {
	own, peer := []byte(s.c.Identity.Public()), []byte(s.c.Peer.Public)
	if s.role == psi.SenderHolder {
		own, peer = peer, own
	}
	r := &s.record
	return &receipt.Receipt{
		Format: receipt.Format, QuerierKey: own, HolderKey: peer,
		OpenQ: r.OpenQ, OpenQSig: r.OpenQSig, OpenH: r.OpenH, OpenHSig: r.OpenHSig,
		Seal: r.Seal, SealSig: r.SealSig, Release: s.release.Body, ReleaseSig: s.release.Sig,
		ReceiptQ: r.ReceiptQ, ReceiptQSig: r.ReceiptQSig, ReceiptH: r.ReceiptH, ReceiptHSig: r.ReceiptHSig,
	}
}
