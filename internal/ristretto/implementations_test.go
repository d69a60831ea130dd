package ristretto

import (
	"os"
	"testing"
)

// needIFMA skips a test of the assembly where the processor or the build hasn't
// it. OVERLAP_REQUIRE=ifma makes that a failure: on the machine that is there to
// test it, the assembly must not go untested in silence.
func needIFMA(t testing.TB) {
	t.Helper()
	if hasIFMA {
		return
	}
	if os.Getenv("OVERLAP_REQUIRE") == "ifma" {
		t.Fatal("OVERLAP_REQUIRE=ifma, and AVX-512 IFMA isn't selected")
	}
	t.Skip("no AVX-512 IFMA")
}

// TestRequired fails for a requirement that can't be met, and for one that isn't
// known, so that a slip of the pen doesn't pass.
func TestRequired(t *testing.T) {
	switch want := os.Getenv("OVERLAP_REQUIRE"); want {
	case "":
	case "ifma":
		needIFMA(t)
		if !ifma || !eight {
			t.Error("AVX-512 IFMA is there and isn't selected")
		}
	default:
		t.Errorf("OVERLAP_REQUIRE=%q is unknown", want)
	}
}

// implementations are the ways to compute everything: which of the two switches
// are on.
var implementations = []struct {
	name        string
	eight, ifma bool
}{
	{"portable", false, false},
	{"lanes-go", true, false},
	{"ifma", true, true},
}

// eachImplementation runs a test under each implementation by name.
func eachImplementation(t *testing.T, test func(t *testing.T)) {
	for _, i := range implementations {
		t.Run(i.name, func(t *testing.T) {
			if i.ifma {
				needIFMA(t)
			}
			defer func(e, f bool) { eight, ifma = e, f }(eight, ifma)
			eight, ifma = i.eight, i.ifma
			test(t)
		})
	}
}

// underEach runs f under each implementation that is there.
func underEach(f func()) {
	for _, i := range implementations {
		if !i.ifma || hasIFMA {
			under(i.eight, i.ifma, f)
		}
	}
}
