package ristretto

import "testing"

// perElement runs op, which handles n elements, under each implementation that is
// meant to be fast, and reports its time for one.
func perElement(b *testing.B, n int, op func()) {
	defer func(e, f bool) { eight, ifma = e, f }(eight, ifma)
	for _, i := range implementations {
		if i.name == "lanes-go" || i.ifma && !hasIFMA {
			continue
		}
		b.Run(i.name, func(b *testing.B) {
			eight, ifma = i.eight, i.ifma
			each(b, n, op)
		})
	}
}

func each(b *testing.B, n int, op func()) {
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/elem")
}

const benchmarked = 256

func BenchmarkDecodeMulEncode(b *testing.B) {
	s := newSource(50)
	in, out, k := encode(FromUniform(s.uniform(benchmarked))), make([][32]byte, benchmarked), ScalarFromUniform(block(0))
	perElement(b, benchmarked, func() { mustDecode(b, in...).MulEncode(out, &k) })
}

func BenchmarkDecode(b *testing.B) {
	in := encode(FromUniform(newSource(50).uniform(benchmarked)))
	perElement(b, benchmarked, func() { mustDecode(b, in...) })
}

func BenchmarkMul(b *testing.B) {
	v, k := FromUniform(newSource(50).uniform(benchmarked)), ScalarFromUniform(block(0))
	perElement(b, benchmarked, func() { v.Mul(&k) })
}

func BenchmarkEncode(b *testing.B) {
	v, out := FromUniform(newSource(50).uniform(benchmarked)), make([][32]byte, benchmarked)
	perElement(b, benchmarked, func() { v.Encode(out) })
}

func BenchmarkFromUniformEncode(b *testing.B) {
	u, out := newSource(50).uniform(benchmarked), make([][32]byte, benchmarked)
	perElement(b, benchmarked, func() { FromUniform(u).Encode(out) })
}

func BenchmarkBaseMul(b *testing.B) {
	s := newSource(50)
	r := s.scalars(benchmarked)
	key, _ := s.base()
	perElement(b, benchmarked, func() { key.Mul(r) })
}

func BenchmarkAddMulBase(b *testing.B) {
	s := newSource(50)
	v, r := FromUniform(s.uniform(benchmarked)), s.scalars(benchmarked)
	perElement(b, benchmarked, func() { v.AddMulBase(Generator(), r) })
}

func BenchmarkNewBase(b *testing.B) {
	_, enc := newSource(50).base()
	perElement(b, 1, func() { NewBase(&enc) })
}

func BenchmarkSumVartime(b *testing.B) {
	const chunk = 16384
	s := newSource(50)
	u, d := s.uniform(chunk), make([]Scalar, chunk)
	for i := range d {
		d[i] = ScalarFromUniform(&u[i])
	}
	v := mustDecode(b, encode(FromUniform(u))...)
	perElement(b, chunk, func() { v.SumVartime(d) })
}

// BenchmarkCircl is what a Go programmer would have without this package.
func BenchmarkCircl(b *testing.B) {
	s := newSource(50)
	u, scalar := s.uniform(1)[0], circlScalar(ScalarFromUniform(block(0)))
	enc, _ := circl.HashToElement(u[:], nil).MarshalBinaryCompress()
	e := circl.NewElement()
	decode := func() { e.UnmarshalBinary(enc) }
	encode := func() { e.MarshalBinaryCompress() }
	hash := func() { e = circl.HashToElement(u[:], nil) }
	mul := func() { e.Mul(e, scalar) }
	for _, op := range []struct {
		name  string
		steps []func()
	}{
		{"DecodeMulEncode", []func(){decode, mul, encode}},
		{"FromUniformEncode", []func(){hash, encode}},
		{"Blind", []func(){hash, mul, encode}},
	} {
		b.Run(op.name, func(b *testing.B) {
			each(b, 1, func() {
				for _, step := range op.steps {
					step()
				}
			})
		})
	}
}
