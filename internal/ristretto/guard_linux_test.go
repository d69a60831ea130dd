//go:build !purego

package ristretto

import (
	"testing"
	"unsafe"

	"github.com/bwesterb/go-ristretto/edwards25519"

	"github.com/overlap-psi/overlap/internal/guardpage"
)

// guarded returns a T that ends where a page begins that can't be touched: a
// vector instruction that reads or writes past its operand crashes the test.
func guarded[T any](t *testing.T, value T) *T {
	t.Helper()
	x := (*T)(unsafe.Pointer(unsafe.SliceData(guardpage.Between(t, int(unsafe.Sizeof(value)), true))))
	*x = value
	return x
}

// TestGuardPage runs every assembly function on operands that each end at such a
// page, and compares with Go's.
func TestGuardPage(t *testing.T) {
	needIFMA(t)
	s := newSource(64)
	x, y, z := guarded(t, s.lanes()), guarded(t, s.lanes()), guarded(t, lanes{})
	two, four := guarded(t, [2]lanes{s.lanes(), s.lanes()}), guarded(t, [2]lanes{})
	m, d := guarded(t, s.mask()), guarded(t, s.digits())
	p, c, a := guarded(t, s.points8()), guarded(t, s.cached8()), guarded(t, s.affine8())
	table, shared := guarded(t, [8]cached{s.cached8(), s.cached8()}), guarded(t, [8]niels{{yPlusX: s.canonicalLimbs()}})
	v := guarded(t, [width]edwards25519.ExtendedPoint{})
	at := guarded(t, [width]int64{7, 6, 5, 4, 3, 2, 1, 0})
	start := [...]any{*p, *c, *a}
	var results [2][]any
	for i := range results {
		*p, *c, *a = start[0].(points), start[1].(cached), start[2].(affine)
		under(true, i == 1, func() {
			for _, op := range []func() any{
				func() any { z.mul(x, y); return *z },
				func() any { z.square(x, 2); return *z },
				func() any { squareTwo(four, two, 2); return *four },
				func() any { z.add(x, y); return *z },
				func() any { z.sub(x, y); return *z },
				func() any { z.choose(x, y, m); return *z },
				func() any { z.canonical(x); return *z },
				func() any { p.double(2); return *p },
				func() any { p.add(c); return *p },
				func() any { p.addAffine(a); return *p },
				func() any { a.negateIf(a, m); return *a },
				func() any { c.pick(table, d); return *c },
				func() any { a.pick(shared, d); return *a },
				func() any { p.scatter(v[:], at); return *v },
				func() any { p.gather(v[:], at); return *p },
			} {
				results[i] = append(results[i], op())
			}
		})
	}
	for k := range results[0] {
		if results[0][k] != results[1][k] {
			t.Errorf("operation %d: assembly and Go differ", k)
		}
	}
}
