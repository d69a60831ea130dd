package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/session"
)

type receiptCommand struct {
	Verify receiptVerify `cmd:"" help:"Check a receipt offline, with the two companies' public keys."`
	List   receiptList   `cmd:"" help:"List the sessions in the platform's store."`
	Export receiptExport `cmd:"" help:"Write the receipt of a session in the platform's store to standard output."`
}

type receiptVerify struct {
	File       string `arg:"" type:"existingfile" help:"The receipt."`
	Platform   string `help:"The platform's id; the receipt must be signed by it."`
	Advertiser string `help:"The advertiser's id; the receipt must be signed by it."`
	JSON       bool   `help:"Report as JSON."`
}

func (c *receiptVerify) Run() error {
	file, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	r, err := session.ParseReceipt(file)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	s, err := r.Verify()
	if err != nil {
		return fmt.Errorf("the receipt is not valid: %v", err) // nobody refused anything: the code means nothing here
	}
	for _, pin := range []struct {
		flag, want string
		have       identity.ID
	}{{"--platform", c.Platform, s.Platform}, {"--advertiser", c.Advertiser, s.Advertiser}} {
		if pin.want == "" {
			continue
		}
		id, err := identity.ParseID(pin.want)
		if err != nil {
			return usageError{fmt.Errorf("%s: %w", pin.flag, err)}
		}
		if id != pin.have {
			return fmt.Errorf("the receipt is signed by another company than %s names", pin.flag)
		}
	}
	return printReport(c.JSON, s, func(w io.Writer, s *session.Statement) {
		printStatement(w, s)
		if c.Platform == "" || c.Advertiser == "" {
			fmt.Fprintln(w, "Compare the two ids with those the companies gave you, or pass them as --platform and --advertiser.")
		}
	})
}

func printStatement(w io.Writer, s *session.Statement) {
	count := fmt.Sprint(s.Count)
	switch {
	case !s.Counted:
		count = "none in this mode"
	case s.Suppressed:
		count = "suppressed"
	}
	fmt.Fprintln(w, "The receipt is valid: both companies signed this.")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, line := range [][2]string{
		{"session", s.SID}, {"platform", s.Platform.String()}, {"advertiser", s.Advertiser.String()},
		{"mode", s.Mode}, {"universe", s.Universe}, {"audience", s.Audience}, {"policy", s.PolicyHash},
		{"questions", fmt.Sprint(s.Queries)}, {"table entries", fmt.Sprint(s.Entries)},
		{"consent root", s.ConsentRoot}, {"table root", s.TableRoot},
		{"ended", s.Ended.Format(time.RFC3339)}, {"count", count},
	} {
		fmt.Fprintf(t, "  %s\t%s\n", line[0], line[1])
	}
	_ = t.Flush() // to standard output, whose failure the caller sees
}

type receiptList struct {
	storeFlag
	JSON bool `help:"Report as JSON."`
}

// recorded is a session in the platform's store.
type recorded struct {
	Session    string      `json:"session"`
	Advertiser identity.ID `json:"advertiser"`
	Audience   string      `json:"audience"`
	Started    time.Time   `json:"started"`
	Ended      time.Time   `json:"ended"`
	Outcome    string      `json:"outcome"`
	Queries    uint64      `json:"queries"`
	Entries    uint64      `json:"entries"`
}

func (c *receiptList) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	list := []recorded{}
	for s, err := range db.Sessions(ctx) {
		if err != nil {
			return err
		}
		list = append(list, recorded{identity.ID(s.SID).String(), s.Peer, s.Audience, s.Started, s.Ended, s.Outcome, s.QHat, s.NHat})
	}
	return printReport(c.JSON, list, func(w io.Writer, list []recorded) {
		for _, s := range list {
			fmt.Fprintf(w, "%s  %s  %.8s…  %-20s  %s\n", s.Session, s.Ended.UTC().Format(time.RFC3339), s.Advertiser.String(), s.Audience, s.Outcome)
		}
	})
}

type receiptExport struct {
	storeFlag
	Session string `arg:"" help:"The session's id."`
}

func (c *receiptExport) Run(ctx context.Context) (err error) {
	sid, err := identity.ParseID(c.Session)
	if err != nil {
		return usageError{fmt.Errorf("a session's id is 64 hexadecimal digits")}
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	s, err := findSession(ctx, db, sid)
	if err != nil {
		return err
	}
	_, err = os.Stdout.Write(s.Receipt)
	return err
}
