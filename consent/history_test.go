package consent

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"
)

// said is a fact of one identifier, collected on a day and heard of in its turn.
func said(fact uint64, day int, p Purpose, s Status, source string) Record {
	r := granted()
	r.Fact, r.Purpose, r.Status, r.Source = fact, p, s, source
	r.CollectedAt = dayOf(day)
	return r
}

func dayOf(n int) time.Time { return time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC) }

// facts returns the numbers of what is valid, in order.
func facts(records []Record) (list []uint64) {
	for _, r := range records {
		list = append(list, r.Fact)
	}
	slices.Sort(list)
	return list
}

func TestValid(t *testing.T) {
	const ads, twoFactor = AdsMatching, AccountSecurity2FA
	tests := []struct {
		name  string
		facts []Record
		day   int
		known uint64
		want  []uint64
	}{
		{"nothing said", nil, 5, KnownNow, nil},
		{"granted", []Record{said(1, 2, ads, Granted, "a")}, 5, KnownNow, []uint64{1}},
		{"at that very moment", []Record{said(1, 5, ads, Granted, "a")}, 5, KnownNow, []uint64{1}},
		{"not yet", []Record{said(1, 6, ads, Granted, "a")}, 5, KnownNow, nil},
		{"for two purposes", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, twoFactor, Granted, "a")}, 5, KnownNow, []uint64{1, 2}},
		{"by two sources", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Granted, "b")}, 5, KnownNow, []uint64{1, 2}},
		{"again by one source", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Granted, "a")}, 5, KnownNow, []uint64{2}},
		{"withdrawn, by whatever source", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Granted, "b"), said(3, 4, ads, Withdrawn, "c")}, 5, KnownNow, nil},
		{"another purpose withdrawn", []Record{said(1, 2, ads, Granted, "a"), said(3, 4, twoFactor, Withdrawn, "a")}, 5, KnownNow, []uint64{1}},
		{"withdrawn later", []Record{said(1, 2, ads, Granted, "a"), said(2, 6, ads, Withdrawn, "a")}, 5, KnownNow, []uint64{1}},
		{"denied, then granted", []Record{said(1, 2, ads, Denied, "a"), said(2, 3, ads, Granted, "a")}, 5, KnownNow, []uint64{2}},
		{"expired", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Expired, "")}, 5, KnownNow, nil},
		{"both at one moment: the later heard", []Record{said(2, 2, ads, Withdrawn, "a"), said(1, 2, ads, Granted, "a")}, 5, KnownNow, nil},
		{"a withdrawal heard of late", []Record{said(1, 2, ads, Granted, "a"), said(9, 3, ads, Withdrawn, "a")}, 5, KnownNow, nil},
		{"not heard of yet", []Record{said(1, 2, ads, Granted, "a"), said(9, 3, ads, Withdrawn, "a")}, 5, 8, []uint64{1}},
		{"relabelled", []Record{said(1, 2, ads, Granted, "a"), said(8, 2, ads, Retracted, "a"), said(9, 2, twoFactor, Granted, "a")}, 5, KnownNow, []uint64{9}},
		{"as known before", []Record{said(1, 2, ads, Granted, "a"), said(8, 2, ads, Retracted, "a"), said(9, 2, twoFactor, Granted, "a")}, 5, 7, []uint64{1}},
		{"retracted at a later moment", []Record{said(1, 2, ads, Granted, "a"), said(2, 9, ads, Retracted, "a")}, 5, KnownNow, nil},
		{"the last retracted, not the one before", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Granted, "a"), said(3, 3, ads, Retracted, "a")}, 5, KnownNow, []uint64{1}},
		{"retracted, not the one after", []Record{said(1, 2, ads, Granted, "a"), said(2, 4, ads, Granted, "a"), said(3, 3, ads, Retracted, "a")}, 5, KnownNow, []uint64{2}},
		{"both retracted", []Record{said(1, 2, ads, Granted, "a"), said(2, 3, ads, Granted, "a"), said(3, 3, ads, Retracted, "a"), said(4, 2, ads, Retracted, "a")}, 5, KnownNow, nil},
		{"another source retracted", []Record{said(1, 2, ads, Granted, "a"), said(2, 2, ads, Retracted, "b")}, 5, KnownNow, []uint64{1}},
		{"another purpose retracted", []Record{said(1, 2, ads, Granted, "a"), said(2, 2, twoFactor, Retracted, "a")}, 5, KnownNow, []uint64{1}},
		{"granted again since", []Record{said(1, 2, ads, Granted, "a"), said(2, 2, ads, Retracted, "a"), said(3, 4, ads, Granted, "a")}, 5, KnownNow, []uint64{3}},
		{"heard of again since", []Record{said(1, 2, ads, Granted, "a"), said(2, 2, ads, Retracted, "a"), said(3, 2, ads, Granted, "a")}, 5, KnownNow, []uint64{3}},
		{"the one before holds again", []Record{said(1, 2, ads, Granted, "b"), said(2, 3, ads, Granted, "a"), said(3, 3, ads, Retracted, "a")}, 5, KnownNow, []uint64{1}},
		{"a withdrawal is not taken back", []Record{said(1, 2, ads, Granted, "b"), said(2, 3, ads, Withdrawn, "a"), said(3, 3, ads, Retracted, "a")}, 5, KnownNow, nil},
	}
	for _, test := range tests {
		backwards := slices.Clone(test.facts)
		slices.Reverse(backwards)
		for _, order := range [][]Record{test.facts, backwards} {
			got := facts(NewHistory(order).Valid(nil, dayOf(test.day), test.known))
			if !slices.Equal(got, test.want) {
				t.Errorf("%s: facts %d are valid, want %d", test.name, got, test.want)
			}
		}
	}
}

