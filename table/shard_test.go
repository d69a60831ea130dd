package table

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// randomEntries returns n entries of distinct tokens in order, with labels.
func randomEntries(n, tokenLen, labelLen int, seed byte) []byte {
	random := rand.NewChaCha8([32]byte{seed})
	tokens := make([][]byte, n)
	for i := range tokens {
		tokens[i] = make([]byte, tokenLen)
		random.Read(tokens[i])
	}
	slices.SortFunc(tokens, bytes.Compare)
	tokens = slices.CompactFunc(tokens, bytes.Equal)
	var b []byte
	label := make([]byte, psi.EntryLen(tokenLen, labelLen)-tokenLen)
	for _, token := range tokens {
		random.Read(label)
		b = append(append(b, token...), label...)
	}
	return b
}

// tableOf is a table in memory, with no check of what is in it.
func tableOf(o Options, entries []byte) *Table {
	return &Table{kept: &memory{entries}, entryLen: o.entryLen(), entries: uint64(len(entries) / o.entryLen())}
}

func bodiesOf(t *testing.T, table *Table, o Options) (bodies [][]byte) {
	t.Helper()
	for body, err := range table.Shards(o) {
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, bytes.Clone(body))
	}
	return bodies
}

// oneBit writes a shard from the text alone, with big.Int and a string of bits.
func oneBit(entries []byte, s shape, rho int) []byte {
	var bits strings.Builder
	var labels []byte
	before := big.NewInt(-1)
	for at := 0; at < len(entries); at += s.entryLen {
		v := new(big.Int).SetBytes(entries[at+2 : at+s.tokenLen])
		gap := new(big.Int).Sub(v, before)
		gap.Sub(gap, big.NewInt(1))
		q := new(big.Int).Rsh(gap, uint(rho))
		bits.WriteString(strings.Repeat("1", int(q.Int64())) + "0")
		for i := rho - 1; i >= 0; i-- {
			bits.WriteByte('0' + byte(gap.Bit(i)))
		}
		labels = append(labels, entries[at+s.tokenLen:at+s.entryLen]...)
		before = v
	}
	for bits.Len()%8 != 0 {
		bits.WriteByte('0')
	}
	out := binary.BigEndian.AppendUint32(nil, uint32(len(entries)/s.entryLen))
	out = append(out, byte(rho))
	for at := 0; at < bits.Len(); at += 8 {
		var b byte
		for _, c := range bits.String()[at : at+8] {
			b = b<<1 | byte(c-'0')
		}
		out = append(out, b)
	}
	return append(out, labels...)
}

func TestShardIsWhatTheTextSays(t *testing.T) {
	for _, tokenLen := range []int{11, 14, 16, 32} {
		for _, labelLen := range []int{0, 2, 33} {
			for _, n := range []int{0, 1, 2, 3, 17, 153} {
				o := Options{TokenLen: tokenLen, LabelLen: labelLen}
				entries := randomEntries(n, tokenLen, labelLen, byte(n))
				for at := 0; at < len(entries); at += o.entryLen() {
					copy(entries[at:], []byte{0xab, 0xcd})
				}
				sortEntries(entries, o.entryLen())
				shard := o.shape().appendShard(nil, entries)
				if want := oneBit(entries, o.shape(), int(shard[4])); !bytes.Equal(shard, want) {
					t.Fatalf("%d entries of %d and %d bytes: another shard", n, tokenLen, labelLen)
				}
				got, err := o.shape().appendEntries([]byte("before"), shard, 0xabcd, uint64(n))
				if err != nil || !bytes.Equal(got, append([]byte("before"), entries...)) {
					t.Fatalf("%d entries of %d and %d bytes come back otherwise: %v", n, tokenLen, labelLen, err)
				}
				if n > 0 {
					if _, err := o.shape().appendEntries(nil, shard, 0xabcd, uint64(n-1)); !errors.Is(err, ErrShards) {
						t.Error("more entries than allowed are read")
					}
				}
			}
		}
	}
}

func sortEntries(entries []byte, entryLen int) {
	var list [][]byte
	for e := range slices.Chunk(bytes.Clone(entries), entryLen) {
		list = append(list, e)
	}
	slices.SortFunc(list, bytes.Compare)
	copy(entries, slices.Concat(list...))
}

