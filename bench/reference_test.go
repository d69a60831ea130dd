package bench

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/cloudflare/circl/group"
)

// BenchmarkReference is what BenchmarkSession is to be compared with: the private
// set intersection that a Go programmer writes over circl today, with n strings on
// each side, half in common. It is Diffie–Hellman with two keys and no more: no
// proofs, pads, padding of sizes, consent, table, TLS or files; the two parties are
// goroutines and what they send each other are slices. So whatever Overlap does
// besides arithmetic counts against Overlap. The metrics are BenchmarkSession's.
func BenchmarkReference(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("n=%d", n), func(b *testing.B) { benchmarkReference(b, n) })
	}
}

func benchmarkReference(b *testing.B, n int) {
	customers, users := people(0, n), people(n/2, n)
	resetPeak()
	var sent, items int
	cpu := cpuTime()
	b.ResetTimer()
	for range b.N {
		matched, bytes := intersect(b, customers, users)
		if len(matched) != n/2 {
			b.Fatalf("%d matched, want %d", len(matched), n/2)
		}
		sent += bytes
		items += n
	}
	b.StopTimer()
	b.ReportMetric(float64(items)/b.Elapsed().Seconds(), "items/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(items), "cpu-µs/item")
	b.ReportMetric(float64(sent)/float64(items), "bytes/item")
	b.ReportMetric(float64(peakMemory())/(1<<20), "peak-MB")
}

// people returns the addresses of the persons from first on.
func people(first, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("person%d@mail.example", first+i)
	}
	return out
}

// intersect runs both parties and returns the positions of the asker's items that
// the other has too, and how many bytes they sent.
func intersect(t testing.TB, asker, other []string) (matched []int, sent int) {
	t.Helper()
	there, back := make(chan []byte), make(chan []byte)
	failed := make(chan error, 1)
	go func() { failed <- answer(other, there, back) }()
	matched, sent, err := ask(asker, there, back)
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return matched, sent
}

const wireLen = 32 // of an element

// ask sends a·H(x) and receives b·H(y) and, in the order of its own, b·a·H(x).
func ask(items []string, there chan<- []byte, back <-chan []byte) (matched []int, sent int, err error) {
	a := group.Ristretto255.RandomNonZeroScalar(nil)
	mine, err := hashAndMultiply(items, a)
	there <- mine
	theirs, twice := <-back, <-back
	if err != nil {
		return nil, 0, err
	}
	theirsTwice, err := multiplyAll(theirs, a)
	if err != nil {
		return nil, 0, err
	}
	known := make(map[[wireLen]byte]struct{}, len(theirs)/wireLen)
	for e := range slices.Chunk(theirsTwice, wireLen) {
		known[[wireLen]byte(e)] = struct{}{}
	}
	for i := range items {
		if _, ok := known[[wireLen]byte(twice[i*wireLen:])]; ok {
			matched = append(matched, i)
		}
	}
	return matched, len(mine) + len(theirs) + len(twice), nil
}

// answer sends its own b·H(y) sorted, so that their order tells nothing.
func answer(items []string, there <-chan []byte, back chan<- []byte) error {
	b := group.Ristretto255.RandomNonZeroScalar(nil)
	mine, err := hashAndMultiply(items, b)
	if err == nil {
		order := slices.Collect(slices.Chunk(mine, wireLen))
		slices.SortFunc(order, bytes.Compare)
		mine = slices.Concat(order...)
	}
	theirs := <-there
	twice, errTwice := multiplyAll(theirs, b)
	back <- mine
	back <- twice
	if err != nil {
		return err
	}
	return errTwice
}

func hashAndMultiply(items []string, k group.Scalar) ([]byte, error) {
	out := make([]byte, 0, len(items)*wireLen)
	for _, item := range items {
		e := group.Ristretto255.HashToElement([]byte(item), []byte("reference"))
		b, err := e.Mul(e, k).MarshalBinaryCompress()
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

func multiplyAll(wire []byte, k group.Scalar) ([]byte, error) {
	out := make([]byte, 0, len(wire))
	for w := range slices.Chunk(wire, wireLen) {
		e := group.Ristretto255.NewElement()
		if err := e.UnmarshalBinary(w); err != nil {
			return nil, err
		}
		b, err := e.Mul(e, k).MarshalBinaryCompress()
		if err != nil {
			return nil, err
		}
		out = append(out, b...)
	}
	return out, nil
}

// TestReference: it finds who is on both lists, and nobody else.
func TestReference(t *testing.T) {
	for _, c := range []struct{ n, first int }{{0, 0}, {1, 0}, {1, 1}, {40, 13}} {
		matched, sent := intersect(t, people(0, c.n), people(c.first, c.n))
		var want []int
		for i := c.first; i < c.n; i++ {
			want = append(want, i)
		}
		if !slices.Equal(matched, want) || sent != 3*wireLen*c.n {
			t.Errorf("of %d, from %d on: %v and %d bytes", c.n, c.first, matched, sent)
		}
	}
}
