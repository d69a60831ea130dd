package evidence

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/internal/merkle"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/proto/ampsi/v1/body"
	overlapv1 "github.com/overlap-psi/overlap/proto/overlap/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
)

// started is when every session of the tests was opened.
var started = time.Unix(1_790_000_000, 0).UTC()

// position is what a platform makes one question of, and what it keeps of it.
type position struct {
	leaf  [32]byte
	fact  uint64
	query psi.Query
}

// world is one session, over and kept, and what each company has of it.
type world struct {
	dir        string
	policy     *policy.Policy
	ledger     map[uint64]*consent.Record // by fact
	id         [32]byte                   // of the snapshot
	seed       psi.Seed
	positions  []position
	root       [32]byte
	receipt    *receipt.Receipt
	sid        [32]byte
	digests    []psi.FrameDigest
	platform   ed25519.PrivateKey
	advertiser ed25519.PrivateKey
}

// cheat is how a platform departs from the protocol, before it commits to the
// snapshot and after.
type cheat struct {
	snapshot, questions func(w *world)
}

// newWorld runs a session over so many records. Nobody computes answers: an audit
// doesn't look at them.
func newWorld(t testing.TB, records int, c cheat) *world {
	t.Helper()
	w := startWorld(t, records)
	if c.snapshot != nil {
		c.snapshot(w)
		var tree merkle.Range
		for i := range w.positions {
			tree.AppendLeaves(w.positions[i].leaf[:], len(w.positions[i].leaf))
		}
		w.root = tree.Root()
	}
	openQ, openH := w.open(t, &psi.PublicKey{})
	if c.questions != nil {
		c.questions(w)
	}
	writer, err := Create(w.dir, w.sid)
	must(t, err)
	defer func() { must(t, writer.Close()) }()
	for _, chunk := range w.chunks() {
		b := make([]psi.Element, len(chunk))
		first := uint64(len(w.digests)) / 2 * psi.ChunkElems
		must(t, psi.Blind(b, queriesOf(chunk), &w.seed, first))
		blinded := slices.Concat(rowsOf(b)...)
		for _, p := range chunk {
			must(t, writer.Leaf(p.leaf, p.fact))
		}
		must(t, writer.Blinded(blinded))
		w.digests = append(w.digests,
			psi.FrameDigest{Type: psi.FrameBlinded, From: psi.SenderQuerier, Digest: sha512.Sum512(blinded)},
			psi.FrameDigest{Type: psi.FrameEvaluated, From: psi.SenderHolder, Digest: sha512.Sum512([]byte("an answer"))})
	}
	w.sign(t, openQ, openH)
	must(t, writer.Seal(w.digests, w.receipt))
	return w
}

// startWorld cuts the snapshot.
func startWorld(t testing.TB, records int) *world {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(records), byte(records >> 8)})
	w := &world{dir: t.TempDir(), policy: policy.Default(), ledger: map[uint64]*consent.Record{}}
	for _, b := range [][]byte{w.id[:], w.seed[:]} {
		random.Read(b)
	}
	for _, key := range []*ed25519.PrivateKey{&w.platform, &w.advertiser} {
		seed := make([]byte, 32)
		random.Read(seed)
		*key = ed25519.NewKeyFromSeed(seed)
	}
	for i := range records {
		rec := recordOf(uint64(i) + 1)
		random.Read(rec.Secret[:])
		w.ledger[rec.Fact] = rec
	}
	var file bytes.Buffer
	root, _, _, err := consent.WriteSnapshot(&file, &w.id, w.policy.Rule(), started.Add(-time.Minute), psi.PadSize, w.records)
	must(t, err)
	w.root = root
	s, err := consent.ReadSnapshot(bytes.NewReader(file.Bytes()), int64(file.Len()))
	must(t, err)
	for leaf, err := range s.All() {
		must(t, err)
		w.positions = append(w.positions, position{leaf.Hash(), leaf.Fact(), psi.Query{Input: leaf.Input(), Salt: leaf.Salt()}})
	}
	return w
}

// recordOf is a record that may be matched. Accounts increase with facts.
func recordOf(fact uint64) *consent.Record {
	rec := &consent.Record{Class: identifier.EmailUID2, Sum: sha256.Sum256(fmt.Appendf(nil, "person%d@example.com", fact)),
		Purpose: consent.AdsMatching, Status: consent.Granted, Basis: consent.BasisConsent, Jurisdiction: "FR",
		CollectedAt: started.Add(-time.Hour), Notice: "ads@3", Surface: "app", Source: "web", Fact: fact}
	binary.BigEndian.PutUint64(rec.Account[:], fact)
	return rec
}

func (w *world) records(yield func(consent.Record, error) bool) {
	for fact := range uint64(len(w.ledger)) {
		if !yield(*w.ledger[fact+1], nil) {
			return
		}
	}
}

func (w *world) chunks() [][]position {
	return slices.Collect(slices.Chunk(w.positions, psi.ChunkElems))
}

func queriesOf(chunk []position) []psi.Query {
	in := make([]psi.Query, len(chunk))
	for i := range chunk {
		in[i] = chunk[i].query
	}
	return in
}

func rowsOf(b []psi.Element) [][]byte {
	rows := make([][]byte, len(b))
	for i := range b {
		rows[i] = b[i][:]
	}
	return rows
}

