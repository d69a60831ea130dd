package ristretto

import (
	"testing"

	"github.com/overlap-psi/overlap/internal/required"
)

// needIFMA skips a test of the assembly where the processor or the build hasn't
// it.
func needIFMA(t testing.TB) {
	t.Helper()
	if !hasIFMA {
		required.Skip(t, required.IFMA, "AVX-512 IFMA isn't there")
	}
}

// TestSelected: what is required is also what computes.
func TestSelected(t *testing.T) {
	needIFMA(t)
	if !ifma || !eight {
		t.Error("AVX-512 IFMA is there and isn't selected")
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