// naive asks each grant by itself whether anything stands against it.
func naive(list []Record, at time.Time, known uint64) (valid []uint64) {
	later := func(a, b Record) bool {
		return a.CollectedAt.After(b.CollectedAt) || a.CollectedAt.Equal(b.CollectedAt) && a.Fact > b.Fact
	}
	taken := map[uint64]bool{}
	for _, r := range list {
		if r.Status != Retracted || r.Fact > known {
			continue
		}
		var moment time.Time
		about := func(g Record) bool {
			return g.Status == Granted && g.Purpose == r.Purpose && g.Source == r.Source && g.Fact < r.Fact && !g.CollectedAt.After(r.CollectedAt)
		}
		for _, g := range list {
			if about(g) && g.CollectedAt.After(moment) {
				moment = g.CollectedAt
			}
		}
		for _, g := range list {
			if about(g) && g.CollectedAt.Equal(moment) {
				taken[g.Fact] = true
			}
		}
	}
	back := func(g Record) bool { return taken[g.Fact] }
	seen := func(r Record) bool { return r.Fact <= known && !r.CollectedAt.After(at) }
	for _, g := range list {
		if g.Status != Granted || !seen(g) || back(g) {
			continue
		}
		if slices.ContainsFunc(list, func(r Record) bool {
			if !seen(r) || r.Purpose != g.Purpose || !later(r, g) {
				return false
			}
			replaced := r.Status == Granted && r.Source == g.Source && !back(r)
			return replaced || r.Status == Denied || r.Status == Withdrawn || r.Status == Expired
		}) {
			continue
		}
		valid = append(valid, g.Fact)
	}
	slices.Sort(valid)
	return valid
}

func TestValidAgainstNaive(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		var list []Record
		for fact := range random.IntN(9) {
			list = append(list, said(uint64(fact+1), 1+random.IntN(5), Purposes[random.IntN(2)+4], Statuses[random.IntN(5)], fmt.Sprint(random.IntN(2))))
		}
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		at, known := dayOf(random.IntN(7)), uint64(random.IntN(10))
		if random.IntN(2) == 0 {
			known = KnownNow
		}
		want := naive(list, at, known)
		if got := facts(NewHistory(list).Valid(nil, at, known)); !slices.Equal(got, want) {
			t.Fatalf("facts %d are valid, want %d", got, want)
		}
	}
}

// Laws: what is known until a fact is what the facts until then say; and there is
// at most one record for each purpose and source.
func TestValidLaws(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		var list []Record
		for fact := range 8 {
			list = append(list, said(uint64(fact+1), 1+random.IntN(5), Purposes[random.IntN(8)], Statuses[random.IntN(5)], fmt.Sprint(random.IntN(3))))
		}
		known := uint64(random.IntN(9))
		h := NewHistory(slices.Clone(list))
		if !reflect.DeepEqual(h.Valid(nil, dayOf(4), known), NewHistory(list[:known]).Valid(nil, dayOf(4), KnownNow)) {
			t.Fatal("a fact that was not known counts")
		}
		seen := map[string]bool{}
		before := []Record{full()}
		for _, r := range h.Valid(before, dayOf(4), KnownNow)[1:] {
			key := r.Purpose.String() + r.Source
			if seen[key] || r.Status != Granted {
				t.Fatal("two records of one purpose and source, or one that is not granted")
			}
			seen[key] = true
		}
		if before[0] != full() {
			t.Fatal("what stood before is another")
		}
	}
}
