package policy

import (
	"embed"
	"errors"
	"path"
	"slices"
)

//go:embed presets/*.toml
var presets embed.FS

// Presets are the names that Preset knows, the one to start from first:
//
//	default  the protocol's values
//	pair     what the IAB Tech Lab's PAIR asks of its clean rooms, clause by clause; a
//	         preset only, the protocol stays this one
//	strict   little noise budget, consent as the only basis everywhere
var Presets = []string{"default", "pair", "strict"}

var errPreset = errors.New("policy: no preset of that name")

// Preset returns the policy of the given name, to start from.
func Preset(name string) (*Policy, error) {
	if !slices.Contains(Presets, name) {
		return nil, errPreset
	}
	document, err := presets.ReadFile(path.Join("presets", name+".toml"))
	if err != nil {
		panic(err) // the document is part of this program
	}
	return Parse(document)
}

// Default returns the preset "default".
func Default() *Policy {
	p, err := Preset("default")
	if err != nil {
		panic(err) // the document is part of this program
	}
	return p
}