// open makes the bodies of both OPENs, and the sid.
func (w *world) open(t testing.TB, key *psi.PublicKey) (openQ, openH []byte) {
	t.Helper()
	hash := w.policy.Hash()
	q, h := psi.Identity(w.platform.Public().(ed25519.PublicKey)), psi.Identity(w.advertiser.Public().(ed25519.PublicKey))
	terms := &body.Terms{Version: 1, Suite: 1, Mode: 2, Purpose: 1, Classes: []byte{1, 2}, ChunkElems: psi.ChunkElems, TokenLen: 16,
		QuerierId: q[:], HolderId: h[:], QuerierParty: 2, HolderParty: 1, PolicyHash: hash[:], Universe: w.policy.Universe,
		TableKind: 1, Release: true, Audience: "spring"}
	expires := uint64(started.Add(receipt.OpenLife).Unix())
	openQ = marshal(t, &body.OpenQ{Terms: terms, Nonce: make([]byte, 32), NotAfter: expires,
		QHat: uint64(len(w.positions)), ConsentRoot: w.root[:]})
	digest, pk := sha256.Sum256(openQ), key.Bytes()
	openH = marshal(t, &body.OpenH{Terms: terms, Nonce: make([]byte, 32), NotAfter: expires, OpenQHash: digest[:], PkS: pk[:],
		TableId: make([]byte, 32), TableRoot: make([]byte, 32), NHat: 1024})
	w.sid = psi.SessionID(openQ, openH)
	return openQ, openH
}

// sign makes the receipt of the session.
func (w *world) sign(t testing.TB, openQ, openH []byte) {
	t.Helper()
	th := psi.Transcript(&w.sid, w.digests)
	status, value, at := uint32(0), uint64(0), uint64(started.Add(2*time.Minute).Unix())
	seal := marshal(t, &body.Seal{Sid: w.sid[:], Th: th[:], Chunks: uint32(len(w.digests) / 2), Time: uint64(started.Add(time.Minute).Unix())})
	release := marshal(t, &body.Release{Sid: w.sid[:], Status: &status, Value: &value, Time: &at})
	end := marshal(t, &body.Receipt{Sid: w.sid[:], Th: make([]byte, 64), QHat: uint64(len(w.positions)), NHat: 1024,
		TableRoot: make([]byte, 32), ConsentRoot: w.root[:], Outcome: 1, Time: at})
	p := func(f psi.FrameType, sid, body []byte) []byte {
		return psi.Sign(w.platform, f, psi.SenderQuerier, sid, body)
	}
	a := func(f psi.FrameType, sid, body []byte) []byte {
		return psi.Sign(w.advertiser, f, psi.SenderHolder, sid, body)
	}
	w.receipt = &receipt.Receipt{Format: receipt.Format,
		QuerierKey: w.platform.Public().(ed25519.PublicKey), HolderKey: w.advertiser.Public().(ed25519.PublicKey),
		OpenQ: openQ, OpenQSig: p(psi.FrameOpenQ, nil, openQ), OpenH: openH, OpenHSig: a(psi.FrameOpenH, nil, openH),
		Seal: seal, SealSig: p(psi.FrameSeal, w.sid[:], seal), Release: release, ReleaseSig: p(psi.FrameRelease, w.sid[:], release),
		ReceiptQ: end, ReceiptQSig: p(psi.FrameReceipt, w.sid[:], end), ReceiptH: end, ReceiptHSig: a(psi.FrameReceipt, w.sid[:], end)}
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	must(t, err)
	return b
}

// source is the platform's, whose ledger forgets erased facts.
func (w *world) source() *Source {
	return &Source{Receipt: w.receipt, Seed: w.seed, SnapshotID: w.id,
		Record: func(fact uint64) (*consent.Record, error) { return w.ledger[fact], nil }}
}

// challenge draws samples positions, the n-th time.
func (w *world) challenge(samples int, n uint64) *Challenge {
	random := binary.BigEndian.AppendUint64(make([]byte, 24), n)
	return &Challenge{Format: challengeFormat, Session: w.sid[:], Random: random, Samples: samples, Drawn: started.Add(time.Hour)}
}

// challengeAt draws until all the given positions are among those drawn.
func (w *world) challengeAt(t testing.TB, samples int, positions ...uint64) *Challenge {
	t.Helper()
	for n := range uint64(10_000) {
		c := w.challenge(samples, n)
		drawn := c.positions(uint64(len(w.positions)))
		if !slices.ContainsFunc(positions, func(p uint64) bool { return !slices.Contains(drawn, p) }) {
			return c
		}
	}
	t.Fatal("no challenge has these positions")
	return nil
}

// openings is the file that the platform's own program makes.
func (w *world) openings(t testing.TB, c *Challenge) []byte {
	t.Helper()
	s, err := Open(w.dir, w.sid)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	var file bytes.Buffer
	must(t, s.WriteOpenings(&file, c, w.source()))
	return file.Bytes()
}

func (w *world) auditor(c *Challenge) *Case {
	return &Case{Receipt: w.receipt, Policy: w.policy, Challenge: c}
}

// audit has the platform open and the auditor check.
func (w *world) audit(t testing.TB, c *Challenge) *Report {
	t.Helper()
	report, err := Check(bytes.NewReader(w.openings(t, c)), w.auditor(c))
	must(t, err)
	return report
}

// forge rewrites an openings file piece by piece. change may return nil to leave
// one out.
func forge(t testing.TB, file []byte, change func(p *overlapv1.Piece) *overlapv1.Piece) []byte {
	t.Helper()
	var out bytes.Buffer
	for r := bytes.NewReader(file); ; {
		p, err := readPiece(r)
		if err == io.EOF {
			return out.Bytes()
		}
		must(t, err)
		if p = change(p); p != nil {
			must(t, writePiece(&out, p))
		}
	}
}

// forgeOpening changes the opening of one position.
func forgeOpening(t testing.TB, file []byte, at uint64, change func(o *overlapv1.Opening)) []byte {
	return forge(t, file, func(p *overlapv1.Piece) *overlapv1.Piece {
		if o := p.GetOpening(); o != nil && o.GetLeaf() == at {
			change(o)
		}
		return p
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
