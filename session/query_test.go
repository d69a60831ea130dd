package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"testing"

	"github.com/overlap-psi/overlap/psi"
)

// small is a Querier and a Holder in the middle of a session of 22 questions, four
// in a chunk.
func small(t *testing.T, window int) (querier, holder *Session, key *psi.Key) {
	t.Helper()
	key = psi.NewKey()
	p := psi.Params{SID: [32]byte{1}, ChunkElems: 4, Window: window, TokenLen: TokenLen, Queries: 22, Entries: 1, Key: key.Public()}
	a, b := newPipe()
	t.Cleanup(a.close)
	q, err := psi.NewQuerier(p, psi.NewSeed())
	if err != nil {
		t.Fatal(err)
	}
	h, err := psi.NewHolder(p, key)
	if err != nil {
		t.Fatal(err)
	}
	querier = &Session{c: pair().querierConfig(), ch: newLine(a, window), params: p, querier: q}
	holder = &Session{c: pair().holderConfig(), ch: newLine(b, window), params: p, holder: h}
	querier.ch.ch.readAhead()
	holder.ch.ch.readAhead()
	t.Cleanup(querier.ch.close)
	t.Cleanup(holder.ch.close)
	return querier, holder, key
}

// asked yields n queries and then err, if there is one.
func asked(in []psi.Input, err error) iter.Seq2[psi.Query, error] {
	return func(yield func(psi.Query, error) bool) {
		for i := range in {
			if !yield(psi.Query{Input: in[i], Salt: [32]byte{byte(i)}}, nil) {
				return
			}
		}
		if err != nil {
			yield(psi.Query{}, err)
		}
	}
}

// TestQuery: every answer comes once, in order and at its place, whatever the
// window is and wherever the queries end.
func TestQuery(t *testing.T) {
	for _, window := range []int{1, 2, 4, 9} {
		for _, n := range []int{0, 1, 3, 4, 5, 16, 20, 21, 22} {
			t.Run(fmt.Sprintf("window=%d/n=%d", window, n), func(t *testing.T) {
				q, h, key := small(t, window)
				in := inputs(7, n)
				want := make([]psi.Output, 22)
				key.Evaluate(want[:n], in)
				failed := make(chan error, 1)
				go func() { failed <- h.Evaluate(t.Context()) }()
				next := 0
				err := q.Query(t.Context(), asked(in, nil), func(outs []psi.Output, first uint64) error {
					for i := range outs {
						if int(first) != next || outs[i] != want[next+i] {
							t.Errorf("output %d of those from %d on is another's", i, first)
						}
					}
					next += len(outs)
					return nil
				})
				if err != nil || next != 22 {
					t.Errorf("%d outputs, %v", next, err)
				}
				if err := <-failed; err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestQueryFails: what goes wrong on this side ends the questions.
func TestQueryFails(t *testing.T) {
	broken := errors.New("broken")
	accept := func([]psi.Output, uint64) error { return nil }
	for name, c := range map[string]struct {
		in   iter.Seq2[psi.Query, error]
		take func([]psi.Output, uint64) error
		want error
	}{
		"one query more than declared":  {asked(inputs(0, 23), nil), accept, psi.AbortInternal},
		"many more":                     {asked(inputs(0, 40), nil), accept, psi.AbortInternal},
		"queries that can't be read":    {asked(inputs(0, 9), broken), accept, broken},
		"an error after the last query": {asked(inputs(0, 22), broken), accept, broken},
		"outputs that can't be kept": {asked(inputs(0, 22), nil), func(_ []psi.Output, first uint64) error {
			if first == 8 {
				return broken
			}
			return nil
		}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			q, h, _ := small(t, 2)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- h.Evaluate(ctx) }()
			if err := q.Query(ctx, c.in, c.take); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		})
	}
}
