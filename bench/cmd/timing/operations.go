package main

import (
	"math/rand/v2"

	gtank "github.com/gtank/ristretto255"

	"github.com/overlap-psi/overlap/internal/input"
	"github.com/overlap-psi/overlap/internal/ristretto"
	"github.com/overlap-psi/overlap/psi"
)

// batch is how many elements an operation has: one for each lane.
const batch = 8

// operation is something with a secret.
type operation struct {
	name     string
	fixed    string // what the secret is each time, in the fixed kind
	variable bool   // a control, which takes variable time
	prepare  func(rng *rand.Rand) trial
}

// trial holds the secrets of a block of samples. set draws number i's; in the
// fixed kind it draws too, and then replaces them, so both kinds leave the same
// traces in memory. run is what is timed.
type trial struct {
	set func(i int, fixed bool)
	run func(i int)
}

// operations are all that take a secret, each against several fixed ones: those
// that a shortcut would favour, and one that is nothing special.
func operations() []operation {
	var all []operation
	for _, name := range []string{"0", "1", "2", "drawn once"} {
		all = append(all, scalarOperations(name)...)
	}
	for _, name := range []string{"zeros", "ones", "drawn once"} {
		all = append(all, mapOperations(name)...)
	}
	all = append(all, protocolOperations()...)
	return append(all, controls()...)
}

// scalarOperations have secret scalars; the elements are public and stay.
func scalarOperations(fixed string) []operation {
	generator := ristretto.Generator()
	return []operation{
		ofScalars("MulEncode", fixed, func(v *ristretto.Vector, _ *ristretto.Base, r []ristretto.Scalar) {
			var out [batch][32]byte
			v.MulEncode(out[:], &r[0])
		}),
		ofScalars("Mul", fixed, func(v *ristretto.Vector, _ *ristretto.Base, r []ristretto.Scalar) { v.Mul(&r[0]) }),
		ofScalars("Base.Mul, generator", fixed, func(_ *ristretto.Vector, _ *ristretto.Base, r []ristretto.Scalar) { generator.Mul(r) }),
		ofScalars("AddMulBase, generator", fixed, func(v *ristretto.Vector, _ *ristretto.Base, r []ristretto.Scalar) { v.AddMulBase(generator, r) }),
		ofScalars("SubMulBase, public key", fixed, func(v *ristretto.Vector, k *ristretto.Base, r []ristretto.Scalar) { v.SubMulBase(k, r) }),
	}
}

func ofScalars(name, fixed string, run func(*ristretto.Vector, *ristretto.Base, []ristretto.Scalar)) operation {
	return operation{name: name, fixed: fixed, prepare: func(rng *rand.Rand) trial {
		v, k, constant := elements(rng, batch), base(rng), uniform(rng, fixed)
		var r [block][batch]ristretto.Scalar
		return trial{
			set: func(i int, fixed bool) {
				for j := range r[i] {
					u := draw(rng)
					if fixed {
						u = constant
					}
					r[i][j] = ristretto.ScalarFromUniform(&u)
				}
			},
			run: func(i int) { run(v, k, r[i][:]) },
		}
	}}
}

// mapOperations have secret bytes: those hashed from an identifier, or those that
// a scalar is made of.
func mapOperations(fixed string) []operation {
	return []operation{
		ofUniform("FromUniform, Encode", fixed, func(u [][64]byte) {
			var out [batch][32]byte
			ristretto.FromUniform(u).Encode(out[:])
		}),
		ofUniform("ScalarFromUniform", fixed, func(u [][64]byte) {
			for i := range u {
				ristretto.ScalarFromUniform(&u[i])
			}
		}),
	}
}

func ofUniform(name, fixed string, run func([][64]byte)) operation {
	return operation{name: name, fixed: fixed, prepare: func(rng *rand.Rand) trial {
		constant := uniform(rng, fixed)
		var u [block][batch][64]byte
		return trial{
			set: func(i int, fixed bool) {
				for j := range u[i] {
					u[i][j] = draw(rng)
					if fixed {
						u[i][j] = constant
					}
				}
			},
			run: func(i int) { run(u[i][:]) },
		}
	}}
}

// protocolOperations are package psi's, with secret identifiers, or pads in place
// of them, or secret seeds of the blinds.
func protocolOperations() []operation {
	return []operation{
		ofQueries("psi.Blind", "one identifier", func(rng *rand.Rand) psi.Input { return identifier(rng) }),
		ofQueries("psi.Blind", "pads", func(*rand.Rand) psi.Input { return psi.Input{} }),
		{name: "psi.Blind", fixed: "one seed", prepare: ofSeeds},
		{name: "Key.Evaluate", fixed: "one identifier", prepare: ofInputs},
	}
}

