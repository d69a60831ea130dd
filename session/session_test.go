package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/release"
)

func TestSession(t *testing.T) {
	for _, count := range []release.Count{{N: 199, Released: true}, {}} {
		r := meet(t, func(_ *holderSide, q *querierSide, _, _ *pipe) { q.count = count })
		if r.holderErr != nil || r.queryErr != nil {
			t.Fatalf("holder: %v; querier: %v", r.holderErr, r.queryErr)
		}
		slices.Sort(r.q.matches)
		// The list is 0…299, the platform asked about 100…499.
		if len(r.q.matches) != 200 || r.q.matches[0] != 0 || r.q.matches[199] != 199 {
			t.Errorf("%d matches", len(r.q.matches))
		}
		if r.h.count != count {
			t.Errorf("count %+v arrives as %+v", count, r.h.count)
		}
		a, err := r.h.s.Evidence().Verify()
		if err != nil {
			t.Fatal(err)
		}
		b, err := r.q.s.Evidence().Verify()
		if err != nil {
			t.Fatal(err)
		}
		if *a != *b {
			t.Errorf("two receipts of one session: %+v, %+v", a, b)
		}
		if a.Advertiser != pair().advertiser.ID() || a.Platform != pair().platform.ID() || a.Audience != "spring" ||
			a.Queries != 1024 || a.Entries != 1024 || a.Count != count.N || a.Suppressed == count.Released {
			t.Errorf("the receipt says %+v", a)
		}
	}
}

// Whether a count is released must not show in the length of what is sent.
func TestReleaseHasOneLength(t *testing.T) {
	var lengths []int
	for _, count := range []release.Count{{}, {N: 141, Released: true}, {N: 1 << 40, Released: true}} {
		body, err := proto.Marshal(releaseBody([32]byte{1}, count, 1_700_000_000))
		if err != nil {
			t.Fatal(err)
		}
		lengths = append(lengths, len(body))
	}
	if lengths[0] != lengths[1] || lengths[1] != lengths[2] {
		t.Errorf("lengths %v", lengths)
	}
}

func TestReleaseIsSentOnTheGrid(t *testing.T) {
	p := fastPolicy()
	p.ReleaseStep = 10 // as parsed policies are read-only, this one is the test's own
	for _, c := range []struct{ last, now, want int64 }{
		{1000, 1000, 1020}, // 1000 + 10 + 0.02 s, then up to the grid
		{1005, 1005, 1020},
		{1000, 1031, 1040}, // not ready in time: the next multiple
	} {
		s := &Session{c: Config{Policy: p, Now: func() time.Time { return time.Unix(c.now, 0) }},
			params: psi.Params{Queries: 1024, Entries: 1024}, lastTable: time.Unix(c.last, 0)}
		if got := s.due().Unix(); got != c.want {
			t.Errorf("last frame at %d, now %d: due at %d, want %d", c.last, c.now, got, c.want)
		}
	}
}

// The clock may be set while a count waits: the wait is as long as it was.
func TestClockIsSetWhileACountWaits(t *testing.T) {
	for _, by := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			p := fastPolicy()
			p.ReleaseStep = 10
			var set atomic.Int64
			s := &Session{c: Config{Policy: p, Now: func() time.Time { return time.Now().Add(time.Duration(set.Load())) }}, lastTable: time.Now()}
			due := s.due()
			time.AfterFunc(time.Second, func() { set.Store(int64(by)) })
			if err := s.waitUntil(due); err != nil || !time.Now().Equal(due) {
				t.Errorf("set by %v: it ends %v after it is due (%v)", by, time.Since(due), err)
			}
		})
	}
}

// onFrame changes the frames of a type that one side sends; edit returns what
// arrives instead.
func onFrame(p *pipe, t psi.FrameType, edit func(f *ampsiv1.Frame) []*ampsiv1.Frame) {
	p.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame {
		if psi.FrameType(f.Type) != t {
			return []*ampsiv1.Frame{f}
		}
		return edit(f)
	}
}

