// Package session runs one session of PROTOCOL.md over a stream of frames: who
// is at the other end, what was agreed, what was signed. The algebra and the
// order of chunks are psi's; what may be disclosed to whom is decided by the
// caller, between the calls.
//
// The advertiser, a client, calls the platform, a server; which of them asks is
// the mode's to say:
//
//	advertiser        platform
//	Ask               HELLO       ─────▶      Accept
//
//	Holder                                    Querier
//	ReadOpenQ         ◀─────      OPEN_Q      OpenQ
//	OpenH             OPEN_H      ─────▶      ReadOpenH
//	Evaluate          ◀─────      BLINDED     Query
//	                  EVALUATED   ─────▶
//	ReadSeal          ◀─────      SEAL        Seal
//	SendTable         TABLE       ─────▶      ReadTable       unless it is published
//	ReadClaims        ◀─────      CLAIMS      SendClaims      MUTUAL_A, MUTUAL_P
//	ReadRelease       ◀─────      RELEASE     SendRelease     P_LEARNS
//	CloseHolder       ◀─────      RECEIPT     CloseQuerier
//	                  RECEIPT     ─────▶
//
// In P_LEARNS and MUTUAL_P the platform is Querier, in A_LEARNS and MUTUAL_A the
// advertiser. The platform ends the call.
//
// A stream that breaks after both OPENs is replaced by another under the same
// Session (Config's Reconnect, Rejoin), and the calls above don't notice: frames are
// counted and kept below them (PROTOCOL.md §13).
//
// Every error of this package is or wraps a psi.AbortCode, a *PeerAbort, or the
// broken connection; Abort tells the other side the code, and nothing else.
package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// Config is what one side brings to a session.
type Config struct {
	Identity *identity.Identity
	Peer     identity.Peer // who is at the other end, from the connection's certificate
	Policy   *policy.Policy
	Now      func() time.Time // the wall clock; nil means time.Now
	// Progress, if not nil, is told how far a long step has come. It must return
	// at once.
	Progress func(step Step, done, total uint64)
	// Blinded, if not nil, is given the body of each BLINDED frame in order before
	// it is sent, as the Querier: what an audit compares with the snapshot
	// (PROTOCOL.md §10). Its error ends the session.
	Blinded func(body []byte) error
	// Reconnect, if not nil, calls the platform again, as the advertiser, when a
	// call broke; with it a session that has opened survives that. It gives up
	// when its context ends.
	Reconnect func(context.Context) (Stream, error)
	// GiveUp, if not nil, lets a session that has opened, as the platform, wait
	// for the advertiser to call again when a call broke. Once it is closed,
	// nothing is waited for any more.
	GiveUp <-chan struct{}
	// Stop, if not nil, ends the platform's wait for the time of its count, once it is
	// closed.
	Stop <-chan struct{}
	// Published, if not nil, is the table that the advertiser has verified and asks
	// to be asked about, in A_LEARNS or MUTUAL_A (PROTOCOL.md §7.4).
	Published *Published
	// Offer, if not nil, returns the platform's published table of an id, as an
	// advertiser asks for one. Its error should wrap psi.AbortTable.
	Offer func(tableID [32]byte) (*Published, error)
}

// Step names a long step of a session for progress reports.
type Step string

// The long steps.
const (
	StepQuestions Step = "questions" // elements blinded, evaluated and verified
	StepTable     Step = "table"     // entries of the Holder's table sent or received
	StepClaims    Step = "claims"    // claims sent or checked; their number is the Querier's to choose
	StepWaiting   Step = "waiting"   // seconds until the release is due
	StepResuming  Step = "resuming"  // the connection is lost, and being made again
)

// Session is one side of one run. It is not safe for concurrent use.
type Session struct {
	c      Config
	ch     *line
	terms  *ampsiv1.Terms
	party  uint32     // partyA calls, partyP is called
	mode   psi.Mode   // with the party, decides the role
	role   psi.Sender // of this side
	params psi.Params
	// The evidence: what was sent and received, and th at the end.
	record      ampsiv1.Record
	release     psi.Frame
	consentRoot []byte
	tableID     [32]byte
	started     time.Time
	lastTable   time.Time
	published   *Published // nil: the Holder sends its table
	querier     *psi.Querier
	holder      *psi.Holder

	resumeSID *[32]byte // of a call that only continues another session
	resumed   int       // times that this one was
}

func newSession(st Stream, c Config, party uint32) *Session {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Session{c: c, ch: newLine(st, int(c.Policy.Window)), party: party, started: c.Now()}
}

// in fixes the mode, and with it this side's role and what both will sign.
func (s *Session) in(mode psi.Mode, audience string) {
	s.mode, s.role, s.params.Claims = mode, psi.SenderHolder, mode.Claims()
	if mode.AdvertiserAsks() == (s.party == partyA) {
		s.role = psi.SenderQuerier
	}
	s.params.TokenLen = s.tokenLen()
	s.params.LabelLen = int(labelLen(s.c.Policy, mode))
	switch {
	case s.published != nil:
		s.tableID = s.published.TableID
	case s.role == psi.SenderHolder:
		rand.Read(s.tableID[:])
	}
	s.terms = s.wantTerms(audience)
}

