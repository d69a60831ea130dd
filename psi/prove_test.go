package psi

import (
	"errors"
	"fmt"
	"slices"
	"testing"
)

// TestProveVerify: Prove's proofs are what BlindEvaluate's are, for circl too,
// and Verify accepts only the chunk, the bind and the key they were made for.
func TestProveVerify(t *testing.T) {
	for _, n := range batchSizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			key, seed := NewKey(), NewSeed()
			blinded, evaluated, made := exchange(t, key, queries(n), seed, 0, bindTo([32]byte{1}, 2))
			bind, other := NewBind(&[32]byte{1}, 2, blinded, evaluated), NewBind(&[32]byte{1}, 3, blinded, evaluated)
			must(t, key.Public().Verify(blinded, evaluated, &made, &bind))
			p, err := key.Prove(blinded, evaluated, &bind)
			must(t, err)
			must(t, key.Public().Verify(blinded, evaluated, &p, &bind))
			if p == made {
				t.Error("two proofs have one nonce")
			}

			wrong := slices.Clone(evaluated)
			wrong[n-1] = blinded[n-1]
			overWrong, err := key.Prove(blinded, wrong, &bind)
			must(t, err)
			for name, err := range map[string]error{
				"another bind":            key.Public().Verify(blinded, evaluated, &p, &other),
				"no bind":                 key.Public().Verify(blinded, evaluated, &p, nil),
				"another key":             NewKey().Public().Verify(blinded, evaluated, &p, &bind),
				"a wrong element":         key.Public().Verify(blinded, wrong, &p, &bind),
				"a proof over wrong ones": key.Public().Verify(blinded, wrong, &overWrong, &bind),
			} {
				if !errors.Is(err, AbortProof) {
					t.Errorf("%s: %v, want AbortProof", name, err)
				}
			}

			plain, err := key.Prove(blinded, evaluated, nil)
			must(t, err)
			must(t, key.Public().Verify(blinded, evaluated, &plain, nil))
			if !circlVerifies(t, key.public, blinded, evaluated, &plain) {
				t.Error("circl refuses a proof without bind")
			}
		})
	}
}

// TestProveVerifyRefuse: elements that are none, lengths that differ, and keys
// that are gone.
func TestProveVerifyRefuse(t *testing.T) {
	a := newAnswered(t, 3)
	key, public := a.key, a.key.Public()
	bad := slices.Clone(a.blinded)
	bad[1] = Element{}
	var element *ElementError
	if _, err := key.Prove(bad, a.evaluated, &a.bind); !errors.As(err, &element) || element.Index != 1 {
		t.Errorf("Prove with the identity: %v, want an ElementError for 1", err)
	}
	for name, err := range map[string]error{
		"blinded identity":   public.Verify(bad, a.evaluated, &a.proof, &a.bind),
		"evaluated identity": public.Verify(a.blinded, bad, &a.proof, &a.bind),
		"too few":            public.Verify(a.blinded, a.evaluated[:2], &a.proof, &a.bind),
		"proof of ones":      public.Verify(a.blinded, a.evaluated, (*Proof)(slices.Repeat([]byte{0xff}, ProofLen)), &a.bind),
	} {
		if !errors.Is(err, AbortMalformed) {
			t.Errorf("%s: %v, want AbortMalformed", name, err)
		}
	}
	mustPanic(t, "Prove, lengths", func() { key.Prove(a.blinded, a.evaluated[:2], nil) })
	mustPanic(t, "Prove of nothing", func() { key.Prove(nil, nil, nil) })
	mustPanic(t, "Verify of nothing", func() { public.Verify(nil, nil, &a.proof, nil) })
	mustPanic(t, "Verify of too many", func() { public.Verify(make([]Element, 65536), make([]Element, 65536), &a.proof, nil) })
	key.Destroy()
	mustPanic(t, "Prove with a destroyed key", func() { key.Prove(a.blinded, a.evaluated, nil) })
}
