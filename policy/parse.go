package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/overlap-psi/overlap/release"
	"github.com/pelletier/go-toml/v2"
)

// MaxBytes is the longest document that Parse reads.
const MaxBytes = 64 << 10

// A FieldError says where a document is wrong and what is allowed there. It
// holds no value of the document.
type FieldError struct {
	Line  int    // from 1; 0 if the field is not in the document
	Field string // "" if the line has no field of a policy
	Want  string // completes "must be …" or, without a field, says what is wrong
}

func (e *FieldError) Error() string {
	where := "policy: "
	if e.Line > 0 {
		where = fmt.Sprintf("policy: line %d: ", e.Line)
	}
	if e.Field == "" {
		return where + e.Want
	}
	return where + e.Field + " must be " + e.Want
}

// Parse reads a policy. Every field must be known, be set at most once and be in
// bounds; fields without default must be set. The error is a *FieldError for the
// first that is not.
func Parse(document []byte) (*Policy, error) {
	if len(document) > MaxBytes {
		return nil, &FieldError{Want: fmt.Sprintf("the document is longer than %d bytes", MaxBytes)}
	}
	lines, err := fieldLines(document)
	if err != nil {
		return nil, err
	}
	values := map[string]any{}
	if err := toml.Unmarshal(document, &values); err != nil {
		return nil, syntaxError(err)
	}
	p := &Policy{document: bytes.Clone(document)}
	refused := p.read(values)
	if refused == nil {
		refused = p.check()
	}
	if refused != nil {
		refused.Line = lines[refused.Field]
		return nil, refused
	}
	return p, nil
}

// fieldLines returns the line of each field. It refuses unknown fields here, by
// exact name, and not by decoding into a struct: go-toml folds case when it looks
// for a struct's field, so "Tau" after "tau" would override it and pass for no
// repetition. Decoded strictly into nothing, every field is reported with its
// exact name and place.
func fieldLines(document []byte) (map[string]int, error) {
	lines := map[string]int{}
	err := toml.NewDecoder(bytes.NewReader(document)).DisallowUnknownFields().Decode(&struct{}{})
	var found *toml.StrictMissingError
	if err != nil && !errors.As(err, &found) {
		return nil, syntaxError(err)
	}
	if found == nil {
		return lines, nil
	}
	for _, e := range found.Errors {
		line, _ := e.Position()
		key := e.Key()
		if len(key) != 1 || !slices.ContainsFunc(fields, func(f field) bool { return f.name == key[0] }) {
			return nil, &FieldError{Line: line, Want: "unknown field"}
		}
		lines[key[0]] = line
	}
	return lines, nil
}

// syntaxError keeps the line of go-toml's error and drops its text, which quotes
// the document.
func syntaxError(err error) *FieldError {
	e := &FieldError{Want: "not valid TOML, or a field that is set twice"}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		e.Line, _ = decode.Position()
	}
	return e
}

// read sets every field from the parsed values or its default.
func (p *Policy) read(values map[string]any) *FieldError {
	for _, f := range fields {
		v, set := values[f.name]
		if !set {
			v = f.preset
		}
		if v == nil {
			return &FieldError{Field: f.name, Want: "set, to " + f.want}
		}
		if !f.read(p, v) {
			return &FieldError{Field: f.name, Want: f.want}
		}
	}
	return nil
}

// Check returns a *FieldError for the first field out of bounds. A Policy from
// Parse has passed it.
func (p *Policy) Check() error {
	if err := p.check(); err != nil {
		return err
	}
	return nil
}

func (p *Policy) check() *FieldError {
	for _, f := range fields {
		if !f.check(p) {
			return &FieldError{Field: f.name, Want: f.want}
		}
	}
	var refused *release.ParamError
	if errors.As(p.Release().Check(), &refused) {
		return &FieldError{Field: refused.Param, Want: refused.Want}
	}
	return nil
}
