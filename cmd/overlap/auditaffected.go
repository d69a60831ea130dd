package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/dossier"
	"github.com/overlap-psi/overlap/evidence"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/inquiry"
	"github.com/overlap-psi/overlap/receipt"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type auditAffected struct {
	platformFlags
	predicateFlags
	readerFlags
	Grade string `enum:"exposed,matched,both" default:"both" help:"exposed: a question about them was asked; matched: they were on the list."`
	List  string `type:"path" placeholder:"FILE" help:"Write who they are, with session and record, as CSV. Its first line, before the names of the columns, is a random number: the public log may have the list's hash, which a short list could else be guessed from."`
	Tell  string `type:"path" placeholder:"FILE" help:"Write the accounts to notify, one a line."`
	JSON  bool   `help:"Report as JSON."`
}

// affected is an answer in words.
type affected struct {
	Predicate string         `json:"predicate"`
	Exposed   *gradeAffected `json:"exposed,omitempty"`
	Matched   *gradeAffected `json:"matched,omitempty"`
	Sessions  int            `json:"sessions_asked_about"`
	Elsewhere int            `json:"sessions_matches_unknown"` // about the affected, and only the advertiser learned who matched
	People    []personLine   `json:"people,omitempty"`         // with --list - only
}

type gradeAffected struct {
	Accounts    uint64            `json:"accounts"`
	Identifiers uint64            `json:"identifiers"`
	Sessions    []sessionLine     `json:"sessions"`
	Advertisers []advertiserLine  `json:"advertisers"`
	Kinds       map[string]uint64 `json:"accounts_by_kind"`
	Purposes    map[string]uint64 `json:"accounts_by_purpose"` // what held then, as is known now
	List        string            `json:"list_sha256"`
}

type sessionLine struct {
	Session    identity.ID `json:"session"`
	Advertiser identity.ID `json:"advertiser"`
	Audience   string      `json:"audience"`
	At         time.Time   `json:"at"`
	Accounts   uint64      `json:"accounts"`
	Erased     uint64      `json:"accounts_erased"` // of whom it can't be known
	Expired    bool        `json:"expired"`         // nothing can be known
}

type advertiserLine struct {
	Advertiser identity.ID `json:"advertiser"`
	Accounts   uint64      `json:"accounts"`
}

type personLine struct {
	Account   string      `json:"account"`
	Session   identity.ID `json:"session"`
	Grade     string      `json:"grade"`
	Kind      string      `json:"kind"`
	Purpose   string      `json:"recorded_purpose"`
	Basis     string      `json:"basis"`
	Notice    string      `json:"notice,omitempty"`
	Surface   string      `json:"surface,omitempty"`
	Reference string      `json:"reference,omitempty"`
	Source    string      `json:"source,omitempty"`
	Collected time.Time   `json:"collected_at"`
	Line      uint64      `json:"ledger_line"`
}

func newGrade(a *store.Answer) *gradeAffected {
	g := &gradeAffected{Accounts: a.Accounts, Identifiers: a.Identifiers, Sessions: []sessionLine{}, Advertisers: []advertiserLine{},
		Kinds: map[string]uint64{}, Purposes: map[string]uint64{}, List: fmt.Sprintf("%x", a.List)}
	for _, s := range a.Sessions {
		if s.Accounts > 0 || s.Erased.Accounts > 0 || s.Expired {
			g.Sessions = append(g.Sessions, sessionLine{s.SID, s.Advertiser, s.Audience, s.CutAt, s.Accounts, s.Erased.Accounts, s.Expired})
		}
	}
	for _, p := range a.Advertisers {
		if p.Accounts > 0 {
			g.Advertisers = append(g.Advertisers, advertiserLine{p.Advertiser, p.Accounts})
		}
	}
	for _, k := range a.Kinds {
		g.Kinds[k.Kind.String()] = k.Accounts
	}
	for _, p := range a.Purposes {
		name := "nothing held"
		if p.Purpose != 0 {
			name = p.Purpose.String()
		}
		g.Purposes[name] = p.Accounts
	}
	return g
}

