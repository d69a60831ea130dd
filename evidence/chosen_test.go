package evidence

import (
	"bytes"
	"testing"

	"github.com/overlap-psi/overlap/consent"
)

// The platform opens positions of its choice: each is shown to have been in the
// snapshot on its record, and nothing is said of the rest.
func TestChosenPositions(t *testing.T) {
	w := newWorld(t, 40, cheat{})
	var file bytes.Buffer
	kept, err := Open(w.dir, w.sid)
	must(t, err)
	defer kept.Close()
	must(t, kept.WriteChosen(&file, []uint64{3, 17, 39}, w.source()))
	c := &Case{Receipt: w.receipt, Policy: w.policy}
	seen := map[uint64]uint64{}
	report, err := CheckChosen(bytes.NewReader(file.Bytes()), c, func(at uint64, rec *consent.Record) {
		if w.positions[at].leaf == ([32]byte{}) || rec.Purpose != consent.AdsMatching {
			t.Errorf("position %d has another record", at)
		}
		seen[at]++
	})
	must(t, err)
	if report.Records != 3 || report.Drawn != 3 || len(report.Bad) != 0 || len(seen) != 3 || seen[3] != 1 || seen[17] != 1 || seen[39] != 1 {
		t.Errorf("%+v, seen %v", report, seen)
	}
	if report.Samples != 0 || len(report.Detection) != 0 {
		t.Error("positions that were chosen pass for a sample")
	}
	for i := range file.Bytes() {
		changed := bytes.Clone(file.Bytes())
		changed[i] ^= 1
		if r, err := CheckChosen(bytes.NewReader(changed), c, func(uint64, *consent.Record) {}); err == nil && r.Records == 3 && len(r.Bad) == 0 {
			t.Fatalf("byte %d changed, and all is good", i)
		}
		if i > 3000 { // the chunk's body has its own test
			break
		}
	}
	if _, err := Check(bytes.NewReader(file.Bytes()), &Case{Receipt: w.receipt, Policy: w.policy, Challenge: w.challenge(5, 1)}); err == nil {
		t.Error("chosen positions pass for a challenge's")
	}
}

// Positions come in order and once: nobody counts twice.
func TestChosenTwice(t *testing.T) {
	w := newWorld(t, 40, cheat{})
	kept, err := Open(w.dir, w.sid)
	must(t, err)
	defer kept.Close()
	for _, positions := range [][]uint64{{3, 3}, {17, 3}, {40_000}} {
		var file bytes.Buffer
		if err := kept.WriteChosen(&file, positions, w.source()); err == nil {
			if _, err := CheckChosen(&file, &Case{Receipt: w.receipt, Policy: w.policy}, func(uint64, *consent.Record) {}); err == nil {
				t.Errorf("%v are opened", positions)
			}
		}
	}
}
