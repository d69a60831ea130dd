package psi

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// ElementError says which element of a chunk could not be decoded, never what
// it was. It wraps AbortMalformed.
type ElementError struct{ Index int }

func (e *ElementError) Error() string {
	return fmt.Sprintf("psi: element %d of the chunk is not a valid group element", e.Index)
}

// Unwrap returns the code the peer is told.
func (e *ElementError) Unwrap() error { return AbortMalformed }

// decode turns a peer's elements into group elements, or into an *ElementError
// for the first that RFC 9496 §4.3.1 refuses or that is the identity.
func decode(e []Element) (*ristretto.Vector, error) {
	parts := make([]*ristretto.Vector, len(e))
	bad := make([]error, len(e))
	each(len(e), func(lo, hi int) { parts[lo], bad[lo] = ristretto.Decode(e[lo:hi]) })
	var joined ristretto.Vector
	for i := range parts {
		if bad[i] != nil {
			var d *ristretto.DecodeError
			if !errors.As(bad[i], &d) {
				return nil, bad[i]
			}
			return nil, &ElementError{i + d.Index}
		}
		if parts[i] != nil {
			joined.Append(parts[i])
		}
	}
	return &joined, nil
}

// sum computes Σ d_i·v_i over public values.
func sum(v *ristretto.Vector, d []ristretto.Scalar) *ristretto.Vector {
	parts := make([]*ristretto.Vector, len(d))
	each(len(d), func(lo, hi int) { parts[lo] = v.Slice(lo, hi).SumVartime(d[lo:hi]) })
	total := parts[0]
	for _, p := range parts[1:] {
		if p != nil {
			total = total.Add(p)
		}
	}
	return total
}

// each splits [0, n) into runs, one for each processor, and calls f for all of
// them at once. It returns when all have returned. Nothing else in this package
// or the kernel below starts a goroutine.
func each(n int, f func(lo, hi int)) {
	const least = 64 // items worth a goroutine
	workers := min(runtime.GOMAXPROCS(0), (n+least-1)/least)
	if workers <= 1 {
		if n > 0 {
			f(0, n)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { f(w*n/workers, (w+1)*n/workers) })
	}
	wg.Wait()
}

func mustMatch(a, b int) {
	if a != b {
		panic("psi: slices of different lengths")
	}
}

// mustBeBatch panics unless a proof over n elements can be made: RFC 9497 counts
// them in 16 bits, and from 65536 on two of them would have one coefficient's
// number.
func mustBeBatch(n int) {
	if n < 1 || n > 65535 {
		panic("psi: a batch has 1 to 65535 elements")
	}
}

// appendElements appends the bytes of e, as a frame's body has them.
func appendElements(dst []byte, e []Element) []byte {
	for i := range e {
		dst = append(dst, e[i][:]...)
	}
	return dst
}

// parseElements reads a frame's elements; whether they are group elements is
// decode's to say.
func parseElements(b []byte) []Element {
	e := make([]Element, len(b)/len(Element{}))
	for i := range e {
		e[i] = Element(b[i*len(Element{}):])
	}
	return e
}
