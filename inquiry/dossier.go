package inquiry

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/psi"
	"github.com/overlap-psi/overlap/store"
)

// Request is what a dossier is to hold besides the log and all sessions.
type Request struct {
	Platform   *identity.Identity
	Question   *Question             // nil: no incident
	Challenges []*evidence.Challenge // that somebody drew
	Hold       time.Time             // keeps the affected from being erased until then; zero: not
	Names      map[identity.ID]string
}

// WriteDossier writes the evidence file and returns its contents. An incident is
// registered by the way.
func (p *Platform) WriteDossier(ctx context.Context, w io.Writer, req *Request, r Reader) (*dossier.Contents, error) {
	if err := p.note(ctx, r, "evidence", 1, nil); err != nil {
		return nil, err
	}
	d := &writing{p: p, req: req, out: dossier.NewWriter(w), records: map[audit.Hash]uint64{}, fixed: map[audit.Hash]bool{}, c: &dossier.Contents{
		Made: time.Now().UTC().Truncate(time.Second), Platform: req.Platform.ID(), Key: req.Platform.Public(), Log: p.Book.Signer().Name(),
	}}
	if req.Question != nil {
		if err := d.ask(ctx, r); err != nil {
			return nil, err
		}
	}
	tree, err := audit.Read(os.DirFS(p.Book.PublicDir()), p.Book.Signer().Verifier(), audit.Quorum{})
	if err != nil {
		return nil, err
	}
	d.c.Entries = tree.Size()
	d.out.Log(tree)
	for entry, err := range tree.Entries(0) {
		if err == nil {
			err = d.event(ctx, entry)
		}
		if err != nil {
			return nil, err
		}
	}
	return d.c, d.out.Finish(d.c, p.Book.Signer())
}

// writing is one dossier under way.
type writing struct {
	p        *Platform
	req      *Request
	out      *dossier.Writer
	c        *dossier.Contents
	people   map[audit.Hash][]dossier.Person
	affected map[audit.Hash]dossier.Affected
	erased   map[[32]byte]uint64
	records  map[audit.Hash]uint64 // of each snapshot, with pads
	fixed    map[audit.Hash]bool   // the sessions whose matches are in the log
	policies map[[32]byte]bool
}

// ask finds the affected, and registers the incident with the hash of the list.
func (d *writing) ask(ctx context.Context, r Reader) error {
	q := d.req.Question
	people, err := d.p.People(ctx, q, r)
	if err != nil {
		return err
	}
	count, err := d.p.Store.Affected(ctx, q.query(store.Exposed))
	if err != nil {
		return err
	}
	d.erased = map[[32]byte]uint64{}
	for _, s := range count.Sessions {
		d.erased[s.SID] = s.Erased.Identifiers
	}
	var list bytes.Buffer
	if err := WriteList(&list, people); err != nil {
		return err
	}
	id, err := d.p.Register(ctx, q, people, sha256.Sum256(list.Bytes()), d.req.Hold)
	if err != nil {
		return err
	}
	i := &dossier.Incident{ID: id, Predicate: q.Predicate.String(), Asked: d.c.Made}
	i.Exposed, i.Matched, d.affected = dossier.Count(people)
	d.c.Incident = i
	d.people = map[audit.Hash][]dossier.Person{}
	for _, person := range people {
		d.people[person.SID] = append(d.people[person.SID], person)
	}
	d.out.Affected(&list)
	return nil
}

// WriteList writes the list of the affected with fresh random bytes in front.
func WriteList(w io.Writer, people []dossier.Person) error {
	var random [32]byte
	rand.Read(random[:])
	return dossier.WriteAffected(w, random, func(yield func(dossier.Person, error) bool) {
		for _, person := range people {
			if !yield(person, nil) {
				return
			}
		}
	})
}

// event adds what the file has to hold of an event of the log.
func (d *writing) event(ctx context.Context, entry []byte) error {
	e, err := audit.ParseEvent(entry)
	if err != nil {
		return err
	}
	switch b := e.Body.(type) {
	case audit.Snapshot:
		d.records[b.SID] = b.ConsentSize
	case audit.Matched:
		d.fixed[b.SID] = true
	case audit.Session:
		return d.session(ctx, b)
	}
	return nil
}

