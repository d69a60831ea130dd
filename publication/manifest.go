// Package publication is a table that a platform publishes for an epoch
// (PROTOCOL.md §7.4), as both companies see it: the manifest that the platform
// signs and logs, the files of the table, and what has to be true of them before
// anybody asks about it.
package publication

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/table"
)

// TokenLen is the length in bytes of a token in a table that is published here
// (PROTOCOL.md §9). A reader takes any length that fits the sizes.
const TokenLen = 14

// MaxValid is the longest that a manifest may be valid (PROTOCOL.md §7.4).
const MaxValid = 30 * 24 * time.Hour

// clockSkew is how far two companies' clocks may be apart (PROTOCOL.md §5.2).
const clockSkew = 60 * time.Second

// Manifest is what a platform signs over a table. Only Sign and Parse make one.
type Manifest struct {
	Holder      identity.ID
	TableID     [32]byte
	Key         *psi.PublicKey
	Classes     []byte
	TokenLen    int
	Entries     uint64 // n̂
	Root        tlog.Hash
	ConsentRoot tlog.Hash
	ConsentSize uint64
	NotBefore   time.Time
	NotAfter    time.Time
	Universe    string

	body, sig []byte
}

// Sign signs a manifest of the given fields as the platform.
func Sign(i *identity.Identity, m Manifest) (*Manifest, error) {
	m.Holder = i.ID()
	key := m.Key.Bytes()
	b, err := proto.Marshal(&body.Manifest{
		HolderId: m.Holder[:], TableId: m.TableID[:], PkS: key[:], Purpose: receipt.Purpose, Classes: m.Classes,
		TokenLen: uint32(m.TokenLen), NHat: m.Entries, TableRoot: m.Root[:], ConsentRoot: m.ConsentRoot[:],
		NotBefore: uint64(m.NotBefore.Unix()), NotAfter: uint64(m.NotAfter.Unix()), Universe: m.Universe, ConsentSize: m.ConsentSize,
	})
	if err != nil {
		return nil, fmt.Errorf("publication: encode MANIFEST: %w", err)
	}
	return Parse(b, psi.Sign(i.Key(), psi.FrameManifest, psi.SenderHolder, nil, b), i.Public())
}

func refused(what string, code psi.AbortCode) error {
	return fmt.Errorf("publication: %s: %w", what, code)
}

// Parse checks the signature on a MANIFEST and reads it.
func Parse(b, sig []byte, platform ed25519.PublicKey) (*Manifest, error) {
	if err := psi.VerifySignature(platform, psi.FrameManifest, psi.SenderHolder, nil, b, sig); err != nil {
		return nil, err
	}
	f := new(body.Manifest)
	if err := receipt.Decode(b, f); err != nil {
		return nil, err
	}
	for _, hash := range [][]byte{f.HolderId, f.TableId, f.PkS, f.TableRoot, f.ConsentRoot} {
		if len(hash) != 32 {
			return nil, refused("a field of MANIFEST has another length", psi.AbortMalformed)
		}
	}
	if identity.ID(f.HolderId) != psi.Identity(platform) {
		return nil, refused("MANIFEST names another company than its signer", psi.AbortAuth)
	}
	key, err := psi.ParsePublicKey(psi.Element(f.PkS))
	if err != nil {
		return nil, err
	}
	m := &Manifest{
		Holder: identity.ID(f.HolderId), TableID: [32]byte(f.TableId), Key: key, Classes: f.Classes, TokenLen: int(f.TokenLen),
		Entries: f.NHat, Root: tlog.Hash(f.TableRoot), ConsentRoot: tlog.Hash(f.ConsentRoot), ConsentSize: f.ConsentSize,
		NotBefore: seconds(f.NotBefore), NotAfter: seconds(f.NotAfter), Universe: f.Universe, body: b, sig: sig,
	}
	if err := m.check(f); err != nil {
		return nil, err
	}
	return m, nil
}

func seconds(s uint64) time.Time { return time.Unix(int64(min(s, 1<<40)), 0) }

// maxSize is the largest n̂ (PROTOCOL.md §5.2).
const maxSize = 1 << 40

