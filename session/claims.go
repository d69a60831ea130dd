package session

import (
	"context"
	"iter"

	"github.com/overlap-psi/overlap/psi"
)

// ClaimChunk is the number of claims in a full CLAIMS frame.
func (s *Session) ClaimChunk() int { return psi.ClaimChunk(s.tokenLen()) }

// SendClaims tells the Holder, as the Querier, which entries matched: outputs in
// increasing order of their tokens, each once, ClaimChunk of them at a time and
// as many as are left at the end (PROTOCOL.md §8.3). It is the Querier's choice
// what to claim, and when: CLAIMS tell the Holder the matches anyway.
func (s *Session) SendClaims(ctx context.Context, claims iter.Seq2[[]psi.Output, error]) error {
	send := func(outs []psi.Output) error {
		f, err := s.querier.Claim(outs)
		if err != nil {
			return err
		}
		return s.ch.send(ctx, f)
	}
	s.ch.reread[psi.FrameClaims] = frames(ended(claims, s.ClaimChunk()), s.querier.ClaimAgain)
	done := uint64(0)
	s.progress(StepClaims, 0, 0)
	for outs, err := range claims {
		if err != nil {
			return err
		}
		if err := send(outs); err != nil {
			return err
		}
		done += uint64(len(outs))
		s.progress(StepClaims, done, 0)
	}
	if s.querier.Claimed() {
		return nil
	}
	return send(nil) // the end, where the last frame was full or there was none
}

// ended adds the batch that ends claims whose last batch is full, or that are none.
func ended(claims iter.Seq2[[]psi.Output, error], full int) iter.Seq2[[]psi.Output, error] {
	return func(yield func([]psi.Output, error) bool) {
		last := full
		for outs, err := range claims {
			last = len(outs)
			if !yield(outs, err) || err != nil {
				return
			}
		}
		if last == full {
			yield(nil, nil)
		}
	}
}

// ReadClaims takes the Querier's claims, as the Holder, and checks each. find
// returns the input that an entry of the Holder's table is made of; it is asked
// in increasing order of tokens. What it was asked for counts only if ReadClaims
// returns no error. It returns how many claims there are.
func (s *Session) ReadClaims(ctx context.Context, find func(psi.Token) (in psi.Input, found bool, err error)) (claimed uint64, err error) {
	s.progress(StepClaims, 0, 0)
	for within := s.matching(); !s.holder.Claimed(); within = patience {
		f, err := s.ch.recv(ctx, psi.FrameClaims, within)
		if err != nil {
			return 0, err
		}
		tokens, err := s.holder.CheckClaims(f, find)
		if err != nil {
			return 0, err
		}
		claimed += uint64(len(tokens))
		s.progress(StepClaims, claimed, 0)
	}
	return claimed, nil
}
