package psi

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// MaxLabelLen is the largest label_len: two bytes of length and the label
// (PROTOCOL.md §7.3). The smallest is 2, and 0 means that there are no labels.
const MaxLabelLen = 480

// ErrLabel says that a label can't be opened. Its entry matched all the same.
//
// It is no reason to end the session, and has no AbortCode: a Holder that spoils
// the labels of chosen entries would learn from an ABORT whether they matched.
var ErrLabel = errors.New("psi: label cannot be opened")

// CheckLabelLen reports whether labelLen is 0 or a length of PROTOCOL.md §7.3.
func CheckLabelLen(labelLen int) error {
	if labelLen != 0 && (labelLen < 2 || labelLen > MaxLabelLen) {
		return fmt.Errorf("psi: label length is not 0 or 2 to %d: %w", MaxLabelLen, AbortTerms)
	}
	return nil
}

// SealLabel appends label_ct to dst: labelLen+16 bytes that only somebody with
// the whole output can read. label is at most labelLen−2 bytes; how long it is
// does not show. An output's key serves one message only, so that a table has
// one label for an output, and another table another tableID.
func (o *Output) SealLabel(dst []byte, tableID *[32]byte, tokenLen, labelLen int, label []byte) ([]byte, error) {
	if labelLen < 2 || labelLen > MaxLabelLen || len(label) > labelLen-2 {
		return dst, errors.New("psi: label is longer than agreed")
	}
	aead, nonce := o.labelKey(tableID)
	plain := make([]byte, labelLen)
	binary.BigEndian.PutUint16(plain, uint16(len(label)))
	copy(plain[2:], label)
	defer clear(plain)
	return aead.Seal(dst, nonce, plain, o.labelContext(tableID, tokenLen)), nil
}

// OpenLabel returns the label of label_ct. Any failure is ErrLabel: another
// table's, another output's, or one that its Holder did not spell as it must.
func (o *Output) OpenLabel(tableID *[32]byte, tokenLen int, sealed []byte) ([]byte, error) {
	aead, nonce := o.labelKey(tableID)
	plain, err := aead.Open(nil, nonce, sealed, o.labelContext(tableID, tokenLen))
	if err != nil || len(plain) < 2 {
		return nil, ErrLabel
	}
	n := int(binary.BigEndian.Uint16(plain))
	if n > len(plain)-2 {
		return nil, ErrLabel
	}
	for _, b := range plain[2+n:] {
		if b != 0 {
			return nil, ErrLabel
		}
	}
	return plain[2 : 2+n : 2+n], nil
}

// labelContext is what label_ct is bound to: table_id ‖ token.
func (o *Output) labelContext(tableID *[32]byte, tokenLen int) []byte {
	return append(append(make([]byte, 0, 64), tableID[:]...), o[:tokenLen]...)
}

// labelKey is key ‖ nonce of PROTOCOL.md §7.3.
func (o *Output) labelKey(tableID *[32]byte) (cipher.AEAD, []byte) {
	b, err := hkdf.Key(sha512.New, o.tail(), tableID[:], "AMPSI-V01 label", chacha20poly1305.KeySize+chacha20poly1305.NonceSize)
	if err != nil {
		panic("psi: HKDF of constant lengths failed")
	}
	aead, err := chacha20poly1305.New(b[:chacha20poly1305.KeySize])
	if err != nil {
		panic("psi: a key of another length")
	}
	clear(b[:chacha20poly1305.KeySize])
	return aead, b[chacha20poly1305.KeySize:]
}