// resigned changes a signed body as its signer could.
func resigned[M proto.Message](by *identity.Identity, from psi.Sender, m M, change func(M)) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
		if err := proto.Unmarshal(f.Body, m); err != nil {
			panic(err)
		}
		change(m)
		body, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		f.Body = body
		if t := psi.FrameType(f.Type); t.Signed() {
			f.Sig = psi.Sign(by.Key(), t, from, nil, body)
		}
		return []*ampsiv1.Frame{f}
	}
}

// hostile is a peer that departs from the protocol, and what becomes of it.
type hostile struct {
	name   string
	victim psi.Sender // the honest side, which must notice
	code   psi.AbortCode
	do     func(h *holderSide, q *querierSide, fromHolder, fromQuerier *pipe)
}

// openQ and openH are OPENs that their signer changed.
func openQ(name string, code psi.AbortCode, change func(*ampsiv1.OpenQ)) hostile {
	return hostile{name, psi.SenderHolder, code, func(_ *holderSide, _ *querierSide, _, fromQuerier *pipe) {
		onFrame(fromQuerier, psi.FrameOpenQ, resigned(pair().platform, psi.SenderQuerier, new(ampsiv1.OpenQ), change))
	}}
}

func openH(name string, code psi.AbortCode, change func(*ampsiv1.OpenH)) hostile {
	return hostile{name, psi.SenderQuerier, code, func(_ *holderSide, _ *querierSide, fromHolder, _ *pipe) {
		onFrame(fromHolder, psi.FrameOpenH, resigned(pair().advertiser, psi.SenderHolder, new(ampsiv1.OpenH), change))
	}}
}

func hello(name string, code psi.AbortCode, change func(*ampsiv1.Hello)) hostile {
	return hostile{name, psi.SenderQuerier, code, func(_ *holderSide, _ *querierSide, fromHolder, _ *pipe) {
		onFrame(fromHolder, psi.FrameHello, resigned(nil, 0, new(ampsiv1.Hello), change))
	}}
}

// frame is a frame of type t from the given side that is changed on its way.
func frame(name string, from psi.Sender, t psi.FrameType, code psi.AbortCode, edit func(f *ampsiv1.Frame) []*ampsiv1.Frame) hostile {
	victim := psi.SenderQuerier + psi.SenderHolder - from
	return hostile{name, victim, code, func(_ *holderSide, _ *querierSide, fromHolder, fromQuerier *pipe) {
		p := fromHolder
		if from == psi.SenderQuerier {
			p = fromQuerier
		}
		onFrame(p, t, edit)
	}}
}

func body(change func(b []byte) []byte) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
		f.Body = change(f.Body)
		return []*ampsiv1.Frame{f}
	}
}

func flip(at int) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return body(func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b })
}

func set(at int, element [32]byte) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return body(func(b []byte) []byte { copy(b[at*32:], element[:]); return b })
}

func swap(x, y int) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return body(func(b []byte) []byte {
		t := bytes.Clone(b[x*32 : x*32+32])
		copy(b[x*32:], b[y*32:y*32+32])
		copy(b[y*32:], t)
		return b
	})
}

func twice(f *ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{f, f} }

func numbered(seq uint32) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return func(f *ampsiv1.Frame) []*ampsiv1.Frame { f.Seq = seq; return []*ampsiv1.Frame{f} }
}

func instead(t psi.FrameType) func(f *ampsiv1.Frame) []*ampsiv1.Frame {
	return func(f *ampsiv1.Frame) []*ampsiv1.Frame {
		f.Type = uint32(t)
		f.Sig = nil
		if t.Signed() {
			f.Sig = make([]byte, 64)
		}
		return []*ampsiv1.Frame{f}
	}
}

var (
	identityElement = [32]byte{}
	negative        = [32]byte{1}                                                                     // RFC 9496 A.3: negative field element
	nonCanonical    = [32]byte(append(append([]byte{0xed}, bytes.Repeat([]byte{0xff}, 30)...), 0x7f)) // p
	tomorrow        = uint64(time.Now().Add(24 * time.Hour).Unix())
)

