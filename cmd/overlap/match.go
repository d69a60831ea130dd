package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/session"
)

type matchCommand struct {
	listFlags
	sourceFlag
	modeFlag
	tableFlags
	File     string `arg:"" help:"Customer file: CSV or TSV, plain, gzip or zstd; - is standard input."`
	Platform string `required:"" placeholder:"HOST:PORT" help:"Address of the platform's matching server."`
	Audience string `help:"Name of the audience the platform fills: 1 to 64 of a-z 0-9 . _ - Required, except in a-learns, which fills none."`
	Identity string `required:"" type:"path" help:"Directory of your identity, made by keygen. It also keeps the budget of questions you answer."`
	Peer     string `required:"" help:"The platform's id, as the platform gave it to you."`
	Policy   string `type:"existingfile" help:"The policy agreed with the platform, byte for byte. Default: the one that comes with Overlap."`
	Receipt  string `type:"path" help:"Where to write the receipt. Default: AUDIENCE.receipt; in a-learns a-learns.receipt."`
	Matches  string `type:"path" help:"Where to write the rows that matched, in every mode but p-learns: row number, the file's own id if it has one, e-mail or phone, and the platform's label under a policy with labels; an apostrophe stands before what a spreadsheet would run. Default: AUDIENCE.matches.csv; in a-learns a-learns.matches.csv."`
	DryRun   bool   `help:"Say what would be disclosed, and at most how long it would take. Nothing leaves this machine."`
	JSON     bool   `help:"Report as JSON."`
}

func (c *matchCommand) Run(ctx context.Context) error {
	i, err := loadIdentity(c.Identity)
	if err != nil {
		return err
	}
	peer, err := identity.ParseID(c.Peer)
	if err != nil {
		return usageError{fmt.Errorf("--peer: %w", err)}
	}
	agreed, err := c.agreement()
	if err != nil {
		return err
	}
	if err := c.before(i.ID(), peer, agreed.Policy); err != nil {
		return err
	}
	list, err := c.list(c.File, agreed.Policy)
	if err != nil {
		return err
	}
	defer list.Close()
	p := newProgress(c.JSON)
	defer p.done()
	conf := client.Config{
		Identity: i, Platform: peer, Policy: agreed.Policy, Dir: filepath.Join(c.Identity, "state"), Progress: p.set, Mode: c.mode(),
		Listed: func(r audience.Report) error {
			p.done()
			c.warnOfNobody(os.Stderr, r)
			return nil
		},
	}
	if err := c.tables(&conf, c.Identity); err != nil {
		return err
	}
	if c.DryRun {
		return c.dryRun(list, conf)
	}
	receipt, err := promise(c.Receipt)
	if err != nil {
		return fmt.Errorf("write receipt: %w", err)
	}
	defer receipt.drop()
	report, err := c.match(ctx, list, conf)
	p.done()
	if report != nil && report.Receipt != nil {
		if e := receipt.keep(report.Receipt.Bytes()); e != nil {
			err = errors.Join(err, hint(fmt.Errorf("write receipt: %w", e), "the platform has the same receipt: it writes it with overlap receipt export %s", report.Session))
		}
	}
	if err != nil {
		return err
	}
	return printReport(c.JSON, report, func(w io.Writer, r *client.Report) { printMatch(w, r, c.Receipt, c.Matches) })
}

// name checks the names that are given, and gives what is written those it lacks.
func (c *matchCommand) name() error {
	base := c.Audience
	switch fills := c.mode().FillsAudience(); {
	case fills && c.Audience == "":
		return usageError{errors.New("--audience is required: the platform fills an audience in this mode")}
	case fills && !session.ValidAudience(c.mode(), c.Audience):
		return usageError{errors.New("--audience: a name is 1 to 64 of a-z 0-9 . _ -")}
	case !fills && c.Audience != "":
		return usageError{errors.New("--audience: in a-learns the platform fills no audience")}
	case c.mode() == client.PLearns && c.Matches != "":
		return usageError{errors.New("--matches: in p-learns the rows that matched are not told; a-learns, mutual-a and mutual-p tell them")}
	case !fills:
		base = "a-learns"
	}
	c.Receipt, c.Matches = cmp.Or(c.Receipt, base+".receipt"), cmp.Or(c.Matches, base+".matches.csv")
	return nil
}

// match runs the session, and writes down the rows that matched where the
// advertiser learns them.
func (c *matchCommand) match(ctx context.Context, list *audience.List, conf client.Config) (*client.Report, error) {
	if conf.Mode == client.PLearns {
		return match(ctx, c.Platform, c.Audience, list, conf)
	}
	rows, err := newMatchesFile(c.Matches, c.File, list, conf.Policy.LabelLen > 0 && conf.Mode.AdvertiserAsks())
	if err != nil {
		return nil, err
	}
	defer rows.close()
	conf.Matched = rows.add
	report, err := match(ctx, c.Platform, c.Audience, list, conf)
	if err == nil {
		err = rows.finish()
	}
	return report, err
}

