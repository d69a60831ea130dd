//go:build needs

package main

// The types in the assembly's signatures are looked up there. It can't be
// imported in a build, since it doesn't compile without what is written here.
import _ "github.com/overlap-psi/overlap/internal/ristretto"
