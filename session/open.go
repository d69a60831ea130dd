package session

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// What version 1 of the protocol fixes (PROTOCOL.md §2, §5.4, §7.4).
const (
	version        = receipt.Version
	suite          = receipt.Suite
	purpose        = receipt.Purpose
	partyA         = receipt.PartyA
	partyP         = receipt.PartyP
	tableSession   = receipt.TableSession
	tablePublished = receipt.TablePublished
)

// TokenLen is the length in bytes of a token in a session table (PROTOCOL.md §9).
const TokenLen = 16

// How long an OPEN is good for, and how far clocks may be apart (§5.2).
const (
	openLife  = receipt.OpenLife
	clockSkew = 60 * time.Second
)

// Replay is told of every OPEN's nonce. If this peer has used it before, its error
// wraps psi.AbortReplay; any other error says that it can't tell. It must remember
// the nonce until the given time, over a restart.
type Replay func(ctx context.Context, peer identity.ID, nonce [32]byte, until time.Time) error

// preparation is how long a platform may take to cut its snapshot, and to make a
// table of it where it is Holder (PROTOCOL.md §8.1).
const preparation = 30 * time.Minute

// Ask starts a session as the advertiser: it sends HELLO. audience is 1 to 64
// characters of [a-z0-9._-], or empty in a mode that fills none.
func Ask(ctx context.Context, st Stream, c Config, mode psi.Mode, audience string) (*Session, error) {
	if !slices.Contains(c.Policy.Modes, mode) {
		return nil, fmt.Errorf("session: the policy does not allow this mode: %w", psi.AbortTerms)
	}
	if c.Published != nil && !mayBePublished(c.Policy, mode) {
		return nil, fmt.Errorf("session: there are no published tables in this mode, nor with labels: %w", psi.AbortTerms)
	}
	s := newSession(st, c, partyA)
	s.ch.ch.readAhead()
	s.published = c.Published
	s.in(mode, audience)
	hash := c.Policy.Hash()
	hello := &ampsiv1.Hello{
		Version:    version,
		Mode:       uint32(mode),
		PolicyHash: hash[:],
		Universe:   c.Policy.Universe,
		Classes:    s.classes(),
		LabelLen:   uint32(s.LabelLen()),
		TableKind:  s.tableKind(),
		TableId:    s.published.id(),
		Release:    mode.Releases(),
		Audience:   audience,
	}
	body, err := proto.Marshal(hello)
	if err == nil {
		err = s.ch.send(ctx, psi.Frame{Type: psi.FrameHello, Body: body})
	}
	if err != nil {
		s.Close()
		return nil, fmt.Errorf("session: HELLO: %w", err)
	}
	return s, nil
}

