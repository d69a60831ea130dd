package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/epoch"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
	"github.com/overlap-psi/overlap/table"
)

// run is one session of the platform. What it holds of the size of a set is in
// files that close removes.
type run struct {
	s          *Server
	partner    *Partner
	advertiser identity.Peer
	log        *slog.Logger
	started    time.Time

	over    chan struct{} // closed when everything of the session is over
	failure error         // why it failed, from then on
	outlive func() bool   // until it is called, the session ends with its first call
	alone   chan struct{} // closed when nobody is waited for any more
	gaveUp  sync.Once     // closes alone

	session  *session.Session
	opened   bool     // it is on record
	cut      uint64   // what the ledger had said when the snapshot was taken
	id       [32]byte // of the snapshot; secret
	file     *os.File // the snapshot
	fileName string   // to remove at the end, where an open file can't be
	snapshot *consent.Snapshot
	evidence *evidence.Writer // nil before the session is on record, and as Holder
	queries  *table.Queries   // as Querier its outputs; as Holder what its entries are made of
	spool    *table.Spool     // as Querier the table received
	outputs  *table.Outputs   // as Querier who claims, or as Holder whose entries have labels; else nil
	labels   *labels          // of the leaves, where entries have some; else nil
	tokens   *table.Table     // as Holder

	published *epoch.Table // as Holder of one; nil: the table is this session's
	done      func()       // with published
	until     time.Time    // it is answered under
}

// config is what this side brings to a call.
func (r *run) config() session.Config {
	return session.Config{Identity: r.s.c.Identity, Peer: r.advertiser, Policy: r.partner.Policy,
		Blinded: func(body []byte) error { return r.evidence.Blinded(body) }, GiveUp: r.alone, Stop: r.s.stop, Offer: r.offer}
}

// match runs the session, one step a line; session's package comment has the
// other side, and hold the platform that is asked. Each of these is durable before
// the next: the nonce, the record of the session, the first question, the charge, SEAL,
// the audience, the count, RELEASE. A crash costs budget, never a second draw.
func (r *run) match(ctx context.Context, stream ampsiv1.Match_SessionServer) (err error) {
	s, err := session.Accept(ctx, stream, r.config())
	if err != nil {
		return err
	}
	r.session = s
	defer func() {
		s.Abort(err)
		s.Close()
		r.keep(err)
		r.forget(err)
	}()
	if s.Role() == psi.SenderHolder {
		ctx, cancel := r.whileOffered(ctx)
		defer cancel()
		return r.hold(ctx)
	}
	if err := r.checkReleases(ctx); err != nil {
		return err
	}
	if err := r.cutSnapshot(ctx); err != nil {
		return err
	}
	if err := s.OpenQ(ctx, r.snapshot.Size(), r.snapshot.Root()); err != nil {
		return err
	}
	seed := psi.NewSeed() // of this session only
	defer seed.Destroy()
	if err := s.ReadOpenH(ctx, seed, r.useNonce); err != nil {
		return err
	}
	r.survive()
	if err := r.record(ctx, seed); err != nil {
		return err
	}
	r.log.Info("session opened", "sid", r.sidText(), "queries", s.Queries(), "entries", s.Entries())
	if err := s.Query(ctx, r.questions(), r.keepOutputs); err != nil {
		return err
	}
	if err := s.Seal(ctx, r.keepAndCharge(ctx)); err != nil {
		return err
	}
	if err := s.ReadTable(ctx, r.spool.Append); err != nil {
		return err
	}
	if s.Mode().Claims() {
		return r.claim(ctx, dossier.NewCommitment(*seed))
	}
	// A session whose time is over meanwhile is on record with what it found like any
	// other: whether it was would say how long that took.
	whole := context.WithoutCancel(ctx)
	accounts, err := r.fillAudience(whole, dossier.NewCommitment(*seed))
	var body []byte
	if err == nil {
		body, err = r.draw(whole, accounts)
	}
	if err != nil {
		return errors.Join(err, s.AwaitRelease())
	}
	if err := s.SendRelease(ctx, body); err != nil {
		return err
	}
	return s.CloseQuerier(ctx)
}

// checkReleases refuses a session whose count could not be released any more,
// before any work is done for it (PROTOCOL.md §8.4).
func (r *run) checkReleases(ctx context.Context) error {
	if !r.session.Mode().Releases() {
		return nil
	}
	p := r.partner.Policy
	left, err := r.s.c.Store.ReleasesLeft(ctx, r.advertiser.ID, p.Universe, p.Epoch(time.Now()), p.MaxReleases)
	if err != nil {
		return err
	}
	if left == 0 {
		return fmt.Errorf("server: the partner's releases of this epoch are used up: %w", psi.AbortBudget)
	}
	return nil
}

