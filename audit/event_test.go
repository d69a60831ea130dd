package audit

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/psi"
)

func h(n byte) Hash { return Hash{0: n, 31: 0xff} }

// samples has an event of every kind, and its one form.
var samples = []struct {
	body Body
	text string
}{
	{Policy{h(1), 3, h(2), h(4)}, `{"hash":"$1","version":3,"document":"$2","signer":"$4"}`},
	{Snapshot{h(1), h(2), 1280, h(4)}, `{"sid":"$1","consent_root":"$2","consent_size":1280,"policy":"$4"}`},
	{Session{h(1), h(2), "complete", h(4), "P_LEARNS"}, `{"sid":"$1","record":"$2","outcome":"complete","partner":"$4","mode":"P_LEARNS"}`},
	{Release{h(1), "releases", 2943}, `{"sid":"$1","charged":"releases","epoch":2943}`},
	{Erasure{h(1), []Closed{{h(2), []Hash{h(3), h(4)}}, {h(5), []Hash{h(1)}}}},
		`{"request":"$1","closed":[{"sid":"$2","leaves":["$3","$4"]},{"sid":"$5","leaves":["$1"]}]}`},
	{Erasure{Request: h(1)}, `{"request":"$1"}`},
	{Incident{h(1), h(2), h(3)}, `{"id":"$1","predicate":"$2","affected":"$3"}`},
	{Hold{h(1), "notification", noon}, `{"incident":"$1","reason":"notification","until":"2026-11-25T12:00:00Z"}`},
	{Access{"privacy desk", "request 7 <a&b>", "matches", 12, nil}, `{"who":"privacy desk","reason":"request 7 \u003ca\u0026b\u003e","what":"matches","rows":12}`},
	{Access{"privacy desk", "why", "matches", 0, new(h(3))}, `{"who":"privacy desk","reason":"why","what":"matches","rows":0,"sid":"$3"}`},
	{Matched{h(1), h(2)}, `{"sid":"$1","commitment":"$2"}`},
	{Manifest{h(1), h(2), h(3), 2943}, `{"table_id":"$1","manifest":"$2","policy":"$3","epoch":2943}`},
	{KeyDestroyed{h(1)}, `{"table_id":"$1"}`},
}

func entryOf(kind Kind, body string) []byte {
	for n := range byte(6) {
		body = strings.ReplaceAll(body, fmt.Sprintf("$%d", n), fmt.Sprintf("%02x%sff", n, strings.Repeat("00", 30)))
	}
	return fmt.Appendf(nil, `{"v":1,"kind":%q,"time":"2026-11-25T12:00:00Z","body":%s}`, kind, body)
}

func TestEvents(t *testing.T) {
	seen := map[Kind]bool{}
	for _, s := range samples {
		want := entryOf(s.body.Kind(), s.text)
		got, err := Event{noon, s.body}.Bytes()
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n got %s\nwant %s", s.body.Kind(), err, got, want)
		}
		e, err := ParseEvent(want)
		if err != nil || !reflect.DeepEqual(e, Event{noon, s.body}) {
			t.Errorf("%s: read as %+v, %v", s.body.Kind(), e, err)
		}
		seen[s.body.Kind()] = true
	}
	for kind := range bodies {
		if !seen[kind] {
			t.Errorf("no sample of %s", kind)
		}
	}
	if len(bodies) != 11 {
		t.Errorf("%d kinds: is the new one private or public?", len(bodies))
	}
}

func TestTimesHaveOneForm(t *testing.T) {
	for _, at := range []time.Time{noon, noon.In(time.FixedZone("", 3600)), noon.Add(time.Second - 1)} {
		got, err := Event{at, samples[0].body}.Bytes()
		if err != nil || !bytes.Equal(got, entryOf("policy", samples[0].text)) {
			t.Errorf("%v: %s %v", at, got, err)
		}
	}
}