// Accept reads an advertiser's HELLO as the platform and checks it against the
// policy: it asks for nothing that both have not agreed. If it refuses, it has
// told the advertiser. A call may be there to continue another session: see
// Resumes.
func Accept(ctx context.Context, st Stream, c Config) (*Session, error) {
	s := newSession(st, c, partyP)
	if err := s.readHello(ctx); err != nil {
		s.Abort(err)
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *Session) readHello(ctx context.Context) error {
	f, err := s.ch.recv(ctx, psi.FrameHello, patience)
	if err != nil {
		return err
	}
	hello := new(ampsiv1.Hello)
	if err := receipt.Decode(f.Body, hello); err != nil {
		return err
	}
	if f.Seq != 0 {
		return fmt.Errorf("session: HELLO has a sequence number: %w", psi.AbortMalformed)
	}
	if err := s.checkHello(hello); err != nil {
		return err
	}
	if len(hello.GetResumeSid()) > 0 {
		s.resumeSID = (*[32]byte)(hello.GetResumeSid())
		return nil // and nothing of the call is read until that session turns to it
	}
	s.ch.ch.readAhead()
	if hello.GetTableKind() == tablePublished {
		if s.published, err = s.c.Offer([32]byte(hello.GetTableId())); err != nil {
			return err
		}
	}
	s.in(psi.Mode(hello.GetMode()), hello.GetAudience())
	return nil
}

func (s *Session) checkHello(h *ampsiv1.Hello) error {
	hash, mode := s.c.Policy.Hash(), psi.Mode(h.GetMode())
	refuse := func(what string, code psi.AbortCode) error {
		return fmt.Errorf("session: HELLO asks for another %s: %w", what, code)
	}
	switch {
	case h.GetVersion() != version:
		return refuse("version", psi.AbortVersion)
	case len(h.GetResumeSid()) > 0:
		return s.checkResumes(h)
	case !bytes.Equal(h.GetPolicyHash(), hash[:]): // before all that a policy says
		return otherPolicy(hash, h.GetPolicyHash())
	case h.GetMode() != uint32(mode) || !slices.Contains(s.c.Policy.Modes, mode):
		return refuse("mode", psi.AbortTerms)
	case h.GetUniverse() != s.c.Policy.Universe:
		return refuse("universe", psi.AbortTerms)
	case !bytes.Equal(h.GetClasses(), s.classes()):
		return refuse("set of classes", psi.AbortTerms)
	case h.GetLabelLen() != labelLen(s.c.Policy, mode):
		return refuse("length of labels", psi.AbortTerms)
	case !s.validTable(h):
		return refuse("kind of table", psi.AbortTerms)
	case h.GetRelease() != mode.Releases():
		return refuse("release", psi.AbortTerms)
	case !ValidAudience(mode, h.GetAudience()):
		return fmt.Errorf("session: HELLO has an invalid audience name: %w", psi.AbortTerms)
	}
	return nil
}

// labelLen is the length of a label in a mode: it is the platform that has
// something to tell of its accounts, where it is asked.
func labelLen(p *policy.Policy, mode psi.Mode) uint32 {
	if !mode.AdvertiserAsks() {
		return 0
	}
	return uint32(p.LabelLen)
}

// PolicyError says that the two companies hold different documents. It names both,
// for people to find out whose is the right one: a policy's hash is no secret, and
// the other company sees none of this text.
type PolicyError struct{ Ours, Theirs [32]byte }

func (e *PolicyError) Error() string {
	return fmt.Sprintf("session: the other company holds policy %x, this one %x", e.Theirs, e.Ours)
}

// Unwrap returns psi.AbortTerms.
func (e *PolicyError) Unwrap() error { return psi.AbortTerms }

func otherPolicy(ours [32]byte, theirs []byte) error {
	if len(theirs) != len(ours) {
		return fmt.Errorf("session: a policy's hash is of another length: %w", psi.AbortTerms)
	}
	return &PolicyError{ours, [32]byte(theirs)}
}

// ValidAudience reports whether a session in the mode may fill the audience: one
// with a valid name, or none in A_LEARNS (PROTOCOL.md §5.2).
func ValidAudience(mode psi.Mode, name string) bool { return receipt.ValidAudience(mode, name) }

// ValidName reports whether an audience or universe has an allowed name: 1 to
// 64 characters of [a-z0-9._-] (PROTOCOL.md §15).
func ValidName(name string) bool { return receipt.ValidName(name) }

func (s *Session) classes() []byte {
	var b []byte
	for _, c := range s.c.Policy.Classes {
		b = append(b, byte(c))
	}
	return b
}

// wantTerms returns the only Terms this side will sign: each side derives them
// from the HELLO and the policy, and compares whole messages.
func (s *Session) wantTerms(audience string) *ampsiv1.Terms {
	hash := s.c.Policy.Hash()
	querier, holder := s.c.Identity.ID(), s.c.Peer.ID
	if s.role == psi.SenderHolder {
		querier, holder = holder, querier
	}
	querierParty, holderParty := receipt.Parties(s.mode)
	return &ampsiv1.Terms{
		Version:      version,
		Suite:        suite,
		Mode:         uint32(s.mode),
		Purpose:      purpose,
		Classes:      s.classes(),
		ChunkElems:   psi.ChunkElems,
		TokenLen:     uint32(s.tokenLen()),
		LabelLen:     uint32(s.LabelLen()),
		QuerierId:    querier[:],
		HolderId:     holder[:],
		QuerierParty: querierParty,
		HolderParty:  holderParty,
		PolicyHash:   hash[:],
		Universe:     s.c.Policy.Universe,
		TableKind:    s.tableKind(),
		Release:      s.mode.Releases(),
		Claims:       s.mode.Claims(),
		Audience:     audience,
	}
}

// checkConsent checks that a consent root is exactly in the OPEN of the platform
// (PROTOCOL.md §5.2), and remembers it.
func (s *Session) checkConsent(root []byte) error {
	switch {
	case s.party == partyP && len(root) != 0:
		return fmt.Errorf("session: an advertiser's OPEN has a consent root: %w", psi.AbortTerms)
	case s.party == partyA && len(root) != tlog.HashSize:
		return fmt.Errorf("session: a platform's OPEN has no consent root: %w", psi.AbortTerms)
	case s.party == partyA:
		s.consentRoot = root
	}
	return nil
}

// ownConsent returns what this side's OPEN says of the snapshot with this root.
func (s *Session) ownConsent(root *tlog.Hash) []byte {
	if s.party == partyP {
		s.consentRoot = root[:]
		return root[:]
	}
	return nil
}

func (s *Session) checkTerms(t *ampsiv1.Terms) error {
	switch {
	case t.GetVersion() != version || t.GetSuite() != suite || t.GetChunkElems() != psi.ChunkElems:
		return fmt.Errorf("session: OPEN has another version, suite or chunk size: %w", psi.AbortVersion)
	case !bytes.Equal(t.GetQuerierId(), s.terms.QuerierId) || !bytes.Equal(t.GetHolderId(), s.terms.HolderId):
		return fmt.Errorf("session: OPEN names other companies than the certificates: %w", psi.AbortAuth)
	case !bytes.Equal(t.GetPolicyHash(), s.terms.PolicyHash):
		return otherPolicy(s.c.Policy.Hash(), t.GetPolicyHash())
	case !proto.Equal(t, s.terms):
		return fmt.Errorf("session: OPEN has other terms than were asked for: %w", psi.AbortTerms)
	}
	return nil
}

// checkOpen checks what OPEN_Q and OPEN_H have in common.
func (s *Session) checkOpen(ctx context.Context, t *ampsiv1.Terms, nonce []byte, notAfter uint64, exporter []byte, seen Replay) error {
	if err := s.checkTerms(t); err != nil {
		return err
	}
	now := s.c.Now()
	expires := time.Unix(int64(min(notAfter, 1<<40)), 0)
	if expires.Add(clockSkew).Before(now) || expires.After(now.Add(openLife+clockSkew)) {
		return fmt.Errorf("session: OPEN has expired, or is valid for too long; are both clocks right? %w", psi.AbortReplay)
	}
	if len(nonce) != 32 || len(exporter) != 0 && len(exporter) != 32 {
		return fmt.Errorf("session: OPEN has a field of another length: %w", psi.AbortMalformed)
	}
	if len(exporter) > 0 && len(s.c.Peer.Exporter) > 0 && !bytes.Equal(exporter, s.c.Peer.Exporter) {
		return fmt.Errorf("session: OPEN belongs to another connection: %w", psi.AbortAuth)
	}
	if err := seen(ctx, s.c.Peer.ID, [32]byte(nonce), expires.Add(clockSkew)); err != nil {
		return fmt.Errorf("session: OPEN's nonce: %w", err)
	}
	return nil
}

func (s *Session) checkSizes(queries, entries uint64) error {
	p := s.c.Policy
	for _, size := range []struct{ n, limit uint64 }{{queries, p.MaxQHat}, {entries, p.MaxNHat}} {
		if size.n == 0 || size.n > 1<<40 || psi.PadSize(size.n) != size.n {
			return fmt.Errorf("session: OPEN declares a size that is not padded: %w", psi.AbortMalformed)
		}
		if size.n > size.limit {
			return fmt.Errorf("session: OPEN declares more than the policy allows in a session: %w", psi.AbortBudget)
		}
	}
	return psi.CheckTokenLen(s.tokenLen(), queries, entries)
}

// OpenQ opens the session as the Querier, which will ask queries (padded)
// elements. A platform makes them from the consent snapshot with this root; an
// advertiser's root goes nowhere.
func (s *Session) OpenQ(ctx context.Context, queries uint64, consentRoot tlog.Hash) error {
	s.params.Queries = queries
	f, err := s.sendSigned(ctx, psi.FrameOpenQ, &ampsiv1.OpenQ{
		Terms:       s.terms,
		Nonce:       nonce(),
		NotAfter:    uint64(s.c.Now().Add(openLife).Unix()),
		QHat:        queries,
		ConsentRoot: s.ownConsent(&consentRoot),
		TlsExporter: s.c.Peer.Exporter,
	})
	s.record.OpenQ, s.record.OpenQSig = f.Body, f.Sig
	return err
}

// ReadOpenQ reads OPEN_Q as the Holder and checks it. It returns q̂, which the
// caller charges to the Querier's budget before OpenH. The Querier may take
// `within` to prepare it.
func (s *Session) ReadOpenQ(ctx context.Context, within time.Duration, seen Replay) (queries uint64, err error) {
	m := new(ampsiv1.OpenQ)
	f, err := s.recvSigned(ctx, psi.FrameOpenQ, within, m)
	if err != nil {
		return 0, err
	}
	if err := s.checkOpen(ctx, m.GetTerms(), m.GetNonce(), m.GetNotAfter(), m.GetTlsExporter(), seen); err != nil {
		return 0, err
	}
	if err := s.checkConsent(m.GetConsentRoot()); err != nil {
		return 0, err
	}
	if err := s.checkSizes(m.GetQHat(), psi.PadSize(0)); err != nil {
		return 0, err
	}
	s.params.Queries = m.GetQHat()
	s.record.OpenQ, s.record.OpenQSig = f.Body, f.Sig
	return m.GetQHat(), nil
}

// OpenQHash returns the SHA-256 of OPEN_Q, which is this session's alone as its
// nonce is: a name for the session before it has its id.
func (s *Session) OpenQHash() [32]byte { return sha256.Sum256(s.record.OpenQ) }

// Snapshot is what a platform's consent tree is known by: its root, and its
// leaves with pads.
type Snapshot struct {
	Root tlog.Hash
	Size uint64
}

// OpenH opens the session as the Holder. The table's root fixes the table before
// any question is seen. A platform makes it from the snapshot; an advertiser has
// none.
func (s *Session) OpenH(ctx context.Context, key *psi.Key, entries uint64, root tlog.Hash, from Snapshot) error {
	if err := s.checkSizes(s.params.Queries, entries); err != nil {
		return err
	}
	hash := s.OpenQHash()
	pk := key.Public().Bytes()
	f, err := s.sendSigned(ctx, psi.FrameOpenH, &ampsiv1.OpenH{
		Terms:        s.terms,
		Nonce:        nonce(),
		NotAfter:     uint64(s.c.Now().Add(openLife).Unix()),
		OpenQHash:    hash[:],
		PkS:          pk[:],
		TableId:      s.tableID[:],
		TableRoot:    root[:],
		NHat:         entries,
		ConsentRoot:  s.ownConsent(&from.Root),
		ConsentSize:  from.Size,
		TlsExporter:  s.c.Peer.Exporter,
		ManifestHash: s.published.hash(),
	})
	if err != nil {
		return err
	}
	s.opened(f, key.Public(), entries, root)
	s.holder, err = psi.NewHolder(s.params, key)
	return err
}

// ReadOpenH reads OPEN_H as the Querier and checks it. The seed makes this
// session's blinds.
func (s *Session) ReadOpenH(ctx context.Context, seed *psi.Seed, seen Replay) error {
	m := new(ampsiv1.OpenH)
	within := patience
	if s.party == partyA {
		within = preparation
	}
	f, err := s.recvSigned(ctx, psi.FrameOpenH, within, m)
	if err != nil {
		return err
	}
	if err := s.checkOpen(ctx, m.GetTerms(), m.GetNonce(), m.GetNotAfter(), m.GetTlsExporter(), seen); err != nil {
		return err
	}
	hash := s.OpenQHash()
	switch {
	case !bytes.Equal(m.GetOpenQHash(), hash[:]):
		return fmt.Errorf("session: OPEN_H answers another OPEN_Q: %w", psi.AbortReplay)
	case len(m.GetTableId()) != 32 || len(m.GetTableRoot()) != tlog.HashSize || len(m.GetPkS()) != len(psi.Element{}):
		return fmt.Errorf("session: OPEN_H has a field of another length: %w", psi.AbortMalformed)
	case s.published == nil && len(m.GetManifestHash()) != 0:
		return fmt.Errorf("session: OPEN_H names a manifest, and the table is this session's: %w", psi.AbortTerms)
	case s.published != nil && !s.published.matches(m):
		return fmt.Errorf("session: OPEN_H is of another table than was asked about: %w", psi.AbortTable)
	}
	if err := s.checkConsent(m.GetConsentRoot()); err != nil {
		return err
	}
	if err := s.checkSizes(s.params.Queries, m.GetNHat()); err != nil {
		return err
	}
	if err := s.checkConsentSize(m.GetConsentSize(), m.GetNHat()); err != nil {
		return err
	}
	public, err := psi.ParsePublicKey(psi.Element(m.GetPkS()))
	if err != nil {
		return err
	}
	s.tableID = [32]byte(m.GetTableId())
	s.opened(f, public, m.GetNHat(), tlog.Hash(m.GetTableRoot()))
	s.querier, err = psi.NewQuerier(s.params, seed)
	return err
}

// checkConsentSize checks the size of a consent tree: a padded one, of a leaf at
// least for each entry, or 0 where the Holder has none.
func (s *Session) checkConsentSize(size, entries uint64) error {
	switch {
	case s.party == partyP && size != 0:
		return fmt.Errorf("session: an advertiser's OPEN_H has a consent tree: %w", psi.AbortTerms)
	case s.party == partyA && (size < entries || size > 1<<40 || psi.PadSize(size) != size):
		return fmt.Errorf("session: OPEN_H declares a consent tree of an impossible size: %w", psi.AbortMalformed)
	}
	return nil
}

// opened fixes the session's id and parameters once both OPENs are known.
func (s *Session) opened(f psi.Frame, public *psi.PublicKey, entries uint64, root tlog.Hash) {
	s.record.OpenH, s.record.OpenHSig = f.Body, f.Sig
	s.params = psi.Params{
		SID:        psi.SessionID(s.record.OpenQ, s.record.OpenH),
		ChunkElems: psi.ChunkElems,
		Window:     int(s.c.Policy.Window),
		TokenLen:   s.tokenLen(),
		LabelLen:   s.params.LabelLen,
		Published:  s.published != nil,
		Claims:     s.mode.Claims(),
		Queries:    s.params.Queries,
		Entries:    entries,
		Root:       root,
		Key:        public,
	}
	if s.survives() {
		s.ch.mend = s.mend
	}
}
