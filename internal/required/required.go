// Package required says what the machine of a test must have. A test of something
// that only some machines have is skipped on the others; where it is there to be
// tested, it must not go untested in silence.
package required

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// Variable names what must be there, with commas between.
const Variable = "OVERLAP_REQUIRE"

// What there is to require: the assembly of three packages, and a database server.
const (
	IFMA     = "ifma"
	AVX512   = "avx512"
	Postgres = "postgres"
)

// By reports whether Variable names what. A name in it that means nothing fails the
// test, so that a slip of the pen can't pass for a requirement.
func By(t testing.TB, what string) bool {
	t.Helper()
	names := strings.FieldsFunc(os.Getenv(Variable), func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.Contains([]string{IFMA, AVX512, Postgres}, name) {
			t.Errorf("%s has a name that is unknown: %q", Variable, name)
		}
	}
	return slices.Contains(names, what)
}

// Skip skips the test, or fails it if what is required.
func Skip(t testing.TB, what, why string) {
	t.Helper()
	if By(t, what) {
		t.Fatalf("%s: %s", Variable, why)
	}
	t.Skip(why)
}
