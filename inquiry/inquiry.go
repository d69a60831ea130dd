// Package inquiry answers for a platform: who was affected by a misuse, how many,
// and with what proof; what became of one person; what an auditor drew. It reads
// the store, what was kept of each session (package evidence) and the logs, and
// changes nothing but the record of the question.
package inquiry

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/store"
)

// Platform is what answers are made from.
type Platform struct {
	Store    *store.DB
	Book     *logbook.Book
	Evidence string // server.EvidenceDir
}

// Reader is who asks, and why: every answer is in the access log before it is
// given.
type Reader struct {
	Who, Reason string
}

// note records that rows of what are about to be read. It publishes as well, so
// that the log's files show it too.
func (p *Platform) note(ctx context.Context, r Reader, what string, rows int, sid *audit.Hash) error {
	entries, err := logbook.Entries(time.Now(), audit.Access{Who: r.Who, Reason: r.Reason, What: what, Rows: uint64(rows), SID: sid})
	if err != nil {
		return err
	}
	if err := p.Store.Record(ctx, entries...); err != nil {
		return err
	}
	return p.Book.Publish(ctx)
}

// Question is what is asked about misuse.
type Question struct {
	Predicate    consent.Predicate
	Since, Until time.Time // of sessions, as in store.Query
	Advertiser   [32]byte
	SID          [32]byte
}

func (q *Question) query(g store.Grade) store.Query {
	return store.Query{Predicate: q.Predicate, Grade: g, Since: q.Since, Until: q.Until, Advertiser: q.Advertiser, SID: q.SID}
}

// Answer counts those affected, by grade.
type Answer struct {
	Exposed, Matched store.Answer
}

// Count counts those affected. It names nobody.
func (p *Platform) Count(ctx context.Context, q *Question, r Reader) (a Answer, err error) {
	if a.Exposed, err = p.Store.Affected(ctx, q.query(store.Exposed)); err != nil {
		return Answer{}, err
	}
	if a.Matched, err = p.Store.Affected(ctx, q.query(store.Matched)); err != nil {
		return Answer{}, err
	}
	return a, p.note(ctx, r, "affected_count", 1, nil)
}

// use is one identifier's use in one session.
type use struct {
	sid  [32]byte
	fact uint64
}

// People lists those affected: each identifier of theirs in each session, by
// session and then position.
func (p *Platform) People(ctx context.Context, q *Question, r Reader) ([]dossier.Person, error) {
	matched, err := p.matchedUses(ctx, q)
	if err != nil {
		return nil, err
	}
	var people []dossier.Person
	wanted := map[[32]byte]map[uint64]bool{}
	for a, err := range p.Store.AffectedAccounts(ctx, q.query(store.Exposed)) {
		if err != nil {
			return nil, err
		}
		for i := range a.Uses {
			u := &a.Uses[i]
			for _, sid := range u.Sessions {
				people = append(people, person(a.AccountID, sid, &u.Record, matched[use{sid, u.Record.Fact}]))
				if wanted[sid] == nil {
					wanted[sid] = map[uint64]bool{}
				}
				wanted[sid][u.Record.Fact] = true
			}
		}
	}
	if err := p.place(people, wanted); err != nil {
		return nil, err
	}
	slices.SortFunc(people, func(a, b dossier.Person) int {
		return cmp.Or(bytes.Compare(a.SID[:], b.SID[:]), cmp.Compare(a.Position, b.Position))
	})
	return people, p.note(ctx, r, "affected", len(people), nil)
}

func (p *Platform) matchedUses(ctx context.Context, q *Question) (map[use]bool, error) {
	matched := map[use]bool{}
	for a, err := range p.Store.AffectedAccounts(ctx, q.query(store.Matched)) {
		if err != nil {
			return nil, err
		}
		for i := range a.Uses {
			for _, sid := range a.Uses[i].Sessions {
				matched[use{sid, a.Uses[i].Record.Fact}] = true
			}
		}
	}
	return matched, nil
}

func person(account string, sid [32]byte, rec *consent.Record, matched bool) dossier.Person {
	return dossier.Person{
		Account: account, Handle: rec.Account, SID: sid, Matched: matched,
		Kind: rec.Class.Kind().String(), Purpose: rec.Purpose.String(), Basis: rec.Basis.String(),
		Notice: rec.Notice, Surface: rec.Surface, Reference: rec.Reference, Source: rec.Source,
		Collected: rec.CollectedAt, Fact: rec.Fact,
	}
}