// warnOfNobody says that the rows of a list have nobody who may be matched, and why.
// It is no error: so an audience is emptied.
func (c *matchCommand) warnOfNobody(w io.Writer, r audience.Report) {
	if r.Rows == 0 || r.Kept.Email+r.Kept.Phone > 0 {
		return
	}
	var why []string
	for _, code := range slices.Sorted(maps.Keys(r.RowCodes)) {
		why = append(why, fmt.Sprintf("%d %s", r.RowCodes[code], string(code)))
	}
	fmt.Fprintf(w, "overlap: warning: of the list's %d rows nobody may be matched: %s\n", r.Rows, strings.Join(why, ", "))
	fmt.Fprintln(w, "overlap: hint: overlap validate shows more; under --list-consent none only what a file's consent columns say counts")
	if c.mode().FillsAudience() && !c.DryRun {
		fmt.Fprintf(w, "the match goes on, and leaves the audience %s empty\n", c.Audience)
	}
}

// dryRun reads the list and stops before anything is sent.
func (c *matchCommand) dryRun(list *audience.List, conf client.Config) error {
	printDisclosure(os.Stderr, conf)
	for _, err := range list.All() {
		if err != nil {
			return err
		}
	}
	c.warnOfNobody(os.Stderr, list.Report())
	kept := list.Report().Kept
	return printReport(c.JSON, newEstimate(conf.Mode, kept.Email+kept.Phone, conf.Policy), printEstimate)
}

// match says what is about to be disclosed, and runs the session.
func match(ctx context.Context, address, name string, list *audience.List, c client.Config) (*client.Report, error) {
	printDisclosure(os.Stderr, c)
	conn, err := client.Dial(address, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	m, err := client.New(conn, c)
	if err != nil {
		return nil, err
	}
	return m.Match(ctx, name, list)
}

// agreement loads the policy, and says who signed it if somebody has.
func (c *matchCommand) agreement() (agreement, error) {
	if c.Policy == "" {
		return agreement{Policy: policy.Default()}, nil
	}
	a, err := loadAgreement(c.Policy)
	if err == nil && a.signed != nil {
		fmt.Fprintf(os.Stderr, "policy %.8x… is signed by %s\n", a.Hash(), short(a.signers()))
	}
	return a, err
}

// loadPolicy loads the policy at path, and the default one if there is no path.
// Signatures beside it must be valid.
func loadPolicy(path string) (*policy.Policy, error) {
	if path == "" {
		return policy.Default(), nil
	}
	a, err := loadAgreement(path)
	return a.Policy, err
}

func printMatch(w io.Writer, r *client.Report, receipt, matches string) {
	printList(w, r.List)
	evaluated, got, asked := "different identifiers evaluated", "entries of the table the platform got", "questions the platform asked"
	if r.Mode == client.ALearns.String() || r.Mode == client.MutualA.String() {
		evaluated, got, asked = "different identifiers asked about", "entries of the platform's table", "questions asked of the platform"
	}
	for _, line := range []struct {
		n    uint64
		what string
	}{
		{r.Distinct, evaluated},
		{r.Entries, got + ", pads included"},
		{r.Queries, asked + ", pads included"},
		{r.BytesSent, "bytes left this machine, none of them an identifier or its hash"},
	} {
		fmt.Fprintf(w, "%9d  %s\n", line.n, line.what)
	}
	if r.Small && r.Matched == nil {
		fmt.Fprintf(w, "the list has %d people, fewer than the policy asks for (hygiene.min_list): a count of so few is noise, or suppressed\n", r.People)
	}
	switch {
	case r.Matched != nil:
		printRate(w, r.Matched.Email, r.List.Kept.Email, "e-mails")
		printRate(w, r.Matched.Phone, r.List.Kept.Phone, "phones")
		if n := r.Matched.Unreadable; n > 0 {
			fmt.Fprintf(w, "%9d  of their labels can't be read: the platform has spoiled them, and does not know which\n", n)
		}
		fmt.Fprintf(w, "the rows that matched: %s\n", matches)
	case !r.Released:
		fmt.Fprintf(w, "the count is suppressed: fewer than about %d accounts matched\n", r.Tau)
	case r.Display == policy.DisplayExact.String():
		fmt.Fprintf(w, "about %d accounts matched, %s of the list (ε = %s)\n", r.Count, r.Rate, r.Epsilon)
	default:
		fmt.Fprintf(w, "about %s of the list matched (ε = %s; the policy shows no count)\n", r.Rate, r.Epsilon)
	}
	fmt.Fprintf(w, "session %s took %v; receipt: %s\n", r.Session, r.Duration.Round(time.Millisecond), receipt)
}

// printRate says how many of a kind matched.
func printRate(w io.Writer, matched, of uint64, kind string) {
	if of > 0 {
		fmt.Fprintf(w, "%9d  of %d %s matched (%.1f %%)\n", matched, of, kind, 100*float64(matched)/float64(of))
	}
}
