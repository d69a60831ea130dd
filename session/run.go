package session

import (
	"context"
	"fmt"
	"iter"
	"time"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// Query asks about every query of in, as the Querier, and hands each chunk's
// verified outputs to take, with the index of the first: a zero Output for each
// pad. in may end before q̂; the rest are pads. At most the policy's window of
// chunks is held.
func (s *Session) Query(ctx context.Context, in iter.Seq2[psi.Query, error], take func(outs []psi.Output, first uint64) error) error {
	s.progress(StepQuestions, 0, s.params.Queries)
	a := &asking{Session: s, take: take, memory: make([][]psi.Query, s.params.Window)}
	a.next()
	defer a.clear()
	for q, err := range in {
		if err != nil {
			return err
		}
		if a.read++; a.read > s.params.Queries {
			return fmt.Errorf("session: more queries than declared: %w", psi.AbortInternal)
		}
		if a.chunk = append(a.chunk, q); len(a.chunk) == s.params.ChunkElems {
			if err := a.ask(ctx); err != nil {
				return err
			}
		}
	}
	for s.querier.Unblinded() {
		if err := a.ask(ctx); err != nil {
			return err
		}
	}
	for s.querier.InFlight() > 0 {
		if err := a.answer(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendBlinded sends a BLINDED frame, once whoever keeps them has it.
func (s *Session) sendBlinded(ctx context.Context, f psi.Frame) error {
	if s.c.Blinded != nil {
		if err := s.c.Blinded(f.Body); err != nil {
			return err
		}
	}
	return s.ch.send(ctx, f)
}

// asking is one Query under way.
type asking struct {
	*Session
	take   func(outs []psi.Output, first uint64) error
	read   uint64        // queries
	asked  int           // chunks
	done   uint64        // queries answered
	chunk  []psi.Query   // the next
	memory [][]psi.Query // of as many chunks as the window has, in turns: the oldest has been answered
}

// ask sends the chunk. It waits for an answer only if the window is full, so that
// the Holder never idles.
func (a *asking) ask(ctx context.Context) error {
	f, err := a.querier.Blind(a.chunk)
	if err != nil {
		return err
	}
	if err := a.sendBlinded(ctx, f); err != nil {
		return err
	}
	if a.querier.InFlight() == a.params.Window {
		if err := a.answer(ctx); err != nil {
			return err
		}
	}
	a.asked++
	a.next()
	return nil
}

// next begins a chunk.
func (a *asking) next() {
	m := &a.memory[a.asked%len(a.memory)]
	if *m == nil {
		*m = make([]psi.Query, a.params.ChunkElems)
	}
	a.chunk = (*m)[:0]
}

// answer takes the oldest chunk's answer.
func (a *asking) answer(ctx context.Context) error {
	f, err := a.ch.recv(ctx, psi.FrameEvaluated, patience)
	if err != nil {
		return err
	}
	outs, err := a.querier.Finalize(f)
	if err != nil {
		return err
	}
	err = a.take(outs, a.done)
	a.done += uint64(len(outs))
	clear(outs)
	if err != nil {
		return err
	}
	a.progress(StepQuestions, a.done, a.params.Queries)
	return nil
}

func (a *asking) clear() {
	for _, m := range a.memory {
		clear(m)
	}
}

// Evaluate answers every question, as the Holder.
func (s *Session) Evaluate(ctx context.Context) error {
	s.progress(StepQuestions, 0, s.params.Queries)
	for done := uint64(0); done < s.params.Queries; {
		f, err := s.ch.recv(ctx, psi.FrameBlinded, patience)
		if err != nil {
			return err
		}
		reply, err := s.holder.Evaluate(f)
		if err != nil {
			return err
		}
		if err := s.ch.send(ctx, reply); err != nil {
			return err
		}
		done += uint64(len(f.Body) / len(psi.Element{}))
		s.progress(StepQuestions, done, s.params.Queries)
	}
	return nil
}

// Seal signs the questions, as the Querier, before the table comes. keep, if not
// nil, has to make durable what the session can be audited with, before the
// signature leaves: the digests of the questions and their answers, and the
// receipt up to this SEAL. A SEAL that could not be kept is not on record either.
func (s *Session) Seal(ctx context.Context, keep func([]psi.FrameDigest, *Receipt) error) error {
	th := s.querier.Transcript()
	if err := s.querier.Seal(th); err != nil {
		return err
	}
	body, err := proto.Marshal(&ampsiv1.Seal{
		Sid:    s.params.SID[:],
		Th:     th[:],
		Chunks: s.params.Chunks(),
		Time:   uint64(s.c.Now().Unix()),
	})
	if err != nil {
		return fmt.Errorf("session: encode SEAL: %w", err)
	}
	f := s.sign(psi.FrameSeal, body)
	if keep != nil {
		upToSeal := s.Evidence()
		upToSeal.Seal, upToSeal.SealSig = f.Body, f.Sig
		if err := keep(s.Digests(), upToSeal); err != nil {
			return err
		}
	}
	s.record.Seal, s.record.SealSig = f.Body, f.Sig
	return s.ch.send(ctx, f)
}

// ReadSeal takes the Querier's signature over its questions, as the Holder.
func (s *Session) ReadSeal(ctx context.Context) error {
	m := new(ampsiv1.Seal)
	f, err := s.recvSigned(ctx, psi.FrameSeal, patience, m)
	if err != nil {
		return err
	}
	if [32]byte(fixed(m.GetSid(), 32)) != s.params.SID || m.GetChunks() != s.params.Chunks() {
		return fmt.Errorf("session: SEAL is of another session: %w", psi.AbortTranscript)
	}
	if err := s.holder.Seal([64]byte(fixed(m.GetTh(), 64))); err != nil {
		return err
	}
	s.record.Seal, s.record.SealSig = f.Body, f.Sig
	return nil
}

// SendTable sends the Holder's whole table; chunks yields its entries, as many
// at a time as a TABLE frame takes (TableFrame). They are read again if a broken
// session goes on and the peer misses some, also after SendTable.
func (s *Session) SendTable(ctx context.Context, chunks iter.Seq2[[]byte, error]) error {
	s.progress(StepTable, 0, s.params.Entries)
	s.ch.reread[psi.FrameTable] = frames(chunks, func(seq uint32, entries []byte) psi.Frame {
		return psi.Frame{Type: psi.FrameTable, Seq: seq, Body: entries}
	})
	done := uint64(0)
	for entries, err := range chunks {
		if err != nil {
			return err
		}
		f, err := s.holder.WriteTable(entries)
		if err != nil {
			return err
		}
		if err := s.ch.send(ctx, f); err != nil {
			return err
		}
		done += uint64(len(entries) / s.entryLen())
		s.progress(StepTable, done, s.params.Entries)
	}
	if done != s.params.Entries {
		return fmt.Errorf("session: table is shorter than declared: %w", psi.AbortInternal)
	}
	return nil
}

// TableChunk is the number of entries in a full TABLE frame of a session table
// without labels; TableFrame is of any.
func TableChunk() int { return psi.TableChunk(TokenLen) }

// ReadTable reads the Holder's table, as the Querier, and hands the entries to
// spool as they come. It returns once everything is verified: only then may the
// caller look for matches. It does not look at the entries, so that the rate of
// reading depends on nothing but their number (PROTOCOL.md §7.4).
func (s *Session) ReadTable(ctx context.Context, spool func(entries []byte) error) error {
	for done := uint64(0); done < s.params.Entries; {
		f, err := s.ch.recv(ctx, psi.FrameTable, patience)
		if err != nil {
			return err
		}
		entries, err := s.querier.ReadTable(f)
		if err != nil {
			return err
		}
		if err := spool(entries); err != nil {
			return err
		}
		done += uint64(len(entries) / s.entryLen())
		s.progress(StepTable, done, s.params.Entries)
	}
	s.lastTable = s.c.Now()
	return s.querier.Verified()
}

func (s *Session) entryLen() int { return psi.EntryLen(s.params.TokenLen, s.params.LabelLen) }

// fixed returns b if it has n bytes, else n zeros, which equal nothing that is
// expected.
func fixed(b []byte, n int) []byte {
	if len(b) != n {
		return make([]byte, n)
	}
	return b
}

// due returns when RELEASE goes: the first multiple of release_step at or after
// the last table frame + release_step + (q̂+n̂)·5 µs, or the first after that
// which is not past (PROTOCOL.md §8.5). It depends on nothing secret as long as
// the work is done by then.
func (s *Session) due() time.Time {
	earliest := s.lastTable.Add(s.releaseDelay())
	if now := s.c.Now(); earliest.Before(now) {
		earliest = now
	}
	step := int64(s.c.Policy.ReleaseStep) * int64(time.Second)
	return time.Unix(0, (earliest.UnixNano()+step-1)/step*step)
}

func (s *Session) releaseDelay() time.Duration {
	return time.Duration(s.c.Policy.ReleaseStep)*time.Second +
		time.Duration(s.params.Queries+s.params.Entries)*5*time.Microsecond
}

// matching is how long a side may take to look for matches and to store them,
// before its next frame (PROTOCOL.md §8.1).
func (s *Session) matching() time.Duration { return 2*s.releaseDelay() + patience }