// cutSnapshot writes the eligible set of this moment to a private file: what the
// session asks about, and what it can be held to (PROTOCOL.md §10).
func (r *run) cutSnapshot(ctx context.Context) (err error) {
	o := table.Options{Dir: r.s.spill(), TokenLen: session.TokenLen}
	if r.queries, err = table.NewQueries(o); err != nil {
		return err
	}
	if r.spool, err = table.NewSpool(o); err != nil {
		return err
	}
	if r.file, r.fileName, err = scratch(r.s.spill()); err != nil {
		return err
	}
	if err := r.writeSnapshot(ctx); err != nil {
		return err
	}
	info, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("server: snapshot: %w", err)
	}
	r.snapshot, err = consent.OwnSnapshot(r.file, info.Size())
	return err
}

func (r *run) writeSnapshot(ctx context.Context) error {
	rand.Read(r.id[:])
	at := time.Now()
	view, err := r.s.c.Store.View(ctx)
	if err != nil {
		return err
	}
	defer view.Close()
	r.cut = view.Cut()
	records := view.Records(ctx, at)
	if n := r.session.LabelLen(); n > 0 {
		if r.labels, err = newLabels(r.s.spill(), n); err != nil {
			return err
		}
		records = r.labels.beside(records, r.partner.Policy.Rule(), at)
	}
	_, _, _, err = consent.WriteSnapshot(r.file, &r.id, r.partner.Policy.Rule(), at, psi.PadSize, records)
	return err
}

// scratchName begins the names of snapshots.
const scratchName = "snapshot-"

// scratch returns a private file that loses its name at once where the system
// allows it, so that it is gone with the process, however that ends. Elsewhere
// unnamed is the name to remove once it is closed.
func scratch(dir string) (f *os.File, name string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, "", fmt.Errorf("server: snapshot: %w", err)
	}
	if f, err = os.CreateTemp(dir, scratchName+"*"); err != nil { // 0600
		return nil, "", fmt.Errorf("server: snapshot: %w", err)
	}
	if os.Remove(f.Name()) != nil {
		return f, f.Name(), nil
	}
	return f, "", nil
}

// questions makes query element j of leaf j, pads included.
func (r *run) questions() iter.Seq2[psi.Query, error] {
	return func(yield func(psi.Query, error) bool) {
		for leaf, err := range r.snapshot.All() {
			if !yield(psi.Query{Input: leaf.Input(), Salt: leaf.Salt()}, err) || err != nil {
				return
			}
		}
	}
}

// fillAudience looks for the matches, now that everything is verified, and
// stores the accounts they belong to. It returns how many there are.
func (r *run) fillAudience(ctx context.Context, c *dossier.Commitment) (accounts uint64, err error) {
	matches, err := r.queries.Match(ctx, r.spool.Chunks())
	if err != nil {
		return 0, err
	}
	return r.putAudience(ctx, matches, c)
}

// putAudience stores the accounts of the matched leaves, and returns how many
// there are. What fixes the matches goes into the log with the session's end.
func (r *run) putAudience(ctx context.Context, matches *table.Matches, c *dossier.Commitment) (accounts uint64, err error) {
	leaves := r.snapshot.Cursor()
	found := func(yield func(store.Match, error) bool) {
		for position := range matches.All() {
			leaf, err := leaves.At(position)
			c.Add(position)
			if !yield(store.Match{Account: leaf.Account(), Fact: leaf.Fact()}, err) || err != nil {
				return
			}
		}
	}
	return r.s.c.Store.PutMatches(ctx, r.session.SID(), r.session.Audience(), found, c.Sum)
}

// keepAndCharge is what happens before SEAL leaves: what the session can be audited
// with is kept, and charged for. Who breaks off afterwards has paid for the room that
// it takes on the disk.
func (r *run) keepAndCharge(ctx context.Context) func([]psi.FrameDigest, *session.Receipt) error {
	return func(digests []psi.FrameDigest, upToSeal *session.Receipt) error {
		if err := r.evidence.Seal(digests, upToSeal); err != nil || !r.session.Mode().Releases() {
			return err
		}
		return r.charge(ctx)
	}
}

// charge takes one release from the partner's budget, also if the count turns out
// to be suppressed. A partner whose budget is spent by a session beside this one gets
// neither audience nor count.
func (r *run) charge(ctx context.Context) error {
	p := r.partner.Policy
	epoch := p.Epoch(time.Now())
	entries, err := logbook.Entries(time.Now(), audit.Release{SID: r.session.SID(), Charged: "releases", Epoch: epoch})
	if err != nil {
		return err
	}
	err = r.s.c.Store.ChargeRelease(ctx, r.advertiser.ID, p.Universe, epoch, r.session.SID(), p.MaxReleases, entries...)
	if errors.Is(err, store.ErrBudget) {
		return fmt.Errorf("%w: %w", err, psi.AbortBudget)
	}
	return err
}

// draw draws the count once for this session, and stores what will be sent before
// anybody sees it.
func (r *run) draw(ctx context.Context, accounts uint64) (body []byte, err error) {
	if body, err = r.session.ReleaseBody(r.partner.Policy.Release().Apply(accounts)); err != nil {
		return nil, err
	}
	return r.s.c.Store.PutRelease(ctx, r.session.SID(), body)
}