const (
	q = psi.SenderQuerier
	h = psi.SenderHolder
)

func attacks() []hostile {
	list := []hostile{
		hello("HELLO of version 2", psi.AbortVersion, func(m *ampsiv1.Hello) { m.Version = 2 }),
		hello("HELLO in A_LEARNS", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Mode = uint32(psi.ALearns) }),
		hello("HELLO in SPLIT", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Mode = 5 }),
		hello("HELLO under another policy", psi.AbortTerms, func(m *ampsiv1.Hello) { m.PolicyHash[0] ^= 1 }),
		hello("HELLO for another universe", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Universe = "staff" }),
		hello("HELLO with other classes", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Classes = []byte{2, 1} }),
		hello("HELLO without release", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Release = false }),
		hello("HELLO with labels", psi.AbortTerms, func(m *ampsiv1.Hello) { m.LabelLen = 8 }),
		hello("HELLO for a published table", psi.AbortTerms, func(m *ampsiv1.Hello) { m.TableKind = 2 }),
		hello("HELLO for an invalid audience", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Audience = "../etc" }),
		hello("HELLO for no audience", psi.AbortTerms, func(m *ampsiv1.Hello) { m.Audience = "" }),
		hello("HELLO to resume", psi.AbortResume, func(m *ampsiv1.Hello) { m.ResumeSid = make([]byte, 32) }),
		hello("HELLO with an unknown field", psi.AbortMalformed, func(m *ampsiv1.Hello) { addUnknown(m) }),
		frame("HELLO that is noise", h, psi.FrameHello, psi.AbortMalformed, body(func([]byte) []byte { return []byte{0xff} })),
		frame("HELLO numbered", h, psi.FrameHello, psi.AbortMalformed, numbered(1)),
		frame("OPEN_H for HELLO", h, psi.FrameHello, psi.AbortMalformed, instead(psi.FrameOpenH)),

		openQ("OPEN_Q of another suite", psi.AbortVersion, func(m *ampsiv1.OpenQ) { m.Terms.Suite = 2 }),
		openQ("OPEN_Q of version 2", psi.AbortVersion, func(m *ampsiv1.OpenQ) { m.Terms.Version = 2 }),
		openQ("OPEN_Q with small chunks", psi.AbortVersion, func(m *ampsiv1.OpenQ) { m.Terms.ChunkElems = 1 }),
		openQ("OPEN_Q in another mode", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.Mode = uint32(psi.MutualP) }),
		openQ("OPEN_Q for another purpose", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.Purpose = 2 }),
		openQ("OPEN_Q with roles exchanged", psi.AbortAuth, func(m *ampsiv1.OpenQ) {
			m.Terms.QuerierId, m.Terms.HolderId = m.Terms.HolderId, m.Terms.QuerierId
		}),
		openQ("OPEN_Q with parties exchanged", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.QuerierParty, m.Terms.HolderParty = 1, 2 }),
		openQ("OPEN_Q under another policy", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.PolicyHash[0] ^= 1 }),
		openQ("OPEN_Q for another audience", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.Audience = "autumn" }),
		openQ("OPEN_Q with claims", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.Claims = true }),
		openQ("OPEN_Q with short tokens", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.Terms.TokenLen = 8 }),
		openQ("OPEN_Q without terms", psi.AbortVersion, func(m *ampsiv1.OpenQ) { m.Terms = nil }),
		openQ("OPEN_Q that is stale", psi.AbortReplay, func(m *ampsiv1.OpenQ) { m.NotAfter -= 400 }),
		openQ("OPEN_Q that is good for a day", psi.AbortReplay, func(m *ampsiv1.OpenQ) { m.NotAfter = tomorrow }),
		openQ("OPEN_Q good for ever", psi.AbortReplay, func(m *ampsiv1.OpenQ) { m.NotAfter = 1<<64 - 1 }),
		openQ("OPEN_Q with a short nonce", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { m.Nonce = m.Nonce[1:] }),
		openQ("OPEN_Q of another connection", psi.AbortAuth, func(m *ampsiv1.OpenQ) { m.TlsExporter[0] ^= 1 }),
		openQ("OPEN_Q with a short exporter", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { m.TlsExporter = []byte{1} }),
		openQ("OPEN_Q without consent root", psi.AbortTerms, func(m *ampsiv1.OpenQ) { m.ConsentRoot = nil }),
		openQ("OPEN_Q of a size that is not padded", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { m.QHat = 1025 }),
		openQ("OPEN_Q of no elements", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { m.QHat = 0 }),
		openQ("OPEN_Q of 10^12 elements", psi.AbortBudget, func(m *ampsiv1.OpenQ) { m.QHat = psi.PadSize(1e12) }),
		openQ("OPEN_Q of 2^64-1 elements", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { m.QHat = 1<<64 - 1 }),
		openQ("OPEN_Q over the policy's size", psi.AbortBudget, func(m *ampsiv1.OpenQ) { m.QHat = 5 << 22 }),
		openQ("OPEN_Q with an unknown field", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { addUnknown(m) }),
		openQ("OPEN_Q with an unknown field in its terms", psi.AbortMalformed, func(m *ampsiv1.OpenQ) { addUnknown(m.Terms) }),
		frame("OPEN_Q with another's signature", q, psi.FrameOpenQ, psi.AbortAuth, func(f *ampsiv1.Frame) []*ampsiv1.Frame {
			f.Sig = psi.Sign(pair().advertiser.Key(), psi.FrameOpenQ, psi.SenderQuerier, nil, f.Body)
			return []*ampsiv1.Frame{f}
		}),
		frame("OPEN_Q unsigned", q, psi.FrameOpenQ, psi.AbortMalformed, func(f *ampsiv1.Frame) []*ampsiv1.Frame { f.Sig = nil; return []*ampsiv1.Frame{f} }),
		frame("BLINDED for OPEN_Q", q, psi.FrameOpenQ, psi.AbortMalformed, instead(psi.FrameBlinded)),

		openH("OPEN_H of another suite", psi.AbortVersion, func(m *ampsiv1.OpenH) { m.Terms.Suite = 0 }),
		openH("OPEN_H with other terms", psi.AbortTerms, func(m *ampsiv1.OpenH) { m.Terms.Release = false }),
		openH("OPEN_H that is stale", psi.AbortReplay, func(m *ampsiv1.OpenH) { m.NotAfter = 1 }),
		openH("OPEN_H for another OPEN_Q", psi.AbortReplay, func(m *ampsiv1.OpenH) { m.OpenQHash[0] ^= 1 }),
		openH("OPEN_H with the identity as key", psi.AbortMalformed, func(m *ampsiv1.OpenH) { m.PkS = make([]byte, 32) }),
		openH("OPEN_H with no group element as key", psi.AbortMalformed, func(m *ampsiv1.OpenH) { m.PkS = nonCanonical[:] }),
		openH("OPEN_H with a long key", psi.AbortMalformed, func(m *ampsiv1.OpenH) { m.PkS = append(m.PkS, 0) }),
		openH("OPEN_H with another's key", psi.AbortProof, func(m *ampsiv1.OpenH) {
			other := psi.NewKey().Public().Bytes()
			m.PkS = other[:]
		}),
		openH("OPEN_H without table root", psi.AbortMalformed, func(m *ampsiv1.OpenH) { m.TableRoot = nil }),
		openH("OPEN_H with a consent root", psi.AbortTerms, func(m *ampsiv1.OpenH) { m.ConsentRoot = make([]byte, 32) }),
		openH("OPEN_H with a manifest", psi.AbortTerms, func(m *ampsiv1.OpenH) { m.ManifestHash = make([]byte, 32) }),
		openH("OPEN_H of a size that is not padded", psi.AbortMalformed, func(m *ampsiv1.OpenH) { m.NHat = 1100 }),
		openH("OPEN_H of 10^12 entries", psi.AbortBudget, func(m *ampsiv1.OpenH) { m.NHat = psi.PadSize(1e12) }),
		frame("OPEN_H changed on the way", h, psi.FrameOpenH, psi.AbortAuth, flip(-1)),

		frame("BLINDED numbered wrongly", q, psi.FrameBlinded, psi.AbortMalformed, numbered(1)),
		frame("BLINDED twice", q, psi.FrameBlinded, psi.AbortMalformed, twice),
		frame("BLINDED empty", q, psi.FrameBlinded, psi.AbortMalformed, body(func([]byte) []byte { return nil })),
		frame("BLINDED one byte short", q, psi.FrameBlinded, psi.AbortMalformed, body(func(b []byte) []byte { return b[1:] })),
		frame("BLINDED one byte long", q, psi.FrameBlinded, psi.AbortMalformed, body(func(b []byte) []byte { return append(b, 0) })),
		frame("BLINDED one element short", q, psi.FrameBlinded, psi.AbortMalformed, body(func(b []byte) []byte { return b[32:] })),
		frame("BLINDED one element long", q, psi.FrameBlinded, psi.AbortMalformed, body(func(b []byte) []byte { return append(b, b[:32]...) })),
		frame("BLINDED of 16 385 elements", q, psi.FrameBlinded, psi.AbortMalformed, body(func(b []byte) []byte { return bytes.Repeat(b[:32], psi.ChunkElems+1) })),
		frame("BLINDED signed", q, psi.FrameBlinded, psi.AbortMalformed, func(f *ampsiv1.Frame) []*ampsiv1.Frame { f.Sig = make([]byte, 64); return []*ampsiv1.Frame{f} }),
		frame("BLINDED with an element changed", q, psi.FrameBlinded, 0, swap(0, 1)), // noticed by the Querier: see below
		frame("TABLE for BLINDED", q, psi.FrameBlinded, psi.AbortMalformed, instead(psi.FrameTable)),
		frame("an unknown frame", q, psi.FrameBlinded, psi.AbortMalformed, instead(99)),
		frame("SEAL for BLINDED", q, psi.FrameBlinded, psi.AbortMalformed, instead(psi.FrameSeal)),

		frame("EVALUATED numbered wrongly", h, psi.FrameEvaluated, psi.AbortMalformed, numbered(7)),
		frame("EVALUATED without proof", h, psi.FrameEvaluated, psi.AbortMalformed, body(func(b []byte) []byte { return b[:len(b)-64] })),
		frame("EVALUATED with a byte too many", h, psi.FrameEvaluated, psi.AbortMalformed, body(func(b []byte) []byte { return append(b, 0) })),
		frame("EVALUATED in another order", h, psi.FrameEvaluated, psi.AbortProof, swap(0, 1)),
		frame("EVALUATED with another c", h, psi.FrameEvaluated, psi.AbortProof, flip(-64)),
		frame("EVALUATED with another s", h, psi.FrameEvaluated, psi.AbortProof, flip(-32)),
		frame("EVALUATED with an s that is not canonical", h, psi.FrameEvaluated, psi.AbortMalformed, body(func(b []byte) []byte { b[len(b)-1] = 0xff; return b })),
		frame("EVALUATED twice", h, psi.FrameEvaluated, psi.AbortMalformed, twice),
		frame("TABLE for EVALUATED", h, psi.FrameEvaluated, psi.AbortMalformed, instead(psi.FrameTable)),

		frame("SEAL with another signature", q, psi.FrameSeal, psi.AbortAuth, flip(-1)),
		frame("RELEASE for SEAL", q, psi.FrameSeal, psi.AbortMalformed, instead(psi.FrameRelease)),
		frame("TABLE one entry short", h, psi.FrameTable, psi.AbortMalformed, body(func(b []byte) []byte { return b[TokenLen:] })),
		frame("TABLE one entry long", h, psi.FrameTable, psi.AbortMalformed, body(func(b []byte) []byte { return append(b, b[:TokenLen]...) })),
		frame("TABLE cut in an entry", h, psi.FrameTable, psi.AbortMalformed, body(func(b []byte) []byte { return b[1:] })),
		frame("TABLE with an entry twice", h, psi.FrameTable, psi.AbortTable, body(func(b []byte) []byte { copy(b[TokenLen:], b[:TokenLen]); return b })),
		frame("TABLE not sorted", h, psi.FrameTable, psi.AbortTable, body(func(b []byte) []byte { b[0] = 0xff; return b })),
		frame("TABLE with another root", h, psi.FrameTable, psi.AbortTable, flip(-1)),
		frame("TABLE numbered wrongly", h, psi.FrameTable, psi.AbortMalformed, numbered(1)),
		frame("RECEIPT for TABLE", h, psi.FrameTable, psi.AbortMalformed, instead(psi.FrameReceipt)),
		frame("RELEASE with another count", q, psi.FrameRelease, psi.AbortAuth, flip(-1)),
		frame("RECEIPT for RELEASE", q, psi.FrameRelease, psi.AbortMalformed, instead(psi.FrameReceipt)),
		frame("RECEIPT of the Querier changed", q, psi.FrameReceipt, psi.AbortAuth, flip(40)),
		frame("RECEIPT of the Holder changed", h, psi.FrameReceipt, psi.AbortAuth, flip(40)),
		frame("RECEIPT of the Holder unsigned", h, psi.FrameReceipt, psi.AbortMalformed, func(f *ampsiv1.Frame) []*ampsiv1.Frame { f.Sig = nil; return []*ampsiv1.Frame{f} }),
	}
	for name, element := range map[string][32]byte{"the identity": identityElement, "a negative": negative, "a non-canonical element": nonCanonical} {
		for _, at := range []int{0, 511, 1023} {
			list = append(list,
				frame(fmt.Sprintf("BLINDED with %s at %d", name, at), q, psi.FrameBlinded, psi.AbortMalformed, set(at, element)),
				frame(fmt.Sprintf("EVALUATED with %s at %d", name, at), h, psi.FrameEvaluated, psi.AbortMalformed, set(at, element)))
		}
	}
	// If the network changes a question, the answer's proof does not fit it.
	for i := range list {
		if list[i].code == 0 {
			list[i].victim, list[i].code = psi.SenderQuerier, psi.AbortProof
		}
	}
	return list
}

