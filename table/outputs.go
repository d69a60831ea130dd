package table

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/overlap-psi/overlap/psi"
)

// tailBytes is the half of an output that proves its possession and opens its
// label (PROTOCOL.md §6).
const tailBytes = 32

// Outputs keeps a Querier's whole outputs by their position, for those it will
// claim or whose labels it will open. They are secrets of the Querier, and of
// the Holder's: the file has no name where the system allows that, and is gone
// with the session.
type Outputs struct {
	redacted
	o    Options
	kept *file
	w    *bufio.Writer
	n    uint64
	err  error // the first failure, or errClosed
}

// NewOutputs returns an empty store in o.Dir. It takes o.TokenLen + 32 bytes for
// each output.
func NewOutputs(o Options) (*Outputs, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	f, err := newScratch(o.Dir)
	if err != nil {
		return nil, err
	}
	return &Outputs{o: o, kept: f, w: bufio.NewWriterSize(f, 1<<16)}, nil
}

// Add adds the outputs of the positions from first on, a pad's too. Positions
// come in order and without a gap.
func (s *Outputs) Add(outs []psi.Output, first uint64) error {
	if s.err != nil {
		return s.err
	}
	if first != s.n {
		return errors.New("table: outputs are out of order")
	}
	for i := range outs {
		s.w.Write(outs[i][:s.o.TokenLen]) // its first error stays, and is Flush's
		s.w.Write(outs[i][len(outs[i])-tailBytes:])
	}
	s.n += uint64(len(outs))
	return s.flush()
}

func (s *Outputs) flush() error {
	if err := s.w.Flush(); err != nil && s.err == nil {
		s.err = fmt.Errorf("table: write outputs: %w", err)
	}
	return s.err
}

// At returns the output at a position: its token and its tail, the bytes between
// them being zero. A position that was not added is an error.
func (s *Outputs) At(position uint64) (out psi.Output, err error) {
	if s.err != nil {
		return out, s.err
	}
	if position >= s.n {
		return out, errors.New("table: no output has this position")
	}
	var b [len(psi.Token{}) + tailBytes]byte
	size := s.o.TokenLen + tailBytes
	if err := readAt(s.kept, b[:size], int64(position)*int64(size)); err != nil {
		return out, fmt.Errorf("table: read outputs: %w", err)
	}
	copy(out[:s.o.TokenLen], b[:])
	copy(out[len(out)-tailBytes:], b[s.o.TokenLen:size])
	clear(b[:])
	return out, nil
}

// Sorted returns the outputs at the given positions in increasing order of their
// tokens, each once, n at a time and as many as are left at the end: what CLAIMS
// take (PROTOCOL.md §8.3). A batch is overwritten by the next.
func (s *Outputs) Sorted(ctx context.Context, positions iter.Seq[uint64], n int) iter.Seq2[[]psi.Output, error] {
	return func(yield func([]psi.Output, error) bool) {
		sorted, err := s.byToken(ctx, positions)
		if err != nil {
			yield(nil, err)
			return
		}
		defer sorted.Close()
		batch := make([]psi.Output, 0, n)
		defer func() { clear(batch[:cap(batch)]) }()
		for position, err := range sorted.inOrder(ctx) {
			out := psi.Output{}
			if err == nil {
				out, err = s.At(position)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			if batch = append(batch, out); len(batch) == n {
				if !yield(batch, nil) {
					return
				}
				batch = batch[:0]
			}
		}
		if len(batch) > 0 {
			yield(batch, nil)
		}
	}
}

// byToken returns the outputs at the positions as Queries, without pads.
func (s *Outputs) byToken(ctx context.Context, positions iter.Seq[uint64]) (*Queries, error) {
	q, err := NewQueries(s.o)
	if err != nil {
		return nil, err
	}
	for position := range positions {
		out, err := s.At(position)
		if err == nil {
			err = ctx.Err()
		}
		if err == nil && !out.IsZero() {
			err = q.Add([]psi.Output{out}, position)
		}
		if err != nil {
			q.Close()
			return nil, err
		}
	}
	return q, nil
}

// inOrder returns one position of each token, the lowest, in the tokens' order.
func (q *Queries) inOrder(ctx context.Context) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		l := q.Lookup()
		defer l.Close()
		for bucket := range buckets {
			err := ctx.Err()
			if err == nil {
				err = l.load(bucket)
			}
			if err != nil {
				yield(0, fmt.Errorf("table: sort outputs: %w", err))
				return
			}
			var last []byte
			for ; len(l.own) > 0; l.own = l.own[l.size:] {
				token := l.own[:q.o.TokenLen]
				if !bytes.Equal(last, token) && !yield(l.position(), nil) {
					return
				}
				last = token
			}
		}
	}
}

// Close removes the outputs. It may be called again.
func (s *Outputs) Close() error {
	if errors.Is(s.err, errClosed) {
		return nil
	}
	s.err = errClosed
	if err := s.kept.Close(); err != nil {
		return fmt.Errorf("table: remove outputs: %w", err)
	}
	return nil
}
