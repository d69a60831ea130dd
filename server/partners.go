package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

// Partner is an advertiser that may match, and the policy agreed with it.
type Partner struct {
	Name   string // for logs and lists
	ID     identity.ID
	Policy *policy.Policy // nil means policy.Default
	Signed *policy.Signed // who signed the policy; nil: nobody
}

// LoadPartners reads a partners file: a JSON list of
//
//	{"name": "acme", "id": "<64 hexadecimal digits>", "policy": "acme.toml"}
//
// where policy is optional and relative to the file. If a policy has a file of
// signatures beside it, they must be valid.
func LoadPartners(path string) ([]Partner, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("server: partners: %w", err)
	}
	var lines []struct {
		Name   string `json:"name"`
		ID     string `json:"id"`
		Policy string `json:"policy"`
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	err = dec.Decode(&lines)
	if _, after := dec.Token(); err == nil && after != io.EOF {
		err = errors.New("something follows the list")
	}
	if err != nil {
		return nil, fmt.Errorf(`server: %s is not a list of {"name": …, "id": …, "policy": …}: %s`, path, where(text, dec.InputOffset(), err))
	}
	partners := make([]Partner, len(lines))
	for i, l := range lines {
		partners[i] = Partner{Name: l.Name}
		if l.ID != "" {
			if partners[i].ID, err = identity.ParseID(l.ID); err != nil {
				return nil, fmt.Errorf("server: %s: partner %d: %w", path, i+1, err)
			}
		}
		if l.Policy == "" {
			continue
		}
		if !filepath.IsAbs(l.Policy) {
			l.Policy = filepath.Join(filepath.Dir(path), l.Policy)
		}
		if partners[i].Policy, partners[i].Signed, err = policy.Load(l.Policy); err != nil {
			return nil, fmt.Errorf("server: %s: policy of partner %d: %w", path, i+1, err)
		}
	}
	if _, err = byID(partners); err != nil {
		return nil, fmt.Errorf("server: %s: %w", path, err)
	}
	return partners, nil
}

// where says in which line a JSON decoder has failed that has read so far, and at
// what.
func where(text []byte, read int64, err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	what := strings.TrimPrefix(err.Error(), "json: ")
	switch {
	case errors.As(err, &syntax):
		read = syntax.Offset
	case errors.As(err, &kind):
		read, what = kind.Offset, kind.Value+" is out of place"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		read, what = int64(len(text)), "the file ends too early"
	}
	return fmt.Sprintf("line %d: %s", 1+bytes.Count(text[:read], []byte("\n")), what)
}

// CheckSigned returns an error unless every partner's policy is signed by the
// partner and by the platform of the given id.
func CheckSigned(partners []Partner, platform identity.ID) error {
	for i, p := range partners {
		switch {
		case p.Signed == nil:
			return fmt.Errorf("server: the policy of partner %d is not signed", i+1)
		case !p.Signed.By(p.ID):
			return fmt.Errorf("server: the policy of partner %d is not signed by the partner", i+1)
		case !p.Signed.By(platform):
			return fmt.Errorf("server: the policy of partner %d is not signed by this platform", i+1)
		}
	}
	return nil
}

// byID indexes the partners, with the default policy where none is named.
func byID(partners []Partner) (map[identity.ID]*Partner, error) {
	m, names := make(map[identity.ID]*Partner, len(partners)), make(map[string]bool, len(partners))
	for i, p := range partners {
		switch {
		case p.Name == "" || p.ID == identity.ID{}:
			return nil, fmt.Errorf("server: partner %d needs a name and an id", i+1)
		case m[p.ID] != nil:
			return nil, fmt.Errorf("server: partner %d has the id of another one", i+1)
		case names[p.Name]: // logs and metrics would not tell the two apart
			return nil, fmt.Errorf("server: partner %d has the name of another one", i+1)
		}
		names[p.Name] = true
		if p.Policy == nil {
			p.Policy = policy.Default()
		}
		m[p.ID] = &p
	}
	if len(m) == 0 {
		return nil, errors.New("server: there are no partners, so nobody could connect")
	}
	return m, nil
}
