package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/internal/pending"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/store"
	"github.com/overlap-psi/overlap/table"
)

// EvidenceDir is where a server with the given Dir keeps what it can be audited
// with (package evidence).
func EvidenceDir(dir string) string { return filepath.Join(dir, "evidence") }

// LogsDir is where it has its logs, if no other place is named.
func LogsDir(dir string) string { return filepath.Join(dir, "logs") }

// recover finishes what a process that died has left: sessions without an end
// end now, on record and in the log, and what was not published is. Nobody else
// may serve from the store.
func (s *Server) recover(ctx context.Context) error {
	if err := s.sweep(); err != nil {
		return err
	}
	interrupted, err := s.c.Store.Interrupted(ctx, anyTime)
	if err != nil {
		return err
	}
	for _, left := range interrupted {
		r, err := s.lastReceipt(left)
		if err != nil {
			return err
		}
		if err := s.end(ctx, left, r, outcomeDied, time.Now()); err != nil && !errors.Is(err, store.ErrEnded) {
			return err
		}
		s.c.Log.Warn("session ended with the process that ran it", "sid", audit.Hash(left.SID))
	}
	if err := s.expire(ctx); err != nil {
		return err
	}
	return s.book.Publish(ctx)
}

// anyTime is after whatever a clock says: one that was ahead when a session started
// must not keep it open.
var anyTime = time.Unix(1<<40, 0)

// sweep removes what a killed process had begun to write.
func (s *Server) sweep() error {
	return errors.Join(table.Sweep(s.spill()), pending.Sweep(s.spill(), scratchName), pending.Sweep(s.book.PoliciesDir(), pendingName),
		evidence.Sweep(EvidenceDir(s.c.Dir)))
}

// outcomeDied is the outcome of sessions that nobody saw end.
const outcomeDied = "process died"

// lastReceipt returns what both companies had signed when the process died: up to
// SEAL if that had come, which is kept with the evidence, or else the OPENs.
func (s *Server) lastReceipt(left store.Session) (*receipt.Receipt, error) {
	kept, err := evidence.Receipt(EvidenceDir(s.c.Dir), left.SID)
	if err == nil {
		return kept, nil
	}
	return receipt.Parse(left.Receipt)
}

// end records how a session ended, with its event, and with that which fixes what it
// found. Before, that would tell who reads the log, as advertisers may, how long the
// matches took, and so how many there are: the count that is released is sent later,
// at a time that does not depend on them (PROTOCOL.md §8.5).
// The event's time is that of the log, which the record may come late to.
func (s *Server) end(ctx context.Context, of store.Session, r *receipt.Receipt, outcome string, at time.Time) error {
	public := "failed"
	if outcome == outcomeComplete {
		public = "complete"
	}
	var bodies []audit.Body
	if len(of.Commitment) == len(audit.Hash{}) {
		bodies = append(bodies, audit.Matched{SID: of.SID, Commitment: audit.Hash(of.Commitment)})
	}
	bodies = append(bodies, audit.Session{SID: of.SID, Record: r.RecordHash(), Outcome: public, Partner: of.Peer, Mode: of.Mode})
	entries, err := logbook.Entries(time.Now(), bodies...)
	if err != nil {
		return err
	}
	return s.c.Store.CloseSession(ctx, of.SID, store.Ending{Ended: at, Outcome: outcome, Receipt: r.Bytes()}, entries...)
}

// expire forgets sessions that no partner's policy has kept any longer
// (retention_days): from then on nobody can say who was in them. A process may have
// died between a session's two parts, so it looks at all that are forgotten.
func (s *Server) expire(ctx context.Context) error {
	days := uint64(0)
	for _, p := range *s.partners.Load() {
		days = max(days, p.Policy.RetentionDays)
	}
	before := time.Now().Add(-time.Duration(days) * 24 * time.Hour)
	if _, err := s.c.Store.Expire(ctx, before, nil); err != nil {
		return err
	}
	for past, err := range s.c.Store.Sessions(ctx) {
		if err == nil && past.Expired {
			err = evidence.Remove(EvidenceDir(s.c.Dir), past.SID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// publish brings the logs' files up to the store. What it can't publish now is
// not lost: the next call does.
func (s *Server) publish(ctx context.Context) {
	if err := s.book.Publish(context.WithoutCancel(ctx)); err != nil {
		s.c.Log.Error("the logs could not be brought up to the store", "error", err)
	}
}

// logPolicies records the policies that have not been in force before.
func (s *Server) logPolicies(ctx context.Context, partners partners) error {
	known := map[audit.Hash]bool{}
	for e, err := range s.c.Store.Entries(ctx, store.PublicLog, 0) {
		if err != nil {
			return err
		}
		event, err := audit.ParseEvent(e.Body)
		if err != nil {
			return err
		}
		if b, ok := event.Body.(audit.Policy); ok {
			known[b.Hash] = true
		}
	}
	for _, p := range partners {
		b := policyEvent(p.Policy, p.Signed)
		if b.Signer == (audit.Hash{}) {
			b.Signer = audit.Hash(s.c.Identity.ID()) // whose log it is says so
		}
		if err := s.keepPolicy(p); err != nil {
			return err
		}
		if known[b.Hash] {
			continue
		}
		known[b.Hash] = true
		entries, err := logbook.Entries(time.Now(), b)
		if err != nil {
			return err
		}
		if err := s.c.Store.Record(ctx, entries...); err != nil {
			return err
		}
	}
	return nil
}

// keepPolicy keeps a policy's document, and who signed it, beside the logs: a
// session is judged by the policy of its time.
func (s *Server) keepPolicy(p *Partner) error {
	if err := os.MkdirAll(s.book.PoliciesDir(), 0o700); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	name := inquiry.PolicyFile(s.book, p.Policy.Hash())
	err := writeOnce(name, p.Policy.Bytes())
	if err == nil && p.Signed != nil {
		err = writeOnce(name+policy.SignedSuffix, p.Signed.File)
	}
	return err
}

// pendingName begins the names of files that are not whole yet.
const pendingName = ".new-"

// writeOnce makes a durable file of the content, unless it is that already.
func writeOnce(name string, content []byte) error {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := pending.Write(name, pendingName, content); err != nil {
		return fmt.Errorf("server: %w", err)
	}
	return nil
}

func policyEvent(p *policy.Policy, signed *policy.Signed) audit.Policy {
	b := audit.Policy{Hash: p.Hash(), Version: p.Consent.Version, Document: p.Hash()}
	if signed != nil {
		b.Signer = signed.First
	}
	return b
}

// keepLeaves starts to keep what the session can be audited with, and keeps its
// snapshot's leaves.
func (r *run) keepLeaves() (err error) {
	if r.evidence, err = evidence.Create(EvidenceDir(r.s.c.Dir), r.session.SID()); err != nil {
		return err
	}
	for leaf, err := range r.snapshot.All() {
		if err != nil {
			return err
		}
		if err := r.evidence.Leaf(leaf.Hash(), leaf.Fact()); err != nil {
			return err
		}
	}
	return nil
}

// snapshotEvent fixes the snapshot in the log, before anything is asked.
func (r *run) snapshotEvent() ([]store.Entry, error) {
	return logbook.Entries(time.Now(), audit.Snapshot{
		SID: r.session.SID(), ConsentRoot: audit.Hash(r.snapshot.Root()), ConsentSize: r.snapshot.Size(), Policy: r.partner.Policy.Hash(),
	})
}
