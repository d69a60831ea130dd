package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
)

// attackIn is a departure from the protocol in the modes beside P_LEARNS.
type attackIn struct {
	name  string
	modes []psi.Mode
	by    side
	code  psi.AbortCode
	do    func(a, p *company, attacker *pipe)
}

// side is who departs: the advertiser, the platform, or whoever has that role.
type side int

const (
	advertiserSide side = iota
	platformSide
	querierSideOf
	holderSideOf
)

// isAdvertiser resolves a side in a mode.
func (s side) isAdvertiser(mode psi.Mode) bool {
	switch s {
	case querierSideOf:
		return mode.AdvertiserAsks()
	case holderSideOf:
		return !mode.AdvertiserAsks()
	}
	return s == advertiserSide
}

// edited changes the frames of a type.
func edited(t psi.FrameType, edit func(f *ampsiv1.Frame) []*ampsiv1.Frame) func(a, p *company, attacker *pipe) {
	return func(_, _ *company, attacker *pipe) { onFrame(attacker, t, edit) }
}

// signedAnew changes a body as its signer could.
func signedAnew[M proto.Message](t psi.FrameType, m func() M, change func(M)) func(a, p *company, attacker *pipe) {
	return func(a, p *company, attacker *pipe) {
		by, from := a.c.Identity, psi.SenderQuerier
		if attacker != nil && attacker.platform {
			by = p.c.Identity
		}
		if t == psi.FrameOpenH {
			from = psi.SenderHolder
		}
		onFrame(attacker, t, resigned(by, from, m(), change))
	}
}