func addUnknown(m proto.Message) {
	m.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 1000, protowire.VarintType), 1))
}

// Every departure from the protocol ends the session on both sides: the honest
// one has a typed error, the other one is told the code, nobody has a result.
func TestHostilePeers(t *testing.T) {
	for _, a := range attacks() {
		t.Run(a.name, func(t *testing.T) {
			t.Parallel()
			r := meet(t, a.do)
			noticed, told := r.queryErr, r.holderErr
			if a.victim == psi.SenderHolder {
				noticed, told = told, noticed
			}
			if Code(noticed) != a.code {
				t.Errorf("the honest side: %v, want code %d", noticed, a.code)
			}
			var abort *PeerAbort
			if errors.As(noticed, &abort) {
				t.Errorf("the honest side did not notice itself: %v", noticed)
			}
			if !errors.As(told, &abort) || abort.Code != a.code {
				t.Errorf("the other side is told %v, want code %d", told, a.code)
			}
			if _, err := r.h.evidence(); err == nil && psi.AbortCode(a.code) != 0 && a.victim == psi.SenderHolder {
				t.Error("the honest Holder has a complete receipt of a failed session")
			}
		})
	}
}

func (h *holderSide) evidence() (*Statement, error) {
	if h.s == nil {
		return nil, errors.New("no session")
	}
	return h.s.Evidence().Verify()
}

