package ristretto

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

// eachLength runs a law on every batch length, each with values of its own.
func eachLength(t *testing.T, law func(t *testing.T, s source, n int)) {
	for _, n := range lengths {
		t.Run(fmt.Sprint(n), func(t *testing.T) { law(t, newSource(byte(n)), n) })
	}
}

// equal compares elements the only way they are comparable, and checks on the
// way that no point of either is the kind that equals every point.
func equal(t *testing.T, law string, got, want *Vector) {
	t.Helper()
	checkPoints(t, got)
	checkPoints(t, want)
	equalBytes(t, law, encode(got), encode(want))
}

func equalBytes(t *testing.T, law string, got, want [][32]byte) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d elements, want %d", law, len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: element %d of %d = %x, want %x", law, i, len(got), got[i], want[i])
		}
	}
}

// checkPoints checks Z ≠ 0, XY = ZT and −X² + Y² = Z² + d·T².
func checkPoints(t *testing.T, v *Vector) {
	t.Helper()
	var d, left, right, x edwards25519.FieldElement
	d.SetBigInt(refD)
	for i := range v.p {
		p := &v.p[i]
		if p.Z.IsNonZeroI() == 0 {
			t.Fatalf("point %d was never set", i)
		}
		if !left.Mul(&p.X, &p.Y).Equals(right.Mul(&p.Z, &p.T)) {
			t.Fatalf("point %d: XY ≠ ZT", i)
		}
		left.Sub(left.Square(&p.Y), x.Square(&p.X))
		right.Mul(right.Square(&p.T), &d)
		right.Add(&right, x.Square(&p.Z))
		if !left.Equals(&right) {
			t.Fatalf("point %d isn't on the curve", i)
		}
	}
}

func TestAddition(t *testing.T) { eachImplementation(t, testAddition) }

func testAddition(t *testing.T) {
	eachLength(t, func(t *testing.T, s source, n int) {
		u, v, w := s.vector(n), s.vector(n), s.vector(n)
		equal(t, "(u + v) + w = u + (v + w)", u.Add(v).Add(w), u.Add(v.Add(w)))
		equal(t, "u + v = v + u", u.Add(v), v.Add(u))
		none := Generator().Mul(make([]Scalar, n))
		equal(t, "v + 0 = v", v.Add(none), v)
		minusOne := edges[5]
		equal(t, "v + (−1)·v = 0", v.Add(v.Mul(&minusOne)), none)
		equalBytes(t, "0 encodes to zeros", encode(none), make([][32]byte, n))
	})
}

func TestMultiplication(t *testing.T) { eachImplementation(t, testMultiplication) }

func testMultiplication(t *testing.T) {
	eachLength(t, func(t *testing.T, s source, n int) {
		v, w, k, l := s.vector(n), s.vector(n), s.scalar(), s.scalar()
		sum, product := k.Add(&l), k.Mul(&l)
		equal(t, "k·(v + w) = k·v + k·w", v.Add(w).Mul(&k), v.Mul(&k).Add(w.Mul(&k)))
		equal(t, "(k + l)·v = k·v + l·v", v.Mul(&sum), v.Mul(&k).Add(v.Mul(&l)))
		equal(t, "(k·l)·v = k·(l·v)", v.Mul(&product), v.Mul(&l).Mul(&k))
	})
}

func TestDecodeEncode(t *testing.T) { eachImplementation(t, testDecodeEncode) }

func testDecodeEncode(t *testing.T) {
	eachLength(t, func(t *testing.T, s source, n int) {
		v := FromUniform(s.uniform(n))
		enc := encode(v)
		equal(t, "Decode undoes Encode", mustDecode(t, enc...), v)
	})
	v, err := Decode(nil)
	if err != nil || v.Len() != 0 {
		t.Errorf("Decode of nothing = %v, %v", v, err)
	}
}

// bases returns both kinds of table, with their elements.
func bases(s source) map[*Base][32]byte {
	random, enc := s.base()
	return map[*Base][32]byte{
		random:      enc,
		Generator(): encode(Generator().Mul([]Scalar{small(1)}))[0],
	}
}

func TestFixedBase(t *testing.T) { eachImplementation(t, testFixedBase) }

