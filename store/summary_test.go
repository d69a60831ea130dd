package store

import (
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

func TestSummary(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		empty, err := d.Summary(t.Context())
		if err != nil || empty.Accounts != 0 || len(empty.Current) != 0 {
			t.Fatalf("of an empty store: %+v, %v", empty, err)
		}
		withdrawn, security, future := fact("a", 1), fact("b", 3), fact("c", 4)
		withdrawn.Status, withdrawn.CollectedAt = consent.Withdrawn, hoursBefore(1)
		security.Purpose = consent.AccountSecurity2FA
		future.CollectedAt = time.Now().Add(time.Hour)
		put(t, d, fact("a", 1), fact("a", 2), withdrawn, fact("b", 2), fact("b", 3), security, future)
		if err := d.SetSwitch(t.Context(), "b", true); err != nil {
			t.Fatal(err)
		}
		got, err := d.Summary(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []Count{
			{consent.AccountSecurity2FA, consent.Granted, 1, 1},
			{consent.AdsMatching, consent.Granted, 3, 2},
			{consent.AdsMatching, consent.Withdrawn, 1, 1},
		}
		if got.Accounts != 3 || got.SwitchedOff != 1 || got.Facts != 7 || !slices.Equal(got.Current, want) {
			t.Errorf("%+v", got)
		}
	})
}
