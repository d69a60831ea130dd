package psi

import (
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/internal/sha512x8"
)

// finalizeHash is the hash of RFC 9497 §3.3.1 by itself.
func finalizeHash(x []byte, n *[32]byte) Output {
	return sha512.Sum512(appendFinalize(nil, x, n))
}

// hashedSizes are around a batch of lanes, the batches that are hashed at once,
// and what is worth a goroutine.
func hashedSizes() []int {
	sizes := []int{31, 63, 64, 65, 127, 128, 129, 200}
	for n := range 18 {
		sizes = append(sizes, n)
	}
	return sizes
}

// TestExpandMessageXMDs: many at once are each by itself, for messages and DSTs
// that fill one block, two or three.
func TestExpandMessageXMDs(t *testing.T) {
	for _, dst := range []string{dstHashToGroup, dstHashToScalar, dstBlind, "", string(bytes.Repeat([]byte{0xfe}, 255))} {
		for _, msgLen := range []int{0, 1, 44, 67, 68, 69, 99, 145, 300} {
			msgs := make([]byte, 70*msgLen)
			rand.Read(msgs)
			msg := func(i int) []byte { return msgs[i*msgLen:][:msgLen] }
			for _, n := range []int{0, 1, 7, 8, 9, 64, 70} {
				got := make([][64]byte, n)
				new(desk).expandMessageXMDs(got, func(b []byte, i int) []byte { return append(b, msg(i)...) }, dst)
				for i := range got {
					var one [64]byte
					expandMessageXMD(one[:], msg(i), dst)
					if got[i] != one {
						t.Fatalf("message %d of %d, %d bytes under a DST of %d: differs", i, n, msgLen, len(dst))
					}
				}
			}
		}
	}
	mustPanic(t, "messages of two lengths", func() {
		new(desk).expandMessageXMDs(make([][64]byte, 2), func(b []byte, i int) []byte { return append(b, make([]byte, i)...) }, "d")
	})
	mustPanic(t, "DST of 256 bytes", func() {
		new(desk).expandMessageXMDs(nil, nil, string(make([]byte, 256)))
	})
}

// randomQueries returns n queries, every third a pad.
func randomQueries(n int) []Query {
	in := make([]Query, n)
	for i, x := range inputs(n) {
		rand.Read(in[i].Salt[:])
		if i%3 != 2 {
			in[i].Input = x
		}
	}
	return in
}

func TestBlindsInBatches(t *testing.T) {
	s, first := NewSeed(), uint64(1)<<32-5 // j takes more than 32 bits
	for _, n := range hashedSizes() {
		in := randomQueries(n)
		for i, got := range s.scalars(new(desk), in, first) {
			j := first + uint64(i)
			b := lv(nil, "AMPSI-V01-blind")
			b = lv(lv(b, s[:]), in[i].Salt[:])
			if got != hashToScalar(binary.BigEndian.AppendUint64(b, j), dstBlind) {
				t.Fatalf("blind %d of %d differs", i, n)
			}
		}
	}
}

func TestHashToGroupInBatches(t *testing.T) {
	for _, n := range hashedSizes() {
		in := randomQueries(n)
		for i, got := range enc(new(desk).hashToGroup(in)) {
			if got != enc(groupElement(in[i].Input.Bytes()[:], dstHashToGroup))[0] {
				t.Fatalf("element %d of %d differs", i, n)
			}
		}
	}
}

func TestFinalizeInBatches(t *testing.T) {
	for _, n := range hashedSizes() {
		in, elements := randomQueries(n), make([][32]byte, n)
		for i := range elements {
			rand.Read(elements[i][:])
		}
		for i, got := range new(desk).finalizeHashes(in, elements) {
			x := in[i].Input.Bytes()[:]
			b := slices.Concat([]byte{0, 44}, x, []byte{0, 32}, elements[i][:], []byte("Finalize"))
			if got != sha512.Sum512(b) || Output(got) != finalizeHash(x, &elements[i]) {
				t.Fatalf("output %d of %d differs", i, n)
			}
		}
	}
}