func testFixedBase(t *testing.T) {
	if *Generator().table == (edwards25519.ScalarMultTable{}) {
		t.Fatal("the generator has no table")
	}
	eachLength(t, func(t *testing.T, s source, n int) {
		for b, enc := range bases(s) {
			r := s.scalars(n)
			if n == 300 {
				copy(r, edges) // all of them
			}
			v, one := s.vector(n), mustDecode(t, enc)
			plain, minus := new(Vector), new(Vector)
			portably(func() {
				for i := range r {
					negative := r[i].Neg()
					plain.Append(one.Mul(&r[i]))
					minus.Append(one.Mul(&negative))
				}
			})
			equal(t, "r·B from the table", b.Mul(r), plain)
			equal(t, "v + r·B", v.AddMulBase(b, r), v.Add(plain))
			equal(t, "v − r·B", v.SubMulBase(b, r), v.Add(minus))
			got := make([][32]byte, n)
			v.AddMulBaseEncode(got, b, r)
			equalBytes(t, "v + r·B, encoded", got, encode(v.AddMulBase(b, r)))
			v.SubMulBaseEncode(got, b, r)
			equalBytes(t, "v − r·B, encoded", got, encode(v.SubMulBase(b, r)))
			equal(t, "(v + r·B) − r·B", v.AddMulBase(b, r).SubMulBase(b, r), v)
		}
	})
}

func TestMulEncode(t *testing.T) { eachImplementation(t, testMulEncode) }

func testMulEncode(t *testing.T) {
	check := func(t *testing.T, v *Vector, k *Scalar) {
		t.Helper()
		got := make([][32]byte, v.Len())
		v.MulEncode(got, k)
		equalBytes(t, "MulEncode = Mul, Encode", got, encode(v.Mul(k)))
	}
	eachLength(t, func(t *testing.T, s source, n int) {
		v, k := s.vector(n), s.scalar()
		check(t, v, &k)
		// Points with Z ≠ 1, as sums and products have.
		check(t, v.AddMulBase(Generator(), s.scalars(n)), &k)
	})
	s := newSource(99)
	for i := range edges {
		check(t, s.vector(9), &edges[i])
	}
	// A zero at any place of the shared inversion, alone or among others.
	// (TestInvert does that for the lanes; in Go they are slow.)
	for at := range span + 1 {
		if eight && !ifma && at%16 != 0 {
			continue
		}
		v := FromUniform(s.uniform(span + 1))
		v.p[at].SetZero()
		v.p[s.pick(span+1)].SetZero()
		k := s.scalar()
		check(t, v, &k)
	}
	zeros := Generator().Mul(make([]Scalar, span+1))
	k := s.scalar()
	check(t, zeros, &k)
}

// TestRepresentatives checks that the four points which are one element encode
// to the same bytes, by both ways of encoding.
func TestRepresentatives(t *testing.T) { eachImplementation(t, testRepresentatives) }

func testRepresentatives(t *testing.T) {
	s := newSource(7)
	torsion := newVector(4)
	torsion.p[0].SetZero()
	torsion.p[1].SetTorsion1()
	torsion.p[2].SetTorsion2()
	torsion.p[3].SetTorsion3()
	one := small(1)
	for range 50 {
		v := s.vector(1)
		want := encode(v)[0]
		for i := range torsion.p {
			moved := v.Add(torsion.Slice(i, i+1))
			equal(t, "representative", moved, v)
			got := make([][32]byte, 1)
			moved.MulEncode(got, &one)
			equalBytes(t, "representative, doubled", got, [][32]byte{want})
			// The double of a point is one of the element's four points again, so
			// encode it without going through half of it too.
			var twice doubled
			var inv edwards25519.FieldElement
			twice.set(&moved.p[0])
			inv.Inverse(inv.Mul(&twice.eg, &twice.fh)) // of 0 it is 0
			twice.encode(&got[0], &inv)
			equalBytes(t, "2·representative", got, encode(v.Add(v)))
		}
	}
}

func TestSumVartime(t *testing.T) { eachImplementation(t, testSumVartime) }

