package dossier

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audit"
)

func people() []Person {
	at := time.Date(2026, 3, 1, 8, 0, 0, 123_000, time.UTC)
	person := func(account byte, sid byte, matched bool, kind string, position uint64) Person {
		return Person{Account: "acc, \"ount\"\n" + string('a'+rune(account)), Handle: [32]byte{account + 1}, SID: audit.Hash{sid}, Matched: matched, Kind: kind,
			Purpose: "ads_matching", Basis: "consent", Notice: "ads@3", Source: "crm-7", Collected: at, Fact: 100 + position, Position: position}
	}
	return []Person{
		person(0, 1, true, "email", 3), person(0, 1, false, "phone", 4), person(1, 1, false, "email", 9),
		person(0, 2, false, "email", 3), person(2, 2, true, "phone", 5),
	}
}

func sequence(list []Person) iter.Seq2[Person, error] {
	return func(yield func(Person, error) bool) {
		for _, p := range list {
			if !yield(p, nil) {
				return
			}
		}
	}
}

func TestAffectedRoundTrip(t *testing.T) {
	var file bytes.Buffer
	if err := WriteAffected(&file, [32]byte{7}, sequence(people())); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(file.String(), "0700") {
		t.Error("the list does not begin with its random bytes")
	}
	var got []Person
	for p, err := range readAffected(bytes.NewReader(file.Bytes())) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if !slices.Equal(got, people()) {
		t.Errorf("%+v", got)
	}
}

func TestAffectedRefuses(t *testing.T) {
	var file bytes.Buffer
	if err := WriteAffected(&file, [32]byte{7}, sequence(people()[4:])); err != nil {
		t.Fatal(err)
	}
	whole := file.String()
	for name, text := range map[string]string{
		"nothing":            "",
		"no columns":         strings.SplitAfter(whole, "\n")[0],
		"no random bytes":    strings.Join(strings.SplitAfter(whole, "\n")[1:], ""),
		"another grade":      strings.Replace(whole, "matched,phone", "served,phone", 1),
		"a handle cut short": strings.Replace(whole, "0300", "03", 1),
		"a column too few":   strings.TrimSuffix(whole, ",5\n") + "\n",
		"a broken quote":     strings.Replace(whole, `""ount""`, `"ount""`, 1),
		"another time":       strings.Replace(whole, "2026-03-01T", "2026-03-01 ", 1),
	} {
		var failed bool
		for _, err := range readAffected(strings.NewReader(text)) {
			failed = failed || err != nil
		}
		if !failed {
			t.Errorf("%s: it is read", name)
		}
	}
}

func TestCount(t *testing.T) {
	exposed, matched, bySession := Count(people())
	if exposed != 3 || matched != 2 {
		t.Errorf("%d exposed, %d matched; want 3 and 2", exposed, matched)
	}
	one := bySession[audit.Hash{1}]
	if one.Exposed != 2 || one.Matched != 1 || !slices.Equal(one.Identifiers, []Tally{{"email", "ads_matching", 2, 1}, {"phone", "ads_matching", 1, 0}}) {
		t.Errorf("%+v", one)
	}
	two := bySession[audit.Hash{2}]
	if two.Exposed != 2 || two.Matched != 1 || len(two.Identifiers) != 2 {
		t.Errorf("%+v", two)
	}
}

// What a contents says has to be what the list says, number by number.
func TestNumbersHaveToAddUp(t *testing.T) {
	contents := func() *Contents {
		exposed, matched, bySession := Count(people())
		c := &Contents{Incident: &Incident{Exposed: exposed, Matched: matched}}
		for _, sid := range []audit.Hash{{1}, {2}, {3}} {
			s := Session{SID: sid}
			if a, ok := bySession[sid]; ok {
				s.Affected = &a
			}
			c.Sessions = append(c.Sessions, s)
		}
		return c
	}
	t.Run("as it is", func(t *testing.T) {
		if err := countOf(people()).compare(contents()); err != nil {
			t.Error(err)
		}
	})
	for name, change := range map[string]func(c *Contents){
		"exposed in all":           func(c *Contents) { c.Incident.Exposed-- },
		"matched in all":           func(c *Contents) { c.Incident.Matched++ },
		"exposed in a session":     func(c *Contents) { c.Sessions[0].Affected.Exposed-- },
		"matched in a session":     func(c *Contents) { c.Sessions[1].Affected.Matched = 0 },
		"a tally":                  func(c *Contents) { c.Sessions[0].Affected.Identifiers[0].Exposed = 1 },
		"a session without answer": func(c *Contents) { c.Sessions[0].Affected = nil },
		"a session with none":      func(c *Contents) { c.Sessions[2].Affected = &Affected{Exposed: 1} },
		"a session left out":       func(c *Contents) { c.Sessions = c.Sessions[:1] },
	} {
		c := contents()
		change(c)
		if countOf(people()).compare(c) == nil {
			t.Errorf("%s: it adds up", name)
		}
	}
}

func countOf(list []Person) *counted {
	c := newCount()
	for i := range list {
		c.add(&list[i])
	}
	return c
}

// The commitment of the package comment, written out by hand.
func TestCommitment(t *testing.T) {
	seed := [32]byte{9}
	c := NewCommitment(seed)
	c.Add(3)
	c.Add(1 << 33)
	opening := sha256.Sum256(append([]byte("AMPSI-V01-matched"), seed[:]...))
	text := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(opening[:], 3), 1<<33)
	if c.Sum() != sha256.Sum256(text) {
		t.Error("another commitment")
	}
}

func TestSummaryShowsWhatIsSaid(t *testing.T) {
	c := &Contents{Made: time.Unix(1_790_000_000, 0), Sessions: []Session{{SID: audit.Hash{0xab}, Name: "<shop & co>", Audience: "spring", Asked: 1280, Outcome: "complete",
		Affected: &Affected{Exposed: 12_345, Matched: 678, Identifiers: []Tally{{"phone", "ads_matching", 12_345, 678}}, Erased: 2}}},
		Incident: &Incident{Predicate: "source=crm-7", Exposed: 12_345, Matched: 678}}
	var page bytes.Buffer
	if err := writeSummary(&page, c); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"12 345", "678", "source=crm-7", "&lt;shop &amp; co&gt;", "ab0000000000", "1 280", "What cannot be known"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the summary lacks %q", want)
		}
	}
	for _, bad := range []string{"http://", "https://", "<script", "<img", "url("} {
		if strings.Contains(page.String(), bad) {
			t.Errorf("the summary has %q: it must not need or reach a network", bad)
		}
	}
}