func modeAttacks() []attackIn {
	all := []psi.Mode{psi.ALearns, psi.MutualA, psi.MutualP}
	asks, claims := []psi.Mode{psi.ALearns, psi.MutualA}, []psi.Mode{psi.MutualA, psi.MutualP}
	newHello := func() *ampsiv1.Hello { return new(ampsiv1.Hello) }
	newOpenQ := func() *ampsiv1.OpenQ { return new(ampsiv1.OpenQ) }
	newOpenH := func() *ampsiv1.OpenH { return new(ampsiv1.OpenH) }
	forged := func(change func(outs []psi.Output) []psi.Output) func(a, p *company, _ *pipe) {
		return func(a, p *company, _ *pipe) { a.forge, p.forge = change, change }
	}
	list := []attackIn{
		{"HELLO with release", all, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.Release = true })},
		{"HELLO in SPLIT", all, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.Mode = 5 })},
		{"HELLO in a mode of many bits", all, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.Mode += 256 })},
		{"HELLO with labels", all, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.LabelLen = 32 })},
		{"HELLO for a published table", all, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.TableKind = 2 })},
		{"HELLO with an audience that nobody fills", []psi.Mode{psi.ALearns}, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.Audience = "spring" })},
		{"HELLO without an audience", claims, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameHello, newHello, func(m *ampsiv1.Hello) { m.Audience = "" })},

		{"OPEN_Q of an advertiser with a consent root", asks, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.ConsentRoot = make([]byte, 32) })},
		{"OPEN_Q without claims", claims, querierSideOf, psi.AbortTerms, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.Terms.Claims = false })},
		{"OPEN_Q with a release", all, querierSideOf, psi.AbortTerms, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.Terms.Release = true })},
		{"OPEN_Q with the parties exchanged", all, querierSideOf, psi.AbortTerms, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) {
			m.Terms.QuerierParty, m.Terms.HolderParty = m.Terms.HolderParty, m.Terms.QuerierParty
		})},
		{"OPEN_Q with the ids exchanged", all, querierSideOf, psi.AbortAuth, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) {
			m.Terms.QuerierId, m.Terms.HolderId = m.Terms.HolderId, m.Terms.QuerierId
		})},
		{"OPEN_Q in another mode", all, querierSideOf, psi.AbortTerms, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.Terms.Mode = uint32(psi.PLearns) })},
		{"OPEN_Q of 10^12 elements", all, querierSideOf, psi.AbortBudget, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.QHat = psi.PadSize(1e12) })},
		{"OPEN_Q of a size that is not padded", all, querierSideOf, psi.AbortMalformed, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.QHat = 1025 })},
		{"OPEN_Q that is stale", all, querierSideOf, psi.AbortReplay, signedAnew(psi.FrameOpenQ, newOpenQ, func(m *ampsiv1.OpenQ) { m.NotAfter = 1 })},

		{"OPEN_H of a platform without consent root", asks, platformSide, psi.AbortTerms, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentRoot = nil })},
		{"OPEN_H of a platform without a consent tree", asks, platformSide, psi.AbortMalformed, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentSize = 0 })},
		{"OPEN_H with fewer consents than entries", asks, platformSide, psi.AbortMalformed, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.NHat = psi.PadSize(4 * m.NHat) })},
		{"OPEN_H with a tree that is not padded", asks, platformSide, psi.AbortMalformed, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentSize++ })},
		{"OPEN_H with a tree without end", asks, platformSide, psi.AbortMalformed, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentSize = 1<<64 - 1 })},
		{"OPEN_H of an advertiser with a consent root", []psi.Mode{psi.MutualP}, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentRoot = make([]byte, 32) })},
		{"OPEN_H of an advertiser with a consent tree", []psi.Mode{psi.MutualP}, advertiserSide, psi.AbortTerms, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ConsentSize = 1024 })},
		{"OPEN_H with a manifest", all, holderSideOf, psi.AbortTerms, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.ManifestHash = make([]byte, 32) })},
		{"OPEN_H of 10^12 entries", all, holderSideOf, psi.AbortBudget, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.NHat = psi.PadSize(1e12) })},
		{"OPEN_H with the identity as key", all, holderSideOf, psi.AbortMalformed, signedAnew(psi.FrameOpenH, newOpenH, func(m *ampsiv1.OpenH) { m.PkS = make([]byte, 32) })},

		{"BLINDED with the identity", all, querierSideOf, psi.AbortMalformed, edited(psi.FrameBlinded, set(7, identityElement))},
		{"BLINDED with a negative", all, querierSideOf, psi.AbortMalformed, edited(psi.FrameBlinded, set(7, negative))},
		{"BLINDED with a non-canonical element", all, querierSideOf, psi.AbortMalformed, edited(psi.FrameBlinded, set(1023, nonCanonical))},
		{"BLINDED twice", all, querierSideOf, psi.AbortMalformed, edited(psi.FrameBlinded, twice)},
		{"BLINDED one element long", all, querierSideOf, psi.AbortMalformed, edited(psi.FrameBlinded, body(func(b []byte) []byte { return append(b, b[:32]...) }))},
		{"SEAL signed by another", all, querierSideOf, psi.AbortAuth, edited(psi.FrameSeal, flip(-1))},
		{"EVALUATED with the identity", all, holderSideOf, psi.AbortMalformed, edited(psi.FrameEvaluated, set(7, identityElement))},
		{"EVALUATED with two answers exchanged", all, holderSideOf, psi.AbortProof, edited(psi.FrameEvaluated, swap(3, 4))},
		{"EVALUATED with another proof", all, holderSideOf, psi.AbortProof, edited(psi.FrameEvaluated, flip(-64))},
		{"TABLE with another root", all, holderSideOf, psi.AbortTable, edited(psi.FrameTable, flip(-1))},
		{"TABLE with an entry twice", all, holderSideOf, psi.AbortTable, edited(psi.FrameTable, body(func(b []byte) []byte { copy(b[TokenLen:], b[:TokenLen]); return b }))},

		{"CLAIMS where there are none", []psi.Mode{psi.ALearns}, querierSideOf, psi.AbortMalformed, edited(psi.FrameReceipt, func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			return []*ampsiv1.Frame{{Type: uint32(psi.FrameClaims)}}
		})},
		{"RELEASE for CLAIMS", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, instead(psi.FrameRelease))},
		{"RECEIPT for CLAIMS", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, instead(psi.FrameReceipt))},
		{"CLAIMS signed", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, func(f *ampsiv1.Frame) []*ampsiv1.Frame { f.Sig = make([]byte, 64); return []*ampsiv1.Frame{f} })},
		{"CLAIMS numbered wrongly", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, numbered(1))},
		{"CLAIMS after the last", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, twice)},
		{"CLAIMS a byte short", claims, querierSideOf, psi.AbortMalformed, edited(psi.FrameClaims, body(func(b []byte) []byte { return b[1:] }))},
		{"CLAIMS with another tag", claims, querierSideOf, psi.AbortClaim, edited(psi.FrameClaims, flip(-1))},
		{"CLAIMS with another token", claims, querierSideOf, psi.AbortClaim, edited(psi.FrameClaims, flip(0))},
		{"CLAIMS with one twice", claims, querierSideOf, psi.AbortClaim, edited(psi.FrameClaims, body(func(b []byte) []byte { copy(b[32:64], b[:32]); return b }))},
		{"CLAIMS out of order", claims, querierSideOf, psi.AbortClaim, edited(psi.FrameClaims, body(func(b []byte) []byte {
			first := bytes.Clone(b[:32])
			copy(b, b[32:64])
			copy(b[32:], first)
			return b
		}))},
		{"claims of entries that were never asked about", claims, querierSideOf, psi.AbortClaim, forged(func(outs []psi.Output) []psi.Output {
			for i := range outs {
				clear(outs[i][TokenLen:]) // whoever has the table has this much
			}
			return outs
		})},
		{"claims of strangers", claims, querierSideOf, psi.AbortClaim, forged(func(outs []psi.Output) []psi.Output {
			outs[0][15] ^= 1
			return outs
		})},
		{"RECEIPT of the Querier changed", all, querierSideOf, psi.AbortAuth, edited(psi.FrameReceipt, flip(40))},
		// A platform that holds is done when it has sent its own, and isn't told.
		{"RECEIPT of the Holder changed", []psi.Mode{psi.MutualP}, holderSideOf, psi.AbortAuth, edited(psi.FrameReceipt, flip(40))},
	}
	return list
}

