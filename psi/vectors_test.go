package psi

import (
	"encoding/json"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/internal/ristretto"
)

// load reads a vector file. Those of the group are beside the kernel.
func load[T any](t testing.TB, file string) (v T) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

const (
	groupVectors  = "../internal/ristretto/testdata/rfc9496_ristretto255.json"
	sodiumVectors = "../internal/ristretto/testdata/libsodium_ristretto255.json"
	mareVector    = "../internal/ristretto/testdata/bytemare_hash_to_ristretto255.json"
)

type sodium struct {
	Hash []struct {
		Mode            byte
		Input, Expected hexBytes
	} `json:"hash_to_group_rfc9497_dst"`
	Scalars []struct {
		Hash, Msg, DST string
		Expected       hexBytes
	} `json:"scalar_from_string__48_byte_big_endian_NOT_rfc9497"`
	Invalid []hexBytes `json:"invalid_encodings"`
}

// refusedEncodings returns all that RFC 9496 and libsodium list as invalid, and
// the identity, which is valid there and refused here (PROTOCOL.md §4).
func refusedEncodings(t testing.TB) (bad []Element) {
	t.Helper()
	rfc := load[struct {
		Invalid []struct{ Encoding hexBytes } `json:"invalid_encodings"`
	}](t, groupVectors)
	for _, c := range rfc.Invalid {
		bad = append(bad, Element(c.Encoding))
	}
	for _, c := range load[sodium](t, sodiumVectors).Invalid {
		if !slices.Contains(bad, Element(c)) {
			bad = append(bad, Element(c))
		}
	}
	if len(bad) != 30 {
		t.Fatalf("%d invalid encodings, want RFC 9496's 29 and one more", len(bad))
	}
	return append(bad, Element{})
}

// groupElement is HashToGroup of any message under any DST. In the product
// only an Input is hashed, and only under dstHashToGroup.
func groupElement(msg []byte, dst string) *ristretto.Vector {
	u := make([][64]byte, 1)
	expandMessageXMD(u[0][:], msg, dst)
	return ristretto.FromUniform(u)
}

// decoded returns a peer's elements as group elements.
func decoded(e []Element) (*ristretto.Vector, error) {
	v := ristretto.NewVector(len(e))
	if err := decode(v, e); err != nil {
		return nil, err
	}
	return v, nil
}

// elements reads all elements of a body.
func elements(body []byte) []Element {
	return parseElements(make([]Element, len(body)/len(Element{})), body)
}

func enc(v *ristretto.Vector) []Element {
	e := make([]Element, v.Len())
	v.Encode(e)
	return e
}

func scalar(t testing.TB, b []byte) ristretto.Scalar {
	t.Helper()
	s, err := ristretto.ScalarFromCanonical((*[32]byte)(b))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

var order, _ = new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)

func toBig(littleEndian []byte) *big.Int {
	b := slices.Clone(littleEndian)
	slices.Reverse(b)
	return new(big.Int).SetBytes(b)
}

func littleEndian(n *big.Int) (b [32]byte) {
	n.FillBytes(b[:])
	slices.Reverse(b[:])
	return b
}

// inverse returns 1/s. The product has no use for it: its blinds are additive.
func inverse(t testing.TB, s *ristretto.Scalar) ristretto.Scalar {
	t.Helper()
	b := s.Bytes()
	inv := littleEndian(new(big.Int).ModInverse(toBig(b[:]), order))
	return scalar(t, inv[:])
}

func want(t testing.TB, what string, got, wanted []byte) {
	t.Helper()
	if err := equal(what, got, wanted); err != nil {
		t.Error(err)
	}
}

// splitHex reads the comma-separated values of one batch in RFC 9497's files.
func splitHex(t testing.TB, list string) (out [][]byte) {
	t.Helper()
	for part := range strings.SplitSeq(list, ",") {
		var h hexBytes
		if err := h.UnmarshalText([]byte(part)); err != nil {
			t.Fatal(err)
		}
		out = append(out, h)
	}
	return out
}