// place finds the position of each person's question, where the session was
// sealed; of one that was not there is no proof, and a position of its own order.
func (p *Platform) place(people []dossier.Person, wanted map[[32]byte]map[uint64]bool) error {
	found := map[use]uint64{}
	for sid, facts := range wanted {
		rows, err := p.positions(sid, func(fact uint64) bool { return facts[fact] })
		if err != nil {
			return err
		}
		for fact, at := range rows {
			found[use{sid, fact}] = at
		}
	}
	for i := range people {
		people[i].Position = found[use{people[i].SID, people[i].Fact}]
	}
	return nil
}

// positions returns where in a session the facts stand that are wanted. A session
// that was not sealed keeps no positions: they are counted as they come.
func (p *Platform) positions(sid [32]byte, wanted func(fact uint64) bool) (map[uint64]uint64, error) {
	kept, err := evidence.Open(p.Evidence, sid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer kept.Close()
	at, found := uint64(0), map[uint64]uint64{}
	for row, err := range kept.Rows() {
		if err != nil {
			return nil, err
		}
		if row.Fact != 0 && wanted(row.Fact) {
			found[row.Fact] = at
		}
		at++
	}
	return found, nil
}

// Open writes the openings of a challenge, or of positions that the platform
// chooses if the challenge is nil.
func (p *Platform) Open(ctx context.Context, w io.Writer, sid [32]byte, c *evidence.Challenge, chosen []uint64, r Reader) error {
	rows := len(chosen)
	if c != nil {
		rows = c.Samples
	}
	if err := p.note(ctx, r, "openings", rows, (*audit.Hash)(&sid)); err != nil {
		return err
	}
	return p.open(ctx, w, sid, c, chosen)
}

func (p *Platform) open(ctx context.Context, w io.Writer, sid [32]byte, c *evidence.Challenge, chosen []uint64) error {
	kept, err := evidence.Open(p.Evidence, sid)
	if err != nil {
		return err
	}
	defer kept.Close()
	src, err := p.source(ctx, sid)
	if err != nil {
		return err
	}
	if c == nil {
		return kept.WriteChosen(w, chosen, src)
	}
	return kept.WriteOpenings(w, c, src)
}

// source is what opens a session.
func (p *Platform) source(ctx context.Context, sid [32]byte) (*evidence.Source, error) {
	secrets, err := p.Store.Secrets(ctx, sid)
	if err != nil {
		return nil, err
	}
	r, err := p.receipt(ctx, sid)
	if err != nil {
		return nil, err
	}
	return &evidence.Source{Receipt: r, Seed: psi.Seed(secrets.Seed), SnapshotID: secrets.SnapshotID, Record: func(fact uint64) (*consent.Record, error) {
		rec, err := p.Store.RecordOf(ctx, fact)
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil
		}
		rec.SwitchedOff = false // as it was when the record was admitted
		return &rec, err
	}}, nil
}

// receipt returns what both companies signed of a session, as far as it came.
func (p *Platform) receipt(ctx context.Context, sid [32]byte) (*receipt.Receipt, error) {
	s, err := p.Store.Session(ctx, sid)
	if err != nil {
		return nil, err
	}
	r, err := receipt.Parse(s.Receipt)
	if err != nil || len(r.Seal) > 0 {
		return r, err
	}
	// The process died after SEAL: what was kept before SEAL left has it.
	kept, err := evidence.Receipt(p.Evidence, sid)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	return kept, err
}

// Subject says what became of one account.
func (p *Platform) Subject(ctx context.Context, account string, r Reader) (store.Subject, error) {
	s, err := p.Store.Subject(ctx, account)
	if err != nil {
		return store.Subject{}, err
	}
	return s, p.note(ctx, r, "subject", len(s.Exposures), nil)
}

