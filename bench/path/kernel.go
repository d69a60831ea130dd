package path

import "github.com/overlap-psi/overlap/internal/ristretto"

// Kernel names the arithmetic in use.
func Kernel() string { return ristretto.Implementation() }
