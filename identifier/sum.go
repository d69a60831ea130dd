package identifier

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
)

// junk are the values whose hashes fill lists: what systems hash when they
// have no address and no number. Exact bytes, so "Null" is not among them.
var junk = append([]string{"", "NULL", "+10000000000", "+0"}, placeholders[:]...)

var junkSums = func() map[[32]byte]bool {
	sums := make(map[[32]byte]bool, len(junk))
	for _, s := range junk {
		sums[sha256.Sum256([]byte(s))] = true
	}
	return sums
}()

// The alphabets of RFC 4648 §4 and §5. Strict refuses bits after the last byte,
// so that one sum has one spelling in each.
var (
	base64Std = base64.RawStdEncoding.Strict()
	base64URL = base64.RawURLEncoding.Strict()
)

// ParseSum reads the SHA-256, made elsewhere, of a value normalised under c's
// profile: 64 hexadecimal digits in either case, or Base64 in either alphabet
// with or without its padding. The error is the Code of the first step that
// raw fails. A hash of a hash, or of a value that was not normalised, cannot be
// told from a good one: it matches nobody. It panics if there is no class c.
func (c Class) ParseSum(raw string) (Identifier, error) {
	if c.Kind() == 0 {
		panic("identifier: ParseSum for a class that does not exist")
	}
	return parseSum(c, raw)
}

func parseSum(c Class, raw string) (Identifier, error) {
	s, err := strip(raw)
	switch {
	case err != nil:
		return Identifier{}, err
	case hasPrefix(s):
		return Identifier{}, HashPrefix
	case strings.ContainsFunc(s, isForeign):
		return Identifier{}, HashAlphabet
	}
	var sum [32]byte
	if err := decodeSum(&sum, s); err != nil {
		return Identifier{}, err
	}
	if junkSums[sum] {
		return Identifier{}, HashOfJunk
	}
	var digits [64]byte
	hex.Encode(digits[:], sum[:])
	return Identifier{class: c, sum: sum, normalized: string(digits[:])}, nil
}

// hasPrefix reports whether s begins as hashes do in program text, in a
// database's output or in a list of checksums. One Base64 sum in 2048 begins
// with 0x or 0X as well, and is refused.
func hasPrefix(s string) bool {
	var buf [len("sha256:")]byte
	start := string(lower(buf[:0], s[:min(len(s), len(buf))]))
	return strings.HasPrefix(start, "0x") || strings.HasPrefix(start, `\x`) ||
		start == "sha256:" || start == "sha256-"
}

// isForeign reports whether r is neither in an alphabet of Base64, which have
// the hexadecimal digits between them, nor their padding.
func isForeign(r rune) bool {
	switch {
	case r >= '0' && r <= '9', r >= 'A' && r <= 'Z', r >= 'a' && r <= 'z':
		return false
	}
	return !strings.ContainsRune("+/-_=", r)
}

// decodeSum sets sum to the 32 bytes that s encodes, or says what s seems to be
// instead: MD5, SHA-1, SHA-384 and SHA-512 have 16, 20, 48 and 64 bytes.
func decodeSum(sum *[32]byte, s string) error {
	if isHex(s) {
		return decodeHex(sum, s)
	}
	return decodeBase64(sum, s)
}

func isHex[T string | []byte](s T) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case b >= '0' && b <= '9', b >= 'A' && b <= 'F', b >= 'a' && b <= 'f':
		default:
			return false
		}
	}
	return true
}

func decodeHex(sum *[32]byte, s string) error {
	switch len(s) {
	case 64:
		return unhex(sum[:], s)
	case 128:
		var long [64]byte
		if err := unhex(long[:], s); err != nil {
			return err
		}
		return codeOf64(&long)
	case 32, 40, 96:
		return HashAlgorithm
	}
	return HashLength
}

func decodeBase64(sum *[32]byte, s string) error {
	var long [64]byte
	switch len(s) {
	case 43, 44:
		return unbase64(sum[:], s)
	case 86, 88:
		if err := unbase64(long[:], s); err != nil {
			return err
		}
		return codeOf64(&long)
	case 64:
		return HashAlphabet
	case 24:
		if unbase64(long[:16], s) == nil {
			return HashAlgorithm
		}
	case 28:
		if unbase64(long[:20], s) == nil {
			return HashAlgorithm
		}
	}
	return HashLength
}

// codeOf64 tells a hash that was encoded twice from a longer hash.
func codeOf64(b *[64]byte) Code {
	if isHex(b[:]) {
		return HashDoubleEncoded
	}
	return HashAlgorithm
}

// unhex fills dst with the bytes of s, up to 128 digits.
func unhex(dst []byte, s string) error {
	var buf [128]byte
	if _, err := hex.Decode(dst, buf[:copy(buf[:], s)]); err != nil {
		return HashAlphabet
	}
	return nil
}

// unbase64 fills dst with the bytes of s, up to 88 characters, in one alphabet
// and with all of its padding or none.
func unbase64(dst []byte, s string) error {
	alphabet := base64Std
	if strings.ContainsAny(s, "-_") {
		alphabet = base64URL
	}
	var buf [88]byte
	body := buf[:copy(buf[:], strings.TrimRight(s, "="))]
	if len(body) != alphabet.EncodedLen(len(dst)) {
		return HashAlphabet
	}
	if _, err := alphabet.Decode(dst, body); err != nil {
		return HashAlphabet
	}
	return nil
}
