package ristretto

import (
	"math/big"
	"testing"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// limb returns a limb as reduced ones may be, half of them from the edges: of
// carries, of p and of the bound itself.
func (s source) limb() uint64 {
	const bound = 1<<51 + 1<<16
	edges := []uint64{0, 1, 18, 19, 20, mask51 - 19, mask51 - 18, mask51 - 1, mask51, 1 << 51, 1<<51 + 1, bound - 1}
	if s.pick(2) == 0 {
		return edges[s.pick(len(edges))]
	}
	return s.r.Uint64() % bound
}

// lanes returns eight elements; some are 0, p − 1, p, p + 1 or the bound in
// every limb.
func (s source) lanes() (x lanes) {
	const p0 = mask51 - 18
	whole := [][5]uint64{
		{}, {1}, {19}, {p0 - 1, mask51, mask51, mask51, mask51}, {p0, mask51, mask51, mask51, mask51},
		{p0 + 1, mask51, mask51, mask51, mask51}, {mask51, mask51, mask51, mask51, mask51},
		{1<<51 + 1<<16 - 1, 1<<51 + 1<<16 - 1, 1<<51 + 1<<16 - 1, 1<<51 + 1<<16 - 1, 1<<51 + 1<<16 - 1},
		{p0 - 1, 1 << 51, mask51, mask51, mask51}, {p0 - 19, 0, 1 << 51, mask51, mask51},
	}
	for l := range width {
		edge := whole[s.pick(len(whole))]
		random := s.pick(2) == 0
		for i := range x {
			if x[i][l] = edge[i]; random {
				x[i][l] = s.limb()
			}
		}
	}
	return x
}

func (s source) points8() points { return points{s.lanes(), s.lanes(), s.lanes(), s.lanes()} }
func (s source) cached8() cached { return cached{s.lanes(), s.lanes(), s.lanes(), s.lanes()} }
func (s source) affine8() affine { return affine{s.lanes(), s.lanes(), s.lanes()} }

func (s source) mask() (m mask) {
	for l := range m {
		m[l] = -uint64(s.pick(2))
	}
	return m
}

func (s source) digits() (d [width]int64) {
	for l := range d {
		d[l] = int64(s.pick(17)) - 8
	}
	return d
}

// value returns lane l of x as a number modulo p.
func (x *lanes) value(l int) *big.Int {
	n := new(big.Int)
	for i := 4; i >= 0; i-- {
		n.Add(n.Lsh(n, 51), new(big.Int).SetUint64(x[i][l]))
	}
	return mod(n)
}

func (x *lanes) checkReduced(t *testing.T) {
	t.Helper()
	for i := range x {
		for l := range x[i] {
			if x[i][l] >= 1<<51+1<<16 {
				t.Fatalf("limb %d of lane %d is not reduced", i, l)
			}
		}
	}
}

// TestField checks the field's functions, as selected, against big integers,
// with arguments of their own and in place.
func TestField(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		s := newSource(60)
		for range 500 {
			x, y, m := s.lanes(), s.lanes(), s.mask()
			for name, op := range map[string]struct {
				do   func(z, x, y *lanes)
				want func(x, y *big.Int, l int) *big.Int
			}{
				"mul":    {(*lanes).mul, func(x, y *big.Int, _ int) *big.Int { return mul(x, y) }},
				"square": {func(z, x, _ *lanes) { z.square(x, 1) }, func(x, _ *big.Int, _ int) *big.Int { return mul(x, x) }},
				"square, 3 times": {func(z, x, _ *lanes) { z.square(x, 3) }, func(x, _ *big.Int, _ int) *big.Int {
					return new(big.Int).Exp(x, big.NewInt(8), refP)
				}},
				"add": {(*lanes).add, func(x, y *big.Int, _ int) *big.Int { return add(x, y) }},
				"sub": {(*lanes).sub, func(x, y *big.Int, _ int) *big.Int { return sub(x, y) }},
				"choose": {func(z, x, y *lanes) { z.choose(x, y, &m) }, func(x, y *big.Int, l int) *big.Int {
					if m[l] != 0 {
						return x
					}
					return y
				}},
				"canonical": {func(z, x, _ *lanes) { z.canonical(x) }, func(x, _ *big.Int, _ int) *big.Int { return x }},
			} {
				for alias, run := range map[string]func(x, y lanes) (lanes, lanes, lanes){
					"z, x, y": func(x, y lanes) (z, _, _ lanes) { op.do(&z, &x, &y); return z, x, y },
					"x, x, y": func(x, y lanes) (_, _, _ lanes) { z := x; op.do(&z, &z, &y); return z, x, y },
					"y, x, y": func(x, y lanes) (_, _, _ lanes) { z := y; op.do(&z, &x, &z); return z, x, y },
					"x, x, x": func(x, _ lanes) (_, _, _ lanes) { z := x; op.do(&z, &z, &z); return z, x, x },
				} {
					z, x, y := run(x, y)
					z.checkReduced(t)
					for l := range width {
						want := op.want(x.value(l), y.value(l), l)
						if z.value(l).Cmp(want) != 0 {
							t.Fatalf("%s(%s), lane %d = %d, want %d", name, alias, l, z.value(l), want)
						}
						if name == "canonical" {
							var b [32]byte
							if z.bytes(l, &b); b != littleEndian(want) {
								t.Fatalf("canonical is %x, want %d", b, want)
							}
						}
					}
				}
			}
		}
	})
}

