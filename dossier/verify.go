package dossier

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/internal/sentence"
	"github.com/overlap-psi/overlap/policy"
)

// Trust is what a verifier brings; nothing of it may come with the file.
type Trust struct {
	Platform    identity.ID   // exchanged out of band
	Advertisers []identity.ID // if there are any, no session with another one passes
	Checkpoints [][]byte      // older ones of the log, which it has to extend
	Witnesses   audit.Quorum
	Challenges  []*evidence.Challenge // those that the verifier knows: they have to be answered, as they are
}

// challenge returns the one known of a session, nil if there is none.
func (t *Trust) challenge(sid audit.Hash) *evidence.Challenge {
	for _, c := range t.Challenges {
		if bytes.Equal(c.Session, sid[:]) {
			return c
		}
	}
	return nil
}

// Report is what Verify found. Every check that was made is in it; those of single
// sessions are made if all is well until then.
type Report struct {
	Contents *Contents          `json:"contents"`
	Checks   []Check            `json:"checks"`
	Audits   []*evidence.Report `json:"audits,omitempty"`
}

// Check is one thing that was checked; Problem is empty if all is well.
type Check struct {
	What    string `json:"what"`
	Problem string `json:"problem,omitempty"`
}

// Err returns nil if nothing was found wrong.
func (r *Report) Err() error {
	for _, c := range r.Checks {
		if c.Problem != "" {
			return fmt.Errorf("dossier: %s: %s", c.What, c.Problem)
		}
	}
	return nil
}

// Verify checks a dossier. An error is a file that cannot be read as one, or was
// not signed by the platform; otherwise see the Report's Err. Memory grows with
// the number of affected identifiers, not with the sessions.
func Verify(r io.ReaderAt, size int64, trust *Trust) (*Report, error) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil, errDossier
	}
	v := &verifier{files: archive, trust: trust, report: new(Report)}
	if err := v.open(); err != nil {
		return nil, err
	}
	v.check("every file is the one that the platform signed for", v.sums)
	v.check("the summary says what the contents say", v.summary)
	v.check("the log only grew, and is signed by the platform", v.log)
	v.check("the policies admit advertising and nothing else", v.policies)
	v.check("the sessions are those of the log, all of them", v.sessions)
	if v.report.Contents.Incident != nil {
		v.check("the list of the affected is the one that was logged, and adds up", v.affected)
	}
	if v.report.Err() != nil {
		return v.report, nil // what the sessions would be held against can't be relied on
	}
	for i := range v.report.Contents.Sessions {
		v.session(&v.report.Contents.Sessions[i])
	}
	if len(trust.Challenges) > 0 {
		v.check("every challenge given is answered", v.answered)
	}
	return v.report, nil
}

// verifier is one run of Verify.
type verifier struct {
	files  *zip.Reader
	trust  *Trust
	report *Report

	snapshots map[audit.Hash]audit.Snapshot
	matched   map[audit.Hash]audit.Matched
	ended     []audit.Session
	incidents map[audit.Hash]audit.Incident
	erased    map[[32]byte]erasure
	agreed    map[audit.Hash]*policy.Policy
	people    map[audit.Hash]map[uint64]*Person // by session and position

	key  note.Verifier // of the log
	tree *audit.Tree
}

// erasure is when a leaf was closed, by the log's time and by its place in the log.
type erasure struct {
	logged time.Time
	entry  int64
}

func (v *verifier) check(what string, f func() error) {
	c := Check{What: what}
	if err := f(); err != nil {
		c.Problem = sentence.Of(err)
	}
	v.report.Checks = append(v.report.Checks, c)
}

// maxContents bounds the files that are read whole, in bytes.
const maxContents = 64 << 20

func (v *verifier) read(name string) ([]byte, error) {
	f, err := v.files.Open(name)
	if err != nil {
		return nil, fmt.Errorf("dossier: %s is missing", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxContents+1))
	if err != nil || len(b) > maxContents {
		return nil, fmt.Errorf("dossier: %s cannot be read", name)
	}
	return b, nil
}