func (c *auditAffected) Run(ctx context.Context) (err error) {
	q, err := c.question()
	if err != nil {
		return err
	}
	if err := c.mayCreate(); err != nil {
		return err
	}
	p, _, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	if err := findAsked(ctx, db, q); err != nil {
		return err
	}
	count, err := p.Count(ctx, q, c.reader())
	if err != nil {
		return err
	}
	a := affected{Predicate: q.Predicate.String(), Sessions: len(count.Exposed.Sessions), Elsewhere: learnedElsewhere(count.Exposed.Sessions)}
	if c.Grade != "matched" {
		a.Exposed = newGrade(&count.Exposed)
	}
	if c.Grade != "exposed" {
		a.Matched = newGrade(&count.Matched)
	}
	if c.List != "" || c.Tell != "" || c.JSON {
		people, err := p.People(ctx, q, c.reader())
		if err != nil {
			return err
		}
		if err := c.write(&a, people); err != nil {
			return err
		}
	}
	return printReport(c.JSON, a, printAffected)
}

// mayCreate looks at the files that are to be written, before anything is read.
func (c *auditAffected) mayCreate() error {
	for _, out := range []struct{ flag, file string }{{"--list", c.List}, {"--tell", c.Tell}} {
		if out.file == "" {
			continue
		}
		if err := mayCreate(out.flag, out.file); err != nil {
			return err
		}
	}
	if c.List != "" && c.List == c.Tell {
		return usageError{errors.New("--list and --tell name one file")}
	}
	return nil
}

// learnedElsewhere counts the sessions about somebody affected in which only the
// advertiser learned who matched.
func learnedElsewhere(sessions []store.SessionTally) (n int) {
	for _, s := range sessions {
		if s.Mode == client.ALearns.String() && s.Accounts > 0 {
			n++
		}
	}
	return n
}

// write writes the lists that were asked for.
func (c *auditAffected) write(a *affected, people []dossier.Person) error {
	kept := people[:0]
	for _, p := range people {
		if c.Grade != "matched" || p.Matched {
			kept = append(kept, p)
		}
	}
	if c.List != "" {
		if err := writePrivate(c.List, func(w io.Writer) error { return inquiry.WriteList(w, kept) }); err != nil {
			return err
		}
	}
	if c.Tell != "" {
		if err := writePrivate(c.Tell, func(w io.Writer) error { return writeAccounts(w, kept) }); err != nil {
			return err
		}
	}
	if !c.JSON {
		return nil
	}
	for _, p := range kept {
		grade := "exposed"
		if p.Matched {
			grade = "matched"
		}
		a.People = append(a.People, personLine{p.Account, identity.ID(p.SID), grade, p.Kind, p.Purpose, p.Basis, p.Notice, p.Surface, p.Reference, p.Source, p.Collected, p.Fact})
	}
	return nil
}

// writeAccounts writes each account once, in byte order.
func writeAccounts(w io.Writer, people []dossier.Person) error {
	var accounts []string
	for _, p := range people {
		accounts = append(accounts, p.Account)
	}
	slices.Sort(accounts)
	for _, account := range slices.Compact(accounts) {
		if _, err := fmt.Fprintln(w, account); err != nil {
			return err
		}
	}
	return nil
}

