package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/epoch"
	"github.com/overlap-psi/overlap/policy"
	ampsiv1 "github.com/overlap-psi/overlap/proto/ampsi/v1"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/publication"
	"github.com/overlap-psi/overlap/session"
	"github.com/overlap-psi/overlap/store"
	"github.com/overlap-psi/overlap/table"
)

// TablesDir is where a server with the given Dir has its published tables: files
// that may be copied, and served by anybody (package publication).
func TablesDir(dir string) string { return epoch.TablesDir(dir) }

// Asked are the different policies that published tables are for: under which a
// partner may ask, A_LEARNS and MUTUAL_A, and is told nothing of the accounts.
func Asked(partners []Partner) (list []*policy.Policy) {
	seen := map[[32]byte]bool{}
	for _, partner := range partners {
		p := partner.Policy
		if p == nil {
			p = policy.Default()
		}
		if hash := p.Hash(); publication.For(p) && !seen[hash] {
			seen[hash] = true
			list = append(list, p)
		}
	}
	return list
}

func (s *Server) asked() []*policy.Policy {
	var list []Partner
	for _, p := range *s.partners.Load() {
		list = append(list, *p)
	}
	return Asked(list)
}

// ErrNobodyAsks says that no partner's policy is one that published tables are for.
var ErrNobodyAsks = errors.New("server: published tables are for policies that list A_LEARNS or MUTUAL_A and have no labels (label_len = 0), and no partner's is one")

// Publish makes and publishes a new table for each policy under which a partner may
// ask. The tables before are answered under for the grace. Under a policy that asks
// for witnesses the new one waits for them, and Tend publishes it.
func (s *Server) Publish(ctx context.Context) error {
	policies := s.asked()
	if len(policies) == 0 {
		return ErrNobodyAsks
	}
	var errs []error
	for _, p := range policies {
		_, err := s.shelf.Rotate(ctx, p)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Tend is to be called now and then, such as every few seconds: it replaces published
// tables whose epoch is over, publishes those that waited for witnesses and have
// them, and destroys keys whose time is.
func (s *Server) Tend(ctx context.Context) error { return s.shelf.Tend(ctx, s.asked()) }

// Tables implements ampsi.v1.Match: MANIFEST, PROOF, and SHARDS. It is a call like
// Session, with the same door.
func (s *Server) Tables(request *ampsiv1.TableRequest, stream ampsiv1.Match_TablesServer) error {
	ctx := stream.Context()
	v, err := s.admit(ctx)
	if err != nil {
		return refuse(stream, err)
	}
	if err := s.door.download(ctx, v.id); err != nil {
		return refuse(stream, v.turnedAway("door", err))
	}
	defer s.door.leave(v.id)
	if _, err := v.verify(); err != nil {
		return refuse(stream, err)
	}
	err = s.sendTable(ctx, v.partner.Policy, request, stream)
	if err == nil {
		return nil
	}
	v.log.Warn("table not sent", "code", uint8(session.Code(err)), "error", err)
	if errors.Is(err, psi.AbortTimeout) {
		return aborted(err) // nothing more is sent to who takes nothing
	}
	return refuse(stream, err)
}

// takePatience is how long a partner may take for one frame of a table, as in a
// session (PROTOCOL.md §13): whoever reads nothing has a place meanwhile.
const takePatience = 2 * time.Minute

// give sends a frame of a table. If it is not taken in time, it may still be on its
// way when give returns: the caller ends the call, and that with it.
func give(stream ampsiv1.Match_TablesServer, f *ampsiv1.Frame) error {
	taken := make(chan error, 1)
	go func() { taken <- stream.Send(f) }()
	timer := time.NewTimer(takePatience)
	defer timer.Stop()
	select {
	case err := <-taken:
		if err != nil {
			return fmt.Errorf("%w: %w", session.ErrBroken, err)
		}
		return nil
	case <-timer.C:
		return fmt.Errorf("server: the table is not read: %w", psi.AbortTimeout)
	}
}

func (s *Server) sendTable(ctx context.Context, p *policy.Policy, request *ampsiv1.TableRequest, stream ampsiv1.Match_TablesServer) error {
	if request.GetFirstShard() > table.Shards || len(request.GetTableId()) != 0 && len(request.GetTableId()) != 32 {
		return fmt.Errorf("server: a request for a table is malformed: %w", psi.AbortMalformed)
	}
	path, m, proof, err := s.shelf.Current(ctx, p)
	if err != nil {
		return err
	}
	if request.GetUniverse() != p.Universe || len(request.GetTableId()) == 32 && [32]byte(request.GetTableId()) != m.TableID {
		return publication.ErrNone
	}
	manifest := m.Frame()
	for _, f := range []psi.Frame{manifest, {Type: psi.FrameProof, Body: proof}} {
		if err := give(stream, &ampsiv1.Frame{Type: uint32(f.Type), Body: f.Body, Sig: f.Sig}); err != nil {
			return err
		}
	}
	seq := uint32(0)
	for body, err := range publication.Shards(path, int(request.GetFirstShard())) {
		if errors.Is(err, fs.ErrNotExist) {
			return epoch.ErrOver // it has been replaced meanwhile
		}
		if err != nil {
			return err
		}
		if err := give(stream, &ampsiv1.Frame{Type: uint32(psi.FrameShards), Seq: seq, Body: body}); err != nil {
			return err
		}
		seq++
	}
	return nil
}

// offer is the published table that the advertiser asks about.
func (r *run) offer(id [32]byte) (*session.Published, error) {
	t, until, done, err := r.s.shelf.Take(id, r.partner.Policy, time.Now())
	if err != nil {
		return nil, err
	}
	r.published, r.until, r.done = t, until, done
	r.snapshot, r.cut, r.id = t.Snapshot, t.Cut, t.ID
	return t.Manifest.Session(), nil
}

// whileOffered ends a session with the time of the table that it is about: its key
// is destroyed then.
func (r *run) whileOffered(ctx context.Context) (context.Context, context.CancelFunc) {
	if r.published == nil {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, r.until, epoch.ErrOver)
}

// holdPublished is hold from the charge on where the table is published: nothing of
// the size of the table is computed, and no table is sent.
func (r *run) holdPublished(ctx context.Context) error {
	s, m := r.session, r.published.Manifest
	key, err := r.published.Key()
	if err != nil {
		return err
	}
	defer key.Destroy()
	if err := s.OpenH(ctx, key, m.Entries, m.Root, m.Session().Consent); err != nil {
		return err
	}
	r.survive()
	seed := psi.NewSeed() // blinds nothing: it hides in the log who matched
	defer seed.Destroy()
	if err := r.record(ctx, seed); err != nil {
		return r.retireErased(err)
	}
	r.log.Info("session opened", "sid", r.sidText(), "queries", s.Queries(), "entries", m.Entries, "table", fmt.Sprintf("%x", m.TableID))
	if err := s.Evaluate(ctx); err != nil {
		return err
	}
	if err := s.ReadSeal(ctx); err != nil {
		return err
	}
	if s.Mode().Claims() {
		if err := r.takeClaims(ctx, dossier.NewCommitment(*seed)); err != nil {
			return err
		}
	}
	return s.CloseHolder(ctx)
}

// retireErased ends a table that somebody is in who has been erased since: nothing
// would be on record any more of why that person may be asked about.
func (r *run) retireErased(err error) error {
	if !errors.Is(err, store.ErrErased) {
		return err
	}
	return errors.Join(fmt.Errorf("%w: %w", err, psi.AbortTable), r.s.shelf.Retire(r.published.Manifest.TableID))
}