// Gaps far from uniform: neighbours, and one entry at either end of the shard.
func TestShardOfUnevenTokens(t *testing.T) {
	o := Options{TokenLen: 14}
	for name, values := range map[string][]string{
		"neighbours":   {"000000000000000000000000", "000000000000000000000001", "000000000000000000000002"},
		"both ends":    {"000000000000000000000000", "ffffffffffffffffffffffff"},
		"the last two": {"fffffffffffffffffffffffe", "ffffffffffffffffffffffff"},
		"far away":     {"000000000000000000000000", "000000000000000000000001", "ffffffffffffffffffffffff"},
	} {
		var entries []byte
		for _, v := range values {
			n, _ := new(big.Int).SetString(v, 16)
			entries = append(entries, 0, 7)
			entries = append(entries, n.FillBytes(make([]byte, 12))...)
		}
		shard := o.shape().appendShard(nil, entries)
		got, err := o.shape().appendEntries(nil, shard, 7, 9)
		if err != nil || !bytes.Equal(got, entries) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShardsRoundTrip(t *testing.T) {
	for _, c := range []struct{ n, tokenLen, labelLen int }{
		{0, 14, 0}, {1, 14, 0}, {1000, 14, 0}, {200_000, 14, 0}, {50_000, 11, 0}, {20_000, 32, 0}, {20_000, 14, 480},
	} {
		o := Options{TokenLen: c.tokenLen, LabelLen: c.labelLen}
		entries := randomEntries(c.n, c.tokenLen, c.labelLen, 1)
		r := NewShardReader(o, uint64(len(entries)/o.entryLen()))
		var got []byte
		for _, body := range bodiesOf(t, tableOf(o, entries), o) {
			if len(body) > MaxShards {
				t.Fatal("a body is too long")
			}
			var err error
			if got, err = r.Append(got, body); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Complete(); err != nil {
			t.Error(err)
		}
		if !bytes.Equal(got, entries) {
			t.Errorf("%+v comes back otherwise", c)
		}
	}
}

// PROTOCOL.md §9's figure is the entropy of a sorted set and what Rice's code
// adds to it; the size must stay within 3 % of it.
func TestShardsSize(t *testing.T) {
	const n, tokenLen = 1_000_000, 14
	o := Options{TokenLen: tokenLen}
	size := 0
	for _, body := range bodiesOf(t, tableOf(o, randomEntries(n, tokenLen, 0, 2)), o) {
		size += len(body)
	}
	// 2^96 values for each shard's 15.3 entries: log2 of the mean gap is 92.07,
	// and the best Rice code of a geometric law takes 1.52 bits more. A shard's
	// head takes 9 bytes, its padding half a byte.
	want := float64(n)*(92.07+1.52)/8 + Shards*9.5
	if got := float64(size); got > 1.03*want || got < 0.97*want {
		t.Errorf("%d bytes, expected about %.0f", size, want)
	}
}

func TestShardReaderRefuses(t *testing.T) {
	o := Options{TokenLen: 14}
	entries := randomEntries(200_000, 14, 0, 3)
	n := uint64(len(entries) / 14)
	bodies := bodiesOf(t, tableOf(o, entries), o)
	if len(bodies) < 2 {
		t.Fatal("too few bodies for this test")
	}
	changed := func(at int, v byte) []byte { b := bytes.Clone(bodies[0]); b[at] = v; return b }
	for name, c := range map[string]struct {
		body []byte
		n    uint64
	}{
		"nothing":                   {nil, n},
		"the second body first":     {bodies[1], n},
		"no shard":                  {[]byte{0, 0, 0, 0, 0, 0}, n},
		"too many shards":           {changed(2, 1), n},
		"a byte less":               {bodies[0][:len(bodies[0])-1], n},
		"a byte more":               {append(bytes.Clone(bodies[0]), 0), n},
		"a shard of 4 GiB":          {changed(6, 0xff), n},
		"4 thousand million tokens": {changed(10, 0xff), n},
		"a ρ beyond the token":      {changed(14, 97), n},
		"fewer tokens declared":     {bodies[0], 5},
	} {
		if _, err := NewShardReader(o, c.n).Append(nil, c.body); !errors.Is(err, ErrShards) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r := NewShardReader(o, n)
	if _, err := r.Append(nil, bodies[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Append(nil, bodies[0]); !errors.Is(err, ErrShards) {
		t.Errorf("a body twice: %v", err)
	}
	if !errors.Is(r.Complete(), ErrShards) {
		t.Error("half a table is complete")
	}
	if r.Next() != int(binary.BigEndian.Uint32(bodies[0][2:])) {
		t.Error("Next is not the first shard that is missing")
	}
}

// A quotient of 65 is refused, one of 64 is read.
func TestRiceQuotient(t *testing.T) {
	for _, q := range []uint64{0, 1, 63, 64, 65, 1000} {
		for _, rho := range []int{0, 1, 7, 63, 64, 65, 200} {
			v := wide{3: q}.left(rho).plus(wide{}, 0)
			if rho > 0 {
				v[3] |= 1
			}
			var w bitWriter
			w.write(5, 3)
			w.rice(v, rho)
			r := bitReader{b: w.b, at: 3}
			got, ok := r.rice(rho)
			if ok != (q <= maxQuotient) || ok && got != v {
				t.Errorf("quotient %d, ρ %d: read %v", q, rho, ok)
			}
		}
	}
}

func TestWideIsBig(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	toBig := func(w wide) *big.Int { var b [32]byte; w.put(b[:]); return new(big.Int).SetBytes(b[:]) }
	modulus := new(big.Int).Lsh(big.NewInt(1), 256)
	for range 2000 {
		var a, b wide
		for i := range a {
			a[i], b[i] = random.Uint64()>>random.IntN(64), random.Uint64()>>random.IntN(64)
		}
		n, c := random.IntN(256), random.Uint64()%2
		sum := new(big.Int).Add(toBig(a), toBig(b))
		sum.Add(sum, new(big.Int).SetUint64(c)).Mod(sum, modulus)
		left := new(big.Int).Lsh(toBig(a), uint(n))
		for what, pair := range map[string][2]*big.Int{
			"plus":  {toBig(a.plus(b, c)), sum},
			"left":  {toBig(a.left(n)), left.Mod(left, modulus)},
			"right": {toBig(a.right(n)), new(big.Int).Rsh(toBig(a), uint(n))},
		} {
			if pair[0].Cmp(pair[1]) != 0 {
				t.Fatalf("%s %d", what, n)
			}
		}
		if toBig(a.plus(b, 1).minus(b, 1)).Cmp(toBig(a)) != 0 {
			t.Fatal("minus")
		}
	}
}

// Whatever the bytes, no more entries come than are declared, their tokens are
// in order, and what is read can be written and read again.
func FuzzShardReader(f *testing.F) {
	o := Options{TokenLen: 14, LabelLen: 2}
	for body, err := range tableOf(o, randomEntries(200, 14, 2, 4)).Shards(o) {
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte{0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		entries, err := NewShardReader(o, 1000).Append(nil, body)
		if err != nil {
			return
		}
		if len(entries) > 1000*o.entryLen() {
			t.Fatal("more entries than declared")
		}
		for at := o.entryLen(); at < len(entries); at += o.entryLen() {
			if bytes.Compare(entries[at-o.entryLen():at-2-16], entries[at:at+14]) >= 0 {
				t.Fatal("tokens out of order")
			}
		}
		r := NewShardReader(o, uint64(len(entries)/o.entryLen()))
		var again []byte
		for body, err := range tableOf(o, entries).Shards(o) {
			if err == nil {
				again, err = r.Append(again, body)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(again, entries) {
			t.Fatal("another table comes back")
		}
	})
}

func BenchmarkShards(b *testing.B) {
	o := Options{TokenLen: 14}
	entries := randomEntries(1_000_000, 14, 0, 5)
	table := tableOf(o, entries)
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			for _, err := range table.Shards(o) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/entry")
	})
	var bodies [][]byte
	for body := range table.Shards(o) {
		bodies = append(bodies, bytes.Clone(body))
	}
	b.Run("decode", func(b *testing.B) {
		var dst []byte
		for b.Loop() {
			r := NewShardReader(o, 1_000_000)
			for _, body := range bodies {
				var err error
				if dst, err = r.Append(dst[:0], body); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/entry")
	})
}
