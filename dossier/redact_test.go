package dossier

import (
	"fmt"
	"testing"
)

// People, and what hides who matched, don't print: by value, by reference, or in a
// log.
func TestSecretsPrintRedacted(t *testing.T) {
	p, c := Person{Account: "account-7", Handle: [32]byte{7}}, NewCommitment([32]byte{7})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		for _, v := range []any{p, &p, *c, c} {
			if got := fmt.Sprintf(verb, v); got != redacted {
				t.Errorf("%s of %T: %s", verb, v, got)
			}
		}
	}
	if p.LogValue().String() != redacted || c.LogValue().String() != redacted {
		t.Error("a log shows them")
	}
}
