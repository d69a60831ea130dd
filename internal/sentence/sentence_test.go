package sentence

import (
	"errors"
	"fmt"
	"testing"
)

func TestOf(t *testing.T) {
	for want, err := range map[string]error{
		"not found": errors.New("store: not found"),
		"--platform: 64 hexadecimal digits are wanted": fmt.Errorf("--platform: %w", errors.New("identity: 64 hexadecimal digits are wanted")),
		"users.csv: line 2 is too long":                errors.New("ledger: users.csv: sheet: line 2 is too long"),
		"the log differs":                              errors.New("dossier: evidence: audit: merkle: the log differs"),
		"one thing; another: of it":                    errors.Join(errors.New("audit: one thing"), errors.New("inquiry: another:  of\tit")),
		"the store: it is full":                        errors.New("the store: it is full"),
		"open policy: there is no such file":           errors.New("open policy: there is no such file"),
	} {
		if got := Of(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
