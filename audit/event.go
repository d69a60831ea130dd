package audit

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"
)

// Hash is 32 bytes, written as 64 lower-case hexadecimal digits: a SHA-256, or a
// random number that names something. A company is named by its id, a session by
// its sid (PROTOCOL.md §5).
type Hash [32]byte

// MarshalText and UnmarshalText write and read the hexadecimal form.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText is the inverse of MarshalText.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return errEvent
	}
	*h = Hash(b)
	return nil
}

// Kind names a kind of event.
type Kind string

// Content says what a log's entries are.
type Content int

// The public log has the events that everybody may see, the access log those of
// who looked at results inside the company. Neither takes the other's.
const (
	AnyBytes     Content = iota // not looked at
	PublicEvents                // every kind but access
	AccessEvents                // access only
)

var (
	errEvent   = errors.New("audit: not an event in its one form")
	errContent = errors.New("audit: an event of this kind does not belong in this log")
	errBody    = errors.New("audit: an event has a field that is missing or out of bounds")
)

// Event is what an entry says: what happened, and when. It never holds an
// identifier, the hash of one, a token, an account or a number of matches; the
// bodies have no field for any.
type Event struct {
	Time time.Time // in whole seconds
	Body Body
}

// Body is one of the types Policy, Snapshot, Matched, Session, Release, Erasure,
// Incident, Hold, Manifest, KeyDestroyed and Access.
type Body interface {
	Kind() Kind
	valid() bool
}

// Bytes returns the entry: JSON without spaces, fields in the order of their
// types, time in UTC. There is no other form of the same event.
func (e Event) Bytes() ([]byte, error) {
	if e.Body == nil || !e.Body.valid() || e.Time.Unix() <= 0 || e.Time.UTC().Year() > 9999 {
		return nil, errBody
	}
	b, err := json.Marshal(struct {
		V    int       `json:"v"`
		Kind Kind      `json:"kind"`
		Time time.Time `json:"time"`
		Body Body      `json:"body"`
	}{1, e.Body.Kind(), e.Time.UTC().Truncate(time.Second), e.Body})
	if err != nil || len(b) > MaxEntry {
		return nil, errBody
	}
	return b, nil
}

// ParseEvent reads what Bytes wrote, and nothing else.
func ParseEvent(entry []byte) (Event, error) {
	var outer struct {
		V    int             `json:"v"`
		Kind Kind            `json:"kind"`
		Time time.Time       `json:"time"`
		Body json.RawMessage `json:"body"`
	}
	if len(entry) > MaxEntry || json.Unmarshal(entry, &outer) != nil || outer.V != 1 {
		return Event{}, errEvent
	}
	read, ok := bodies[outer.Kind]
	if !ok {
		return Event{}, errEvent
	}
	body, ok := read(outer.Body)
	if !ok {
		return Event{}, errEvent
	}
	e := Event{outer.Time, body}
	// JSON spells one value in many ways, and Go's reader takes fields that it
	// does not know; only what would be written again is an entry.
	if again, err := e.Bytes(); err != nil || !bytes.Equal(again, entry) {
		return Event{}, errEvent
	}
	return e, nil
}

// bodies is the closed list of kinds.
var bodies = map[Kind]func([]byte) (Body, bool){
	Policy{}.Kind():   bodyOf[Policy],
	Snapshot{}.Kind(): bodyOf[Snapshot],
	Matched{}.Kind():  bodyOf[Matched],
	Session{}.Kind():  bodyOf[Session],
	Release{}.Kind():  bodyOf[Release],
	Erasure{}.Kind():  bodyOf[Erasure],
	Incident{}.Kind(): bodyOf[Incident],
	Hold{}.Kind():     bodyOf[Hold],
	Access{}.Kind():   bodyOf[Access],

	Manifest{}.Kind():     bodyOf[Manifest],
	KeyDestroyed{}.Kind(): bodyOf[KeyDestroyed],
}

func bodyOf[T Body](text []byte) (Body, bool) {
	var b T
	ok := json.Unmarshal(text, &b) == nil
	return b, ok
}

// parse reads an entry that has to belong in the log.
func (c Content) parse(entry []byte) (Event, error) {
	e, err := ParseEvent(entry)
	if err == nil && (e.Body.Kind() == Access{}.Kind()) != (c == AccessEvents) {
		return Event{}, errContent
	}
	return e, err
}

func (c Content) check(entry []byte) error {
	if c == AnyBytes {
		return nil
	}
	_, err := c.parse(entry)
	return err
}

// AppendEvents is Append for events.
func (l *Log) AppendEvents(events ...Event) (first int64, err error) {
	entries := make([][]byte, len(events))
	for i, e := range events {
		if entries[i], err = e.Bytes(); err != nil {
			return 0, err
		}
	}
	return l.Append(entries...)
}

// leavesAnEvent is how many closed leaves surely fit in one event.
const leavesAnEvent = 400

// Erasures returns the events of one erasure, as many as its leaves need. Closed
// has, for each session, the leaves of its snapshot that can't be opened any more
// (PROTOCOL.md §10). With no leaf at all there is one event.
func Erasures(at time.Time, request Hash, closed map[Hash][]Hash) []Event {
	var events []Event
	var now Erasure
	room := leavesAnEvent
	flush := func() {
		now.Request = request
		events = append(events, Event{at, now})
		now, room = Erasure{}, leavesAnEvent
	}
	for _, sid := range slices.SortedFunc(maps.Keys(closed), compareHash) {
		leaves := slices.Clone(closed[sid])
		slices.SortFunc(leaves, compareHash)
		leaves = slices.Compact(leaves)
		for len(leaves) > 0 {
			n := min(len(leaves), room)
			now.Closed = append(now.Closed, Closed{sid, leaves[:n]})
			leaves, room = leaves[n:], room-n
			if room == 0 {
				flush()
			}
		}
	}
	if len(now.Closed) > 0 || len(events) == 0 {
		flush()
	}
	return events
}

func compareHash(a, b Hash) int { return bytes.Compare(a[:], b[:]) }
