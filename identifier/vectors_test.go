package identifier

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"
)

// vector is one entry of testdata/identifiers.json: one input under one
// profile.
type vector struct {
	Kind, Profile, Region, Input, Normalized, Code string
	SumHex                                         string `json:"sha256_hex"`
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	b, err := os.ReadFile("testdata/identifiers.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []vector
	if err := json.Unmarshal(b, &vectors); err != nil {
		t.Fatal(err)
	}
	return vectors
}

func TestVectors(t *testing.T) {
	vectors := readVectors(t)
	if len(vectors) != 261 {
		t.Fatalf("%d vectors, want 261", len(vectors))
	}
	for i, v := range vectors {
		p, err := ParseProfile(v.Profile)
		if err != nil {
			t.Fatalf("vector %d: %v", i, err)
		}
		id, err := p.Normalize(v.Input, Options{Region: v.Region})
		if got := codeOf(t, err); string(got) != v.Code {
			t.Errorf("vector %d, %s of %q: %s, want %s", i, p, v.Input, got, v.Code)
			continue
		}
		if err != nil {
			if id != (Identifier{}) {
				t.Errorf("vector %d: an identifier beside an error", i)
			}
			continue
		}
		sum := id.Sum()
		if id.Normalized() != v.Normalized || hex.EncodeToString(sum[:]) != v.SumHex {
			t.Errorf("vector %d, %s of %q: %q, %x, want %q, %s", i, p, v.Input, id.Normalized(), sum, v.Normalized, v.SumHex)
		}
		if id.Class().Kind().String() != v.Kind && v.Kind != "hash" {
			t.Errorf("vector %d: class %s is no %s", i, id.Class(), v.Kind)
		}
	}
}

// codeOf returns the Code that err is, OK for nil.
func codeOf(t testing.TB, err error) Code {
	t.Helper()
	if err == nil {
		return OK
	}
	code, ok := err.(Code)
	if !ok {
		t.Fatalf("error is a %T, not a Code", err)
	}
	return code
}
