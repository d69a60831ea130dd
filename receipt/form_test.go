package receipt

import (
	"bytes"
	"encoding/json"
	"testing"
)

// A receipt file has one form, but for white space: what encoding/json would make of
// other members, another reader may not.
func TestOneForm(t *testing.T) {
	file := tell(t, func(*story) {}).Bytes()
	var compact bytes.Buffer
	if err := json.Compact(&compact, file); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string][]byte{"as written": file, "in one line": compact.Bytes()} {
		if _, err := Parse(good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	change := func(from, to string) []byte { return bytes.Replace(file, []byte(from), []byte(to), 1) }
	for name, bad := range map[string][]byte{
		"capitals":     change(`"open_q"`, `"OPEN_Q"`),
		"twice":        change(`"open_q":`, `"open_q": "AAAA", "open_q":`),
		"an empty one": change(`"open_q":`, `"seal": "", "open_q":`),
		"an escape":    change(`"open_q"`, `"open_\u0071"`),
		"null":         change(`"open_q":`, `"release_sig": null, "open_q":`),
	} {
		if bytes.Equal(bad, file) {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := Parse(bad); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}
