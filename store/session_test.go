package store

import (
	"errors"
	"math"
	"reflect"
	"testing"
	"time"
)

func session(n byte) Session {
	return Session{
		SID: id(n), Peer: id(1), Audience: "spring", Started: hoursBefore(int(n)), Ended: hoursBefore(int(n)).Add(time.Minute),
		Outcome: "complete", QHat: 1024, NHat: 1280, Receipt: []byte{n, 0, 0xff},
	}
}

func TestSessions(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		if _, err := d.Session(t.Context(), id(1)); !errors.Is(err, ErrNotFound) {
			t.Errorf("before: %v", err)
		}
		for _, n := range []byte{2, 1, 3} {
			if err := d.PutSession(t.Context(), session(n)); err != nil {
				t.Fatal(err)
			}
		}
		var got []Session
		for s, err := range d.Sessions(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, s)
		}
		if want := []Session{session(3), session(2), session(1)}; !reflect.DeepEqual(got, want) {
			t.Errorf("%d sessions, not as they were put or not by their start", len(got))
		}
		if s, err := d.Session(t.Context(), id(2)); err != nil || !reflect.DeepEqual(s, session(2)) {
			t.Errorf("%v", err)
		}
	})
}

func TestSessionPutAgain(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Session)
		want   error
	}{
		{"the same", func(s *Session) {}, nil},
		{"taken up and ended otherwise", func(s *Session) {
			s.Ended, s.Outcome, s.Receipt = s.Ended.Add(time.Minute), "timeout", nil
		}, nil},
		{"another peer", func(s *Session) { s.Peer = id(2) }, errSession},
		{"asked more", func(s *Session) { s.QHat++ }, errSession},
		{"a larger table", func(s *Session) { s.NHat++ }, errSession},
		{"ended before it did", func(s *Session) { s.Ended = s.Ended.Add(-time.Second) }, errSession},
	}
	for _, test := range tests {
		onEach(t, func(t *testing.T, d *DB) {
			first, again := session(1), session(1)
			test.change(&again)
			if err := d.PutSession(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			if err := d.PutSession(t.Context(), again); !errors.Is(err, test.want) {
				t.Errorf("%s: %v", test.name, err)
			}
			want := again
			if test.want != nil {
				want = first
			}
			got, err := d.Session(t.Context(), id(1))
			if err != nil || got.Outcome != want.Outcome || !got.Ended.Equal(want.Ended) || got.Peer != want.Peer || string(got.Receipt) != string(want.Receipt) {
				t.Errorf("%s: on record is another (%v)", test.name, err)
			}
		})
	}
}

func TestSessionSizesOutOfRange(t *testing.T) {
	onEach(t, func(t *testing.T, d *DB) {
		for _, change := range []func(*Session){func(s *Session) { s.QHat = math.MaxUint64 }, func(s *Session) { s.NHat = math.MaxUint64 }} {
			s := session(1)
			change(&s)
			if err := d.PutSession(t.Context(), s); !errors.Is(err, errRange) {
				t.Error(err)
			}
		}
	})
}