func testSumVartime(t *testing.T) {
	eachLength(t, func(t *testing.T, s source, n int) {
		v, d := s.vector(n), s.scalars(n)
		if n == 300 {
			copy(d, edges)
		}
		equal(t, "Σ d·v", v.SumVartime(d), naiveSum(v, d))
		for i := range d {
			d[i] = edges[5]
		}
		equal(t, "Σ −v", v.SumVartime(d), naiveSum(v, d))
	})
	s := newSource(200)
	v, d := FromUniform(s.uniform(2000)), s.scalars(2000)
	want := naiveSum(v, d)
	equal(t, "Σ d·v of 2000", v.SumVartime(d), want)
	decoded := mustDecode(t, encode(v)...) // every Z is 1
	equal(t, "Σ d·v of 2000, decoded", decoded.SumVartime(d), want)
	mixed := decoded.Slice(0, 1999)
	mixed.Append(v.Slice(1999, 2000))
	equal(t, "Σ d·v of 2000, all but one decoded", mixed.SumVartime(d), want)
	same := Generator().Mul(slices.Repeat([]Scalar{small(5)}, 40))
	equal(t, "Σ d·v of one element", same.SumVartime(d[:40]), naiveSum(same, d[:40]))
}

func TestSumPartVartime(t *testing.T) { eachImplementation(t, testSumPartVartime) }

// testSumPartVartime: the parts' sum is the whole, also of more parts than a sum has
// windows; no part of several has all of it.
func testSumPartVartime(t *testing.T) {
	s := newSource(201)
	for _, n := range []int{0, 1, 9, 300} {
		v, d := s.vector(n), s.scalars(n)
		want := naiveSum(v, d)
		for _, parts := range []int{1, 2, 3, 16, 200} {
			sum := Generator().Mul(make([]Scalar, 1))
			for part := range parts {
				one := v.SumPartVartime(d, part, parts)
				if n > 0 && parts > 1 && encode(one)[0] == encode(want)[0] {
					t.Errorf("part %d of %d, of %d elements, is the whole sum", part, parts, n)
				}
				sum = sum.Add(one)
			}
			equal(t, fmt.Sprintf("%d parts of %d", parts, n), sum, want)
		}
	}
}

func naiveSum(v *Vector, d []Scalar) *Vector {
	sum := Generator().Mul(make([]Scalar, 1))
	portably(func() {
		for i := range d {
			sum = sum.Add(v.Slice(i, i+1).Mul(&d[i]))
		}
	})
	return sum
}

func TestSliceAppend(t *testing.T) { eachImplementation(t, testSliceAppend) }

func testSliceAppend(t *testing.T) {
	s := newSource(3)
	v, w := s.vector(9), s.vector(4)
	before := encode(v)
	joined := v.Slice(0, 5)
	joined.Append(w)
	equalBytes(t, "Slice and Append", encode(joined), append(encode(v)[:5:5], encode(w)...))
	equalBytes(t, "appending to a slice leaves the whole alone", encode(v), before)
	if v.Slice(2, 2).Len() != 0 || new(Vector).Len() != 0 || joined.Len() != 9 {
		t.Error("wrong length")
	}
}

// TestInPlace sets parts of a Vector, which leaves the others alone.
func TestInPlace(t *testing.T) { eachImplementation(t, testInPlace) }

func testInPlace(t *testing.T) {
	s := newSource(6)
	u := s.uniform(30)
	want := encode(FromUniform(u))
	v := NewVector(30)
	equalBytes(t, "NewVector", encode(v), make([][32]byte, 30))
	v.Slice(3, 20).SetUniform(u[3:20])
	v.Slice(20, 30).SetUniform(u[20:])
	if err := v.Slice(0, 3).Decode(want[:3]); err != nil {
		t.Fatal(err)
	}
	equalBytes(t, "SetUniform and Decode", encode(v), want)
	v.Slice(5, 6).SetIdentity()
	want[5] = [32]byte{}
	equalBytes(t, "SetIdentity", encode(v), want)

	bad := append([][32]byte(nil), want[6:14]...)
	bad[4][0] ^= 1 // negative
	var d *DecodeError
	if err := v.Slice(6, 14).Decode(bad); !errors.As(err, &d) || d.Index != 4 {
		t.Fatalf("a bad element: %v", err)
	}
	clear(want[6:14])
	checkPoints(t, v)
	equalBytes(t, "a Decode that failed", encode(v), want)
}

func TestMisusePanics(t *testing.T) { eachImplementation(t, testMisusePanics) }

