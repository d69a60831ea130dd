package table

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"
)

// bucketOf returns n records with a common prefix of shared bytes, of a
// distribution that makes repeats and near repeats as depth grows.
func bucketOf(rng *rand.ChaCha8, n, tokenLen, shared, depth int) []byte {
	b := make([]byte, n*RecordLen(tokenLen))
	rng.Read(b)
	for r := b; len(r) > 0; r = r[RecordLen(tokenLen):] {
		clear(r[:shared])
		if depth > 0 {
			for i := shared; i < RecordLen(tokenLen); i++ {
				r[i] = r[i] % byte(depth) * byte(r[i]>>7) * byte(r[i]>>6&1)
			}
		}
	}
	return b
}

// TestSortBucket compares with sort.Sort, whatever the prefix and however many
// records are equal.
func TestSortBucket(t *testing.T) {
	rng := seeded(20)
	for _, n := range []int{0, 1, 2, 3, 15, 16, 17, 18, 100, 5000, 20_000} {
		for _, tokenLen := range []int{8, 16, 32} {
			for _, shared := range []int{0, 1, 2, 7, 8, tokenLen, RecordLen(tokenLen)} {
				for _, depth := range []int{0, 2} {
					in := bucketOf(rng, n, tokenLen, shared, depth)
					want := bytes.Clone(in)
					sort.Sort(records{want, RecordLen(tokenLen)})
					dst := make([]byte, len(in))
					before := bytes.Clone(in)
					if SortBucket(dst, in, tokenLen); !bytes.Equal(dst, want) {
						t.Fatalf("%d records of %d bytes, %d shared: not sorted", n, RecordLen(tokenLen), shared)
					}
					if !bytes.Equal(in, before) {
						t.Fatal("input was changed")
					}
				}
			}
		}
	}
}

// words makes records of one-letter tokens and tails: "a1b2".
func words(s string) []byte {
	var b []byte
	for i := 0; i < len(s); i += 2 {
		b = append(append(b, bytes.Repeat([]byte{s[i]}, 11)...), bytes.Repeat([]byte{s[i+1]}, tailLen)...)
	}
	return b
}

func TestDistinct(t *testing.T) {
	for _, c := range []struct {
		in, kept          string
		repeats, collided uint64
	}{
		{"", "", 0, 0},
		{"a1", "a1", 0, 0},
		{"a1a1a1", "a1", 2, 0},
		{"a1a2", "", 0, 2},
		{"a1a1a2a2a2b1", "b1", 3, 2},
		{"a1b1b2b3c1c1", "a1c1", 1, 3},
		{"a1b1c1c2", "a1b1", 0, 2},
		{"a1b1c1d1", "a1b1c1d1", 0, 0},
	} {
		kept, repeats, collided := Distinct(words(c.in), 11)
		if !bytes.Equal(kept, words(c.kept)) || repeats != c.repeats || collided != c.collided {
			t.Errorf("%s: %d kept, %d repeats, %d collided", c.in, len(kept)/RecordLen(11), repeats, collided)
		}
	}
}

func TestMergePads(t *testing.T) {
	for _, c := range []struct{ run, pads, want string }{
		{"", "", ""},
		{"b1", "", "b1"},
		{"", "b1", "b1"},
		{"b1", "a0c2", "a0b1c2"},
		{"b1d1", "b0", "b1d1"},
		{"b1d1", "d0", "b1d1"},
		{"b1d1", "a0a5b2b3c1c2e1e2", "a0b1c1d1e1"},
		{"b1d1", "e0f0", "b1d1e0f0"},
	} {
		before := words("x9")
		got := MergePads(before, words(c.run), words(c.pads), 11)
		if !bytes.Equal(got, append(before, words(c.want)...)) {
			t.Errorf("%s and pads %s: wrong", c.run, c.pads)
		}
		if got := AppendEntries([]byte("before"), words(c.want), 11); len(got) != 6+len(c.want)/2*11 {
			t.Errorf("%s: %d bytes of entries", c.want, len(got))
		}
	}
}

func TestMatchBucket(t *testing.T) {
	entry := func(s string) (b []byte) { // with three bytes of label
		for i := range s {
			b = append(b, append(bytes.Repeat([]byte{s[i]}, 11), "abc"...)...)
		}
		return b
	}
	own := append(words("a\x00"), append(words("b\x01b\x02"), words("d\x03e\x04")...)...)
	for _, c := range []struct {
		entries string
		want    []byte
		rest    int
	}{
		{"", nil, 5},
		{"a", []byte{0}, 4},
		{"Ac", nil, 2},
		{"b", []byte{1, 2}, 2},
		{"abcde", []byte{0, 1, 2, 3, 4}, 0},
		{"ez", []byte{4}, 0},
	} {
		var got []byte
		rest := MatchBucket(own, entry(c.entries), 11, 14, func(p uint64) { got = append(got, byte(p)) })
		if !slices.Equal(got, c.want) || len(rest) != c.rest*RecordLen(11) {
			t.Errorf("%s: positions %v, %d records left", c.entries, got, len(rest)/RecordLen(11))
		}
	}
}
