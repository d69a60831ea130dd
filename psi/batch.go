package psi

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
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

// decoding turns a peer's elements into group elements, run by run.
type decoding struct {
	from []Element
	to   *ristretto.Vector // as many

	mu  sync.Mutex
	bad *ElementError // the first that is refused
}

// run decodes a run. It returns nil for one with an element that RFC 9496 §4.3.1
// refuses or that is the identity.
func (c *decoding) run(lo, hi int) *ristretto.Vector {
	v := c.to.Slice(lo, hi)
	err := v.Decode(c.from[lo:hi])
	if err == nil {
		return v
	}
	var refused *ristretto.DecodeError
	if errors.As(err, &refused) {
		lo += refused.Index
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.bad == nil || lo < c.bad.Index {
		c.bad = &ElementError{lo}
	}
	return nil
}

// err returns what was refused in all of the runs.
func (c *decoding) err() error {
	if c.bad == nil {
		return nil
	}
	return c.bad
}

// decode decodes all of from to v.
func decode(v *ristretto.Vector, from []Element) error {
	c := decoding{from: from, to: v}
	each(len(from), func(_ *desk, lo, hi int) { c.run(lo, hi) })
	return c.err()
}

// sums computes Σ d_i·v_i over public values, for each v of vs.
func sums(d []ristretto.Scalar, vs ...*ristretto.Vector) []*ristretto.Vector {
	split := (runtime.GOMAXPROCS(0) + len(vs) - 1) / len(vs) // parts of a sum
	split = max(1, min(split, len(d)/run))
	parts := make([]*ristretto.Vector, split*len(vs))
	tasks := make([]func(), len(parts))
	for t := range tasks {
		tasks[t] = func() { parts[t] = vs[t/split].SumPartVartime(d, t%split, split) }
	}
	atOnce(tasks...)
	totals := make([]*ristretto.Vector, len(vs))
	for i := range totals {
		totals[i] = parts[i*split]
		for _, part := range parts[i*split+1 : (i+1)*split] {
			totals[i] = totals[i].Add(part)
		}
	}
	return totals
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
	dst = slices.Grow(dst, len(e)*len(Element{}))
	for i := range e {
		dst = append(dst, e[i][:]...)
	}
	return dst
}

// parseElements reads a frame's elements, as many as e has; whether they are
// group elements is decoding's to say.
func parseElements(e []Element, body []byte) []Element {
	for i := range e {
		e[i] = Element(body[i*len(Element{}):])
	}
	return e
}
