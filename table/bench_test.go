package table

import (
	"context"
	"path/filepath"
	"runtime/metrics"
	"strconv"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// peak is the most memory the process had at any look, in bytes.
type peak uint64

func (p *peak) look() {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	*p = max(*p, peak(s[0].Value.Uint64()-s[1].Value.Uint64()))
}

// looking is a context that looks at memory whenever it is looked at.
type looking struct {
	context.Context
	p *peak
}

func (l looking) Err() error {
	l.p.look()
	return nil
}

func (p *peak) report(b *testing.B, n int) {
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	b.ReportMetric(float64(*p)/(1<<20), "peak-MiB")
}

var benchSizes = []int{100_000, 1_000_000, 10_000_000}

// BenchmarkSeal is Add and Seal, to a file; making the outputs is most of Add's
// share and included.
func BenchmarkSeal(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			o := Options{Dir: b.TempDir(), TokenLen: 16}
			var p peak
			for b.Loop() {
				builder, _ := NewBuilder(o)
				addRandom(b, n, func(outs []psi.Output, _ int) error { p.look(); return builder.Add(outs) })
				table, err := builder.Seal(looking{ctx, &p}, filepath.Join(o.Dir, "table"), &psi.Seed{})
				if err != nil {
					b.Fatal(err)
				}
				table.Close()
			}
			p.report(b, n)
		})
	}
}

// BenchmarkMatch joins n queries, adding them included, with n entries.
func BenchmarkMatch(b *testing.B) {
	for _, n := range benchSizes {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			o := Options{Dir: b.TempDir(), TokenLen: 16}
			builder, _ := NewBuilder(o)
			addRandom(b, n, func(outs []psi.Output, _ int) error { return builder.Add(outs) })
			table, err := builder.Seal(ctx, filepath.Join(o.Dir, "table"), &psi.Seed{})
			if err != nil {
				b.Fatal(err)
			}
			defer table.Remove()
			var p peak
			for b.Loop() {
				q, _ := NewQueries(o)
				addRandom(b, n, func(outs []psi.Output, first int) error { return q.Add(outs, uint64(first)) })
				m, err := q.Match(looking{ctx, &p}, table.Chunks(psi.TableChunk(o.TokenLen)))
				if err != nil || m.Count() != uint64(n) {
					b.Fatal("not every query matched: ", err)
				}
				q.Close()
			}
			p.report(b, n)
		})
	}
}

func addRandom(b *testing.B, n int, add func(outs []psi.Output, first int) error) {
	rng := seeded(60)
	outs := make([]psi.Output, psi.ChunkElems)
	for first := 0; first < n; first += len(outs) {
		outs = outs[:min(len(outs), n-first)]
		for i := range outs {
			rng.Read(outs[i][:])
		}
		if err := add(outs, first); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSortBucket(b *testing.B) {
	const n = 40_000
	in := bucketOf(seeded(61), n, 16, 1, 0)
	dst := make([]byte, len(in))
	for b.Loop() {
		SortBucket(dst, in, 16)
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
}
