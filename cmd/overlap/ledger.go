package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/ledger"
	"github.com/overlap-psi/overlap/store"
)

type ledgerCommand struct {
	Import   ledgerImport   `cmd:"" help:"Read a file of users: what each identifier was collected for, and whether that is granted."`
	Switch   ledgerSwitch   `cmd:"" help:"Turn a user's own ads-matching switch off or on, over everything else on record."`
	Withdraw ledgerWithdraw `cmd:"" help:"Withdraw a user's consent to ads matching, for all identifiers, as of now."`
	Relabel  ledgerRelabel  `cmd:"" help:"Correct an import whose lines were never granted for ads matching. History stays: what was wrong is retracted."`
	History  ledgerHistory  `cmd:"" help:"Show all that is on record of a user, in the order of its arrival."`
	Erase    ledgerErase    `cmd:"" help:"Remove a user (GDPR Art. 17): totals of past sessions stay, and nobody can say any more that the user was in them."`
	Holds    ledgerHolds    `cmd:"" help:"List what keeps users from being erased until they have been told."`
	Unhold   ledgerUnhold   `cmd:"" help:"End a hold before its time."`
	Summary  ledgerSummary  `cmd:"" help:"Count what is on record by purpose and status."`
}

// storeFlag is the platform's store.
type storeFlag struct {
	Store string `required:"" placeholder:"URL" help:"The platform's store: sqlite:PATH or postgres://USER@HOST/DATABASE, with the password in PGPASSWORD or ~/.pgpass."`
}

// Validate is called by the parser.
func (f storeFlag) Validate() error {
	switch scheme, rest, _ := strings.Cut(f.Store, ":"); {
	case scheme == "sqlite" && rest != "", strings.HasPrefix(f.Store, "postgres://"), strings.HasPrefix(f.Store, "postgresql://"):
		return nil
	case strings.Contains(f.Store, "@"): // it may hold a password
		return errors.New("--store is no store's URL: write sqlite:PATH or postgres://USER@HOST/DATABASE")
	}
	return fmt.Errorf("--store %q is no store's URL: write sqlite:PATH or postgres://USER@HOST/DATABASE", f.Store)
}

// open opens the store, which has to be there: a slip of the pen must not make
// another, with nobody in it.
func (f storeFlag) open(ctx context.Context) (*store.DB, error) {
	if path, ok := strings.CutPrefix(f.Store, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, hint(fmt.Errorf("there is no store at %s", path), "correct --store; a new store is made by: overlap ledger import")
		}
	}
	return store.Open(ctx, f.Store)
}

// create opens the store, or makes it.
func (f storeFlag) create(ctx context.Context) (*store.DB, error) { return store.Open(ctx, f.Store) }

type ledgerImport struct {
	storeFlag
	vendorFlag   `set:"no_vendor=Without it no TCF string can be judged, and a granted line that has one is recorded as denied where it counts."`
	purposesFlag `set:"no_purposes=Default: 3,4."`
	File         string            `arg:"" help:"CSV or TSV, plain, gzip or zstd, with the columns account_id,kind,value,purpose,status,jurisdiction,collected_at and what else is known: source,ads_switch,basis,notice,surface,reference,tc_string,gpp_string,gpp_sid,us_privacy,gpc,opt_out,label; - is standard input."`
	Region       country           `help:"Country of phone numbers written without one, such as US or FR."`
	Column       map[string]string `placeholder:"NAME=FIELD" help:"What a column is, where its header does not say: the name or the number of the column, and one of those above, or ignore. May be repeated."`
	Profile      []string          `default:"email.uid2-1,phone.e164-1" help:"How values are normalised, and how hashed ones were; several profiles of a kind make a value matchable under each."`
	JSON         bool              `help:"Report as JSON."`
}

// imported is what an import reports.
type imported struct {
	ledger.Report
	Added uint64 `json:"added"` // facts that were not on record
}

