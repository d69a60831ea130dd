package session

import (
	"bytes"
	"crypto/sha512"
	"errors"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// A receipt file is one receipt: anything after it, before it or missing from it
// is refused, and every changed byte of a body or signature is noticed.
func TestReceiptFile(t *testing.T) {
	r := meet(t, nil)
	if r.holderErr != nil || r.queryErr != nil {
		t.Fatal(r.holderErr, r.queryErr)
	}
	evidence := r.h.s.Evidence()
	file := evidence.Bytes()
	back, err := ParseReceipt(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := back.Verify(); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":            "",
		"cut":              string(file[:len(file)/2]),
		"another after it": string(file) + string(file),
		"a brace after it": string(file) + "}",
		"another format":   strings.Replace(string(file), receipt.Format, "overlap-receipt-2", 1),
		"an unknown field": strings.Replace(string(file), "{", `{"count": 12,`, 1),
		"not JSON":         "receipt",
	} {
		if _, err := ParseReceipt([]byte(bad)); err == nil {
			t.Errorf("%s: taken for a receipt", name)
		}
	}
	for name, part := range map[string]*[]byte{
		"querier key": &back.QuerierKey, "holder key": &back.HolderKey, "OPEN_Q": &back.OpenQ, "OPEN_Q sig": &back.OpenQSig,
		"OPEN_H": &back.OpenH, "OPEN_H sig": &back.OpenHSig, "SEAL": &back.Seal, "SEAL sig": &back.SealSig, "RELEASE": &back.Release,
		"RELEASE sig": &back.ReleaseSig, "RECEIPT of the Querier": &back.ReceiptQ, "its sig": &back.ReceiptQSig,
		"RECEIPT of the Holder": &back.ReceiptH, "that one's sig": &back.ReceiptHSig,
	} {
		for _, at := range []int{0, len(*part) / 2, len(*part) - 1} {
			(*part)[at] ^= 1
			if _, err := back.Verify(); err == nil {
				t.Errorf("%s changed at %d is not noticed", name, at)
			}
			(*part)[at] ^= 1
		}
	}
	if _, err := back.Verify(); err != nil {
		t.Error(err)
	}
	back.ReceiptH = nil
	if _, err := back.Verify(); err == nil || !strings.Contains(err.Error(), "not complete") {
		t.Errorf("without the Holder's RECEIPT: %v", err)
	}
}

// What an audit starts from: SEAL alone says what was asked, whoever keeps the
// BLINDED bodies has them before they leave, and both companies have the digests
// that th is made of.
func TestQuestions(t *testing.T) {
	var kept [][]byte
	r := meet(t, func(_ *holderSide, q *querierSide, _, _ *pipe) {
		q.c.Blinded = func(body []byte) error {
			kept = append(kept, bytes.Clone(body))
			return nil
		}
	})
	if r.holderErr != nil || r.queryErr != nil {
		t.Fatal(r.holderErr, r.queryErr)
	}
	broken := r.h.s.Evidence().UpToSeal()
	if broken.Complete() || !r.h.s.Evidence().Complete() {
		t.Error("complete is what has both RECEIPTs")
	}
	asked, err := broken.Questions()
	if err != nil {
		t.Fatal(err)
	}
	if asked.SID != r.q.s.SID() || asked.Size != r.q.s.Queries() || int(asked.Chunks) != len(kept) || asked.Sealed.Before(asked.Opened) {
		t.Error("the questions are another session's")
	}
	digests := r.q.s.Digests()
	if a, b := r.h.s.Digests(), digests; psi.Transcript(&asked.SID, a) != psi.Transcript(&asked.SID, b) {
		t.Error("the companies keep different digests")
	}
	beforeSeal := digests[:2*len(kept)]
	if psi.Transcript(&asked.SID, beforeSeal) != asked.Transcript {
		t.Error("the digests are not those of SEAL")
	}
	for i, body := range kept {
		if beforeSeal[2*i].Digest != sha512.Sum512(body) {
			t.Errorf("BLINDED %d was kept otherwise than it was sent", i)
		}
	}
	if !bytes.Equal(broken.Bytes(), r.q.s.Evidence().UpToSeal().Bytes()) {
		t.Error("the two companies' receipts have different questions")
	}
	for _, part := range []*[]byte{&broken.QuerierKey, &broken.HolderKey, &broken.OpenQ, &broken.OpenQSig,
		&broken.OpenH, &broken.OpenHSig, &broken.Seal, &broken.SealSig} {
		(*part) = bytes.Clone(*part)
		(*part)[0] ^= 1
		if _, err := broken.Questions(); err == nil {
			t.Error("a changed part is not noticed")
		}
		(*part)[0] ^= 1
	}
	broken.Seal = nil
	if _, err := broken.Questions(); err == nil || !strings.Contains(err.Error(), "before SEAL") {
		t.Errorf("without SEAL: %v", err)
	}
}

// A question that can't be kept is not asked.
func TestQuestionThatCannotBeKept(t *testing.T) {
	full := errors.New("disk full")
	r := meet(t, func(_ *holderSide, q *querierSide, _, _ *pipe) {
		q.c.Blinded = func([]byte) error { return full }
	})
	if !errors.Is(r.queryErr, full) || !errors.Is(r.holderErr, psi.AbortInternal) {
		t.Errorf("%v, %v", r.queryErr, r.holderErr)
	}
	if len(r.q.s.Digests()) != 0 {
		t.Error("a question was asked")
	}
}