// TestTwins compares the assembly with its specification limb for limb.
func TestTwins(t *testing.T) {
	needIFMA(t)
	s := newSource(61)
	same := func(name string, f func() any) {
		t.Helper()
		defer func(was bool) { ifma = was }(ifma)
		ifma = true
		got := f()
		ifma = false
		if want := f(); got != want {
			t.Fatalf("%s: assembly and Go differ", name)
		}
	}
	for range 2000 {
		x, y, m := s.lanes(), s.lanes(), s.mask()
		two := [2]lanes{x, y}
		p, c, a := s.points8(), s.cached8(), s.affine8()
		d := s.digits()
		n := 1 + s.pick(4)
		same("mul", func() any { z := x; z.mul(&x, &y); return z })
		same("square", func() any { z := x; z.square(&z, n); return z })
		same("squareTwo", func() any { z := two; squareTwo(&z, &two, n); return z })
		same("add", func() any { z := x; z.add(&z, &y); return z })
		same("sub", func() any { z := x; z.sub(&y, &z); return z })
		same("choose", func() any { z := x; z.choose(&z, &y, &m); return z })
		same("canonical", func() any { z := x; z.canonical(&z); return z })
		same("negate", func() any { z := a; z.negateIf(&z, &m); return z })
		same("double", func() any { q := p; q.double(n); return q })
		same("add points", func() any { q := p; q.add(&c); return q })
		same("add affine points", func() any { q := p; q.addAffine(&a); return q })

		var table [8]cached
		var shared [8]niels
		for j := range table {
			table[j] = s.cached8()
			shared[j] = niels{s.canonicalLimbs(), s.canonicalLimbs(), s.canonicalLimbs()}
		}
		same("select", func() any { var z cached; z.pick(&table, &d); return z })
		same("select affine", func() any { var z affine; z.pick(&shared, &d); return z })

		v := newVector(20).p
		for i := range v {
			for _, f := range []*edwards25519.FieldElement{&v[i].X, &v[i].Y, &v[i].Z, &v[i].T} {
				for k := range f {
					f[k] = s.r.Uint64() >> 2
				}
			}
		}
		var at [width]int64
		for l := range at {
			at[l] = int64(s.pick(len(v)))
		}
		same("gather", func() any { var q points; q.gather(v, &at); return q })
		same("scatter", func() any {
			w := [20]edwards25519.ExtendedPoint(v)
			p.scatter(w[:], &at)
			return w
		})
	}
}

