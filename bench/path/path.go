// Package path switches between the implementations of Overlap's arithmetic, so
// that one process can measure and compare them.
package path

import (
	"errors"
	"fmt"

	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/internal/sha256x16"
	"github.com/overlap-psi/overlap/internal/sha512x8"
)

// The implementations: what this machine's processor selects, and what runs where
// there is no assembly for it.
const (
	Selected = "overlap"
	Portable = "overlap-portable"
)

// All has each implementation once.
var All = []string{Selected, Portable}

// Select makes the kernel, SHA-512 and SHA-256 use an implementation until restore is
// called. It is not for use by several goroutines.
func Select(name string) (restore func(), err error) {
	switch name {
	case Selected:
		return func() {}, nil
	case Portable:
		arithmetic, err := ristretto.Select(ristretto.Portable)
		if err != nil {
			return nil, fmt.Errorf("path: %w", err)
		}
		tokens, trees := sha512x8.Portable(), sha256x16.Portable()
		return func() { trees(); tokens(); arithmetic() }, nil
	}
	return nil, errors.New("path: no such implementation: " + name)
}
