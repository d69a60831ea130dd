package table

import (
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// What is kept of a chunk does not depend on how many pads are in it: between an
// answer and the next question the peer could see the difference.
func TestPadsTakeAsMuchRoom(t *testing.T) {
	const n = 1 << 14
	for _, memory := range []int{0, 20_000} {
		var lens [2]int64
		for i, outs := range [][]psi.Output{random(seeded(60), n), make([]psi.Output, n)} {
			q, err := NewQueries(Options{Dir: t.TempDir(), TokenLen: 16, Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Add(outs, 7); err != nil {
				t.Fatal(err)
			}
			for b := range q.p.bucket {
				at := int64(0)
				for _, e := range q.p.bucket[b].extents {
					at += int64(e.len)
				}
				for _, page := range q.p.bucket[b].pages {
					at += int64(len(page))
				}
				if at < n/buckets/2*24 || at > 2*n/buckets*24 {
					t.Errorf("a bucket of %d bytes", at)
				}
				lens[i] += at
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if lens[0] != lens[1] || lens[0] != n*24 {
			t.Errorf("memory %d: outputs take %d bytes, pads %d", memory, lens[0], lens[1])
		}
	}
}

// BenchmarkAdd shows that a pad is put aside as any other output is.
func BenchmarkAdd(b *testing.B) {
	const n = 1 << 14
	for name, outs := range map[string][]psi.Output{"outputs": random(seeded(61), n), "pads": make([]psi.Output, n)} {
		b.Run(name, func(b *testing.B) {
			q, err := NewQueries(Options{Dir: b.TempDir(), TokenLen: 16, Memory: 8 << 20})
			if err != nil {
				b.Fatal(err)
			}
			defer q.Close()
			for b.Loop() { // most of it spilled, as in a large session
				if err := q.Add(outs, 0); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/output")
		})
	}
}
