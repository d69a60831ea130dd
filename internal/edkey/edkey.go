// Package edkey tells Ed25519 public keys that can bind their owner from those that
// cannot. RFC 8032's verification takes any point for a key: under one of small
// order, signatures verify that anybody can write down, over any text, so who has
// such a key can disown whatever it signed, and be anybody who registered it.
package edkey

import (
	"crypto/ed25519"
	"encoding/hex"
)

// smallOrder are the y-coordinates of the points whose order divides 8, little-endian:
// 0 (order 4), 1 (1), −1 (2), and two of order 8. The sign of x is masked.
var smallOrder = [][32]byte{
	y("0000000000000000000000000000000000000000000000000000000000000000"),
	y("0100000000000000000000000000000000000000000000000000000000000000"),
	y("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	y("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
	y("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}

func y(digits string) [32]byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return [32]byte(b)
}

// Valid reports whether key is 32 bytes, the one encoding of its point (RFC 8032
// §5.1.3: y below 2^255 − 19), and not of small order. That it is a point at all,
// ed25519.Verify finds out.
func Valid(key ed25519.PublicKey) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	masked := [32]byte(key)
	masked[31] &= 0x7f
	for _, small := range smallOrder {
		if masked == small {
			return false
		}
	}
	return reduced(&masked)
}

// reduced reports whether y is below 2^255 − 19, which is ed ff … ff 7f.
func reduced(y *[32]byte) bool {
	if y[31] != 0x7f || y[0] < 0xed {
		return true
	}
	for _, b := range y[1:31] {
		if b != 0xff {
			return true
		}
	}
	return false
}
