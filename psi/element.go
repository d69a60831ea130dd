package psi

import "github.com/overlap-psi/overlap/internal/input"

// Input is x of PROTOCOL.md §3. It comes from consent.Eligible and from nowhere
// else; the zero Input stands for nobody.
type Input = input.Input

// Element is a group element as it travels: 32 bytes, RFC 9496 §4.3.2. Its zero
// value is the identity, which is refused wherever a peer could send it.
type Element = [32]byte

// Token is the first bytes of an Output, as long as the session's token length,
// followed by zeros; so tokens of one session compare and sort as they are.
type Token [32]byte

// Output is the pseudorandom function's value at one Input, 64 bytes. It is
// secret: whoever has one can recognise the identifier it belongs to. The zero
// Output is no function value and stands for a pad. It prints as REDACTED.
type Output [64]byte

// Token returns the first tokenLen bytes of o. tokenLen is at most 32.
func (o *Output) Token(tokenLen int) Token {
	var t Token
	copy(t[:tokenLen], o[:tokenLen])
	return t
}

// IsZero reports whether o is a pad's.
func (o *Output) IsZero() bool { return *o == Output{} }

// tail is the half of an output that never travels and proves its possession
// (PROTOCOL.md §6, §8.3).
func (o *Output) tail() []byte { return o[32:] }

// Query is what one element of a session's questions is made of. Salt is that
// of the item's consent leaf at the platform, zero at the advertiser; the blind
// depends on it, so that an erased leaf takes its blind along (PROTOCOL.md §10).
// A Query without Input is a pad. It prints as REDACTED.
type Query struct {
	Input Input
	Salt  [32]byte
}