// open reads the contents and checks who signed.
func (v *verifier) open() error {
	text, err := v.read(contentsName)
	if err != nil {
		return err
	}
	c := new(Contents)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(c); err != nil || c.Format != Format {
		return errDossier
	}
	v.report.Contents = c
	if len(c.Key) != ed25519.PublicKeySize || c.Platform != sha256.Sum256(c.Key) || c.Platform != v.trust.Platform {
		return errors.New("dossier: it is of another platform than the one asked about")
	}
	key, err := audit.NewVerifier(c.Log, c.Key)
	if err != nil {
		return errDossier
	}
	sums, err := v.read(sumsName)
	if err != nil {
		return err
	}
	signed, err := v.read(sigName)
	if err != nil {
		return err
	}
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil || n.Text != sumsText(sums) {
		return errors.New("dossier: it is not signed by the platform")
	}
	return nil
}

// sums compares every file with the signed list, and the list with the files.
func (v *verifier) sums() error {
	list, err := v.read(sumsName)
	if err != nil {
		return err
	}
	want := map[string]string{}
	for line := range strings.Lines(string(list)) {
		sum, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		if !ok || want[name] != "" {
			return errDossier
		}
		want[name] = sum
	}
	seen := map[string]bool{}
	for _, f := range v.files.File {
		if f.Name == sumsName || f.Name == sigName {
			continue
		}
		if seen[f.Name] || want[f.Name] == "" {
			return errors.New("a file is there twice, or was not signed for")
		}
		seen[f.Name] = true
		sum, err := sumOf(f)
		if err != nil || sum != want[f.Name] {
			return errors.New("a file was changed")
		}
	}
	if len(seen) != len(want) {
		return errors.New("a file is missing")
	}
	return nil
}

