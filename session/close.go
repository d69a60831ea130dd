package session

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/release"
)

// ReleaseBody makes the body of RELEASE, as the platform, with the time at which
// it is due. The caller has charged the ledger and drawn the count once for this
// session, and stores the body before SendRelease, so that a second try sends
// the same bytes (PROTOCOL.md §8.4).
func (s *Session) ReleaseBody(count release.Count) ([]byte, error) {
	body, err := proto.Marshal(releaseBody(s.params.SID, count, uint64(s.due().Unix())))
	if err != nil {
		return nil, fmt.Errorf("session: encode RELEASE: %w", err)
	}
	return body, nil
}

// SendRelease waits for the time in the body and sends it. A body that was stored
// too late for its time is sent at the next multiple of release_step.
func (s *Session) SendRelease(ctx context.Context, body []byte) error {
	m := new(ampsiv1.Release)
	if err := receipt.Decode(body, m); err != nil {
		return err
	}
	at := time.Unix(int64(m.GetTime()), 0)
	if at.Before(s.c.Now()) {
		at = s.due()
	}
	if err := s.waitUntil(at); err != nil {
		return err
	}
	s.release = s.sign(psi.FrameRelease, body)
	if err := s.querier.Released(s.release); err != nil {
		return err
	}
	return s.ch.send(ctx, s.release)
}

// AwaitRelease waits until a count is due of which there is none, since something
// went wrong: that would say, too, how long the matches took.
func (s *Session) AwaitRelease() error { return s.waitUntil(s.due()) }

// releaseBody has every field present, so that its length is the same whether
// or not a count is released.
func releaseBody(sid [32]byte, count release.Count, at uint64) *ampsiv1.Release {
	var status uint32
	if count.Released {
		status = 1
	}
	return &ampsiv1.Release{Sid: sid[:], Status: &status, Value: &count.N, Time: &at}
}

// waitUntil sleeps until the given time, reporting the seconds that are left. No peer
// and no time that is over ends it: a session that ended before would say how long
// the matches took. The clock may be set meanwhile, and is of no effect.
func (s *Session) waitUntil(at time.Time) error {
	wait := min(at.Sub(s.c.Now()), 2*s.releaseDelay())
	end, total := time.Now().Add(wait), uint64(max(0, wait.Seconds()))
	for {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		s.progress(StepWaiting, total-min(total, uint64(left.Seconds())), total)
		select {
		case <-time.After(min(left, time.Second)):
		case <-s.c.Stop:
			return fmt.Errorf("session: the platform stops before the count is due: %w", psi.AbortCancelled)
		}
	}
}

// ReadRelease reads the platform's count, as the advertiser.
func (s *Session) ReadRelease(ctx context.Context) (release.Count, error) {
	m := new(ampsiv1.Release)
	f, err := s.recvSigned(ctx, psi.FrameRelease, s.matching(), m)
	if err != nil {
		return release.Count{}, err
	}
	count, err := s.checkRelease(m)
	if err != nil {
		return release.Count{}, err
	}
	if err := s.holder.Released(f); err != nil {
		return release.Count{}, err
	}
	s.release = f
	return count, nil
}

func (s *Session) checkRelease(m *ampsiv1.Release) (release.Count, error) {
	bad := func(what string) (release.Count, error) {
		return release.Count{}, fmt.Errorf("session: RELEASE %s: %w", what, psi.AbortMalformed)
	}
	switch {
	case !bytes.Equal(m.GetSid(), s.params.SID[:]):
		return bad("is of another session")
	case m.Status == nil || m.Value == nil || m.Time == nil:
		return bad("lacks a field")
	case m.GetTime() == 0 || m.GetTime()%s.c.Policy.ReleaseStep != 0:
		return bad("was not sent at an agreed time")
	case m.GetStatus() == 0 && m.GetValue() == 0:
		return release.Count{}, nil
	case m.GetStatus() == 1 && m.GetValue() >= s.c.Policy.Release().Smallest():
		return release.Count{N: m.GetValue(), Released: true}, nil
	}
	return bad("has a count that the policy does not allow")
}

// CloseQuerier signs how the session ended, as the Querier, and takes the other
// side's signature. Evidence is complete then. An advertiser waits for the
// platform to end the stream.
func (s *Session) CloseQuerier(ctx context.Context) error {
	th := s.querier.Transcript()
	f, err := s.sendSigned(ctx, psi.FrameReceipt, s.receipt(th))
	if err != nil {
		return err
	}
	s.record.ReceiptQ, s.record.ReceiptQSig = f.Body, f.Sig
	h, err := s.readReceipt(ctx, th)
	if err != nil {
		return err
	}
	s.record.ReceiptH, s.record.ReceiptHSig = h.Body, h.Sig
	return s.end(ctx)
}

// CloseHolder takes the Querier's signature, as the Holder, and adds its own. An
// advertiser waits for the platform to end the stream.
func (s *Session) CloseHolder(ctx context.Context) error {
	th := s.holder.Transcript()
	q, err := s.readReceipt(ctx, th)
	if err != nil {
		return err
	}
	s.record.ReceiptQ, s.record.ReceiptQSig = q.Body, q.Sig
	f, err := s.sendSigned(ctx, psi.FrameReceipt, s.receipt(th))
	if err != nil {
		return err
	}
	s.record.ReceiptH, s.record.ReceiptHSig = f.Body, f.Sig
	return s.end(ctx)
}

// end waits for the end of the stream, which is the platform's to make.
func (s *Session) end(ctx context.Context) error {
	if s.party == partyP {
		return nil
	}
	return s.ch.end(ctx)
}

func (s *Session) receipt(th [64]byte) *ampsiv1.Receipt {
	return &ampsiv1.Receipt{
		Sid:         s.params.SID[:],
		Th:          th[:],
		QHat:        s.params.Queries,
		NHat:        s.params.Entries,
		TableRoot:   s.params.Root[:],
		ConsentRoot: s.consentRoot,
		Outcome:     1,
		Time:        s.onGrid(s.c.Now()),
	}
}

func (s *Session) readReceipt(ctx context.Context, th [64]byte) (psi.Frame, error) {
	m := new(ampsiv1.Receipt)
	within := patience
	if s.mode.Claims() { // the other side stores what was claimed first
		within = s.matching()
	}
	f, err := s.recvSigned(ctx, psi.FrameReceipt, within, m)
	if err != nil {
		return psi.Frame{}, err
	}
	want := s.receipt(th)
	want.Time = m.GetTime()
	if m.GetTime()%s.c.Policy.ReleaseStep != 0 || !proto.Equal(m, want) {
		return psi.Frame{}, fmt.Errorf("session: RECEIPT describes another session: %w", psi.AbortTranscript)
	}
	return f, nil
}