func TestBadEvents(t *testing.T) {
	good := string(entryOf("release", samples[3].text))
	if _, err := ParseEvent([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, c := range [][2]string{
		{`"v":1`, `"v":2`}, {`"v":1`, `"v":1.0`}, {`"v":1`, `"V":1`}, {`"v":1,`, ``}, {`"v":1`, `"v":1,"v":1`}, {`{"v"`, ` {"v"`},
		{`"release"`, `"count"`}, {`"release"`, `""`}, {`"release"`, `"snapshot"`}, {`"release"`, `null`},
		{`12:00:00Z`, `12:00:00+00:00`}, {`12:00:00Z`, `13:00:00+01:00`}, {`12:00:00Z`, `12:00:00.5Z`}, {`2026-11-25T12:00:00Z`, `1969-11-25T12:00:00Z`},
		{`"epoch":2943`, `"epoch":2943,"matched":5`}, {`"epoch":2943`, `"epoch":2943,"epoch":2943`}, {`"epoch":2943`, `"epoch":-1`},
		{`"epoch":2943`, `"epoch":2.943e3`}, {`,"epoch":2943`, ``}, {`"epoch"`, `"Epoch"`}, {`"charged":"releases"`, `"charged":"matches"`},
		{`"sid":"01`, `"sid":"0`}, {`"sid":"01`, `"sid":"0g`}, {`00ff"`, `00FF"`}, {`"releases"`, `"re\u006ceases"`}, {`}}`, `}}}`}, {`}}`, `}} `}, {`}}`, `}`},
		{good, ``}, {good, `null`}, {good, `[]`}, {good, `{}`}, {good, "\xff"}, {good, good + good},
	} {
		text := strings.Replace(good, c[0], c[1], 1)
		if text == good {
			t.Fatalf("%s is not there", c[0])
		}
		if e, err := ParseEvent([]byte(text)); err != errEvent || e.Body != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestBodiesOutOfBounds(t *testing.T) {
	var none Hash
	for _, b := range []Body{
		nil, Policy{}, Policy{none, 1, h(1), h(1)}, Policy{h(1), 0, h(1), h(1)}, Snapshot{h(1), h(1), 0, h(1)}, Snapshot{h(1), none, 1, h(1)}, Matched{none, h(1)}, Matched{h(1), none},
		Session{h(1), h(1), "done", h(1), "P_LEARNS"}, Session{h(1), h(1), "failed", h(1), "SPLIT"}, Session{h(1), none, "failed", h(1), "P_LEARNS"},
		Release{h(1), "", 1}, Release{none, "queries", 1}, Erasure{}, Erasure{h(1), []Closed{{h(1), nil}}}, Erasure{h(1), []Closed{{none, []Hash{h(1)}}}},
		Erasure{h(1), []Closed{{h(1), []Hash{h(2), h(1)}}}}, Erasure{h(1), []Closed{{h(1), []Hash{h(1), h(1)}}}}, Erasure{h(1), []Closed{{h(1), []Hash{none}}}},
		Erasure{h(1), []Closed{{h(2), []Hash{h(1)}}, {h(1), []Hash{h(1)}}}}, Incident{h(1), h(1), none},
		Hold{h(1), "because", noon}, Hold{none, "claim", noon}, Hold{h(1), "claim", time.Time{}}, Hold{h(1), "claim", noon.Add(1)},
		Hold{h(1), "claim", noon.In(time.FixedZone("", 60))}, Access{"", "r", "w", 0, nil}, Access{"a", "", "w", 0, nil}, Access{"a", "r", "", 0, nil},
		Access{"a", "r", "W", 0, nil}, Access{"a\n", "r", "w", 0, nil}, Access{"\xff", "r", "w", 0, nil}, Access{strings.Repeat("a", 257), "r", "w", 0, nil},
		Access{"a", strings.Repeat("a", 1025), "w", 0, nil}, Access{"a", "r", "w", 0, &none},
	} {
		if entry, err := (Event{noon, b}).Bytes(); err != errBody || entry != nil {
			t.Errorf("%T: %s %v", b, entry, err)
		}
	}
	for _, at := range []time.Time{{}, time.Unix(0, 0), time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		if _, err := (Event{at, Release{h(1), "queries", 1}}).Bytes(); err != errBody {
			t.Errorf("%v: %v", at, err)
		}
	}
}

// The modes are psi's, by name.
func TestModes(t *testing.T) {
	n := 0
	for code := range 256 {
		name := psi.Mode(code).String()
		_, err := psi.ParseMode(name)
		if got := (Session{h(1), h(1), "complete", h(1), name}).valid(); got != (err == nil) {
			t.Errorf("%s: %v", name, got)
		}
		if err == nil {
			n++
		}
	}
	if n != 4 {
		t.Errorf("%d modes", n)
	}
}

func TestErasuresFit(t *testing.T) {
	leaves := func(n int) (l []Hash) {
		for i := range n {
			l = append(l, Hash{byte(i >> 8), byte(i), 1})
			l = append(l, l[len(l)-1]) // twice
		}
		return l
	}
	each := map[Hash][]Hash{}
	for _, sid := range leaves(900) {
		each[sid] = leaves(1)
	}
	for name, c := range map[string]struct {
		closed        map[Hash][]Hash
		events, total int
	}{
		"nothing":     {nil, 1, 0},
		"one":         {map[Hash][]Hash{h(1): leaves(1)}, 1, 1},
		"no leaf":     {map[Hash][]Hash{h(1): nil}, 1, 0},
		"just":        {map[Hash][]Hash{h(1): leaves(400)}, 1, 400},
		"more":        {map[Hash][]Hash{h(1): leaves(399), h(2): leaves(3)}, 2, 402},
		"one session": {map[Hash][]Hash{h(1): leaves(1000)}, 3, 1000},
		"one each":    {each, 3, 900},
	} {
		events, total := Erasures(noon, h(9), c.closed), 0
		for _, e := range events {
			if _, err := e.Bytes(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if e.Body.(Erasure).Request != h(9) {
				t.Errorf("%s: another request", name)
			}
			for _, closed := range e.Body.(Erasure).Closed {
				total += len(closed.Leaves)
			}
		}
		if len(events) != c.events || total != c.total {
			t.Errorf("%s: %d events with %d leaves", name, len(events), total)
		}
	}
	// Longer than an entry may be.
	var long Erasure
	long.Request, long.Closed = h(9), []Closed{{h(1), nil}}
	for i := range 1000 {
		long.Closed[0].Leaves = append(long.Closed[0].Leaves, Hash{byte(i >> 8), byte(i), 1})
	}
	if _, err := (Event{noon, long}).Bytes(); err != errBody {
		t.Error(err)
	}
}

// Each of the two logs takes its own events only, and its verifier sees if it
// has taken others.
func TestContent(t *testing.T) {
	for _, content := range []Content{PublicEvents, AccessEvents} {
		dir := t.TempDir()
		l, err := Open(dir, signerNamed(t, origin, 1), content)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		want := map[Kind]int64{}
		for _, s := range samples {
			_, err := l.AppendEvents(Event{noon, s.body})
			if _, private := s.body.(Access); private == (content == AccessEvents) {
				want[s.body.Kind()]++
				if err != nil {
					t.Error(err)
				}
			} else if err != errContent {
				t.Errorf("%s: %v", s.body.Kind(), err)
			}
		}
		if _, err := l.Append([]byte("no event")); err != errEvent {
			t.Error(err)
		}
		if _, err := l.AppendEvents(Event{}); err != errBody {
			t.Error(err)
		}
		r, err := Verify(os.DirFS(dir), Expect{Log: ownLog(t), Content: content})
		if err != nil || !reflect.DeepEqual(r.Kinds, want) {
			t.Errorf("%+v %v", r, err)
		}
		if _, err := Verify(os.DirFS(dir), Expect{Log: ownLog(t), Content: PublicEvents + AccessEvents - content}); err == nil || !strings.HasPrefix(err.Error(), "audit: entry 0: ") {
			t.Error(err)
		}
	}
	if _, err := Verify(logOf(t, 3), Expect{Log: ownLog(t), Content: PublicEvents}); err == nil {
		t.Error("entries that are no events are verified as events")
	}
}

func FuzzParseEvent(f *testing.F) {
	for _, s := range samples {
		f.Add(entryOf(s.body.Kind(), s.text))
	}
	f.Add([]byte(`{"v":1,"kind":"erasure","time":"2026-11-25T12:00:00Z","body":{"request":"01","closed":[]}}`))
	f.Fuzz(func(t *testing.T, entry []byte) {
		e, err := ParseEvent(entry)
		if err != nil {
			if e.Body != nil {
				t.Error("a failed parse returned something")
			}
			return
		}
		if again, err := e.Bytes(); err != nil || !bytes.Equal(again, entry) {
			t.Errorf("%s is written as %s, %v", entry, again, err)
		}
	})
}
