package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/overlap-psi/overlap/consent"
	"github.com/overlap-psi/overlap/store"
)

// withdrawSource is where a withdrawal by this command is said to come from.
const withdrawSource = "overlap ledger withdraw"

type ledgerWithdraw struct {
	storeFlag
	Account string `arg:"" help:"The account's id."`
}

func (c *ledgerWithdraw) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	n, err := db.Withdraw(ctx, c.Account, withdrawSource)
	if err != nil {
		return ofAccount(err)
	}
	fmt.Printf("%d facts added: what was granted for ads_matching is withdrawn\n", n)
	return nil
}

type ledgerRelabel struct {
	storeFlag
	Source string `required:"" help:"The source whose facts are mislabelled, as imported."`
	Notice string `help:"Only those under this notice."`
	To     string `required:"" placeholder:"PURPOSE" help:"What the identifiers were collected for in truth, such as account_security_2fa."`
	Since  string `placeholder:"TIME" help:"Only those collected then or later: a day, or a time as in RFC 3339."`
	Until  string `placeholder:"TIME" help:"Only those collected until then, that day included."`
	DryRun bool   `help:"Count, and change nothing."`
	JSON   bool   `help:"Report as JSON."`
}

// relabelled is what a relabelling reports.
type relabelled struct {
	Mislabelled uint64 `json:"mislabelled"` // identifiers granted for ads matching, as it seemed
	Corrected   uint64 `json:"corrected"`
}

func (c *ledgerRelabel) Run(ctx context.Context) (err error) {
	to, err := consent.ParsePurpose(c.To)
	if err != nil {
		return usageError{fmt.Errorf("--to: %w", err)}
	}
	if to == consent.AdsMatching {
		return usageError{errors.New("--to: ads_matching can't be granted after the fact; import what grants it")}
	}
	f := store.Filter{Source: c.Source, Notice: c.Notice}
	if f.Since, f.Until, err = parseTimes(c.Since, c.Until, 24*time.Hour-time.Microsecond); err != nil {
		return err
	}
	if !f.Until.IsZero() && f.Until.Before(f.Since) {
		return errNoTime
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	if err := findOrigin(ctx, db, c.Source, c.Notice); err != nil {
		return err
	}
	var r relabelled
	if r.Mislabelled, err = db.Mislabelled(ctx, f); err != nil {
		return err
	}
	if !c.DryRun {
		if r.Corrected, err = db.Relabel(ctx, f, to); err != nil {
			return err
		}
	}
	return printReport(c.JSON, r, func(w io.Writer, r relabelled) {
		fmt.Fprintf(w, "%d identifiers of that source are on record as granted for ads_matching\n", r.Mislabelled)
		if c.DryRun {
			fmt.Fprintf(w, "nothing was changed\n")
			return
		}
		fmt.Fprintf(w, "%d corrected: ads_matching retracted, %s granted as of the same moment\n", r.Corrected, to)
	})
}

var errTime = errors.New("neither a day such as 2026-01-31 nor a time such as 2026-01-31T12:00:00Z")

var errNoTime = usageError{errors.New("--until is before --since: no time is between them")}

// parseTimes reads --since and --until, of which a day counts up to as much after its
// beginning.
func parseTimes(since, until string, day time.Duration) (from, to time.Time, err error) {
	if from, err = parseTime(since, 0); err != nil {
		return from, to, usageError{fmt.Errorf("--since: %w", err)}
	}
	if to, err = parseTime(until, day); err != nil {
		return from, to, usageError{fmt.Errorf("--until: %w", err)}
	}
	return from, to, nil
}

// parseTime reads a time, or a day and what to add to its beginning in UTC; the
// empty text is no time.
func parseTime(s string, day time.Duration) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t.Add(day), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, errTime // without the text
	}
	return t, nil
}

type ledgerHistory struct {
	storeFlag
	Account string `arg:"" help:"The account's id."`
	JSON    bool   `help:"Report as JSON, one object a line."`
}

// happened is an event of an account's history in words.
type happened struct {
	Number       uint64    `json:"number"` // of arrival
	At           time.Time `json:"at"`
	Switch       string    `json:"switch,omitempty"` // "off" or "on", of an event that set it
	Class        string    `json:"class,omitempty"`
	SHA256       string    `json:"sha256,omitempty"` // of the normalised identifier
	Purpose      string    `json:"purpose,omitempty"`
	Status       string    `json:"status,omitempty"`
	Basis        string    `json:"basis,omitempty"`
	Jurisdiction string    `json:"jurisdiction,omitempty"`
	Notice       string    `json:"notice,omitempty"`
	Surface      string    `json:"surface,omitempty"`
	Reference    string    `json:"reference,omitempty"`
	Source       string    `json:"source,omitempty"`
	Label        string    `json:"label,omitempty"` // what a match may tell of the account
}

func newHappened(e *store.Event) happened {
	h := happened{Number: e.Number, At: e.At}
	r := e.Fact
	if r == nil {
		h.Switch = "on"
		if e.Off {
			h.Switch = "off"
		}
		return h
	}
	h.Class, h.SHA256 = r.Class.String(), hex.EncodeToString(r.Sum[:])
	h.Purpose, h.Status, h.Basis, h.Jurisdiction = r.Purpose.String(), r.Status.String(), r.Basis.String(), r.Jurisdiction
	h.Notice, h.Surface, h.Reference, h.Source, h.Label = r.Notice, r.Surface, r.Reference, r.Source, r.Label
	return h
}

func (c *ledgerHistory) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	events, err := db.History(ctx, c.Account)
	if err != nil {
		return ofAccount(err)
	}
	for i := range events {
		if err := printReport(c.JSON, newHappened(&events[i]), printHappened); err != nil {
			return err
		}
	}
	return nil
}

func printHappened(w io.Writer, h happened) {
	fmt.Fprintf(w, "%8d  %s  ", h.Number, h.At.Format(time.RFC3339))
	if h.Switch != "" {
		fmt.Fprintf(w, "switched %s\n", h.Switch)
		return
	}
	fmt.Fprintf(w, "%-13s  %.8s…  %s %s on %s", h.Class, h.SHA256, h.Purpose, h.Status, h.Basis)
	for _, said := range []struct{ name, text string }{
		{"in", h.Jurisdiction}, {"notice", h.Notice}, {"surface", h.Surface}, {"reference", h.Reference}, {"source", h.Source}, {"label", h.Label},
	} {
		if said.text != "" {
			fmt.Fprintf(w, ", %s %q", said.name, said.text)
		}
	}
	fmt.Fprintln(w)
}
