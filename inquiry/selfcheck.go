package inquiry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/internal/merkle"
	"github.com/overlap-psi/overlap/internal/sentence"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/store"
)

// SelfCheck is what a platform's own, regular audit found. Records are those of
// eligible sets that were derived again; Erased are those that can't be.
type SelfCheck struct {
	Entries  int64     `json:"log_entries"`
	Sessions int       `json:"sessions"`
	Expired  int       `json:"sessions_no_longer_kept"`
	Records  uint64    `json:"records"`
	Erased   uint64    `json:"records_erased"`
	Problems []Problem `json:"problems"`
}

// Problem is something that does not fit. Session is empty if it is of the log.
type Problem struct {
	Session string `json:"session,omitempty"`
	What    string `json:"what"`
}

// Err returns nil if everything fits.
func (c *SelfCheck) Err() error {
	if len(c.Problems) == 0 {
		return nil
	}
	return fmt.Errorf("inquiry: %d things do not fit: the first: %s", len(c.Problems), c.Problems[0].What)
}

// Check compares the log with the store, and of every session what the log says,
// what both companies signed, what was kept, and what the ledger still says of
// the records that it asked on: each is admitted again, by the policy and at the
// moment of then, and its leaf made again.
func (p *Platform) Check(ctx context.Context) (*SelfCheck, error) {
	if err := p.Book.Publish(ctx); err != nil {
		return nil, err
	}
	c := &SelfCheck{Problems: []Problem{}}
	key := p.Book.Signer().Verifier()
	folder := os.DirFS(p.Book.PublicDir())
	report, err := audit.Verify(folder, audit.Expect{Log: key, Content: audit.PublicEvents})
	if err != nil {
		c.Problems = append(c.Problems, Problem{What: sentence.Of(err)})
		return c, nil
	}
	c.Entries = report.Size
	tree, err := audit.Read(folder, key, audit.Quorum{})
	if err != nil {
		return nil, err
	}
	logged := newLogged()
	for entry, err := range tree.Entries(0) {
		if err == nil {
			err = logged.add(entry)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.compareOutbox(ctx, tree, c); err != nil {
		return nil, err
	}
	for s, err := range p.Store.Sessions(ctx) {
		if err != nil {
			return nil, err
		}
		if err := p.checkSession(ctx, &s, logged, c); err != nil {
			return nil, err
		}
	}
	for sid := range logged.ended {
		c.Problems = append(c.Problems, Problem{fmt.Sprintf("%x", sid[:]), "it is in the log and not in the store"})
	}
	return c, nil
}

// logged is what the log says of sessions.
type logged struct {
	snapshots map[audit.Hash]audit.Snapshot
	matched   map[audit.Hash]audit.Matched
	ended     map[audit.Hash]audit.Session
}

func newLogged() *logged {
	return &logged{map[audit.Hash]audit.Snapshot{}, map[audit.Hash]audit.Matched{}, map[audit.Hash]audit.Session{}}
}

func (l *logged) add(entry []byte) error {
	e, err := audit.ParseEvent(entry)
	if err != nil {
		return err
	}
	switch b := e.Body.(type) {
	case audit.Snapshot:
		l.snapshots[b.SID] = b
	case audit.Matched:
		l.matched[b.SID] = b
	case audit.Session:
		l.ended[b.SID] = b
	}
	return nil
}

// compareOutbox compares the log's entries with the store's.
func (p *Platform) compareOutbox(ctx context.Context, tree *audit.Tree, c *SelfCheck) error {
	n := int64(0)
	for e, err := range p.Store.Entries(ctx, store.PublicLog, 0) {
		if err != nil {
			return err
		}
		if n++; n > tree.Size() {
			return nil // it came since
		}
		for entry, err := range tree.Entries(n - 1) {
			if err != nil {
				return err
			}
			if !bytes.Equal(entry, e.Body) {
				c.Problems = append(c.Problems, Problem{What: fmt.Sprintf("entry %d of the log is not the store's", n-1)})
			}
			break
		}
	}
	if n < tree.Size() {
		c.Problems = append(c.Problems, Problem{What: "the log has entries that the store has not"})
	}
	return nil
}

// checkSession notes what does not fit of one session.
func (p *Platform) checkSession(ctx context.Context, s *store.Session, l *logged, c *SelfCheck) error {
	bad := func(what string) { c.Problems = append(c.Problems, Problem{fmt.Sprintf("%x", s.SID[:]), what}) }
	ended, over := l.ended[s.SID]
	delete(l.ended, s.SID)
	if s.Ended.IsZero() {
		return nil // it runs
	}
	c.Sessions++
	snapshot, cut := l.snapshots[s.SID]
	r, err := receipt.Parse(s.Receipt)
	switch {
	case !over || !cut:
		bad("it is in the store and not in the log")
		return nil
	case err != nil || r.RecordHash() != ended.Record:
		bad("its receipt is not the one that was logged")
	case snapshot.ConsentRoot != s.Root || snapshot.Policy != s.Policy || ended.Partner != s.Peer || ended.Mode != s.Mode:
		bad("the store says something else of it than the log")
	}
	if s.Expired {
		c.Expired++
		return nil
	}
	rows, err := p.rows(s.SID)
	if err != nil {
		bad("what was kept of it cannot be read")
		return nil
	}
	if rows != nil {
		if rows.root != snapshot.ConsentRoot {
			bad("the leaves that were kept are not those of the snapshot")
		}
		if err := p.checkMatched(ctx, s, rows, l, bad); err != nil {
			return err
		}
	}
	return p.rederive(ctx, s, rows, c, bad)
}

// rows is what was kept of a session's leaves.
type rows struct {
	root  audit.Hash
	leaf  map[uint64][32]byte // by fact
	facts []uint64            // by position, 0 of a pad
}

// rows reads what was kept of a session, nil if nothing was.
func (p *Platform) rows(sid [32]byte) (*rows, error) {
	kept, err := evidence.Open(p.Evidence, sid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer kept.Close()
	r := &rows{leaf: map[uint64][32]byte{}}
	var leaves []byte
	for row, err := range kept.Rows() {
		if err != nil {
			return nil, err
		}
		leaves = append(leaves, row.Leaf[:]...)
		r.facts = append(r.facts, row.Fact)
		if row.Fact != 0 {
			r.leaf[row.Fact] = row.Leaf
		}
	}
	var tree merkle.Range
	tree.AppendLeaves(leaves, len(tlog.Hash{}))
	r.root = audit.Hash(tlog.Hash(tree.Root()))
	return r, nil
}

// checkMatched makes the commitment to the matches again.
func (p *Platform) checkMatched(ctx context.Context, s *store.Session, rows *rows, l *logged, bad func(string)) error {
	want, fixed := l.matched[s.SID]
	facts, err := p.Store.Manifest(ctx, s.SID, store.Matched)
	if errors.Is(err, store.ErrNotFound) {
		if fixed {
			bad("its matches are in the log and not in the store")
		}
		return nil
	}
	if err != nil {
		return err
	}
	secrets, err := p.Store.Secrets(ctx, s.SID)
	if err != nil {
		return err
	}
	commitment := dossier.NewCommitment(secrets.Seed)
	for at, fact := range rows.facts {
		if fact != 0 && facts.Has(fact) {
			commitment.Add(uint64(at))
		}
	}
	if !fixed || want.Commitment != commitment.Sum() {
		bad("its matches are not those that were fixed in the log")
	}
	return nil
}

// recordsAtOnce bounds what is read of the ledger at a time.
const recordsAtOnce = 1024

// rederive admits again what the session asked on, and makes its leaves again.
func (p *Platform) rederive(ctx context.Context, s *store.Session, kept *rows, c *SelfCheck, bad func(string)) error {
	agreed, _, err := p.policyOf(s.Policy)
	if err != nil {
		bad("its policy is not kept")
		return nil
	}
	secrets, err := p.Store.Secrets(ctx, s.SID)
	if err != nil {
		return err
	}
	manifest, err := p.Store.Manifest(ctx, s.SID, store.Exposed)
	if err != nil {
		return err
	}
	if manifest.Len() != s.Leaves || kept != nil && uint64(len(kept.leaf)) != s.Leaves {
		bad("it asked on another number of records than it has leaves")
	}
	rule, refused, changed := agreed.Rule(), 0, 0
	check := func(facts []uint64) error {
		found, err := p.Store.RecordsOf(ctx, facts)
		if err != nil {
			return err
		}
		c.Erased += uint64(len(facts) - len(found))
		for fact, rec := range found {
			c.Records++
			rec.SwitchedOff = false // as it was when it was admitted
			if _, err := rule.Admit(&rec, s.CutAt); err != nil {
				refused++
			}
			if _, leaf := consent.OpenLeaf(&rec, &secrets.SnapshotID); kept != nil && leaf != kept.leaf[fact] {
				changed++
			}
		}
		return nil
	}
	batch := make([]uint64, 0, recordsAtOnce)
	for fact := range manifest.All() {
		if batch = append(batch, fact); len(batch) == cap(batch) {
			if err := check(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	if err := check(batch); err != nil {
		return err
	}
	if refused > 0 {
		bad(fmt.Sprintf("%d of its records may not be matched under its policy", refused))
	}
	if changed > 0 {
		bad(fmt.Sprintf("%d of its records are not those that its leaves were made from", changed))
	}
	return nil
}
