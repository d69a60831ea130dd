package path

import "github.com/overlap-psi/overlap/internal/sha512x8"

// Prefix is what all messages of a batch begin with.
type Prefix = sha512x8.Prefix

// NewPrefix returns the prefix with these bytes, a multiple of 128.
func NewPrefix(blocks []byte) *Prefix { return sha512x8.NewPrefix(blocks) }
