package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		section, _, _ := strings.Cut(refused.Field, ".")
		refused.Line = cmp.Or(lines[refused.Field], lines[section])
		return nil, refused
	}
	return p, nil
}

// fieldLines returns the line of each field and section. It refuses unknown
// fields here, by exact name, and not by decoding into a struct: go-toml folds
// case when it looks for a struct's field, so "Tau" after "tau" would override it
// and pass for no repetition. Decoded strictly into nothing, every field is
// reported with its exact name and place; decoded strictly into empty sections,
// every field of these is.
func fieldLines(document []byte) (map[string]int, error) {
	top, err := missing(document, &struct{}{})
	if err != nil {
		return nil, syntaxError(err)
	}
	// What is wrong with the document as such was found above. This also fails if
	// a section is no table, which read says better.
	inner, _ := missing(document, &struct {
		Consent struct{} `toml:"consent"`
		Hygiene struct{} `toml:"hygiene"`
	}{})
	lines := map[string]int{}
	for _, e := range inner {
		if key := e.Key(); len(key) == 1 { // of an inline table, without its section; read looks into those
			continue
		}
		top = append(top, e)
	}
	for _, e := range top {
		line, _ := e.Position()
		name := strings.Join(e.Key(), ".")
		if !slices.Contains(sections, name) && !isField(e.Key()) {
			return nil, &FieldError{Line: line, Want: "unknown field"}
		}
		if lines[name] == 0 {
			lines[name] = line
		}
	}
	return lines, nil
}

// missing returns every field of the document that v does not have.
func missing(document []byte, v any) ([]toml.DecodeError, error) {
	err := toml.NewDecoder(bytes.NewReader(document)).DisallowUnknownFields().Decode(v)
	var found *toml.StrictMissingError
	if errors.As(err, &found) {
		return found.Errors, nil
	}
	return nil, err
}

// isField reports whether a key is a field's. A quoted key may hold dots, so the
// parts are compared and not their sum.
func isField(key []string) bool {
	return slices.ContainsFunc(fields, func(f field) bool { return slices.Equal(strings.Split(f.name, "."), key) })
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
	flat, refused := flatten(values)
	if refused != nil {
		return refused
	}
	p.set = map[string]bool{}
	for _, f := range fields {
		v, set := flat[f.name]
		if p.set[f.name] = set; !set {
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

// flatten gives the fields of sections their whole names.
func flatten(values map[string]any) (map[string]any, *FieldError) {
	flat := map[string]any{}
	for name, v := range values {
		if !slices.Contains(sections, name) {
			flat[name] = v
			continue
		}
		table, ok := v.(map[string]any)
		if !ok {
			return nil, &FieldError{Field: name, Want: "a table, [" + name + "]"}
		}
		for inner, v := range table {
			if !isField([]string{name, inner}) {
				return nil, &FieldError{Field: name, Want: "a table of known fields"}
			}
			flat[name+"."+inner] = v
		}
	}
	return flat, nil
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