func printAffected(w io.Writer, a affected) {
	var said []string
	for _, g := range []struct {
		name string
		g    *gradeAffected
	}{{"exposed", a.Exposed}, {"matched", a.Matched}} {
		if g.g != nil {
			said = append(said, fmt.Sprintf("%d accounts %s", g.g.Accounts, g.name))
		}
	}
	fmt.Fprintf(w, "%s · %d sessions asked about\n", strings.Join(said, ", "), a.Sessions)
	if a.Elsewhere > 0 {
		fmt.Fprintf(w, "in %d sessions about them (A_LEARNS) only the advertiser learned who matched: the platform does not know, and counts none\n", a.Elsewhere)
	}
	for _, g := range []struct {
		name string
		g    *gradeAffected
	}{{"exposed", a.Exposed}, {"matched", a.Matched}} {
		if g.g == nil || len(g.g.Sessions) == 0 {
			continue
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintf(t, "\n%s\tsession\tadvertiser\taudience\tconsent judged\terased since\n", g.name)
		for _, s := range g.g.Sessions {
			if s.Expired {
				fmt.Fprintf(t, "?\t%.12s…\t%.8s…\t%s\t%s\tno longer kept\n", s.Session.String(), s.Advertiser.String(), s.Audience, s.At.Format(time.RFC3339))
				continue
			}
			fmt.Fprintf(t, "%d\t%.12s…\t%.8s…\t%s\t%s\t%d\n", s.Accounts, s.Session.String(), s.Advertiser.String(), s.Audience, s.At.Format(time.RFC3339), s.Erased)
		}
		_ = t.Flush() // to standard output, whose failure the caller sees
	}
}

type auditEvidence struct {
	platformFlags
	predicateFlags
	readerFlags
	Out       string   `required:"" type:"path" help:"The evidence file. It holds personal data of the affected."`
	Challenge []string `type:"existingfile" help:"A challenge that an auditor drew: its positions are opened in the file."`
	Partners  string   `type:"existingfile" help:"The partners file, for the advertisers' names."`
	Hold      int      `placeholder:"DAYS" help:"Keep the affected from being erased for so many days, until they have been told."`
}

func (c *auditEvidence) Run(ctx context.Context) (err error) {
	if err := mayCreate("--out", c.Out); err != nil {
		return err
	}
	req := &inquiry.Request{Names: map[identity.ID]string{}}
	if c.asked() {
		if req.Question, err = c.question(); err != nil {
			return err
		}
	}
	for _, name := range c.Challenge {
		file, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		challenge, err := evidence.ParseChallenge(file)
		if err != nil {
			return err
		}
		req.Challenges = append(req.Challenges, challenge)
	}
	if c.Partners != "" {
		partners, err := server.LoadPartners(c.Partners)
		if err != nil {
			return err
		}
		for _, p := range partners {
			req.Names[p.ID] = p.Name
		}
	}
	if c.Hold < 0 {
		return usageError{errors.New("--hold is negative")}
	}
	if c.Hold > 0 {
		req.Hold = time.Now().AddDate(0, 0, c.Hold)
	}
	p, i, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	if err := findAsked(ctx, db, req.Question); err != nil {
		return err
	}
	req.Platform = i
	var contents *dossier.Contents
	err = writePrivate(c.Out, func(w io.Writer) (err error) {
		contents, err = p.WriteDossier(ctx, w, req, c.reader())
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d sessions, %d entries of the log", filepath.Base(c.Out), len(contents.Sessions), contents.Entries)
	if contents.Incident != nil {
		fmt.Printf("; %d accounts exposed, %d matched", contents.Incident.Exposed, contents.Incident.Matched)
	}
	fmt.Printf("\ncheck it with: overlap-verify --platform %s %s\n", i.ID(), c.Out)
	return nil
}

type auditSubject struct {
	platformFlags
	readerFlags
	Account string `arg:"" help:"The account's id."`
	Proofs  string `type:"path" placeholder:"DIR" help:"Also open this account's positions, one file a session, with the receipt that audit check wants."`
	JSON    bool   `help:"Report as JSON."`
}

// subject is what a person is told.
type subject struct {
	Account   string     `json:"account"`
	Exposures []exposure `json:"sessions"`
	Expired   uint64     `json:"sessions_no_longer_kept"`
}

type exposure struct {
	Session    identity.ID `json:"session"`
	Advertiser identity.ID `json:"advertiser"`
	Audience   string      `json:"audience"`
	Mode       string      `json:"mode"`
	At         time.Time   `json:"at"`
	Matched    *bool       `json:"matched"` // null: not known to the platform
	Unknown    string      `json:"matched_unknown_because,omitempty"`
	Kind       string      `json:"kind"`
	Purpose    string      `json:"purpose"`
	Basis      string      `json:"basis"`
	Notice     string      `json:"notice,omitempty"`
	Surface    string      `json:"surface,omitempty"`
	Reference  string      `json:"reference,omitempty"`
	Source     string      `json:"source,omitempty"`
	Collected  time.Time   `json:"collected_at"`
	Line       uint64      `json:"ledger_line"`
	StillHolds bool        `json:"holds_as_known_now"`
}

func (c *auditSubject) Run(ctx context.Context) (err error) {
	p, _, db, err := c.platformFlags.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	s, err := p.Subject(ctx, c.Account, c.reader())
	if err != nil {
		return ofAccount(err)
	}
	if c.Proofs != "" {
		if err := c.prove(ctx, p, &s); err != nil {
			return err
		}
	}
	out := subject{Account: c.Account, Exposures: []exposure{}, Expired: s.Expired}
	for i := range s.Exposures {
		out.Exposures = append(out.Exposures, newExposure(&s.Exposures[i]))
	}
	return printReport(c.JSON, out, printSubject)
}

// prove writes openings and receipts into a directory that it makes.
func (c *auditSubject) prove(ctx context.Context, p *inquiry.Platform, s *store.Subject) error {
	if err := os.MkdirAll(c.Proofs, 0o700); err != nil {
		return err
	}
	return p.Prove(ctx, s, func(sid audit.Hash, r *receipt.Receipt, openings []byte) error {
		name := filepath.Join(c.Proofs, identity.ID(sid).String())
		return errors.Join(os.WriteFile(name+".openings", openings, 0o600), os.WriteFile(name+".receipt", r.Bytes(), 0o600))
	})
}

func newExposure(e *store.Exposure) exposure {
	r := &e.Record
	x := exposure{Session: e.Session.SID, Advertiser: e.Session.Peer, Audience: e.Session.Audience, Mode: e.Session.Mode, At: e.Session.CutAt,
		Kind: r.Class.Kind().String(), Purpose: r.Purpose.String(), Basis: r.Basis.String(), Notice: r.Notice, Surface: r.Surface,
		Reference: r.Reference, Source: r.Source, Collected: r.CollectedAt, Line: r.Fact}
	if x.Unknown = whyUnknown(e); x.Unknown == "" {
		x.Matched = &e.Matched
	}
	for i := range e.Now {
		x.StillHolds = x.StillHolds || e.Now[i].Purpose == r.Purpose
	}
	return x
}

// whyUnknown says why the platform does not know whether the identifier was on the
// advertiser's list, or nothing if it does.
func whyUnknown(e *store.Exposure) string {
	switch mode := e.Session.Mode; {
	case e.Matched:
		return ""
	case mode == client.ALearns.String():
		return "in this mode only the advertiser may have learned it"
	case e.Session.Found && e.Changed && (mode == client.MutualA.String() || mode == client.MutualP.String()):
		return "the ledger changed meanwhile, and of who may no longer be matched nothing is kept"
	case e.Session.Found && mode == client.MutualA.String():
		return "the advertiser learned it first, and told the platform of others only"
	case e.Session.Found:
		return ""
	case e.Session.Ended.IsZero():
		return "the session has not ended"
	case mode == client.MutualA.String():
		return "the session ended before the advertiser told what it may have learned"
	}
	return "the session ended before anything was found out"
}

// inWords says how far the session went with the identifier.
func (e *exposure) inWords() string {
	switch {
	case e.Matched == nil:
		return "whether it was on the list is not known to the platform: " + e.Unknown
	case *e.Matched:
		return "on the list"
	}
	return "asked about, not on the list"
}

func printSubject(w io.Writer, s subject) {
	fmt.Fprintf(w, "%d uses of this account's identifiers in sessions with advertisers\n", len(s.Exposures))
	for _, e := range s.Exposures {
		audience := "no audience"
		if e.Audience != "" {
			audience = "audience " + e.Audience
		}
		fmt.Fprintf(w, "%s  session %.12s…  advertiser %.8s…  %s: %s, %s\n", e.At.Format(time.RFC3339), e.Session.String(), e.Advertiser.String(), audience, e.Kind, e.inWords())
		fmt.Fprintf(w, "    on ledger line %d: %s, %s, notice %q, surface %q, source %q, collected %s\n", e.Line, e.Purpose, e.Basis, e.Notice, e.Surface, e.Source, e.Collected.Format(time.DateOnly))
		if !e.StillHolds {
			fmt.Fprintln(w, "    this has been corrected since: it should not have been used")
		}
	}
	if s.Expired > 0 {
		fmt.Fprintf(w, "of %d more sessions it is no longer kept who was in them\n", s.Expired)
	}
}