func TestCompositesInBatches(t *testing.T) {
	var k Element
	rand.Read(k[:])
	bind := []byte("a bind")
	t0 := slices.Concat([]byte{0, 32}, k[:], []byte{0, byte(len(dstSeed))}, []byte(dstSeed), bind)
	seed := sha512.Sum512(t0)
	for _, n := range append(hashedSizes(), 300) { // i takes more than a byte
		c, d := make([]Element, n), make([]Element, n)
		for i := range c {
			rand.Read(c[i][:])
			rand.Read(d[i][:])
		}
		coefficients := make([]ristretto.Scalar, n)
		composites(coefficients, k, c, d, bind)
		for i, got := range coefficients {
			b := slices.Concat([]byte{0, 64}, seed[:], []byte{byte(i >> 8), byte(i)},
				[]byte{0, 32}, c[i][:], []byte{0, 32}, d[i][:], []byte("Composite"))
			if got != hashToScalar(b, dstHashToScalar) {
				t.Fatalf("coefficient %d of %d differs", i, n)
			}
		}
	}
}

// TestHashesLeaveNothing: what the blinds' messages were made in is overwritten.
func TestHashesLeaveNothing(t *testing.T) {
	var kept []byte
	keep := func(dst [][64]byte, msgs []byte, msgLen int) {
		kept = msgs[:cap(msgs)]
		sha512x8.Sum(dst, msgs, msgLen)
	}
	s, in, d := NewSeed(), randomQueries(70), new(desk)
	d.sums(keep, make([][64]byte, len(in)), func(b []byte, i int) []byte {
		return s.appendBlind(b, &in[i].Salt, uint64(i))
	})
	d.clear()
	if len(kept) == 0 || bytes.Count(kept, []byte{0}) != len(kept) {
		t.Error("messages were left in memory")
	}
}

// TestHashAllocs: a batch takes the same few allocations, however large.
func TestHashAllocs(t *testing.T) {
	s, d := NewSeed(), new(desk)
	allocs := func(n int) float64 {
		in := randomQueries(n)
		return testing.AllocsPerRun(5, func() { s.scalars(d, in, 0) })
	}
	if few, many := allocs(10), allocs(60); many > few || few > 4 {
		t.Errorf("%v allocations for 10 blinds, %v for 60", few, many)
	}
}

// BenchmarkHash has the hashing alone: to the group's uniform bytes, to blinds,
// to coefficients, to outputs.
func BenchmarkHash(b *testing.B) {
	a := chunkOf(b)
	n := make([][32]byte, len(a.in))
	u := make([][64]byte, len(a.in))
	d, coefficients := new(desk), make([]ristretto.Scalar, len(a.in))
	for _, c := range []struct {
		name string
		op   func()
	}{
		{"uniform", func() {
			d.expandMessageXMDs(u, func(b []byte, i int) []byte { return append(b, a.in[i].Input.Bytes()[:]...) }, dstHashToGroup)
		}},
		{"uniform-each", func() {
			for i := range u {
				expandMessageXMD(u[i][:], a.in[i].Input.Bytes()[:], dstHashToGroup)
			}
		}},
		{"blinds", func() { a.seed.scalars(d, a.in, 0) }},
		{"blinds-each", func() { blindsEach(a) }},
		{"composites", func() { composites(coefficients, a.key.public.enc, a.blinded, a.evaluated, a.bind[:]) }},
		{"composites-each", func() { compositesEach(a) }},
		{"outputs", func() { d.finalizeHashes(a.in, n) }},
		{"outputs-each", func() {
			var scratch [96]byte
			for i := range n {
				u[i] = sha512.Sum512(appendFinalize(scratch[:0], a.in[i].Input.Bytes()[:], &n[i]))
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) { perElement(b, c.op) })
	}
}

func blindsEach(a *answered) {
	var scratch [128]byte
	r := make([]ristretto.Scalar, len(a.in))
	for i := range r {
		r[i] = hashToScalar(a.seed.appendBlind(scratch[:0], &a.in[i].Salt, uint64(i)), dstBlind)
	}
}

func compositesEach(a *answered) {
	var scratch [256]byte
	var seed [64]byte
	r := make([]ristretto.Scalar, len(a.in))
	for i := range r {
		r[i] = hashToScalar(appendComposite(scratch[:0], &seed, i, &a.blinded[i], &a.evaluated[i]), dstHashToScalar)
	}
}