func testMisusePanics(t *testing.T) {
	v := newSource(4).vector(3)
	k := make([]Scalar, 2)
	for name, misuse := range map[string]func(){
		"Add":        func() { v.Add(v.Slice(0, 2)) },
		"Encode":     func() { v.Encode(make([][32]byte, 2)) },
		"MulEncode":  func() { v.MulEncode(make([][32]byte, 4), &k[0]) },
		"AddMulBase": func() { v.AddMulBase(Generator(), k) },
		"SubMulBase": func() { v.SubMulBase(Generator(), k) },
		"SumVartime": func() { v.SumVartime(k) },
		"Decode":     func() { v.Decode(make([][32]byte, 2)) },
		"SetUniform": func() { v.SetUniform(make([][64]byte, 4)) },

		"AddMulBaseEncode":      func() { v.AddMulBaseEncode(make([][32]byte, 3), Generator(), k) },
		"AddMulBaseEncode, dst": func() { v.AddMulBaseEncode(make([][32]byte, 2), Generator(), make([]Scalar, 3)) },
		"SubMulBaseEncode":      func() { v.SubMulBaseEncode(make([][32]byte, 3), Generator(), k) },
		"SubMulBaseEncode, dst": func() { v.SubMulBaseEncode(make([][32]byte, 2), Generator(), make([]Scalar, 3)) },
		"zero Base":             func() { new(Base).Mul(k) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			misuse()
		}()
	}
}

func TestRedacted(t *testing.T) {
	k := edges[5]
	v := Generator().Mul([]Scalar{k})
	for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%d", "%q"} {
		for _, x := range []any{k, &k, []Scalar{k}, v, *v} {
			if out := fmt.Sprintf(verb, x); strings.Trim(out, "[]") != "REDACTED" && verb != "%#v" ||
				!strings.Contains(out, "REDACTED") {
				t.Errorf("%s of %T: %s", verb, x, out)
			}
		}
	}
	var text strings.Builder
	slog.New(slog.NewTextHandler(&text, nil)).Info("", "k", k, "v", v)
	if strings.Count(text.String(), "REDACTED") != 2 {
		t.Error(text.String())
	}
}

// TestAllocations checks that a batch costs the same few allocations however
// long it is.
func TestAllocations(t *testing.T) { eachImplementation(t, testAllocations) }

func testAllocations(t *testing.T) {
	s := newSource(5)
	const n = 40
	u, r, k, out := s.uniform(n), s.scalars(n), s.scalar(), make([][32]byte, n)
	v := FromUniform(u)
	enc := encode(v)
	for name, op := range map[string]func(n int){
		"Decode":      func(n int) { Decode(enc[:n]) },
		"FromUniform": func(n int) { FromUniform(u[:n]) },
		"Mul":         func(n int) { v.Slice(0, n).Mul(&k) },
		"MulEncode":   func(n int) { v.Slice(0, n).MulEncode(out[:n], &k) },
		"Encode":      func(n int) { v.Slice(0, n).Encode(out[:n]) },
		"Base.Mul":    func(n int) { Generator().Mul(r[:n]) },
		"AddMulBase":  func(n int) { v.Slice(0, n).AddMulBase(Generator(), r[:n]) },
		"SubMulBase":  func(n int) { v.Slice(0, n).SubMulBase(Generator(), r[:n]) },
		"SumVartime":  func(n int) { v.Slice(0, n).SumVartime(r[:n]) },
		"SetUniform":  func(n int) { v.Slice(0, n).SetUniform(u[:n]) },
		"in place":    func(n int) { v.Slice(0, n).Decode(enc[:n]) },

		"AddMulBaseEncode": func(n int) { v.Slice(0, n).AddMulBaseEncode(out[:n], Generator(), r[:n]) },
		"SubMulBaseEncode": func(n int) { v.Slice(0, n).SubMulBaseEncode(out[:n], Generator(), r[:n]) },
	} {
		few := testing.AllocsPerRun(3, func() { op(2) })
		many := testing.AllocsPerRun(3, func() { op(n) })
		if many > few+n/4 || many > n/4 { // but for a scratch that the collector, or the race detector, took
			t.Errorf("%s: %v allocations for 2 elements, %v for %d", name, few, many, n)
		}
	}
}