// A peer that is gone after any number of frames leaves an error, not a hang.
func TestPeerDisconnectsAtEachFrame(t *testing.T) {
	for _, from := range []psi.Sender{psi.SenderQuerier, psi.SenderHolder} {
		for n := range 6 {
			t.Run(fmt.Sprintf("%d after %d frames", from, n), func(t *testing.T) {
				t.Parallel()
				sent := 0
				r := meet(t, func(_ *holderSide, _ *querierSide, fromHolder, fromQuerier *pipe) {
					p := fromQuerier
					if from == psi.SenderHolder {
						p = fromHolder
					}
					p.wire = func(f *ampsiv1.Frame) []*ampsiv1.Frame {
						if sent++; sent > n {
							return []*ampsiv1.Frame{nil}
						}
						return []*ampsiv1.Frame{f}
					}
				})
				if sent <= n {
					return // the side sends no more frames than that
				}
				if r.holderErr == nil && r.queryErr == nil {
					t.Error("nobody noticed")
				}
			})
		}
	}
}

func TestReplayedOpen(t *testing.T) {
	for _, c := range []struct {
		err  error
		code psi.AbortCode
	}{
		{fmt.Errorf("used: %w", psi.AbortReplay), psi.AbortReplay},
		{errors.New("the disk is full"), psi.AbortInternal}, // which is no replay
	} {
		answer := func(context.Context, identity.ID, [32]byte, time.Time) error { return c.err }
		r := meet(t, func(h *holderSide, _ *querierSide, _, _ *pipe) { h.seen = answer })
		if Code(r.holderErr) != c.code || !errors.Is(r.holderErr, c.err) {
			t.Errorf("OPEN_Q replayed: %v, want code %d", r.holderErr, c.code)
		}
		r = meet(t, func(_ *holderSide, q *querierSide, _, _ *pipe) { q.seen = answer })
		if Code(r.queryErr) != c.code || !errors.Is(r.queryErr, c.err) {
			t.Errorf("OPEN_H replayed: %v, want code %d", r.queryErr, c.code)
		}
	}
}

