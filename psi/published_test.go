package psi

import (
	"errors"
	"testing"
)

// Under a published table SEAL is followed by claims or the end, and by no TABLE;
// without one, not.
func TestPublishedHasNoTable(t *testing.T) {
	for _, published := range []bool{true, false} {
		key := NewKey()
		p := Params{SID: [32]byte{1}, ChunkElems: 4, Window: 1, TokenLen: 14, Claims: true, Published: published, Queries: 4, Entries: 4, Key: key.Public()}
		q, err := NewQuerier(p, NewSeed())
		if err != nil {
			t.Fatal(err)
		}
		h, err := NewHolder(p, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Verified(); err == nil {
			t.Error("a session that has not begun is verified")
		}
		asked, err := q.Blind(nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := h.Evaluate(asked)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Finalize(answer); err != nil {
			t.Fatal(err)
		}
		th := q.Transcript()
		if err := errors.Join(q.Seal(th), h.Seal(th)); err != nil {
			t.Fatal(err)
		}
		if err := q.Verified(); (err == nil) != published {
			t.Errorf("published %v: %v", published, err)
		}
		f, err := q.Claim(nil)
		if (err == nil) != published {
			t.Errorf("published %v: claims: %v", published, err)
		}
		if published {
			if _, err := h.CheckClaims(f, func(Token) (Input, bool, error) { return Input{}, false, nil }); err != nil || !h.Claimed() {
				t.Errorf("no claims: %v", err)
			}
			if _, err := h.WriteTable(make([]byte, 4*14)); !errors.Is(err, AbortMalformed) {
				t.Errorf("a TABLE frame is made: %v", err)
			}
		}
	}
}