func (r *run) useNonce(ctx context.Context, peer identity.ID, nonce [32]byte, until time.Time) error {
	err := r.s.c.Store.UseNonce(ctx, peer, nonce, until)
	if errors.Is(err, store.ErrReplay) {
		return fmt.Errorf("%w: %w", err, psi.AbortReplay)
	}
	return err
}

// keep records how the session ended, also if it failed after its start: the
// platform can show what it asked, and that the other side agreed.
func (r *run) keep(failure error) {
	if !r.opened {
		return
	}
	if err := r.evidence.Close(); err != nil {
		r.log.Error("what was kept of a session that was not sealed could not be removed", "sid", r.sidText(), "error", err)
	}
	end := &ending{s: r.s, log: r.log, sid: r.session.SID(), at: time.Now(), took: time.Since(r.started),
		outcome: outcome(failure), receipt: r.signed()}
	end.keep()
}

// signed returns what is on record of the session as signed. A SEAL that was kept is,
// also if it did not leave because it could not be charged for: what was kept is
// opened against it.
func (r *run) signed() *session.Receipt {
	so := r.session.Evidence()
	if len(so.Seal) > 0 {
		return so
	}
	if kept, err := evidence.Receipt(EvidenceDir(r.s.c.Dir), r.session.SID()); err == nil {
		return kept
	}
	return so
}

const outcomeComplete = "complete"

// outcome says how a session ended. A call is cancelled when its connection goes,
// and that is noticed as either of two errors.
func outcome(failure error) string {
	switch {
	case failure == nil:
		return outcomeComplete
	case errors.Is(failure, session.ErrBroken) || errors.Is(failure, context.Canceled):
		return "connection lost"
	}
	return session.Code(failure).Error()
}

// record writes down what the session is about to ask or to be asked about, and on
// what grounds, before the first question or answer leaves.
func (r *run) record(ctx context.Context, seed *psi.Seed) error {
	entries, err := r.snapshotEvent()
	if err != nil {
		return err
	}
	of := store.Session{
		SID:      r.session.SID(),
		Peer:     r.advertiser.ID,
		Audience: r.session.Audience(),
		Mode:     r.session.Mode().String(),
		Policy:   r.partner.Policy.Hash(),
		Started:  r.started,
		CutAt:    r.snapshot.Time(),
		Cut:      r.cut,
		Root:     r.snapshot.Root(),
		Leaves:   r.snapshot.Len(),
		QHat:     r.session.Queries(),
		NHat:     r.session.Entries(),
		Receipt:  r.session.Evidence().Bytes(),
	}
	secrets := store.Secrets{SnapshotID: r.id, Seed: *seed}
	if r.published != nil {
		err = r.s.c.Store.OpenSessionOf(ctx, of, secrets, r.published.Facts, entries...)
	} else {
		err = r.s.c.Store.OpenSession(ctx, of, secrets, r.eligible(), entries...)
	}
	if err != nil {
		return err
	}
	r.opened = true
	if r.session.Role() == psi.SenderHolder {
		return nil // it asks nothing that an audit could open
	}
	return r.keepLeaves()
}

// eligible returns the facts that the leaves were made from.
func (r *run) eligible() iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		for leaf, err := range r.snapshot.Eligible() {
			if !yield(leaf.Fact(), err) || err != nil {
				return
			}
		}
	}
}

// summary is what a Watch is told of the session.
func (r *run) summary(failure error) Ended {
	e := Ended{Partner: r.partner.Name, Outcome: outcome(failure), Took: time.Since(r.started)}
	if r.session != nil {
		e.Queries, e.Entries = r.session.Queries(), r.session.Entries()
	}
	return e
}

func (r *run) sidText() string {
	if r.session == nil {
		return ""
	}
	return identity.ID(r.session.SID()).String()
}

// close removes the session's files. The received table goes with them: if the
// advertiser's key ever leaked, it could be inverted (PROTOCOL.md §8.2).
func (r *run) close() {
	var errs []error
	if r.done != nil {
		r.done()
	}
	if r.file != nil {
		errs = append(errs, r.file.Close())
		if r.fileName != "" {
			errs = append(errs, os.Remove(r.fileName))
		}
	}
	if r.queries != nil {
		errs = append(errs, r.queries.Close())
	}
	if r.spool != nil {
		errs = append(errs, r.spool.Close())
	}
	if r.outputs != nil {
		errs = append(errs, r.outputs.Close())
	}
	if r.labels != nil {
		errs = append(errs, r.labels.close())
	}
	if r.tokens != nil {
		errs = append(errs, r.tokens.Remove())
	}
	if err := errors.Join(errs...); err != nil {
		r.log.Error("a session's files could not be removed", "sid", r.sidText(), "error", err)
	}
}
