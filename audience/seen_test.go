package audience

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/overlap-psi/overlap/identifier"
)

// A set of sums and a Go map agree, whatever the class and however close the
// sums.
func TestSeen(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s seen
	model := map[[33]byte]bool{}
	classes := []identifier.Class{identifier.EmailUID2, identifier.PhoneE164}
	for range 200_000 {
		var sum [32]byte
		switch rng.IntN(3) {
		case 0: // all in one table, all at one place of it
			sum[9] = byte(rng.Uint32())
		case 1:
			sum[0] = byte(rng.Uint32())
			sum[11] = byte(rng.Uint32())
		default:
			binary.LittleEndian.PutUint32(sum[5:], rng.Uint32()&^0xffff)
		}
		c := classes[rng.IntN(2)]
		key := [33]byte(append(sum[:], byte(c)))
		if got := s.has(c, &sum); got != model[key] {
			t.Fatalf("has it: %v", got)
		}
		if got := s.add(c, &sum); got == model[key] {
			t.Fatalf("new: %v", got)
		}
		model[key] = true
	}
}

func TestSeenMemory(t *testing.T) {
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := new(seen)
	rng := rand.NewChaCha8([32]byte{1})
	var sum [32]byte
	worst := 0.0
	for i := range n {
		rng.Read(sum[:])
		if !s.add(identifier.EmailUID2, &sum) {
			t.Fatal("a random sum repeats")
		}
		if i > 100_000 && i%50_000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			worst = max(worst, float64(after.HeapAlloc-before.HeapAlloc)/float64(i+1))
		}
	}
	runtime.KeepAlive(s)
	if worst > 22 {
		t.Errorf("%.1f bytes an identifier", worst)
	}
	t.Logf("at most %.1f bytes an identifier", worst)
}

func BenchmarkSeen(b *testing.B) {
	s := new(seen)
	rng := rand.NewChaCha8([32]byte{1})
	var sum [32]byte
	for b.Loop() {
		rng.Read(sum[:])
		s.add(identifier.EmailUID2, &sum)
	}
}
