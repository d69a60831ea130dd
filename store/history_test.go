package store

import (
	"errors"
	"slices"
	"testing"

	"github.com/overlap-psi/overlap/consent"
)

// What Records yields of a fact, RecordOf finds again by its number.
func TestRecordOf(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		facts := manyFacts(3*namesPerLookup + 1)
		for i := range facts {
			facts[i].Reference = facts[i].AccountID
			facts[i].SwitchedOff = i%3 == 0
		}
		put(t, d, facts...)
		records := recordsOf(t, d, later)
		numbers := []uint64{0, 1 << 40, 1 << 63}
		for _, r := range records {
			if got, err := d.RecordOf(t.Context(), r.Fact); err != nil || got != r {
				t.Fatalf("the record of a number differs: %v", err)
			}
			numbers = append(numbers, r.Fact)
		}
		got, err := d.RecordsOf(t.Context(), numbers)
		if err != nil || len(got) != len(records) {
			t.Fatalf("%d records of %d numbers: %v", len(got), len(records), err)
		}
		for _, r := range records {
			if got[r.Fact] != r {
				t.Fatal("the records of many numbers differ")
			}
		}
		for _, n := range numbers[:3] {
			if _, err := d.RecordOf(t.Context(), n); !errors.Is(err, ErrNotFound) {
				t.Errorf("%d: %v", n, err)
			}
		}
	})
}

// Numbers are given in the order of arrival, and the cut is the last one.
func TestHistory(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		old := fact("a", 1)
		old.CollectedAt = hoursBefore(50)
		put(t, d, fact("b", 3), fact("a", 1), old)
		before, err := d.Cut(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, off := range []bool{true, true, false} { // the second changes nothing
			if err := d.SetSwitch(t.Context(), "a", off); err != nil {
				t.Fatal(err)
			}
		}
		off := fact("a", 2)
		off.SwitchedOff = true
		put(t, d, off)
		put(t, d, off)
		events, err := d.History(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		var got string
		for i, e := range events {
			switch {
			case e.Fact == nil && e.Off:
				got += "off "
			case e.Fact == nil:
				got += "on "
			case e.Fact.Fact != e.Number || !e.Fact.CollectedAt.Equal(e.At):
				t.Error("a fact's number or time differs from its event's")
			default:
				got += string('0'+rune(e.Fact.Sum[0])) + " "
			}
			if known := e.Number <= before; known != (i < 2) || i > 0 && e.Number <= events[i-1].Number {
				t.Errorf("event %d has number %d; %d was the last before it", i, e.Number, before)
			}
		}
		if got != "1 1 off on 2 off " {
			t.Errorf("history is %s", got)
		}
		if last, err := d.Cut(t.Context()); err != nil || last < events[len(events)-1].Number {
			t.Errorf("cut at %d: %v", last, err)
		}
		if _, err := d.History(t.Context(), "c"); !errors.Is(err, ErrNotFound) {
			t.Errorf("%v", err)
		}
	})
}

// A view is one state: its records are of its cut, whatever arrives meanwhile.
func TestView(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		put(t, d, fact("a", 1))
		v := view(t, d)
		put(t, d, fact("a", 2))
		if err := d.SetSwitch(t.Context(), "a", true); err != nil {
			t.Fatal(err)
		}
		n := 0
		for r, err := range v.Records(t.Context(), later) {
			if err != nil || r.SwitchedOff || r.Fact > v.Cut() {
				t.Errorf("fact %d of a view cut at %d, switched off %v: %v", r.Fact, v.Cut(), r.SwitchedOff, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d records, want 1", n)
		}
		for _, r := range recordsOf(t, d, later) {
			if (r.Fact > v.Cut()) != (r.Sum == id(2)) {
				t.Error("the cut does not part what was there from what came later")
			}
		}
		if again := view(t, d); again.Cut() <= v.Cut() {
			t.Errorf("cut at %d, then at %d", v.Cut(), again.Cut())
		}
	})
}

func TestHandles(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		key, err := d.handleKey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		seen := map[consent.Handle]bool{}
		for number := int64(1); number < 1<<62; number = number*3 + 1 {
			h := key.of(number)
			if got, ok := key.account(h); !ok || got != number {
				t.Errorf("account %d comes back as %d", number, got)
			}
			seen[h] = true
			for i := range h { // no other handle is taken for one
				h[i] ^= 1
				if _, ok := key.account(h); ok {
					t.Errorf("a handle with byte %d spoilt is taken", i)
				}
				h[i] ^= 1
			}
		}
		for _, h := range []consent.Handle{{}, key.of(0), key.of(-1), consent.Handle(id(1))} {
			if _, ok := key.account(h); ok || seen[h] {
				t.Error("a handle of no account is taken")
			}
		}
		if a, b := key.of(1), key.of(2); slices.Equal(a[:16], b[:16]) || slices.Equal(a[16:], b[16:]) || slices.Equal(a[:16], a[16:]) {
			t.Error("halves repeat")
		}
	})
}
