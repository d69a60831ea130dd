package ristretto

import "testing"

func TestSelectImplementation(t *testing.T) {
	before := Implementation()
	if (before == IFMA) != hasIFMA {
		t.Errorf("%s is in use", before)
	}
	for _, name := range []string{Portable, before} {
		restore, err := Select(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := Implementation(); got != name {
			t.Errorf("%s is selected, %s is in use", name, got)
		}
		restore()
		if got := Implementation(); got != before {
			t.Errorf("restored to %s", got)
		}
	}
	if _, err := Select("avx2"); err == nil {
		t.Error("an unknown implementation is selected")
	}
	if !hasIFMA {
		if _, err := Select(IFMA); err == nil {
			t.Error("an implementation that isn't there is selected")
		}
	}
}
