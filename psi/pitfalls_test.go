package psi

import (
	"crypto/sha512"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"math/big"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/semver"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// These are the mistakes found in the libraries that this protocol could be
// built on, by their numbers in the project's threat model, L1 to L18. Each has
// a test, or a sentence that says why it can't be made here.

// L1, L2: in go-ristretto and, through it, in circl, a point that was never set
// or whose decoding failed equals every other. Here a failed decoding returns no
// elements, and what is compared are encodings.
func TestPitfallUnsetPoints(t *testing.T) {
	bad := refusedEncodings(t)[1]
	if v, err := decoded([]Element{bad}); v != nil || err == nil {
		t.Errorf("L1: %v, %v", v, err)
	}
	if k, err := ParsePublicKey(bad); k != nil || err == nil {
		t.Errorf("L2: %v, %v", k, err)
	}
	// No answer equals another because both are nothing.
	a := newAnswered(t, 2)
	a.evaluated[1] = Element{}
	wantElement(t, a.finalize(t), 1)
	mustPanic(t, "L1: a zero PublicKey", func() {
		new(PublicKey).Finalize(make([]Output, 2), a.in, a.blinded, a.blinded, &a.proof, nil, a.seed, 0)
	})
}

// L3, L7: the identity decodes in circl, as an element and, before v1.6.4, as a
// public key; then k·0 = 0, and everybody has one output.
func TestPitfallIdentity(t *testing.T) {
	if _, err := newTestKey(t).BlindEvaluate(make([]Element, 3), make([]Element, 3), nil); !errors.Is(err, AbortMalformed) {
		t.Errorf("L3: %v", err)
	}
	if _, err := ParsePublicKey(Element{}); !errors.Is(err, AbortMalformed) {
		t.Errorf("L7: %v", err)
	}
}

// L4: circl's RandomScalar and RandomElement don't use the reader they are
// given, and RandomElement is a single map. Scalars here are 64 bytes of
// crypto/rand modulo ℓ, and no element is drawn at random; the product doesn't
// link circl's group at all (L9).
func TestPitfallRandomScalars(t *testing.T) {
	seen, high := map[ristretto.Scalar]bool{}, 0
	for range 200 {
		s := randomScalar()
		b := s.Bytes()
		if s.IsZero() || seen[s] {
			t.Fatal("L4: a scalar is zero or repeats")
		}
		seen[s] = true
		high += int(b[31] >> 3 & 1) // bit 251: as often 1 as 0
	}
	if high < 50 || high > 150 {
		t.Errorf("L4: bit 251 is set in %d of 200", high)
	}
}

// L5: circl's zk/dleq has methods whose proofs aren't RFC 9497's, and before
// v1.6.5 accepted trailing bytes and batches of unequal lengths. It is used in
// tests only, at v1.6.5 or later, and only by the methods named …RFC9497.
// TestBodyLengths and TestAnswerOfAnotherSize refuse the others here.
//
// L10: circl makes one multiplication an element to prove and two to verify.
// The sums here are multi-scalar; TestSumIsTheSum, TestCirclProofs and
// TestForgedBatch compare them with the plain form and with circl.
func TestPitfallProofMethods(t *testing.T) {
	calls := 0
	for name, file := range sources(t, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		ast.Inspect(file, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok || !strings.HasPrefix(s.Sel.Name, "ProveBatch") && !strings.HasPrefix(s.Sel.Name, "VerifyBatch") {
				return true
			}
			calls++
			if !strings.HasSuffix(s.Sel.Name, "RFC9497") {
				t.Errorf("L5: %s calls %s", name, s.Sel.Name)
			}
			return true
		})
	}
	if calls < 2 {
		t.Errorf("L5: only %d calls were found", calls)
	}
}

// L6: scalars of ℓ and more were accepted before circl v1.6.5 and go-ristretto
// v1.2.4. In a proof they would make a second spelling of it: see
// TestScalarsOfAProof for all edges.
func TestPitfallScalars(t *testing.T) {
	a := newAnswered(t, 2)
	b := littleEndian(new(big.Int).Add(order, toBig(a.proof[32:])))
	copy(a.proof[32:], b[:])
	wantAbort(t, "L6: s + ℓ", a.finalize(t), AbortMalformed)
}

// L8: circl counts a batch's elements and an input's bytes modulo 2^16. A chunk
// has 16 384 elements at most, an Input always 44 bytes, and a batch that
// couldn't be counted is refused before it is looked at.
func TestPitfallCounts(t *testing.T) {
	key := newTestKey(t)
	for _, n := range []int{0, 1 << 16} {
		e := make([]Element, n)
		mustPanic(t, "L8: BlindEvaluate", func() { key.BlindEvaluate(e, e, nil) })
		mustPanic(t, "L8: Finalize", func() {
			key.Public().Finalize(make([]Output, n), make([]Query, n), e, e, &Proof{}, nil, &Seed{}, 0)
		})
	}
	if ChunkElems > 1<<16-1 {
		t.Error("L8: a chunk is too large")
	}
	if new(Input).Bytes()[43] != 0 || len(new(Input).Bytes()) != 44 {
		t.Error("L8: an Input is not 44 bytes")
	}
}

