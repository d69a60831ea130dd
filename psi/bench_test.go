package psi

import "testing"

// chunkOf blinds and evaluates a full chunk for the benchmarks.
func chunkOf(b *testing.B) *answered {
	b.Helper()
	in := make([]Query, ChunkElems)
	for i, x := range inputs(ChunkElems) {
		in[i].Input = x
	}
	a := &answered{key: NewKey(), in: in, seed: NewSeed()}
	a.blinded, a.evaluated, a.proof = exchange(b, a.key, a.in, a.seed, 0, bindTo([32]byte{}, 0))
	a.bind = NewBind(&[32]byte{}, 0, a.blinded, a.evaluated)
	return a
}

// perElement runs op over full chunks and reports the time for one element.
func perElement(b *testing.B, op func()) {
	b.ReportAllocs()
	for b.Loop() {
		op()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/ChunkElems, "ns/elem")
}

func BenchmarkBlind(b *testing.B) {
	a := chunkOf(b)
	perElement(b, func() { must(b, Blind(a.blinded, a.in, a.seed, 0)) })
}

func BenchmarkBlindEvaluate(b *testing.B) {
	a := chunkOf(b)
	bind := func(e []Element) Bind { return NewBind(&[32]byte{}, 0, a.blinded, e) }
	perElement(b, func() {
		_, err := a.key.BlindEvaluate(a.evaluated, a.blinded, bind)
		must(b, err)
	})
}

func BenchmarkFinalize(b *testing.B) {
	a, out := chunkOf(b), make([]Output, ChunkElems)
	perElement(b, func() {
		must(b, a.key.Public().Finalize(out, a.in, a.blinded, a.evaluated, &a.proof, &a.bind, a.seed, 0))
	})
}

func BenchmarkEvaluate(b *testing.B) {
	a, out := chunkOf(b), make([]Output, ChunkElems)
	in := inputs(ChunkElems)
	perElement(b, func() { a.key.Evaluate(out, in) })
}

func BenchmarkTableHash(b *testing.B) {
	d := newDeal(b, 1, 1, ChunkElems)
	perElement(b, func() { must(b, NewTableHash(d.TokenLen, 0).Write(d.table)) })
}