// check is what has to be true of any manifest.
func (m *Manifest) check(f *body.Manifest) error {
	padded := func(n uint64) bool { return 1 <= n && n <= maxSize && psi.PadSize(n) == n }
	switch {
	case f.Purpose != receipt.Purpose || f.LabelLen != 0:
		return refused("MANIFEST has a purpose or labels that this version does not have", psi.AbortTerms)
	case !padded(m.Entries) || !padded(m.ConsentSize) || m.ConsentSize < m.Entries:
		return refused("MANIFEST declares an impossible size", psi.AbortMalformed)
	case !m.NotAfter.After(m.NotBefore) || m.NotAfter.Sub(m.NotBefore) > MaxValid:
		return refused("MANIFEST is valid for too long, or never", psi.AbortReplay)
	}
	return psi.CheckTokenLen(m.TokenLen, psi.PadSize(0), m.Entries)
}

// Hash is the manifest_hash of OPEN_H, SHA-256 of the body.
func (m *Manifest) Hash() [32]byte { return sha256.Sum256(m.body) }

// Frame is the manifest as it travels.
func (m *Manifest) Frame() psi.Frame {
	return psi.Frame{Type: psi.FrameManifest, Body: m.body, Sig: m.sig}
}

// For reports whether tables are published for a policy: the platform is asked, and
// in this version its tables tell of an account no more than that it is there.
func For(p *policy.Policy) bool {
	return slices.ContainsFunc(p.Modes, psi.Mode.AdvertiserAsks) && p.LabelLen == 0
}

// Check says whether the table is one of the platform, for the policy, now.
func (m *Manifest) Check(p *policy.Policy, platform identity.ID, now time.Time) error {
	switch {
	case m.Holder != platform:
		return refused("MANIFEST is of another platform", psi.AbortAuth)
	case m.Universe != p.Universe || string(m.Classes) != string(Classes(p)):
		return refused("MANIFEST is of other accounts or classes than the policy's", psi.AbortTerms)
	case m.Entries > p.MaxNHat:
		return refused("the table is larger than the policy allows (max_n_hat)", psi.AbortBudget)
	case now.Before(m.NotBefore.Add(-clockSkew)) || now.After(m.NotAfter.Add(clockSkew)):
		return refused("MANIFEST has expired, or is not valid yet; are both clocks right?", psi.AbortReplay)
	}
	return nil
}

// Classes are the policy's, as they travel.
func Classes(p *policy.Policy) (b []byte) {
	for _, c := range p.Classes {
		b = append(b, byte(c))
	}
	return b
}

// Event is what the platform's log says of the table, which was made under the
// policy.
func (m *Manifest) Event(p *policy.Policy) audit.Manifest {
	return audit.Manifest{TableID: m.TableID, Manifest: m.Hash(), Policy: p.Hash(), Epoch: p.Epoch(m.NotBefore)}
}

// CheckLogged checks that the manifest is in the platform's log, as made under the
// policy, and that as many of the witnesses saw that log as the policy asks for.
// The proof is a tlog-proof with the log's entry as its extra data.
func (m *Manifest) CheckLogged(proof []byte, p *policy.Policy, platform ed25519.PublicKey, witnesses []*audit.WitnessKey) error {
	bad := func(err error) error { return fmt.Errorf("%w: %w", err, psi.AbortAuth) }
	parsed, err := audit.ParseProof(proof)
	if err != nil {
		return bad(err)
	}
	event, err := audit.ParseEvent(parsed.Extra)
	if err != nil {
		return bad(err)
	}
	if event.Body != audit.Body(m.Event(p)) {
		return refused("the log's entry is of another table, or of another policy", psi.AbortAuth)
	}
	log, err := audit.NewVerifier(audit.PublicName(audit.Hash(m.Holder)), platform)
	if err != nil {
		return bad(err)
	}
	quorum := audit.Quorum{Of: witnesses, Least: int(p.Witnesses)}
	if p.Witnesses == 0 {
		quorum = audit.Quorum{}
	}
	if _, err := audit.VerifyInclusion(proof, parsed.Extra, log, quorum); err != nil {
		return bad(err)
	}
	return nil
}

// Session is the table as a session needs it.
func (m *Manifest) Session() *session.Published {
	return &session.Published{TableID: m.TableID, ManifestHash: m.Hash(), TokenLen: m.TokenLen, Entries: m.Entries, Root: m.Root, Key: m.Key,
		Consent: session.Snapshot{Root: m.ConsentRoot, Size: m.ConsentSize}}
}

// options are how the table's entries look.
func (m *Manifest) options() table.Options { return table.Options{TokenLen: m.TokenLen} }
