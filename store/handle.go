package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"

	"github.com/overlap-psi/overlap/consent"
)

// handleKey names accounts: a handle is the account's number, enciphered twice
// under a key drawn for this store,
//
//	AES-256(key, number(8) ‖ 0(8)) ‖ AES-256(key, number(8) ‖ 1(8))
//
// so that it says nothing to whoever lacks the key, not even which of two accounts
// came first, and that the account of a handle is found without an index of random
// keys, which would be written all over in every import.
type handleKey struct{ block cipher.Block }

func (d *DB) handleKey(ctx context.Context) (handleKey, error) {
	var key []byte
	if err := d.read.QueryRowContext(ctx, `SELECT handle_key FROM meta`).Scan(&key); err != nil {
		return handleKey{}, wrap("reading the handle key", err)
	}
	block, err := aes.NewCipher(key)
	return handleKey{block}, wrap("reading the handle key", err)
}

// of returns the handle of the account with that number.
func (k handleKey) of(number int64) (h consent.Handle) {
	binary.BigEndian.PutUint64(h[:], uint64(number))
	binary.BigEndian.PutUint64(h[16:], uint64(number))
	h[31] = 1
	k.block.Encrypt(h[:16], h[:16])
	k.block.Encrypt(h[16:], h[16:])
	return h
}

// account returns the number of the account of that handle, and whether this
// store can have made it. The account may be gone.
func (k handleKey) account(h consent.Handle) (number int64, ok bool) {
	var plain [16]byte
	k.block.Decrypt(plain[:], h[:16])
	number = int64(binary.BigEndian.Uint64(plain[:]))
	return number, number > 0 && k.of(number) == h
}
