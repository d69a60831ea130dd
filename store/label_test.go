package store

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/consent"
)

// A label is the fact's: the latest holds, the same again adds nothing, another one
// is another fact, a withdrawal has none, and it is erased with its account.
func TestLabels(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		labelled := func(n int, label string, hours int) Fact {
			f := with(fact("u1", n), consent.AdsMatching, consent.Granted, "app", hours)
			f.Label = label
			return f
		}
		want := func(labels ...string) {
			t.Helper()
			records := recordsOf(t, d, time.Now().Add(time.Hour)) // a withdrawal is of now
			if len(records) != len(labels) {
				t.Fatalf("%d records", len(records))
			}
			for i := range records {
				if records[i].Label != labels[i] {
					t.Errorf("record %d has label %q, want %q", i, records[i].Label, labels[i])
				}
			}
		}
		long := strings.Repeat("é", consent.MaxLabel/2)
		first := labelled(1, "segment 7", 10)
		first.Reference = "c-17"
		if put(t, d, first) != 1 || put(t, d, first) != 0 {
			t.Error("the same fact is added twice")
		}
		want("segment 7")
		if r := recordsOf(t, d, later)[0]; r.Reference != "c-17" {
			t.Errorf("reference %q", r.Reference)
		}
		put(t, d, labelled(1, long, 9))
		want(long)
		put(t, d, labelled(1, "", 8))
		want("")
		if put(t, d, labelled(1, "segment 8", 8)) != 1 {
			t.Error("another label is no other fact")
		}
		want("segment 8")
		if n, err := d.Withdraw(t.Context(), "u1", "page"); err != nil || n != 1 {
			t.Fatal(n, err)
		}
		want("")
		events, err := d.History(t.Context(), "u1")
		if err != nil {
			t.Fatal(err)
		}
		var history []string
		for _, e := range events {
			history = append(history, e.Fact.Label)
		}
		if strings.Join(history, "|") != "segment 7|"+long+"||segment 8|" {
			t.Errorf("history %q", history)
		}
		for _, label := range []string{long + "x", "\xff", "a\x00"} {
			var refused *FactError
			if _, err := d.Put(t.Context(), stream(labelled(1, label, 1))); !errors.As(err, &refused) {
				t.Errorf("a label of %d bytes: %v", len(label), err)
			}
		}
		other := labelled(1, "segment 7", 1)
		other.Purpose = consent.AccountSecurity2FA
		if _, err := d.Put(t.Context(), stream(other)); err == nil {
			t.Error("a label of a security purpose")
		}
	})
}

func TestErasedLabels(t *testing.T) {
	d, path := openFile(t)
	f := fact("u1", 1)
	f.Label = "a planted label"
	put(t, d, f)
	if err := d.Erase(t.Context(), "u1", nil); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal"} {
		if b, _ := os.ReadFile(name); bytes.Contains(b, []byte(f.Label)) {
			t.Errorf("the label of an erased account is in the store")
		}
	}
}