// A release that the policy does not allow is refused by the advertiser, though
// the platform signed it.
func TestReleaseBelowTheThreshold(t *testing.T) {
	r := meet(t, func(_ *holderSide, q *querierSide, _, _ *pipe) { q.count = release.Count{N: 140, Released: true} })
	if Code(r.holderErr) != psi.AbortMalformed {
		t.Errorf("a count below the smallest: %v", r.holderErr)
	}
}

func TestNoGoroutineIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	for _, cut := range []psi.FrameType{psi.FrameOpenQ, psi.FrameBlinded, psi.FrameRelease} {
		meet(t, func(_ *holderSide, _ *querierSide, _, fromQuerier *pipe) {
			onFrame(fromQuerier, cut, func(*ampsiv1.Frame) []*ampsiv1.Frame { return []*ampsiv1.Frame{nil} })
		})
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
}

func TestCancelledSession(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	a, p := newPipe()
	defer a.close()
	go func() {
		<-p.recv // HELLO, and then nothing
		cancel(context.Canceled)
	}()
	h := &holderSide{c: pair().holderConfig(), in: inputs(0, 10), seen: unseen}
	if err := h.run(ctx, a); Code(err) != psi.AbortCancelled {
		t.Errorf("cancelled: %v", err)
	}
}

func TestErrorsCarryACodeAndNoValue(t *testing.T) {
	for err, want := range map[error]psi.AbortCode{
		errors.New("anything"):              psi.AbortInternal,
		context.Canceled:                    psi.AbortCancelled,
		context.DeadlineExceeded:            psi.AbortTimeout,
		fmt.Errorf("x: %w", psi.AbortProof): psi.AbortProof,
		&PeerAbort{psi.AbortBusy}:           psi.AbortBusy,
		fmt.Errorf("%w: more", ErrBroken):   psi.AbortInternal,
	} {
		if got := Code(err); got != want {
			t.Errorf("%v: code %d, want %d", err, got, want)
		}
	}
}
