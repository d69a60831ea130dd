package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

// A policy that has signatures beside it is loaded with them, and not at all if
// they are not valid; who asks for both companies' gets nothing less.
func TestSignedPolicies(t *testing.T) {
	platform, partner, other := company(t), company(t), company(t)
	document := policy.Default()
	signed := func(by ...*identity.Identity) string {
		var file []byte
		for _, i := range by {
			var err error
			if file, err = policy.Sign(document, file, i.Key(), time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		return string(file)
	}
	for _, c := range []struct {
		signatures string
		want       string // of CheckSigned
	}{
		{"", "is not signed"},
		{signed(platform), "not signed by the partner"},
		{signed(partner, other), "not signed by this platform"},
		{signed(partner, platform), ""},
		{signed(other, platform, partner), ""},
	} {
		files := map[string]string{
			"policy.toml":   string(document.Bytes()),
			"partners.json": fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "policy.toml"}]`, partner.ID()),
		}
		if c.signatures != "" {
			files["policy.toml.sig"] = c.signatures
		}
		partners, err := LoadPartners(filepath.Join(write(t, files), "partners.json"))
		if err != nil {
			t.Fatal(err)
		}
		err = CheckSigned(partners, platform.ID())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasSuffix(err.Error(), c.want)) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
	// A partner without a policy of its own has the default, which nobody signed.
	if err := CheckSigned([]Partner{{Name: "a", ID: partner.ID()}}, platform.ID()); err == nil {
		t.Error("a default policy is signed")
	}
	dir := write(t, map[string]string{
		"policy.toml":     string(document.Bytes()) + "\n",
		"policy.toml.sig": signed(partner, platform),
		"partners.json":   fmt.Sprintf(`[{"name": "a", "id": %q, "policy": "policy.toml"}]`, partner.ID()),
	})
	if _, err := LoadPartners(filepath.Join(dir, "partners.json")); !errors.Is(err, policy.ErrOther) {
		t.Errorf("a policy changed after it was signed: %v", err)
	}
}

func company(t *testing.T) *identity.Identity {
	t.Helper()
	i, err := identity.New("company")
	if err != nil {
		t.Fatal(err)
	}
	return i
}
