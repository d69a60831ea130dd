package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestNumbers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s Numbers
		model := map[uint64]bool{}
		for range random.IntN(300) {
			n := random.Uint64N(5) * (chunkLen - 3)
			n += random.Uint64N(70)
			if s.Add(n) == model[n] {
				t.Fatal("Add says otherwise")
			}
			model[n] = true
			if !s.Has(n) || s.Has(n+1) != model[n+1] {
				t.Fatal("Has says otherwise")
			}
		}
		var want []uint64
		for n := range model {
			want = append(want, n)
		}
		slices.Sort(want)
		if got := slices.Collect(s.All()); !slices.Equal(got, want) || s.Len() != uint64(len(want)) {
			t.Fatalf("%d numbers, want %d", len(got), len(want))
		}
	}
	var s Numbers
	const most = 1<<64 - 1
	if s.Has(most) || !s.Add(most) || !s.Has(most) || s.Len() != 1 {
		t.Error("the last number is not one")
	}
}

// chunkOf makes a chunk of runs: from, to, from, to.
func chunkOf(runs ...uint64) *chunk {
	c := new(chunk)
	for i := 0; i < len(runs); i += 2 {
		c.fill(runs[i], runs[i+1])
	}
	return c
}

// every makes a chunk of each nth number.
func every(n uint64) *chunk {
	c := new(chunk)
	for i := uint64(0); i < chunkLen; i += n {
		c.fill(i, i+1)
	}
	return c
}

func TestChunkEncoding(t *testing.T) {
	for _, test := range []struct {
		name string
		c    *chunk
		want []byte // nil: only its length
		len  int
	}{
		{"nothing", chunkOf(), []byte{0, 0}, 0},
		{"the first", chunkOf(0, 1), []byte{0, 1, 0, 0}, 0},
		{"the last", chunkOf(chunkLen-1, chunkLen), []byte{0, 1, 0xff, 0xff, 3, 0}, 0},
		{"all", chunkOf(0, chunkLen), []byte{0, 1, 0, 0xff, 0xff, 3}, 0},
		{"two runs", chunkOf(3, 5, 6, 10), []byte{0, 2, 3, 1, 0, 3}, 0},
		{"over a word's end", chunkOf(60, 70, 128, 192), []byte{0, 2, 60, 9, 57, 63}, 0},
		{"each second", every(2), nil, bitsLen},
		{"each sixteenth", every(16), nil, 1 + 2 + 2*chunkLen/16},
		{"each seventeenth", every(17), nil, 1 + 2 + 2*3856},
	} {
		b := test.c.encode()
		if test.want != nil && !bytes.Equal(b, test.want) || test.want == nil && len(b) != min(test.len, bitsLen) {
			t.Errorf("%s: %d bytes % x", test.name, len(b), b[:min(len(b), 8)])
		}
		got, rest, err := decodeChunk(append(b, 7))
		if err != nil || *got != *test.c || !bytes.Equal(rest, []byte{7}) {
			t.Errorf("%s: another comes back (%v)", test.name, err)
		}
	}
}

func TestChunkOfRandomRuns(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		c := new(chunk)
		at := uint64(0)
		for longest := uint64(1) << (i % 16); ; {
			start := at + random.Uint64N(longest) + 1
			end := start + random.Uint64N(longest) + 1
			if end > chunkLen {
				break
			}
			c.fill(start, end)
			at = end
		}
		b := c.encode()
		got, rest, err := decodeChunk(b)
		if err != nil || *got != *c || len(rest) != 0 || len(b) > bitsLen {
			t.Fatalf("another comes back (%v)", err)
		}
	}
}

func TestChunkRefuses(t *testing.T) {
	most := bytes.Repeat([]byte{0xff}, 9)
	for name, b := range map[string][]byte{
		"nothing":                     {},
		"a form alone":                {0},
		"another form":                {2, 0},
		"too few runs":                {0, 2, 0, 0},
		"half a run":                  {0, 1, 0},
		"a run past the end":          {0, 1, 0, 0x80, 0x80, 4},
		"a run that starts there":     {0, 1, 0x80, 0x80, 4, 0},
		"a gap of 2^64 - 1":           append(append([]byte{0, 2, 3, 1}, most...), 1, 0),
		"a run of 2^64":               append(append([]byte{0, 1, 3}, most...), 1),
		"runs without end":            append(append([]byte{0}, most...), 1),
		"a varint with a zero behind": {0, 1, 0x80, 0, 0},
		"few runs as bits":            append([]byte{1, 0xff}, make([]byte, bitsLen-2)...),
	} {
		if _, _, err := decodeChunk(b); !errors.Is(err, errChunk) {
			t.Errorf("%s: %v", name, err)
		}
	}
	bits := every(2).encode()
	if _, _, err := decodeChunk(bits[:bitsLen-1]); err == nil {
		t.Error("bits cut short are read")
	}
}

// What decodeChunk reads has one encoding: the bytes that it read.
func FuzzDecodeChunk(f *testing.F) {
	f.Add([]byte{0, 2, 3, 1, 0, 3})
	f.Add(every(2).encode())
	f.Add(every(17).encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		c, rest, err := decodeChunk(b)
		if err == nil && !bytes.Equal(append(c.encode(), rest...), b) {
			t.Error("two encodings of one chunk")
		}
	})
}

// Any set of numbers comes back as it was.
func FuzzNumbers(f *testing.F) {
	f.Add([]byte{1, 2, 3, 255, 0, 7})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var s Numbers
		n := uint64(0)
		for i, step := range steps {
			n += uint64(step)<<(i%3*4) + 1
			s.Add(n)
		}
		for at, c := range s.chunks {
			got, rest, err := decodeChunk(c.encode())
			if err != nil || *got != *c || len(rest) != 0 {
				t.Errorf("chunk %d comes back as another", at)
			}
		}
	})
}
