package dossier

import (
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/evidence"
)

// TestShowErased looks that a report says what an excuse rests on, where there is one.
func TestShowErased(t *testing.T) {
	for erased, want := range map[uint64]bool{0: false, 1: true} {
		var out strings.Builder
		report := &Report{Contents: new(Contents), Audits: []*evidence.Report{{Size: 8, Drawn: 1, Erased: erased}}}
		if err := show(&out, report); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), "is the platform's word") != want {
			t.Errorf("%d erased: %s", erased, out.String())
		}
	}
}