func (s source) canonicalLimbs() (x [5]uint64) {
	for i := range x {
		x[i] = s.limb() & mask51
	}
	return x
}

// TestSelect checks the selections against multiplication of a small group: the
// entry's number times the digit's sign.
func TestSelect(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		s := newSource(62)
		var table [8]cached
		var shared [8]niels
		for j := range table {
			table[j] = s.cached8()
			shared[j] = niels{s.canonicalLimbs(), s.canonicalLimbs(), s.canonicalLimbs()}
		}
		for d := int64(-8); d <= 8; d++ {
			digits := s.digits()
			l := s.pick(width)
			digits[l] = d
			var z cached
			var a affine
			z.pick(&table, &digits)
			a.pick(&shared, &digits)
			wantZ := identityCached
			wantA := affine{ones, ones, zeros}
			if d != 0 {
				e := shared[max(d, -d)-1]
				wantZ, wantA = table[max(d, -d)-1], affine{all(e.yPlusX), all(e.yMinusX), all(e.t2d)}
			}
			if d < 0 {
				wantZ.yPlusX, wantZ.yMinusX = wantZ.yMinusX, wantZ.yPlusX
				wantA.yPlusX, wantA.yMinusX = wantA.yMinusX, wantA.yPlusX
				wantZ.t2d.sub(&zeros, &wantZ.t2d)
				wantA.t2d.sub(&zeros, &wantA.t2d)
			}
			for name, pair := range map[string][2]*lanes{
				"Y + X": {&z.yPlusX, &wantZ.yPlusX}, "Y − X": {&z.yMinusX, &wantZ.yMinusX},
				"2d·T": {&z.t2d, &wantZ.t2d}, "2·Z": {&z.z2, &wantZ.z2},
				"affine Y + X": {&a.yPlusX, &wantA.yPlusX}, "affine Y − X": {&a.yMinusX, &wantA.yMinusX},
				"affine 2d·T": {&a.t2d, &wantA.t2d},
			} {
				for i := range 5 {
					if pair[0][i][l] != pair[1][i][l] {
						t.Fatalf("digit %d: wrong %s", d, name)
					}
				}
			}
		}
	})
}

func BenchmarkLanes(b *testing.B) {
	needIFMA(b)
	s := newSource(63)
	x, y, m, d := new(lanes), new(lanes), new(mask), new([width]int64)
	*x, *y, *d = s.lanes(), s.lanes(), s.digits()
	p, c, a := new(points), new(cached), new(affine)
	*p, *c, *a = s.points8(), s.cached8(), s.affine8()
	table, shared := new([8]cached), new([8]niels)
	two := new([2]lanes)
	v := newVector(64).p
	at := &[width]int64{3, 14, 15, 9, 26, 53, 5, 58}
	for _, op := range []struct {
		name string
		do   func()
	}{
		{"mul", func() { x.mul(x, y) }},
		{"square,100", func() { x.square(x, 100) }},
		{"squareTwo,100", func() { squareTwo(two, two, 100) }},
		{"add", func() { x.add(x, y) }},
		{"sub", func() { x.sub(x, y) }},
		{"choose", func() { x.choose(x, y, m) }},
		{"canonical", func() { x.canonical(y) }},
		{"double,4", func() { p.double(4) }},
		{"addCached", func() { p.add(c) }},
		{"addAffine", func() { p.addAffine(a) }},
		{"selectCached", func() { c.pick(table, d) }},
		{"selectAffine", func() { a.pick(shared, d) }},
		{"gather", func() { p.gather(v, at) }},
		{"scatter", func() { p.scatter(v, at) }},
	} {
		b.Run(op.name, func(b *testing.B) {
			for b.Loop() {
				op.do()
			}
		})
	}
}
