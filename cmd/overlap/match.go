package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

type matchCommand struct {
	listFlags
	sourceFlag
	File     string `arg:"" help:"Customer file: CSV or TSV, plain, gzip or zstd; - is standard input."`
	Platform string `required:"" placeholder:"HOST:PORT" help:"Address of the platform's matching server."`
	Audience string `required:"" help:"Name of the audience the platform fills: 1 to 64 of a-z 0-9 . _ -"`
	Identity string `required:"" type:"path" help:"Directory of your identity, made by keygen. It also keeps the budget of questions you answer."`
	Peer     string `required:"" help:"The platform's id, as the platform gave it to you."`
	Policy   string `type:"existingfile" help:"The policy agreed with the platform, byte for byte. Default: the one that comes with Overlap."`
	Receipt  string `type:"path" help:"Where to write the receipt. Default: AUDIENCE.receipt."`
	JSON     bool   `help:"Report as JSON."`
}

func (c *matchCommand) Run(ctx context.Context) error {
	i, err := identity.Load(c.Identity)
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
	if err := c.check(agreed.Policy); err != nil {
		return err
	}
	if c.Receipt == "" {
		c.Receipt = c.Audience + ".receipt"
	}
	list, err := c.list(c.File, agreed.Policy)
	if err != nil {
		return err
	}
	defer list.Close()
	p := newProgress(c.JSON)
	defer p.done()
	report, err := match(ctx, c.Platform, c.Audience, list, client.Config{
		Identity: i, Platform: peer, Policy: agreed.Policy, Dir: filepath.Join(c.Identity, "state"), Progress: p.set,
	})
	p.done()
	if report != nil && report.Receipt != nil {
		if e := os.WriteFile(c.Receipt, report.Receipt.Bytes(), 0o600); e != nil {
			err = errors.Join(err, fmt.Errorf("write receipt: %w", e))
		}
	}
	if err != nil {
		return err
	}
	return printReport(c.JSON, report, func(w io.Writer, r *client.Report) { printMatch(w, r, c.Receipt) })
}

// match says what is about to be disclosed, and runs the session.
func match(ctx context.Context, address, name string, list *audience.List, c client.Config) (*client.Report, error) {
	fmt.Fprintf(os.Stderr, "the platform %.8s… will learn which of its consented accounts are on this list, and about how long the list is;\n"+
		"you will learn one noised count, or that it is suppressed (policy %.8x…)\n", c.Platform, c.Policy.Hash())
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

func printMatch(w io.Writer, r *client.Report, receipt string) {
	printList(w, r.List)
	for _, line := range []struct {
		n    uint64
		what string
	}{
		{r.Distinct, "different identifiers evaluated"},
		{r.Entries, "entries of the table the platform got, pads included"},
		{r.Queries, "questions the platform asked, pads included"},
		{r.BytesSent, "bytes left this machine, none of them an identifier or its hash"},
	} {
		fmt.Fprintf(w, "%9d  %s\n", line.n, line.what)
	}
	if r.Small {
		fmt.Fprintf(w, "the list has %d people, fewer than the policy asks for (hygiene.min_list): a count of so few is noise, or suppressed\n", r.People)
	}
	switch {
	case !r.Released:
		fmt.Fprintf(w, "the count is suppressed: fewer than about %d accounts matched\n", r.Tau)
	case r.Display == policy.DisplayExact.String():
		fmt.Fprintf(w, "about %d accounts matched, %s of the list (ε = %s)\n", r.Count, r.Rate, r.Epsilon)
	default:
		fmt.Fprintf(w, "about %s of the list matched (ε = %s; the policy shows no count)\n", r.Rate, r.Epsilon)
	}
	fmt.Fprintf(w, "session %s took %v; receipt: %s\n", r.Session, r.Duration.Round(time.Millisecond), receipt)
}
