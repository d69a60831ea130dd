package server

import "time"

// Watch is told what sessions do, for metrics. Its functions may be nil and must
// return at once. Nothing that they are told depends on what matched.
type Watch struct {
	Started func(partner string)
	Ended   func(Ended)
	// Refused is told of calls that were no session: the reason is one of
	// "unknown", "compressed", "door" and "resume": too late with HELLO, too often,
	// or no place is free; and there is nothing to resume. An unknown caller has no
	// name.
	Refused func(partner, reason string)
}

// Ended is a session that has ended.
type Ended struct {
	Partner string
	Outcome string // as in the store's record of the session
	Took    time.Duration
	Queries uint64 // sizes with pads, 0 if it ended before they were known
	Entries uint64
}

func (w *Watch) started(partner string) {
	if w.Started != nil {
		w.Started(partner)
	}
}

func (w *Watch) ended(e Ended) {
	if w.Ended != nil {
		w.Ended(e)
	}
}

func (w *Watch) refused(partner, reason string) {
	if w.Refused != nil {
		w.Refused(partner, reason)
	}
}