// Every departure ends the session on both sides: the honest one has a typed
// error, the other one is told the code, nobody has a complete receipt.
func TestHostilePeersInOtherModes(t *testing.T) {
	for _, attack := range modeAttacks() {
		for _, mode := range attack.modes {
			t.Run(attack.name+" in "+mode.String(), func(t *testing.T) {
				t.Parallel()
				byA := attack.by.isAdvertiser(mode)
				b := meetIn(t, mode, func(a, p *company, fromA, fromP *pipe) {
					fromP.platform = true
					attacker := fromP
					if byA {
						attacker = fromA
					}
					attack.do(a, p, attacker)
				})
				noticed, told, honest := b.aErr, b.pErr, b.a
				if byA {
					noticed, told, honest = told, noticed, b.p
				}
				var abort *PeerAbort
				if Code(noticed) != attack.code || errors.As(noticed, &abort) {
					t.Errorf("the honest side: %v, want code %d", noticed, attack.code)
				}
				if !errors.As(told, &abort) || abort.Code != attack.code {
					t.Errorf("the other side is told %v, want code %d", told, attack.code)
				}
				if honest.s != nil && honest.s.SID() != ([32]byte{}) {
					if _, err := honest.s.Evidence().Verify(); err == nil {
						t.Error("the honest side has a complete receipt of a failed session")
					}
				}
			})
		}
	}
}

