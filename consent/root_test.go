package consent

import (
	"io"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/identifier"
)

// The consent_root of PROTOCOL.md §16, which a second implementation computed
// from the text alone.
func TestConsentRootKnownAnswer(t *testing.T) {
	alice, err := identifier.EmailUID2.Normalize("alice@example.com", identifier.Options{})
	if err != nil {
		t.Fatal(err)
	}
	rec := Record{
		Class: alice.Class(), Sum: alice.Sum(), Purpose: AdsMatching, Status: Granted, Basis: BasisConsent, Jurisdiction: "US-CA",
		CollectedAt: time.Unix(1_790_000_000, 123_456_000), Secret: run(1),
		Notice: "ads@3", Surface: "app", Source: "web-crm", Fact: 9, // the number is in no hash
	}
	for i := range rec.Account {
		rec.Account[i] = 0x11
	}
	id := run(2)
	ledger := func(yield func(Record, error) bool) { yield(rec, nil) }
	root, leaves, size, err := WriteSnapshot(io.Discard, &id, Rule{Classes: []identifier.Class{alice.Class()}},
		time.Unix(1_800_000_000, 0), func(uint64) uint64 { return 1024 }, ledger)
	if err != nil || leaves != 1 || size != 1024 {
		t.Fatalf("%d leaves, size %d, %v", leaves, size, err)
	}
	if got := hexOf(root[:]); got != "ed9569d5fc48542da8f03e26dd91d84288de05e85338dd2137245a72e6b755c2" {
		t.Errorf("consent_root %s", got)
	}
}
