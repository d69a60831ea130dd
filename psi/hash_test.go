package psi

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"testing"

	"github.com/bwesterb/go-ristretto/edwards25519"
)

func TestExpandMessageXMD(t *testing.T) {
	file := load[struct {
		DST   string
		Tests []struct {
			Len     string `json:"len_in_bytes"`
			Msg     string
			Uniform hexBytes `json:"uniform_bytes"`
		}
	}](t, "testdata/rfc9380_expand_message_xmd_SHA512_38.json")
	if len(file.Tests) != 10 {
		t.Fatalf("%d cases, want 10", len(file.Tests))
	}
	for i, c := range file.Tests {
		n, err := strconv.ParseUint(c.Len, 0, 16)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, n)
		expandMessageXMD(got, []byte(c.Msg), file.DST)
		want(t, fmt.Sprintf("case %d", i), got, c.Uniform)
	}
}

// TestExpandMessageXMDLimits: the lengths that RFC 9380 allows, and our misuse.
func TestExpandMessageXMDLimits(t *testing.T) {
	long := string(bytes.Repeat([]byte{'d'}, 255))
	out := make([]byte, 255*64)
	expandMessageXMD(out, make([]byte, 1000), long)
	seen := map[[64]byte]bool{{}: true}
	for block := range slices.Chunk(out, 64) {
		if seen[[64]byte(block)] {
			t.Error("a block is zero or repeats")
		}
		seen[[64]byte(block)] = true
	}
	mustPanic(t, "out of 255·64+1 bytes", func() { expandMessageXMD(make([]byte, 255*64+1), nil, "d") })
	mustPanic(t, "DST of 256 bytes", func() { expandMessageXMD(make([]byte, 64), nil, long+"d") })
}

func mustPanic(t *testing.T, what string, f func()) {
	t.Helper()
	defer func() {
		t.Helper()
		if recover() == nil {
			t.Errorf("%s: no panic", what)
		}
	}()
	f()
}

func TestHashToGroupLibsodium(t *testing.T) {
	cases := load[sodium](t, sodiumVectors).Hash
	if len(cases) != 6 {
		t.Fatalf("%d cases, want 6", len(cases))
	}
	for i, c := range cases {
		dst := fmt.Sprintf("HashToGroup-OPRFV1-%c-ristretto255-SHA512", c.Mode)
		got := enc(groupElement(c.Input, dst))[0]
		want(t, fmt.Sprintf("case %d", i), got[:], c.Expected)
		if (c.Mode == 1) != (dst == dstHashToGroup) {
			t.Errorf("mode %d under the DST %q", c.Mode, dstHashToGroup)
		}
	}
}

func TestHashToGroupBytemare(t *testing.T) {
	v := load[struct {
		Vector struct {
			Msg, DST string
			P        hexBytes
		}
	}](t, mareVector).Vector
	got := enc(groupElement([]byte(v.Msg), v.DST))[0]
	want(t, "P", got[:], v.P)
}

// TestHashToGroupNeighbour takes edwards25519_XMD:SHA-512_ELL2_RO_. It has the
// same hash under the same curve, so the 96 bytes hashed are ours, but another
// map. The same message must land elsewhere: whichever of its points is taken
// and however it is encoded.
func TestHashToGroupNeighbour(t *testing.T) {
	type point struct{ X, Y string }
	file := load[struct {
		DST     string
		Vectors []struct {
			Msg       string
			U         []string
			P, Q0, Q1 point
		}
	}](t, "testdata/rfc9380_edwards25519_XMD_SHA-512_ELL2_RO_.json")
	if len(file.Vectors) != 5 {
		t.Fatalf("%d cases, want 5", len(file.Vectors))
	}
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	for _, v := range file.Vectors {
		wide := make([]byte, 96)
		expandMessageXMD(wide, []byte(v.Msg), file.DST)
		for i, u := range v.U {
			got := new(big.Int).SetBytes(wide[48*i:][:48])
			if got.Mod(got, p).Cmp(number(t, u)) != 0 {
				t.Errorf("%.8q: u[%d] differs", v.Msg, i)
			}
		}
		ours := enc(groupElement([]byte(v.Msg), file.DST))[0]
		for name, q := range map[string]point{"P": v.P, "Q0": v.Q0, "Q1": v.Q1} {
			if ours == ristrettoEncoding(t, number(t, q.X), number(t, q.Y)) {
				t.Errorf("%.8q: the element is that of %s", v.Msg, name)
			}
			if y := littleEndian(number(t, q.Y)); bytes.Equal(ours[:31], y[:31]) {
				t.Errorf("%.8q: the element is y of %s", v.Msg, name)
			}
		}
	}
}

// TestRistrettoEncoding checks the function below: RFC 9496's generator is the
// image of edwards25519's.
func TestRistrettoEncoding(t *testing.T) {
	x := number(t, "15112221349535400772501151409588531511454012693041857206046113283949847762202")
	y := number(t, "46316835694926478169428394003475163141307993866256225615783033603165251855960")
	g := load[struct {
		Multiples []hexBytes `json:"generator_multiples"`
	}](t, groupVectors).Multiples[1]
	got := ristrettoEncoding(t, x, y)
	want(t, "generator", got[:], g)
}

// ristrettoEncoding encodes the point (x, y) of edwards25519 as an element.
func ristrettoEncoding(t *testing.T, x, y *big.Int) (e Element) {
	t.Helper()
	xb, yb := littleEndian(x), littleEndian(y)
	var p edwards25519.ExtendedPoint
	p.X.SetBytes(&xb)
	p.Y.SetBytes(&yb)
	p.Z.SetOne()
	p.T.Mul(&p.X, &p.Y)
	p.RistrettoInto(&e)
	return e
}

func number(t *testing.T, s string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		t.Fatal("not a number")
	}
	return n
}