// What one session's peer sent is worth nothing in another: not its OPEN, not its
// questions' answers, not its claims.
func TestSplicedSessions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode psi.Mode
		t    psi.FrameType
		by   side
		code psi.AbortCode
	}{
		{psi.MutualA, psi.FrameClaims, querierSideOf, psi.AbortClaim},
		{psi.MutualP, psi.FrameClaims, querierSideOf, psi.AbortClaim},
		{psi.MutualA, psi.FrameEvaluated, holderSideOf, psi.AbortProof},
		{psi.ALearns, psi.FrameEvaluated, holderSideOf, psi.AbortProof},
		{psi.ALearns, psi.FrameTable, holderSideOf, psi.AbortTable},
		{psi.MutualA, psi.FrameSeal, querierSideOf, psi.AbortAuth},
		{psi.ALearns, psi.FrameReceipt, querierSideOf, psi.AbortAuth},
		{psi.MutualP, psi.FrameOpenH, holderSideOf, psi.AbortReplay},
		{psi.PLearns, psi.FrameOpenH, holderSideOf, psi.AbortReplay},
		{psi.PLearns, psi.FrameBlinded, querierSideOf, psi.AbortProof}, // answered, but for another question
		{psi.PLearns, psi.FrameEvaluated, holderSideOf, psi.AbortProof},
		{psi.PLearns, psi.FrameSeal, querierSideOf, psi.AbortAuth},
		{psi.PLearns, psi.FrameTable, holderSideOf, psi.AbortTable},
		{psi.PLearns, psi.FrameRelease, querierSideOf, psi.AbortAuth},
		{psi.PLearns, psi.FrameReceipt, querierSideOf, psi.AbortAuth},
		{psi.PLearns, psi.FrameReceipt, holderSideOf, psi.AbortAuth},
	} {
		t.Run(fmt.Sprintf("%v in %v", c.t, c.mode), func(t *testing.T) {
			t.Parallel()
			var taken *ampsiv1.Frame
			record := func(f *ampsiv1.Frame) []*ampsiv1.Frame {
				if taken == nil {
					taken = proto.Clone(f).(*ampsiv1.Frame)
				}
				return []*ampsiv1.Frame{f}
			}
			on := func(edit func(f *ampsiv1.Frame) []*ampsiv1.Frame) func(a, p *company, fromA, fromP *pipe) {
				return func(_, _ *company, fromA, fromP *pipe) {
					if c.by.isAdvertiser(c.mode) {
						onFrame(fromA, c.t, edit)
					} else {
						onFrame(fromP, c.t, edit)
					}
				}
			}
			if b := meetIn(t, c.mode, on(record)); b.aErr != nil || b.pErr != nil {
				t.Fatal(b.aErr, b.pErr)
			}
			b := meetIn(t, c.mode, on(func(*ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{taken} }))
			noticed := b.pErr
			if !c.by.isAdvertiser(c.mode) {
				noticed = b.aErr
			}
			if Code(noticed) != c.code {
				t.Errorf("%v of another session in %v: %v, want code %d", c.t, c.mode, noticed, c.code)
			}
		})
	}
}

// A whole session that is played again stops at the nonce.
func TestReplayedQuestions(t *testing.T) {
	t.Parallel()
	for _, mode := range everyMode {
		b := meetIn(t, mode, func(a, p *company, _, _ *pipe) {
			honest := p
			if mode.AdvertiserAsks() != a.calls { // the Holder sees OPEN_Q
				honest = a
			}
			honest.seen = func(context.Context, identity.ID, [32]byte, time.Time) error { return psi.AbortReplay }
		})
		noticed := b.pErr
		if !mode.AdvertiserAsks() {
			noticed = b.aErr
		}
		if Code(noticed) != psi.AbortReplay || slices.Contains(b.frames, psi.FrameOpenH) {
			t.Errorf("%v: %v after %v", mode, noticed, b.frames)
		}
	}
}

// A peer that is gone after any number of frames leaves an error and no result,
// not a hang.
func TestPeerIsGoneInOtherModes(t *testing.T) {
	for _, mode := range everyMode[1:] {
		for _, advertiser := range []bool{true, false} {
			for n := range 6 {
				t.Run(fmt.Sprintf("%v, advertiser %v, after %d frames", mode, advertiser, n), func(t *testing.T) {
					t.Parallel()
					sent := 0
					b := meetIn(t, mode, func(_, _ *company, fromA, fromP *pipe) {
						p := fromP
						if advertiser {
							p = fromA
						}
						p.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame {
							if sent++; sent > n {
								return []*ampsiv1.Frame{nil}
							}
							return []*ampsiv1.Frame{f}
						}
					})
					if sent > n && b.aErr == nil && b.pErr == nil {
						t.Error("nobody noticed")
					}
				})
			}
		}
	}
}
