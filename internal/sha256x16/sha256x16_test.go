package sha256x16

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/internal/required"
)

// An implementation is a way to the same digests.
type implementation struct {
	name string
	have bool
	sum  func(b batch, dst []byte)
}

var implementations = []implementation{
	{"selected", true, func(b batch, dst []byte) { Sum(dst, b.prefix, b.msgs, b.msgLen, b.stride) }},
	{"standard", true, batch.sumEach},
	{"avx512", hasLanes, batch.sumLanes},
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

func TestSelected(t *testing.T) {
	if useLanes != hasLanes {
		t.Error("the lanes are there and not used, or used and not there")
	}
	if !hasLanes && required.By(t, required.AVX512) {
		t.Errorf("%s: the lanes are not selected", required.Variable)
	}
}

// want returns the digests of n messages by crypto/sha256.
func (b batch) want(n int) (digests []byte) {
	for i := range n {
		digest := sha256.Sum256(slices.Concat(b.prefix, b.msgs[i*b.stride:][:b.msgLen]))
		digests = append(digests, digest[:]...)
	}
	return digests
}

// check also checks that nothing is written but n digests.
func check(t *testing.T, i implementation, b batch, n int) {
	t.Helper()
	room := bytes.Repeat([]byte{0xa5}, (n+2)*Size)
	dst := room[Size:][:n*Size]
	msgs := bytes.Clone(b.msgs)
	i.sum(b, dst)
	switch {
	case !bytes.Equal(b.msgs, msgs):
		t.Fatalf("%d messages of %d bytes after %d: changed", n, b.msgLen, len(b.prefix))
	case bytes.Count(room[:Size], []byte{0xa5})+bytes.Count(room[(n+1)*Size:], []byte{0xa5}) != 2*Size:
		t.Fatalf("%d messages of %d bytes after %d: written outside dst", n, b.msgLen, len(b.prefix))
	case !bytes.Equal(dst, b.want(n)):
		t.Fatalf("%d messages of %d bytes after %d, %d apart: digests differ", n, b.msgLen, len(b.prefix), b.stride)
	}
}

// The examples of FIPS 180-4, from NIST's "Examples with Intermediate Values", and
// the first of the SHA-2 validation system, of no bytes.
func TestKnownAnswers(t *testing.T) {
	for _, c := range []struct{ msg, digest string }{
		{"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
		{"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
		{"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
		{strings.Repeat("a", 1000000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"},
	} {
		each(t, func(t *testing.T, i implementation) {
			for cut := range min(len(c.msg), 70) + 1 { // wherever the prefix ends
				dst := make([]byte, Size)
				i.sum(batch{[]byte(c.msg[:cut]), []byte(c.msg[cut:]), len(c.msg) - cut, len(c.msg)}, dst)
				if hex.EncodeToString(dst) != c.digest {
					t.Errorf("message of %d bytes, %d of them prefix: another digest", len(c.msg), cut)
				}
			}
		})
	}
}

// TestLengths: every length around four blocks of padding, every number of messages
// around two batches of sixteen, after prefixes that end in the first block, at its
// end, and behind it; one after the other, and apart.
func TestLengths(t *testing.T) {
	random := rand.NewChaCha8([32]byte{1})
	each(t, func(t *testing.T, i implementation) {
		for msgLen := range 301 {
			msgs := make([]byte, 40*(msgLen+5))
			random.Read(msgs)
			for n := range 41 {
				stride := msgLen + n%2*5
				b := batch{msgs[len(msgs)-n%3:], msgs[:n*stride], msgLen, stride}
				check(t, i, b, n)
			}
		}
		for _, prefixLen := range []int{1, 17, 55, 56, 63, 64, 65, 127, 128, 200} {
			prefix := make([]byte, prefixLen)
			random.Read(prefix)
			for msgLen := range 140 {
				msgs := make([]byte, 17*msgLen)
				random.Read(msgs)
				check(t, i, batch{prefix, msgs, msgLen, msgLen}, 17)
			}
		}
	})
}

// TestLong has lengths that take more than a byte, and more than two.
func TestLong(t *testing.T) {
	random := rand.NewChaCha8([32]byte{2})
	each(t, func(t *testing.T, i implementation) {
		for _, msgLen := range []int{8191, 8192, 8304, 70000} {
			msgs := make([]byte, 19*msgLen)
			random.Read(msgs)
			check(t, i, batch{nil, msgs, msgLen, msgLen}, 19)
		}
	})
}

// TestInPlace: digests over the messages that they are of, as a tree's levels are.
func TestInPlace(t *testing.T) {
	random := rand.NewChaCha8([32]byte{3})
	each(t, func(t *testing.T, i implementation) {
		for n := range 70 {
			for _, ahead := range []int{0, Size} { // as far as digests may be
				level := make([]byte, n*2*Size+Size)
				random.Read(level)
				b := batch{[]byte{1}, level[:n*2*Size], 2 * Size, 2 * Size}
				want := b.want(n)
				i.sum(b, level[ahead:][:n*Size])
				if !bytes.Equal(level[ahead:][:n*Size], want) {
					t.Fatalf("%d messages, digests %d bytes ahead: they differ", n, ahead)
				}
			}
		}
	})
}

func TestMisuse(t *testing.T) {
	for name, f := range map[string]func(){
		"a byte too few":         func() { Sum(make([]byte, 3*Size), nil, make([]byte, 11), 4, 4) },
		"a byte too few, apart":  func() { Sum(make([]byte, 2*Size), nil, make([]byte, 9), 4, 6) },
		"a negative length":      func() { Sum(nil, nil, nil, -1, 4) },
		"one over the other":     func() { Sum(make([]byte, Size), nil, make([]byte, 4), 4, 3) },
		"no room for one digest": func() { Sum(make([]byte, Size-1), nil, make([]byte, 4), 4, 4) },
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

func TestAllocs(t *testing.T) {
	dst, msgs, prefix := make([]byte, 99*Size), make([]byte, 100*177), []byte("a prefix")
	each(t, func(t *testing.T, i implementation) {
		if n := testing.AllocsPerRun(20, func() { i.sum(batch{prefix, msgs, 129, 177}, dst) }); n != 0 {
			t.Errorf("%v allocations for 99 messages", n)
		}
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte(nil), uint8(0), uint8(0), uint8(0))
	f.Add([]byte("abc"), uint8(1), uint8(0), uint8(0))
	f.Add(bytes.Repeat([]byte{0xff}, 17*55), uint8(17), uint8(0), uint8(3))
	f.Add(bytes.Repeat([]byte{0x80}, 16*56+70), uint8(16), uint8(65), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, n, prefixLen, apart uint8) {
		b := batch{prefix: data[:min(int(prefixLen), len(data))]}
		b.msgs = data[len(b.prefix):]
		if n > 0 {
			b.stride = len(b.msgs) / int(n)
		}
		b.msgLen = max(0, b.stride-int(apart))
		for _, i := range implementations {
			if i.have {
				check(t, i, b, int(n))
			}
		}
	})
}

// BenchmarkSum reports the time for a block of one message: of the node and the
// leaf of a tree, of a consent leaf's line, of the two halves of a salt's HMAC, of
// a long message, and of few.
func BenchmarkSum(b *testing.B) {
	random := rand.NewChaCha8([32]byte{4})
	for _, c := range []struct {
		name              string
		n, prefix, msgLen int
		blocks            int
	}{
		{"leaf", 64, 1, 32, 1}, {"node", 64, 1, 64, 2}, {"line", 64, 17, 129, 3}, {"inner", 64, 0, 175, 3},
		{"outer", 64, 0, 96, 2}, {"long", 64, 0, 1000, 16}, {"few/4", 4, 1, 64, 2}, {"few/6", 6, 1, 64, 2}, {"few/8", 8, 1, 64, 2},
	} {
		msgs, dst := make([]byte, c.n*c.msgLen), make([]byte, c.n*Size)
		random.Read(msgs)
		for _, i := range implementations[1:] {
			b.Run(fmt.Sprintf("%s/%s", c.name, i.name), func(b *testing.B) {
				if !i.have {
					b.Skip("this machine or build doesn't have it")
				}
				for b.Loop() {
					i.sum(batch{make([]byte, c.prefix), msgs, c.msgLen, c.msgLen}, dst)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.n*c.blocks), "ns/block")
			})
		}
	}
}
