// Package input holds the bytes that enter the pseudorandom function, and
// nothing else. Only consent and psi may import it (imports_test.go): an Input
// is made from an admitted consent record, and there is no other way to make
// one.
package input

import (
	"fmt"
	"log/slog"
)

// Len is the length of x in bytes (PROTOCOL.md §3).
const Len = 44

// Advertising is the one purpose an Input may have (PROTOCOL.md §3).
const Advertising = 0x01

const prefix = "AMPSI-V01\x00"

// Input is x, the protocol's name for one identifier of one class:
//
//	x = "AMPSI-V01" ‖ 0x00 ‖ I2OSP(purpose,1) ‖ I2OSP(class,1) ‖ h
//
// The zero Input stands for nobody and is what a pad is made of.
type Input struct{ x [Len]byte }

// New returns the Input of the identifier whose SHA-256 is h. The class fixes
// the identifier's kind and its profile of normalisation.
func New(class byte, h *[32]byte) Input {
	var in Input
	n := copy(in.x[:], prefix)
	in.x[n] = Advertising
	in.x[n+1] = class
	copy(in.x[n+2:], h[:])
	return in
}

// Bytes returns x.
func (in *Input) Bytes() *[Len]byte { return &in.x }

// IsZero reports whether in stands for nobody.
func (in *Input) IsZero() bool { return in.x[0] == 0 }

// Format prints REDACTED whatever the verb: h can be inverted by a dictionary.
func (Input) Format(f fmt.State, _ rune) { fmt.Fprint(f, "REDACTED") }

// LogValue keeps h out of structured logs.
func (Input) LogValue() slog.Value { return slog.StringValue("REDACTED") }
