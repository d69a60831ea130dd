package sha512x8

import (
	"bytes"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/internal/required"
)

// An implementation is a way to the same digests.
type implementation struct {
	name string
	have bool
	sum  func(p *Prefix, dst [][64]byte, msgs []byte, msgLen int)
}

var implementations = []implementation{
	{"selected", true, (*Prefix).Sum},
	{"standard", true, (*Prefix).sumEach},
	{"avx512", hasLanes, (*Prefix).sumLanes},
}

// each runs a test for every implementation by name. One that isn't there is
// skipped, unless it is required.
func each(t *testing.T, f func(t *testing.T, i implementation)) {
	for _, i := range implementations {
		t.Run(i.name, func(t *testing.T) {
			if !i.have {
				required.Skip(t, required.AVX512, "this machine or build doesn't have it")
			}
			f(t, i)
		})
	}
}

// want returns what crypto/sha512 makes of prefix ‖ message i.
func want(prefix, msgs []byte, msgLen, i int) [64]byte {
	return sha512.Sum512(append(bytes.Clone(prefix), msgs[i*msgLen:][:msgLen]...))
}

// The examples of FIPS 180-4, from NIST's "Examples with Intermediate Values".
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct{ msg, digest string }{
		{"abc", "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a" +
			"2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
		{"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
			"8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018" +
				"501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909"},
		{strings.Repeat("a", 1000000), "e718483d0ce769644e2e42c7bc15b4638e1f98b13b2044285632a803afa973eb" +
			"de0ff244877ea60a4cb0432ce577c31beb009c5c2c49aa2e4eadb217ad8cc09b"},
	} {
		each(t, func(t *testing.T, i implementation) {
			var got [1][64]byte
			i.sum(none, got[:], []byte(c.msg), len(c.msg))
			if hex.EncodeToString(got[0][:]) != c.digest {
				t.Errorf("message of %d bytes: another digest", len(c.msg))
			}
		})
	}
}

// TestLengths: every length around two blocks of padding, every number of
// messages around two batches of eight, after no prefix, one block, and three.
func TestLengths(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	each(t, func(t *testing.T, i implementation) {
		for _, prefixLen := range []int{0, 128, 384} {
			prefix := make([]byte, prefixLen)
			random.Read(prefix)
			p := NewPrefix(prefix)
			for msgLen := range 301 {
				msgs := make([]byte, 17*msgLen)
				random.Read(msgs)
				for n := range 18 {
					checkBatch(t, i, p, prefix, msgs[:n*msgLen], msgLen, n)
				}
			}
		}
	})
}

// checkBatch also checks that nothing is written but n digests.
func checkBatch(t *testing.T, i implementation, p *Prefix, prefix, msgs []byte, msgLen, n int) {
	t.Helper()
	const canary = 0xa5
	room := make([][64]byte, n+2)
	for j := range room {
		for b := range room[j] {
			room[j][b] = canary
		}
	}
	before := bytes.Clone(msgs)
	i.sum(p, room[1:n+1], msgs, msgLen)
	if !bytes.Equal(msgs, before) {
		t.Fatalf("%d messages of %d bytes after %d: changed", n, msgLen, len(prefix))
	}
	for _, j := range []int{0, n + 1} {
		if bytes.Count(room[j][:], []byte{canary}) != 64 {
			t.Fatalf("%d messages of %d bytes after %d: written outside dst", n, msgLen, len(prefix))
		}
	}
	for j := range n {
		if room[j+1] != want(prefix, msgs, msgLen, j) {
			t.Fatalf("%d messages of %d bytes after %d: digest %d differs", n, msgLen, len(prefix), j)
		}
	}
}

// TestLong has more blocks than lanes, and lengths that take more than a byte.
func TestLong(t *testing.T) {
	random := rand.NewChaCha8([32]byte{2})
	each(t, func(t *testing.T, i implementation) {
		for _, msgLen := range []int{8191, 8192, 8304, 70000} {
			msgs := make([]byte, 11*msgLen)
			random.Read(msgs)
			checkBatch(t, i, none, nil, msgs, msgLen, 11)
		}
	})
}

func TestMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"a byte too many":    func() { Sum(make([][64]byte, 3), make([]byte, 13), 4) },
		"a byte too few":     func() { Sum(make([][64]byte, 3), make([]byte, 11), 4) },
		"a negative length":  func() { Sum(nil, nil, -1) },
		"part of a block":    func() { NewPrefix(make([]byte, 127)) },
		"no room for digest": func() { Sum(nil, make([]byte, 4), 4) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

// TestAllocs: the lanes allocate nothing; crypto/sha512 one state for a batch.
func TestAllocs(t *testing.T) {
	p := NewPrefix(make([]byte, 128))
	dst, msgs := make([][64]byte, 100), make([]byte, 100*90)
	each(t, func(t *testing.T, i implementation) {
		most := 2.0
		if i.name == "avx512" {
			most = 0
		}
		if n := testing.AllocsPerRun(20, func() { i.sum(p, dst, msgs, 90) }); n > most {
			t.Errorf("%v allocations for 100 messages", n)
		}
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte(nil), uint8(0), uint8(0))
	f.Add([]byte("abc"), uint8(1), uint8(1))
	f.Add(bytes.Repeat([]byte{0xff}, 9*111), uint8(9), uint8(0))
	f.Add(bytes.Repeat([]byte{0x80}, 8*112+5), uint8(8), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, n, prefixBlocks uint8) {
		prefix := bytes.Repeat([]byte{n}, 128*int(prefixBlocks%4))
		p, msgLen := NewPrefix(prefix), 0
		if n > 0 {
			msgLen = len(data) / int(n)
		}
		for _, i := range implementations {
			if i.have {
				checkBatch(t, i, p, prefix, data[:int(n)*msgLen], msgLen, int(n))
			}
		}
	})
}

// BenchmarkSum reports the time for a block of one message, in batches as psi
// hashes them: of messages that fill one block or two, or end after one of two.
func BenchmarkSum(b *testing.B) {
	const n = 64
	dst, random := make([][64]byte, n), rand.NewChaCha8([32]byte{3})
	prefix := NewPrefix(make([]byte, 128))
	for _, c := range []struct {
		name           string
		p              *Prefix
		msgLen, blocks int
	}{{"88", none, 88, 1}, {"190", none, 190, 2}, {"1000", none, 1000, 8}, {"prefix+88", prefix, 88, 1}} {
		msgs := make([]byte, n*c.msgLen)
		random.Read(msgs)
		for _, i := range implementations[1:] {
			b.Run(fmt.Sprintf("%s/%s", c.name, i.name), func(b *testing.B) {
				if !i.have {
					b.Skip("this machine or build doesn't have it")
				}
				for b.Loop() {
					i.sum(c.p, dst, msgs, c.msgLen)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n*c.blocks), "ns/block")
			})
		}
	}
}
