package session

import (
	"strings"
	"testing"
)

// A receipt file is one receipt: anything after it, before it or missing from it
// is refused, and every changed byte of a body or signature is noticed.
func TestReceiptFile(t *testing.T) {
	r := meet(t, nil)
	if r.holderErr != nil || r.queryErr != nil {
		t.Fatal(r.holderErr, r.queryErr)
	}
	receipt := r.h.s.Evidence()
	file := receipt.Bytes()
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
		"another format":   strings.Replace(string(file), receiptFormat, "overlap-receipt-2", 1),
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
