package dossier

import (
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/evidence"
)

// TestShowErased looks that a report says what an excuse rests on, where there is one.
func TestShowErased(t *testing.T) {
	for by, want := range map[evidence.Excuse]string{"": "", evidence.ByLogTime: "is the platform's word", evidence.ByCheckpoint: "is shown by the checkpoint"} {
		var out strings.Builder
		report := &Report{Contents: new(Contents), Audits: []*evidence.Report{{Size: 8, Drawn: 1, ErasedBy: by}}}
		if err := show(&out, report); err != nil {
			t.Fatal(err)
		}
		if _, said, _ := strings.Cut(out.String(), "before the draw "); !strings.HasPrefix(said, want) || (said == "") != (want == "") {
			t.Errorf("%q: %s", by, out.String())
		}
	}
}