func sumOf(f *zip.File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

func (v *verifier) summary() error {
	got, err := v.read(summaryName)
	if err != nil {
		return err
	}
	var want bytes.Buffer
	if err := writeSummary(&want, v.report.Contents); err != nil {
		return err
	}
	if !bytes.Equal(got, want.Bytes()) {
		return errors.New("it says something else; was it written by another version?")
	}
	return nil
}

// log verifies the log and takes from it what the other checks need.
func (v *verifier) log() error {
	c := v.report.Contents
	folder, err := fs.Sub(v.files, strings.TrimSuffix(logDir, "/"))
	if err != nil {
		return err
	}
	if v.key, err = audit.NewVerifier(c.Log, c.Key); err != nil {
		return err
	}
	found, err := audit.Verify(folder, audit.Expect{Log: v.key, Kept: v.trust.Checkpoints, Quorum: v.trust.Witnesses, Content: audit.PublicEvents})
	if err != nil {
		return err
	}
	if found.Size != c.Entries {
		return errors.New("it has another number of entries than the contents say")
	}
	if v.tree, err = audit.Read(folder, v.key, v.trust.Witnesses); err != nil {
		return err
	}
	v.snapshots, v.matched = map[audit.Hash]audit.Snapshot{}, map[audit.Hash]audit.Matched{}
	v.incidents, v.erased = map[audit.Hash]audit.Incident{}, map[[32]byte]erasure{}
	index := int64(0)
	for entry, err := range v.tree.Entries(0) {
		if err != nil {
			return err
		}
		if err := v.event(entry, index); err != nil {
			return err
		}
		index++
	}
	return nil
}

func (v *verifier) event(entry []byte, index int64) error {
	e, err := audit.ParseEvent(entry)
	if err != nil {
		return err
	}
	switch b := e.Body.(type) {
	case audit.Snapshot:
		if _, twice := v.snapshots[b.SID]; twice {
			return errors.New("a session has two snapshots")
		}
		v.snapshots[b.SID] = b
	case audit.Matched:
		if _, twice := v.matched[b.SID]; twice {
			return errors.New("the matches of a session were fixed twice")
		}
		v.matched[b.SID] = b
	case audit.Session:
		v.ended = append(v.ended, b)
	case audit.Incident:
		v.incidents[b.ID] = b
	case audit.Erasure:
		for _, closed := range b.Closed {
			for _, leaf := range closed.Leaves {
				if _, twice := v.erased[leaf]; !twice {
					v.erased[leaf] = erasure{e.Time, index}
				}
			}
		}
	}
	return nil
}

func (v *verifier) policies() error {
	v.agreed = map[audit.Hash]*policy.Policy{}
	for _, s := range v.report.Contents.Sessions {
		if v.agreed[s.Policy] != nil {
			continue
		}
		document, err := v.read(policyName(s.Policy))
		if err != nil {
			return err
		}
		p, err := policy.Parse(document)
		if err != nil {
			return err
		}
		if p.Hash() != s.Policy {
			return errors.New("a policy is not the one it is called")
		}
		if signed, err := v.read(policyName(s.Policy) + policy.SignedSuffix); err == nil {
			if _, err := policy.VerifySignatures(p, signed); err != nil {
				return err
			}
		}
		v.agreed[s.Policy] = p
	}
	return nil
}

// sessions compares the contents with what the log says of sessions.
func (v *verifier) sessions() error {
	list := v.report.Contents.Sessions
	if len(list) != len(v.ended) {
		return errors.New("the log has another number of sessions")
	}
	for i, s := range list {
		b := v.ended[i]
		snapshot, cut := v.snapshots[s.SID]
		switch {
		case b.SID != s.SID || b.Outcome != s.Outcome || b.Mode != s.Mode || identity.ID(b.Partner) != s.Advertiser:
			return errors.New("the log says something else of a session")
		case !cut || snapshot.Policy != s.Policy || snapshot.ConsentSize != s.Asked:
			return errors.New("a session's snapshot or policy is another one in the log")
		case len(v.trust.Advertisers) > 0 && !slices.Contains(v.trust.Advertisers, s.Advertiser):
			return errors.New("a session was with an advertiser who is not among those given")
		}
	}
	if len(v.snapshots) < len(list) {
		return errors.New("a session is there twice")
	}
	return nil
}

// answered reports whether the file has an audit for each challenge given. That it is
// the same challenge, the audit's own check says.
func (v *verifier) answered() error {
	for _, c := range v.trust.Challenges {
		if !slices.ContainsFunc(v.report.Contents.Sessions, func(s Session) bool { return s.Audited && bytes.Equal(c.Session, s.SID[:]) }) {
			return errors.New("the session of one has no audit in this file")
		}
	}
	return nil
}

// affected reads the list of people and counts it again.
func (v *verifier) affected() error {
	c := v.report.Contents
	logged, ok := v.incidents[c.Incident.ID]
	if !ok || logged.Predicate != sha256.Sum256([]byte(c.Incident.Predicate)) {
		return errors.New("the question was not logged")
	}
	f, err := v.files.Open(affectedName)
	if err != nil {
		return errAffected
	}
	defer f.Close()
	sum := sha256.New()
	v.people = map[audit.Hash]map[uint64]*Person{}
	placed := map[audit.Hash]bool{}
	for i := range c.Sessions {
		placed[c.Sessions[i].SID] = c.Sessions[i].Signed && !c.Sessions[i].advertiserAsks()
	}
	t := newCount()
	in := io.TeeReader(bufio.NewReader(f), sum)
	for p, err := range readAffected(in) {
		if err != nil {
			return errAffected
		}
		if v.people[p.SID] == nil {
			v.people[p.SID] = map[uint64]*Person{}
		}
		at := p.Position
		if !placed[p.SID] { // there are no positions then
			at = uint64(len(v.people[p.SID]))
		}
		if v.people[p.SID][at] != nil {
			return errors.New("a position is there twice")
		}
		v.people[p.SID][at] = &p
		t.add(&p)
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if audit.Hash(sum.Sum(nil)) != logged.Affected {
		return errors.New("it is not the list whose hash was logged")
	}
	return t.compare(c)
}