// L9: circl's PrivateKey.Public computes on the first call, without a lock. Here
// the public key is made with the key. Run with -race this test would show it.
//
// L11: circl's DeriveKey compares a byte with 255, so that its loop has no end.
// The counter here is an int from 0 to 255, as in RFC 9497; no seed is known
// that takes a second round.
func TestPitfallPublicKeyOnce(t *testing.T) {
	key, found := NewKey(), make([]*PublicKey, 8)
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() { found[i] = key.Public() })
	}
	wg.Wait()
	for _, k := range found {
		if k != key.public || k == nil {
			t.Error("L9: the public key is made anew")
		}
	}
}

// L12: of go-ristretto's ways to hash, Derive is one map, DeriveDalek has no
// DST and DeriveShort half the bytes; PublicScalarMult is variable time. The
// kernel's TestBannedNames keeps them out, and this that only the kernel imports
// go-ristretto. TestHashToGroupLibsodium and TestRFC9497 would fail with any.
//
// L15: circl says of group, oprf and zk/dleq that they aren't all constant time
// (for the P-curves). L17: two of its advisories, CVE-2025-8556 and
// CVE-2026-1229, are about FourQ and P-384. L4, L8, L9, L10 are in it too. The
// product links nothing of circl in this package.
func TestPitfallImports(t *testing.T) {
	files := 0
	for name, file := range sources(t, func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		files++
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			must(t, err)
			if strings.Contains(path, "circl") || strings.Contains(path, "go-ristretto") || strings.HasPrefix(path, "math/rand") {
				t.Errorf("L12, L15, L17: %s imports %s", name, path)
			}
		}
	}
	if files < 10 {
		t.Errorf("only %d files were read", files)
	}
}

// L12: one Elligator map is not the hash: its image misses half of the group.
func TestPitfallOneMap(t *testing.T) {
	var u [64]byte
	expandMessageXMD(u[:], []byte("a message"), dstHashToGroup)
	var one [64]byte
	copy(one[:], u[:32])
	both := enc(ristretto.FromUniform([][64]byte{u}))[0]
	if both == enc(ristretto.FromUniform([][64]byte{one}))[0] {
		t.Error("L12: the second map does not matter")
	}
	plain := sha512.Sum512([]byte("a message")) // as DeriveDalek has it
	if both == enc(ristretto.FromUniform([][64]byte{plain}))[0] {
		t.Error("L12: the DST does not matter")
	}
}

// L13: older releases of go-ristretto accepted non-canonical points and were
// variable time off amd64. L16: filippo.io/edwards25519 before v1.1.1 computes
// MultiScalarMult wrongly. L5 and L17: circl at v1.6.5 or later.
func TestPitfallVersions(t *testing.T) {
	text, err := os.ReadFile("../go.mod")
	must(t, err)
	mod, err := modfile.Parse("go.mod", text, nil)
	must(t, err)
	least := map[string]string{"github.com/bwesterb/go-ristretto": "v1.2.4", "github.com/cloudflare/circl": "v1.6.5"}
	needed := len(least)
	least["filippo.io/edwards25519"] = "v1.1.1"
	found := 0
	for _, r := range mod.Require {
		version, listed := least[r.Mod.Path]
		if listed && semver.Compare(r.Mod.Version, version) < 0 {
			t.Errorf("L13, L16, L17: %v is older than %s", r.Mod, version)
		}
		if listed && r.Mod.Path != "filippo.io/edwards25519" {
			found++
		}
	}
	if found != needed {
		t.Errorf("go.mod has %d of %d", found, needed)
	}
}

// L14: circl's own tests leave out two of RFC 9496's invalid encodings. Those
// two are among the 30 that TestInvalidElements gives to both sides.
func TestPitfallLeftOut(t *testing.T) {
	bad := refusedEncodings(t)
	for _, first := range []byte{0xf3, 0xed} {
		e := Element(slices.Repeat([]byte{0xff}, 32))
		e[0], e[31] = first, 0x7f
		if !slices.Contains(bad, e) {
			t.Errorf("L14: %x… is not in the list", first)
		}
	}
}

// L18: libsodium's scalar_from_string takes 48 bytes, big-endian, where RFC 9497
// takes 64, little-endian. From the same expander: theirs is met the one way
// and ours is another.
func TestPitfallScalarFromString(t *testing.T) {
	checked := 0
	for _, c := range load[sodium](t, sodiumVectors).Scalars {
		if c.Hash != "SHA-512" {
			continue
		}
		checked++
		var u [48]byte
		expandMessageXMD(u[:], []byte(c.Msg), c.DST)
		theirs := littleEndian(new(big.Int).Mod(new(big.Int).SetBytes(u[:]), order))
		want(t, "L18: libsodium's", theirs[:], c.Expected)
		s := hashToScalar([]byte(c.Msg), c.DST)
		if s.Bytes() == theirs {
			t.Error("L18: HashToScalar is libsodium's")
		}
	}
	if checked != 3 {
		t.Errorf("L18: %d cases with SHA-512, want 3", checked)
	}
}

// sources parses the package's files that are wanted.
func sources(t *testing.T, wanted func(name string) bool) map[string]*ast.File {
	t.Helper()
	entries, err := os.ReadDir(".")
	must(t, err)
	files := map[string]*ast.File{}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".go") && wanted(e.Name()) {
			files[e.Name()], err = parser.ParseFile(token.NewFileSet(), e.Name(), nil, parser.SkipObjectResolution)
			must(t, err)
		}
	}
	return files
}