// Mode returns the mode that was asked for and granted.
func (s *Session) Mode() psi.Mode { return s.mode }

// Role returns what this side is in that mode.
func (s *Session) Role() psi.Sender { return s.role }

// LabelLen returns the length of a label in this mode under the policy, 0 if there
// are none (PROTOCOL.md §7.3).
func (s *Session) LabelLen() int { return s.params.LabelLen }

// TableID returns the table's id, which labels are sealed with: the Holder has it
// from the start, the Querier once it has OPEN_H.
func (s *Session) TableID() [32]byte { return s.tableID }

// TableFrame returns the number of entries in a full TABLE frame.
func (s *Session) TableFrame() int { return psi.TableChunk(s.entryLen()) }

// SID returns the session's id; it is zero before both OPENs.
func (s *Session) SID() [32]byte { return s.params.SID }

// Audience returns the advertiser's name for what the platform fills; it is empty
// in A_LEARNS.
func (s *Session) Audience() string { return s.terms.GetAudience() }

// Queries and Entries return the padded sizes q̂ and n̂.
func (s *Session) Queries() uint64 { return s.params.Queries }

// Entries returns n̂.
func (s *Session) Entries() uint64 { return s.params.Entries }

// BytesSent returns the length of all bodies sent so far.
func (s *Session) BytesSent() uint64 { return s.ch.bytesSent() }

// Close frees what the session holds. The caller ends the call itself.
func (s *Session) Close() { s.ch.close() }

// Abort tells the other side the code of err, unless the other side ended the
// session itself or is gone. It is the only way an error leaves this company.
func (s *Session) Abort(err error) {
	var peer *PeerAbort
	if err == nil || errors.As(err, &peer) || errors.Is(err, ErrBroken) {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	// The session has failed already; a peer that can't be told is gone.
	_ = s.ch.tell(ctx, psi.Frame{Type: psi.FrameAbort, Body: []byte{byte(Code(err))}})
}

// Drain waits a moment for the other side to end the stream, so that an ABORT is
// read before the connection goes.
func (s *Session) Drain() {
	timer := time.NewTimer(2 * time.Second)
	defer timer.Stop()
	for {
		select {
		case r, open := <-s.ch.ch.in:
			if !open || r.err != nil {
				return
			}
		case <-timer.C:
			return
		}
	}
}

// Code returns what the other side may learn of err: one of the codes of
// PROTOCOL.md §13, and nothing of what failed or why. Every error crosses to the other company
// through here.
func Code(err error) psi.AbortCode {
	var code psi.AbortCode
	switch {
	case errors.As(err, &code):
		return code
	case errors.Is(err, context.DeadlineExceeded):
		return psi.AbortTimeout
	case errors.Is(err, context.Canceled):
		return psi.AbortCancelled
	}
	return psi.AbortInternal
}

func (s *Session) progress(step Step, done, total uint64) {
	if s.c.Progress != nil {
		s.c.Progress(step, done, total)
	}
}

func (s *Session) peerRole() psi.Sender { return psi.SenderQuerier + psi.SenderHolder - s.role }

// sendSigned serialises a body once, signs it and sends it.
func (s *Session) sendSigned(ctx context.Context, t psi.FrameType, m proto.Message) (psi.Frame, error) {
	body, err := proto.Marshal(m)
	if err != nil {
		return psi.Frame{}, fmt.Errorf("session: encode %v: %w", t, err)
	}
	f := s.sign(t, body)
	return f, s.ch.send(ctx, f)
}

func (s *Session) sign(t psi.FrameType, body []byte) psi.Frame {
	return psi.Frame{Type: t, Body: body, Sig: psi.Sign(s.c.Identity.Key(), t, s.role, s.signedSID(t), body)}
}

// recvSigned reads a frame of type t within the given time, checks the peer's
// signature and decodes the body into m.
func (s *Session) recvSigned(ctx context.Context, t psi.FrameType, within time.Duration, m proto.Message) (psi.Frame, error) {
	f, err := s.ch.recv(ctx, t, within)
	if err != nil {
		return psi.Frame{}, err
	}
	if f.Seq != 0 {
		return psi.Frame{}, fmt.Errorf("session: %v has a sequence number: %w", t, psi.AbortMalformed)
	}
	if err := psi.VerifySignature(s.c.Peer.Public, t, s.peerRole(), s.signedSID(t), f.Body, f.Sig); err != nil {
		return psi.Frame{}, err
	}
	return f, receipt.Decode(f.Body, m)
}

func (s *Session) signedSID(t psi.FrameType) []byte {
	if t == psi.FrameOpenQ || t == psi.FrameOpenH {
		return nil
	}
	return s.params.SID[:]
}

// onGrid returns t in Unix seconds, cut to the policy's release_step: the only
// times that leave a company are multiples of it (PROTOCOL.md §8.5).
func (s *Session) onGrid(t time.Time) uint64 {
	step := s.c.Policy.ReleaseStep
	return uint64(t.Unix()) / step * step
}

func nonce() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}