func (c *ledgerImport) Run(ctx context.Context) (err error) {
	o := ledger.Options{Region: string(c.Region), Columns: c.Column}
	if err := override(&o.Terms, c.vendorFlag, c.purposesFlag); err != nil {
		return err
	}
	for _, name := range c.Profile {
		class, err := identifier.ParseClass(name)
		if err != nil {
			return usageError{fmt.Errorf("--profile: %w", err)}
		}
		o.Classes = append(o.Classes, class)
	}
	f, err := ledger.Open(c.File, o)
	if answer := (*ledger.ColumnError)(nil); errors.As(err, &answer) {
		return usageError{err}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	db, err := c.create(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	p := newProgress(c.JSON)
	defer p.done()
	added, err := putFacts(ctx, db, f, p)
	p.done()
	if err != nil {
		return err
	}
	if err := printReport(c.JSON, imported{f.Report(), added}, printImported); err != nil {
		return err
	}
	if r := f.Report(); r.Lines > 0 && r.Codes[ledger.OK] == 0 {
		return errors.New("no line of the file could be read")
	}
	return nil
}

// putFacts adds the lines of a users file to the store.
func putFacts(ctx context.Context, db *store.DB, f *ledger.File, p *progress) (added uint64, err error) {
	_, size := f.Progress()
	p.set("import", 0, uint64(size))
	return db.Put(ctx, func(yield func(store.Fact, error) bool) {
		for l, err := range f.All() {
			read, size := f.Progress()
			p.set("import", uint64(read), uint64(size))
			if !yield(store.Fact{
				AccountID: l.AccountID, Class: l.Class, Sum: l.Sum, Purpose: l.Purpose, Status: l.Status,
				Basis: l.Basis, Jurisdiction: l.Jurisdiction, CollectedAt: l.CollectedAt,
				Notice: l.Notice, Surface: l.Surface, Reference: l.Reference, Source: l.Source, Label: l.Label, SwitchedOff: l.Switch == ledger.Off,
			}, err) || err != nil {
				return
			}
		}
	})
}

func printImported(w io.Writer, r imported) {
	fmt.Fprintf(w, "%d lines, %d facts that were not on record\n", r.Lines, r.Added)
	printCodes(w, r.Codes, r.FirstLines)
	if len(r.Purposes) > 0 {
		fmt.Fprintln(w, "by purpose:")
		printCodes(w, r.Purposes, nil)
	}
	if len(r.Contradicted) > 0 {
		fmt.Fprintln(w, "granted, but a consent signal says otherwise, so recorded as denied:")
		printCodes(w, r.Contradicted, nil)
	}
	if len(r.Ignored) > 0 {
		fmt.Fprintf(w, "columns not understood, and not read: %s\n", ledger.ListColumns(r.Ignored))
	}
	fmt.Fprintf(w, "only granted ads_matching lines of accounts whose switch is on can be matched\n")
}

type ledgerSwitch struct {
	storeFlag
	Account string `arg:"" help:"The account's id."`
	State   string `arg:"" enum:"on,off" help:"on or off."`
}

func (c *ledgerSwitch) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	// The store would keep a switch for whoever comes under that id: a slip of the pen
	// would be done, and the person meant stay in every match.
	if _, err := db.History(ctx, c.Account); err != nil {
		return ofAccount(err)
	}
	return db.SetSwitch(ctx, c.Account, c.State == "off")
}

type ledgerSummary struct {
	storeFlag
	JSON bool `help:"Report as JSON."`
}

// summary is what is on record, in words.
type summary struct {
	Accounts    uint64   `json:"accounts"`
	SwitchedOff uint64   `json:"switched_off"`
	Facts       uint64   `json:"facts"` // also those that later ones replaced
	Current     []onFile `json:"current"`
}

// onFile counts what is on record now of one purpose and status.
type onFile struct {
	Purpose     string `json:"purpose"`
	Status      string `json:"status"`
	Identifiers uint64 `json:"identifiers"`
	Accounts    uint64 `json:"accounts"`
}

func (c *ledgerSummary) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	s, err := db.Summary(ctx)
	if err != nil {
		return err
	}
	out := summary{s.Accounts, s.SwitchedOff, s.Facts, []onFile{}}
	for _, n := range s.Current {
		out.Current = append(out.Current, onFile{n.Purpose.String(), n.Status.String(), n.Identifiers, n.Accounts})
	}
	return printReport(c.JSON, out, func(w io.Writer, s summary) {
		fmt.Fprintf(w, "%d accounts, %d of them switched off; %d facts\n", s.Accounts, s.SwitchedOff, s.Facts)
		for _, n := range s.Current {
			fmt.Fprintf(w, "%9d identifiers of %9d accounts  %s %s\n", n.Identifiers, n.Accounts, n.Purpose, n.Status)
		}
	})
}