func (d *writing) session(ctx context.Context, ended audit.Session) error {
	s, err := d.p.Store.Session(ctx, ended.SID)
	if err != nil {
		return err
	}
	line := dossier.Session{
		SID: s.SID, Advertiser: s.Peer, Name: d.req.Names[s.Peer], Mode: s.Mode, Audience: s.Audience, Policy: s.Policy,
		Started: s.Started.Truncate(time.Second), Outcome: ended.Outcome, Asked: d.records[s.SID], Listed: s.NHat,
	}
	mode, err := psi.ParseMode(s.Mode)
	if err != nil {
		return err
	}
	if mode.AdvertiserAsks() {
		line.Listed = s.QHat
	}
	if err := d.policy(s.Policy); err != nil {
		return err
	}
	r, err := d.p.receipt(ctx, s.SID)
	if err != nil {
		return err
	}
	if _, err := r.Sealed(); err == nil {
		line.Unkept = !mode.AdvertiserAsks() && !s.Expired && d.unkept(ended)
		line.Signed = !line.Unkept
	}
	if line.Signed {
		d.out.Receipt(s.SID, r)
		if !mode.AdvertiserAsks() && !s.Expired {
			if err := d.proofs(ctx, &line); err != nil {
				return err
			}
		}
	}
	if d.c.Incident != nil {
		line.Affected = d.affectedIn(s.SID)
	}
	d.c.Sessions = append(d.c.Sessions, line)
	return nil
}

// unkept reports whether a session broke before it found anything out, and nothing
// was kept of it that could be opened, such as on a disk that was full. Of any other
// session that is a fault, which opening it tells.
func (d *writing) unkept(ended audit.Session) bool {
	if ended.Outcome == "complete" || d.fixed[ended.SID] {
		return false
	}
	_, err := evidence.Receipt(d.p.Evidence, ended.SID)
	return errors.Is(err, fs.ErrNotExist)
}

func (d *writing) affectedIn(sid [32]byte) *dossier.Affected {
	a, ok := d.affected[sid]
	if !ok && d.erased[sid] == 0 {
		return nil
	}
	if a.Identifiers == nil {
		a.Identifiers = []dossier.Tally{}
	}
	a.Erased = d.erased[sid]
	return &a
}

func (d *writing) policy(hash [32]byte) error {
	if d.policies[hash] {
		return nil
	}
	if d.policies == nil {
		d.policies = map[[32]byte]bool{}
	}
	d.policies[hash] = true
	agreed, signed, err := d.p.policyOf(hash)
	if err != nil {
		return err
	}
	d.out.Policy(agreed, signed)
	return nil
}

// proofs adds a session's matches, the openings of its affected, and audits.
func (d *writing) proofs(ctx context.Context, line *dossier.Session) error {
	sid := [32]byte(line.SID)
	people := d.people[line.SID]
	if len(people) > 0 {
		if err := d.matches(ctx, line); err != nil {
			return err
		}
		at := make([]uint64, len(people))
		for i := range people {
			at[i] = people[i].Position
		}
		d.out.Proofs(line.SID, func(w io.Writer) error { return d.p.open(ctx, w, sid, nil, at) })
	}
	for _, c := range d.req.Challenges {
		if line.Audited || !bytes.Equal(c.Session, sid[:]) {
			continue
		}
		line.Audited = true
		d.out.Audit(c, func(w io.Writer) error { return d.p.open(ctx, w, sid, c, nil) })
	}
	return nil
}

// matches adds which positions matched, if the session came that far.
func (d *writing) matches(ctx context.Context, line *dossier.Session) error {
	sid := [32]byte(line.SID)
	facts, err := d.p.Store.Manifest(ctx, sid, store.Matched)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	secrets, err := d.p.Store.Secrets(ctx, sid)
	if err != nil {
		return err
	}
	kept, err := evidence.Open(d.p.Evidence, sid)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer kept.Close()
	line.Matched = true
	d.out.Matches(line.SID, secrets.Seed, matchedPositions(kept, facts))
	return nil
}

func matchedPositions(kept *evidence.Session, facts *store.Numbers) iter.Seq2[uint64, error] {
	return func(yield func(uint64, error) bool) {
		at := uint64(0)
		for row, err := range kept.Rows() {
			if err != nil {
				yield(0, err)
				return
			}
			if row.Fact != 0 && facts.Has(row.Fact) && !yield(at, nil) {
				return
			}
			at++
		}
	}
}
