package ristretto

import "errors"

// The ways in which this package computes. They give the same bytes.
const (
	IFMA     = "ifma"     // eight elements at a time, AVX-512 IFMA
	Portable = "portable" // one at a time
)

// Implementation names the way in use: IFMA where the processor has it.
func Implementation() string {
	if eight && ifma {
		return IFMA
	}
	return Portable
}

// Select changes the way until restore is called. It is for benchmarks and
// comparisons, and not while other goroutines compute.
func Select(name string) (restore func(), err error) {
	fast := name == IFMA
	switch {
	case !fast && name != Portable:
		return nil, errors.New("ristretto: no such implementation")
	case fast && !hasIFMA:
		return nil, errors.New("ristretto: this processor or build has no AVX-512 IFMA")
	}
	e, f := eight, ifma
	eight, ifma = fast, fast
	return func() { eight, ifma = e, f }, nil
}
