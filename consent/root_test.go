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
		Class: alice.Class(), Sum: alice.Sum(), Purpose: AdsMatching, Status: Granted, Jurisdiction: "US-CA",
		CollectedAt: time.Unix(1_790_000_000, 123_456_000), Secret: run(1),
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
	if got := hexOf(root[:]); got != "3e639a668c610d62312afbfbc414ef6368c5ab431c2b96b98e9ea0caa3299385" {
		t.Errorf("consent_root %s", got)
	}
}
