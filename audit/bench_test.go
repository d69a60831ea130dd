package audit

import (
	"fmt"
	"os"
	"testing"
)

// Append waits for the disk: a log of its own for each, since its cost does not
// depend on what is there already.
func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l := openLog(b, b.TempDir())
			batch := entriesFrom(0, n)
			for i := range batch {
				batch[i] = append(batch[i], make([]byte, 300)...)
			}
			b.ResetTimer()
			for range b.N {
				if _, err := l.Append(batch...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	const n = 20_000
	for _, content := range []Content{AnyBytes, PublicEvents} {
		b.Run(map[Content]string{AnyBytes: "tree", PublicEvents: "events"}[content], func(b *testing.B) {
			entry, err := Event{noon, samples[2].body}.Bytes()
			if err != nil {
				b.Fatal(err)
			}
			dir := b.TempDir()
			l := openLog(b, dir)
			batch := make([][]byte, n)
			for i := range batch {
				batch[i] = entry
			}
			if _, err := l.Append(batch...); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				if _, err := Verify(os.DirFS(dir), Expect{Log: ownLog(b), Content: content}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/entry")
		})
	}
}

func BenchmarkProve(b *testing.B) {
	tree := treeOf(b, logOf(b, 70_000))
	b.ResetTimer()
	for i := range b.N {
		if _, err := tree.Prove(int64(i) % tree.Size()); err != nil {
			b.Fatal(err)
		}
	}
}
