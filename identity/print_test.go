package identity

import (
	"fmt"
	"strings"
	"testing"
)

// A company prints as its id, by reference and by value: its key never does.
func TestIdentityPrintsAsItsID(t *testing.T) {
	i, err := New("Shop")
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{i, *i} {
			if got := fmt.Sprintf(verb, v); got != i.ID().String() {
				t.Errorf("%s of %T is %d bytes, and no id", verb, v, len(got))
			}
		}
		if got := fmt.Sprintf(verb, []Identity{*i}); !strings.Contains(got, i.ID().String()) || len(got) > 100 {
			t.Errorf("%s of a list is %d bytes", verb, len(got))
		}
	}
}
