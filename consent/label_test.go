package consent

import (
	"testing"
	"time"
)

// A label is none of consent's business: no record is admitted, hashed or encoded
// otherwise for it.
func TestLabelIsNotConsent(t *testing.T) {
	for _, rec := range []Record{granted(), {}} {
		at := time.Now()
		labelled := rec
		labelled.Label = "segment 7"
		if rec.Hash() != labelled.Hash() {
			t.Error("a label changes the record's hash")
		}
		_, err := openRule.Admit(&rec, at)
		_, again := openRule.Admit(&labelled, at)
		if err != again {
			t.Errorf("%v, and with a label %v", err, again)
		}
		parsed, err := ParseRecord(labelled.Append(nil))
		if err != nil || parsed.Label != "" {
			t.Errorf("a label is in the encoding: %v", err)
		}
	}
}