func ofQueries(name, fixed string, constant func(*rand.Rand) psi.Input) operation {
	return operation{name: name, fixed: fixed, prepare: func(rng *rand.Rand) trial {
		one, seed := constant(rng), psi.NewSeed()
		var in [block][batch]psi.Query
		var out [batch]psi.Element
		return trial{
			set: func(i int, fixed bool) {
				for j := range in[i] {
					in[i][j].Input = identifier(rng)
					if fixed {
						in[i][j].Input = one
					}
				}
			},
			run: func(i int) { blind(out[:], in[i][:], seed) },
		}
	}}
}

func ofSeeds(rng *rand.Rand) trial {
	var in [batch]psi.Query
	for j := range in {
		in[j].Input = identifier(rng)
	}
	one := psi.NewSeed()
	var seeds [block]psi.Seed
	var out [batch]psi.Element
	return trial{
		set: func(i int, fixed bool) {
			seeds[i] = *psi.NewSeed()
			if fixed {
				seeds[i] = *one
			}
		},
		run: func(i int) { blind(out[:], in[:], &seeds[i]) },
	}
}

func blind(out []psi.Element, in []psi.Query, seed *psi.Seed) {
	if err := psi.Blind(out, in, seed, 0); err != nil {
		panic("timing: a blinded element is the identity")
	}
}

func ofInputs(rng *rand.Rand) trial {
	key, one := psi.NewKey(), identifier(rng)
	var in [block][batch]psi.Input
	var out [batch]psi.Output
	return trial{
		set: func(i int, fixed bool) {
			for j := range in[i] {
				in[i][j] = identifier(rng)
				if fixed {
					in[i][j] = one
				}
			}
		},
		run: func(i int) { key.Evaluate(out[:], in[i][:]) },
	}
}

// controls show what the test can find and that it finds nothing in nothing. The
// one that takes variable time is gtank's and nothing of Overlap's: SumVartime may
// take it and needn't.
func controls() []operation {
	variable := operation{name: "control: gtank's VarTimeMultiScalarMult", fixed: "0", variable: true, prepare: ofGtank}
	same := ofScalars("control: MulEncode", "random too", func(v *ristretto.Vector, _ *ristretto.Base, r []ristretto.Scalar) {
		var out [batch][32]byte
		v.MulEncode(out[:], &r[0])
	})
	prepare := same.prepare
	same.prepare = func(rng *rand.Rand) trial {
		t := prepare(rng)
		set := t.set
		t.set = func(i int, _ bool) { set(i, false) }
		return t
	}
	return []operation{variable, same}
}

func ofGtank(rng *rand.Rand) trial {
	g := []*gtank.Element{gtank.NewGeneratorElement()}
	var r [block]*gtank.Scalar
	return trial{
		set: func(i int, fixed bool) {
			u := draw(rng)
			if fixed {
				u = [64]byte{}
			}
			var err error
			if r[i], err = gtank.NewScalar().SetUniformBytes(u[:]); err != nil {
				panic("timing: gtank takes no 64 bytes")
			}
		},
		run: func(i int) { gtank.NewIdentityElement().VarTimeMultiScalarMult(r[i:i+1], g) },
	}
}

// uniform returns the 64 bytes that a fixed secret is made of.
func uniform(rng *rand.Rand, fixed string) (u [64]byte) {
	switch fixed {
	case "0", "zeros":
	case "1":
		u[0] = 1
	case "2":
		u[0] = 2
	case "ones":
		for i := range u {
			u[i] = 0xff
		}
	default:
		u = draw(rng)
	}
	return u
}

func draw(rng *rand.Rand) (u [64]byte) {
	for i := range u {
		u[i] = byte(rng.Uint32())
	}
	return u
}

func elements(rng *rand.Rand, n int) *ristretto.Vector {
	u := make([][64]byte, n)
	for i := range u {
		u[i] = draw(rng)
	}
	return ristretto.FromUniform(u)
}

func base(rng *rand.Rand) *ristretto.Base {
	var wire [1][32]byte
	elements(rng, 1).Encode(wire[:])
	b, err := ristretto.NewBase(&wire[0])
	if err != nil {
		panic("timing: an element that was encoded does not decode")
	}
	return b
}

func identifier(rng *rand.Rand) psi.Input {
	u := draw(rng)
	return input.New(0x01, (*[32]byte)(u[:32]))
}
