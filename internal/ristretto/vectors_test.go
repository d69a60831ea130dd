package ristretto

import (
	"crypto"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/cloudflare/circl/expander"
)

// octets are bytes that JSON has as hex.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

// b32 panics unless o has at least 32 bytes.
func (o octets) b32() [32]byte { return [32]byte(o) }

func (o octets) scalar(t *testing.T) Scalar {
	t.Helper()
	b := o.b32()
	s, err := ScalarFromCanonical(&b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type mapping struct{ Input, Output octets }

type rfc9496 struct {
	GeneratorMultiples []octets `json:"generator_multiples"`
	InvalidEncodings   []struct {
		Reason   string
		Encoding octets
	} `json:"invalid_encodings"`
	ElementDerivation []mapping `json:"element_derivation"`
	EqualOutput       struct {
		Inputs []octets
		Output octets
	} `json:"element_derivation_equal_output"`
	SqrtRatioM1 []struct {
		U, V, R   octets
		WasSquare bool `json:"was_square"`
	} `json:"sqrt_ratio_m1"`
}

func load[T any](t testing.TB, file string) (v T) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func encode(v *Vector) [][32]byte {
	out := make([][32]byte, v.Len())
	v.Encode(out)
	return out
}

func mustDecode(t testing.TB, encoded ...[32]byte) *Vector {
	t.Helper()
	v, err := Decode(encoded)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func small(n byte) Scalar { return ScalarFromUniform(&[64]byte{n}) }

// checkMultiples checks that want is 0·G, 1·G, 2·G, ….
func checkMultiples(t *testing.T, want []octets) {
	if len(want) != 16 {
		t.Fatalf("%d multiples, want 16", len(want))
	}
	sum := Generator().Mul([]Scalar{small(0)})
	for i, w := range want {
		n := small(byte(i))
		if got := encode(Generator().Mul([]Scalar{n}))[0]; got != w.b32() {
			t.Errorf("%d·G from the table = %x, want %x", i, got, w)
		}
		g := Generator().Mul([]Scalar{small(1)})
		if got := encode(g.Mul(&n))[0]; got != w.b32() {
			t.Errorf("%d·G = %x, want %x", i, got, w)
		}
		if got := encode(sum)[0]; got != w.b32() {
			t.Errorf("G added %d times = %x, want %x", i, got, w)
		}
		sum = sum.Add(g)
		if i > 0 {
			if got := encode(mustDecode(t, w.b32()))[0]; got != w.b32() {
				t.Errorf("%d·G decoded and encoded = %x, want %x", i, got, w)
			}
		}
	}
}

func TestGeneratorMultiples(t *testing.T) { eachImplementation(t, testGeneratorMultiples) }

func testGeneratorMultiples(t *testing.T) {
	checkMultiples(t, load[rfc9496](t, "rfc9496_ristretto255.json").GeneratorMultiples)
	checkMultiples(t, load[libsodium](t, "libsodium_ristretto255.json").Multiples)
}

type libsodium struct {
	Hash []struct {
		Mode            byte
		Input, Expected octets
	} `json:"hash_to_group_rfc9497_dst"`
	Invalid   []octets `json:"invalid_encodings"`
	Multiples []octets `json:"scalarmult_base_0_to_15"`
}

// invalid returns what Decode must refuse: RFC 9496's and libsodium's list, and
// the identity.
func invalid(t testing.TB) [][32]byte {
	bad := [][32]byte{{}}
	for _, c := range load[rfc9496](t, "rfc9496_ristretto255.json").InvalidEncodings {
		bad = append(bad, c.Encoding.b32())
	}
	for _, c := range load[libsodium](t, "libsodium_ristretto255.json").Invalid {
		bad = append(bad, c.b32())
	}
	if len(bad) != 1+29+30 {
		t.Fatalf("%d invalid encodings, want 60", len(bad))
	}
	return bad
}

func TestDecodeRefuses(t *testing.T) { eachImplementation(t, testDecodeRefuses) }

func testDecodeRefuses(t *testing.T) {
	const n = 17
	good := encode(newSource(1).vector(n))
	for i := range good {
		if good[i] == [32]byte{} {
			good[i] = encode(Generator().Mul([]Scalar{small(3)}))[0]
		}
	}
	mustDecode(t, good...)
	for _, enc := range invalid(t) {
		for _, at := range []int{0, n / 2, n - 1} {
			batch := append([][32]byte(nil), good...)
			batch[at] = enc
			checkRefused(t, batch, at)
			batch[n-1] = enc // a second one doesn't matter
			checkRefused(t, batch, at)
		}
		if b, err := NewBase(&enc); b != nil || !refusedAt(err, 0) {
			t.Errorf("NewBase(%x) = %v, %v", enc, b, err)
		}
	}
}

func checkRefused(t *testing.T, batch [][32]byte, at int) {
	t.Helper()
	v, err := Decode(batch)
	if v != nil {
		t.Errorf("%x at %d: a Vector in spite of the error", batch[at], at)
	}
	if !refusedAt(err, at) {
		t.Errorf("%x at %d: error %v", batch[at], at, err)
	}
}

func refusedAt(err error, at int) bool {
	var d *DecodeError
	return errors.As(err, &d) && d.Index == at
}

func checkMap(t *testing.T, cases []mapping) {
	t.Helper()
	u := make([][64]byte, len(cases))
	for i := range cases {
		u[i] = [64]byte(cases[i].Input)
	}
	for i, got := range encode(FromUniform(u)) {
		if got != cases[i].Output.b32() {
			t.Errorf("map %d = %x, want %x", i, got, cases[i].Output)
		}
	}
}

func TestOneWayMap(t *testing.T) { eachImplementation(t, testOneWayMap) }

func testOneWayMap(t *testing.T) {
	rfc := load[rfc9496](t, "rfc9496_ristretto255.json")
	checkMap(t, rfc.ElementDerivation)
	for _, in := range rfc.EqualOutput.Inputs {
		checkMap(t, []mapping{{in, rfc.EqualOutput.Output}})
	}
	if len(rfc.ElementDerivation) != 7 || len(rfc.EqualOutput.Inputs) != 4 {
		t.Error("vectors are missing")
	}

	dalek := load[struct {
		Single []mapping `json:"elligator_single_map"`
		OneWay []mapping `json:"one_way_map"`
	}](t, "dalek_ristretto255_maps.json")
	checkMap(t, dalek.OneWay)
	// MAP(√(i·d)) is the identity, so MAP(t) + MAP(√(i·d)) is MAP(t).
	toIdentity := littleEndian(refSqrtID)
	for i := range dalek.Single {
		dalek.Single[i].Input = append(dalek.Single[i].Input, toIdentity[:]...)
	}
	checkMap(t, dalek.Single)
	if len(dalek.OneWay) != 11 || len(dalek.Single) != 16 {
		t.Error("vectors are missing")
	}
}

// Hashing belongs to the caller of this package; here an expander of another
// project stands in for it.
func hashToGroup(msg []byte, dst string) [32]byte {
	u := [64]byte(expander.NewExpanderMD(crypto.SHA512, []byte(dst)).Expand(msg, 64))
	return encode(FromUniform([][64]byte{u}))[0]
}

func TestHashToGroup(t *testing.T) { eachImplementation(t, testHashToGroup) }

func testHashToGroup(t *testing.T) {
	sodium := load[libsodium](t, "libsodium_ristretto255.json").Hash
	for _, c := range sodium {
		dst := "HashToGroup-OPRFV1-" + string(rune(c.Mode)) + "-ristretto255-SHA512"
		if got := hashToGroup(c.Input, dst); got != c.Expected.b32() {
			t.Errorf("mode %d: %x, want %x", c.Mode, got, c.Expected)
		}
	}
	if len(sodium) != 6 {
		t.Error("vectors are missing")
	}
	own := load[struct {
		Vector struct {
			Msg, DST string
			P        octets
		}
	}](t, "bytemare_hash_to_ristretto255.json").Vector
	if got := hashToGroup([]byte(own.Msg), own.DST); got != own.P.b32() {
		t.Errorf("bytemare: %x, want %x", got, own.P)
	}
}

// TestWholeGroup follows C2SP's VRF, a proof of the shape that ours has, through
// every operation of this package.
func TestWholeGroup(t *testing.T) { eachImplementation(t, testWholeGroup) }

func testWholeGroup(t *testing.T) {
	vrf := load[struct {
		Vector struct {
			X, Y, H, K, Gamma, U, V, C, S octets
			Hash                          octets `json:"hash_string"`
			KString                       octets `json:"k_string"`
		}
	}](t, "c2sp_vrf_r255.json").Vector
	equal := func(name string, got *Vector, want octets) {
		t.Helper()
		if enc := encode(got); len(enc) != 1 || enc[0] != want.b32() {
			t.Errorf("%s = %x, want %x", name, enc, want)
		}
	}
	x, s, k := vrf.X.scalar(t), vrf.S.scalar(t), vrf.K.scalar(t)
	c := append(vrf.C, make([]byte, 16)...).scalar(t)
	if ScalarFromUniform((*[64]byte)(vrf.KString)) != k {
		t.Error("k isn't k_string reduced")
	}
	cx := c.Mul(&x)
	if k.Add(&cx) != s {
		t.Error("s isn't k + c·x")
	}

	g := Generator()
	h := FromUniform([][64]byte{[64]byte(vrf.Hash)})
	equal("Y", g.Mul([]Scalar{x}), vrf.Y)
	equal("H", h, vrf.H)
	equal("Gamma", h.Mul(&x), vrf.Gamma)
	var gamma [1][32]byte
	h.MulEncode(gamma[:], &x)
	if gamma[0] != vrf.Gamma.b32() {
		t.Errorf("Gamma by MulEncode = %x, want %x", gamma[0], vrf.Gamma)
	}
	equal("U", g.Mul([]Scalar{k}), vrf.U)
	equal("V", h.Mul(&k), vrf.V)

	enc := vrf.Y.b32()
	y, err := NewBase(&enc)
	if err != nil {
		t.Fatal(err)
	}
	equal("U = s·G − c·Y", g.Mul([]Scalar{s}).SubMulBase(y, []Scalar{c}), vrf.U)
	hGamma := mustDecode(t, vrf.H.b32(), vrf.Gamma.b32())
	equal("V = s·H − c·Gamma", hGamma.SumVartime([]Scalar{s, c.Neg()}), vrf.V)
}
