package edkey

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"testing"
)

// forged looks for a text that the key's owner is taken to have signed with 64 bytes
// that need no private key: R the neutral element, S zero. Under a key of order n it
// is one text in n.
func forged(key ed25519.PublicKey) bool {
	sig := make([]byte, ed25519.SignatureSize)
	sig[0] = 1
	for i := range uint64(500) {
		if ed25519.Verify(key, binary.BigEndian.AppendUint64(nil, i), sig) {
			return true
		}
	}
	return false
}

// What is refused as of small order has it: everybody can sign under it.
func TestSmallOrder(t *testing.T) {
	for _, y := range smallOrder {
		works := false
		for _, sign := range []byte{0, 0x80} {
			key := bytes.Clone(y[:])
			key[31] |= sign
			if Valid(key) {
				t.Errorf("%x is valid", key)
			}
			works = works || forged(key)
		}
		if !works {
			t.Errorf("%x: no signature without a key was found", y)
		}
	}
}

// An encoding of y + p is none, whatever the point.
func TestNotReduced(t *testing.T) {
	for low := 0xed; low <= 0xff; low++ {
		key := append(append([]byte{byte(low)}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)
		for _, sign := range []byte{0, 0x80} {
			key[31] = 0x7f | sign
			if Valid(key) {
				t.Errorf("%x is valid", key)
			}
		}
	}
	largest := append(append([]byte{0xeb}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f) // p − 2
	if !Valid(largest) {
		t.Error("a reduced y is refused")
	}
}

func TestValid(t *testing.T) {
	for range 100 {
		key, _, err := ed25519.GenerateKey(rand.Reader)
		if err != nil || !Valid(key) || forged(key) {
			t.Fatalf("%x: %v", key, err)
		}
		if Valid(key[:31]) || Valid(append(key, 0)) || Valid(nil) {
			t.Fatal("a key of another length is valid")
		}
	}
}
