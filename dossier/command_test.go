package dossier

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
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

// TestNothingWasChecked looks that what is not the file's fault has a status of its own,
// and is said without the names of packages.
func TestNothingWasChecked(t *testing.T) {
	id := identity.ID{1}.String()
	file := filepath.Join(t.TempDir(), "evidence.zip")
	if err := os.WriteFile(file, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "give --platform"},
		{[]string{"--platform", "12", file}, "64 hexadecimal digits"},
		{[]string{"--platform", id}, "name one file"},
		{[]string{"--platform", id, file + ".none"}, "no such file"},
		{[]string{"--platform", id, "--checkpoint", file + ".none", file}, "no such file"},
		{[]string{"--platform", id, file}, "not an evidence file"},
	} {
		var out, wrong strings.Builder
		status := Command(c.args, &out, &wrong)
		if status != 2 || out.Len() > 0 || !strings.Contains(wrong.String(), c.want) || strings.Contains(wrong.String(), "dossier: ") || strings.Contains(wrong.String(), "identity: ") {
			t.Errorf("%q: status %d, %s", c.args, status, wrong.String())
		}
	}
	var out strings.Builder
	if Command([]string{"--help"}, &out, io.Discard) != 0 || !strings.Contains(out.String(), "Exit status") {
		t.Errorf("the help does not say what a status means: %s", out.String())
	}
}