// Prove opens, in each session that the subject was in and that was sealed, the
// positions of the subject's identifiers, and hands out the openings
// (evidence.CheckChosen) and the receipt that they are checked against.
func (p *Platform) Prove(ctx context.Context, s *store.Subject, put func(sid audit.Hash, r *receipt.Receipt, openings []byte) error) error {
	facts := map[[32]byte]map[uint64]bool{}
	for i := range s.Exposures {
		sid := s.Exposures[i].Session.SID
		if facts[sid] == nil {
			facts[sid] = map[uint64]bool{}
		}
		facts[sid][s.Exposures[i].Record.Fact] = true
	}
	for sid, wanted := range facts {
		found, err := p.positions(sid, func(fact uint64) bool { return wanted[fact] })
		if err != nil {
			return err
		}
		if len(found) == 0 {
			continue
		}
		r, err := p.receipt(ctx, sid)
		if err != nil {
			return err
		}
		var openings bytes.Buffer
		if err := p.open(ctx, &openings, sid, nil, slices.Sorted(maps.Values(found))); err != nil {
			return err
		}
		if err := put(sid, r, openings.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// ErrUnpublished says that something was done, and that the log's files could not be
// brought up to it: they will be with the next Publish.
var ErrUnpublished = errors.New("inquiry: not in the log yet")

// Erase removes an account and logs which leaves that closes, under a random name
// of the request. It returns that name, also with ErrUnpublished. Nobody is erased
// from a store that the log does not fit, or whose log takes nothing.
func (p *Platform) Erase(ctx context.Context, account string) (request audit.Hash, err error) {
	if err := p.Book.Publish(ctx); err != nil {
		return audit.Hash{}, err
	}
	rand.Read(request[:])
	err = p.Store.Erase(ctx, account, func(leaves []store.ClosedLeaf) ([]store.Entry, error) {
		closed := map[audit.Hash][]audit.Hash{}
		for i := range leaves {
			_, leaf := consent.OpenLeaf(&leaves[i].Record, &leaves[i].SnapshotID)
			closed[leaves[i].SID] = append(closed[leaves[i].SID], leaf)
		}
		var entries []store.Entry
		for _, e := range audit.Erasures(time.Now(), request, closed) {
			entry, err := logbook.Entries(e.Time, e.Body)
			if err != nil {
				return nil, err
			}
			entries = append(entries, entry...)
		}
		return entries, nil
	})
	if err != nil {
		return audit.Hash{}, err
	}
	if err := p.Book.Publish(ctx); err != nil {
		return request, fmt.Errorf("%w: %w", ErrUnpublished, err)
	}
	return request, nil
}

// Register records an incident: the question, and the answer's list, fixed by its
// hash in the public log. With a hold, the accounts are kept from being erased
// until they have been told, or until the time given.
func (p *Platform) Register(ctx context.Context, q *Question, people []dossier.Person, list [32]byte, hold time.Time) (id audit.Hash, err error) {
	rand.Read(id[:])
	now := time.Now()
	exposed, matched, _ := dossier.Count(people)
	text := q.Predicate.String()
	entries, err := logbook.Entries(now, audit.Incident{ID: id, Predicate: sha256.Sum256([]byte(text)), Affected: list})
	if err != nil {
		return id, err
	}
	name := fmt.Sprintf("%x", id[:])
	if err := p.Store.PutIncident(ctx, store.Incident{
		ID: name, Predicate: text, Since: q.Since, Until: q.Until, At: now, Exposed: exposed, Matched: matched, List: list, Exported: now,
	}, entries...); err != nil {
		return id, err
	}
	if hold.IsZero() {
		return id, p.Book.Publish(ctx)
	}
	until := hold.UTC().Truncate(time.Second)
	entries, err = logbook.Entries(now, audit.Hold{Incident: id, Reason: "notification", Until: until})
	if err != nil {
		return id, err
	}
	if _, _, err := p.Store.Hold(ctx, store.Hold{Incident: name, Reason: "notification", Until: until}, accounts(people), entries...); err != nil {
		return id, err
	}
	return id, p.Book.Publish(ctx)
}

// accounts returns each account once.
func accounts(people []dossier.Person) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		seen := map[string]bool{}
		for i := range people {
			if a := people[i].Account; !seen[a] {
				seen[a] = true
				if !yield(a, nil) {
					return
				}
			}
		}
	}
}

// PolicyFile returns where the policy of that hash is kept beside the logs.
func PolicyFile(book *logbook.Book, hash [32]byte) string {
	return filepath.Join(book.PoliciesDir(), fmt.Sprintf("%x.toml", hash))
}

// policyOf reads a policy that was in force.
func (p *Platform) policyOf(hash [32]byte) (*policy.Policy, []byte, error) {
	name := PolicyFile(p.Book, hash)
	agreed, signed, err := policy.Load(name)
	if err != nil || signed == nil {
		return agreed, nil, err
	}
	file, err := os.ReadFile(name + policy.SignedSuffix)
	return agreed, file, err
}
