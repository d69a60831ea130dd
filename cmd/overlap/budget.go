package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type budgetCommand struct {
	Show budgetShow `cmd:"" help:"Show what has been used in each epoch, and what is left. An advertiser names --journal, a platform --store."`
}

type budgetShow struct {
	Store    string `placeholder:"sqlite:PATH" xor:"side" help:"The platform's store."`
	Journal  string `type:"existingdir" placeholder:"DIR" xor:"side" help:"The advertiser's journal: the directory state in that of its identity."`
	Partners string `type:"existingfile" placeholder:"FILE" help:"The platform's partners file, for names and limits."`
	Policy   string `type:"existingfile" placeholder:"FILE" help:"The advertiser's policy, for limits. Default: the one that comes with Overlap."`
	JSON     bool   `help:"Report as JSON."`
}

// used is a budget as it is reported. Limit, Left and the times are of the policy
// that is agreed now, and are left out where none is known.
type used struct {
	Company  identity.ID `json:"company"`
	Name     string      `json:"name,omitempty"`
	Universe string      `json:"universe,omitempty"` // of releases
	Epoch    uint64      `json:"epoch"`
	Begins   time.Time   `json:"begins,omitzero"`
	Ends     time.Time   `json:"ends,omitzero"`
	What     string      `json:"what"` // "releases", "evaluations"
	Used     uint64      `json:"used"`
	Limit    *uint64     `json:"limit,omitempty"`
	Left     *uint64     `json:"left,omitempty"`
}

func (c *budgetShow) Run(ctx context.Context) error {
	list, err := c.list(ctx)
	if err != nil {
		return err
	}
	return printReport(c.JSON, list, printBudgets)
}

func (c *budgetShow) list(ctx context.Context) ([]used, error) {
	switch {
	case c.Journal == "" && c.Store == "":
		return nil, usageError{errors.New("budget show needs --journal, an advertiser's, or --store, a platform's")}
	case c.Journal != "" && c.Partners != "":
		return nil, usageError{errors.New("--partners goes with --store")}
	case c.Store != "" && c.Policy != "":
		return nil, usageError{errors.New("--policy goes with --journal; a platform's policies are in its --partners file")}
	case c.Journal != "":
		return c.ofJournal()
	}
	if err := (storeFlag{c.Store}).Validate(); err != nil {
		return nil, usageError{err}
	}
	return c.ofStore(ctx)
}

// ofJournal is what platforms have asked about an advertiser's lists.
func (c *budgetShow) ofJournal() ([]used, error) {
	agreed, err := loadPolicy(c.Policy)
	if err != nil {
		return nil, err
	}
	budgets, err := client.Budgets(c.Journal)
	if err != nil {
		return nil, err
	}
	list := []used{}
	for _, b := range budgets {
		u := used{Company: b.Platform, Epoch: b.Epoch, What: store.Queries.String(), Used: b.Queries}
		u.under(agreed, agreed.MaxEvaluations)
		list = append(list, u)
	}
	return list, nil
}

// ofStore is what a platform has charged to its partners.
func (c *budgetShow) ofStore(ctx context.Context) (list []used, err error) {
	partners := map[identity.ID]server.Partner{}
	if c.Partners != "" {
		loaded, err := server.LoadPartners(c.Partners)
		if err != nil {
			return nil, err
		}
		for _, p := range loaded {
			if p.Policy == nil {
				p.Policy = policy.Default()
			}
			partners[p.ID] = p
		}
	}
	db, err := storeFlag{c.Store}.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(db, &err)
	list = []used{}
	for b, err := range db.Budgets(ctx) {
		if err != nil {
			return nil, err
		}
		u := used{Company: b.Party, Universe: b.Universe, Epoch: b.Epoch, What: b.Kind.String(), Used: b.Spent}
		if p, ok := partners[b.Party]; ok {
			u.Name = p.Name
			u.under(p.Policy, limitOf(p.Policy, b.Kind))
		}
		list = append(list, u)
	}
	return list, nil
}

func limitOf(p *policy.Policy, kind store.BudgetKind) uint64 {
	if kind == store.Releases {
		return p.MaxReleases
	}
	return p.MaxEvaluations
}

// under fills in what a policy says of the budget.
func (u *used) under(p *policy.Policy, limit uint64) {
	left := limit - min(limit, u.Used)
	u.Limit, u.Left = &limit, &left
	begins := time.Unix(int64(u.Epoch*p.EpochSeconds), 0).UTC()
	if p.Epoch(begins) == u.Epoch { // else the number is of no time
		u.Begins, u.Ends = begins, begins.Add(time.Duration(p.EpochSeconds)*time.Second)
	}
}

func printBudgets(w io.Writer, list []used) {
	if len(list) == 0 {
		fmt.Fprintln(w, "nothing has been charged")
	}
	for _, u := range list {
		fmt.Fprintf(w, "%.8s…  %-16s epoch %d", u.Company, u.Name, u.Epoch)
		if !u.Begins.IsZero() {
			fmt.Fprintf(w, " (until %s)", u.Ends.Format(time.RFC3339))
		}
		fmt.Fprintf(w, "  %d %s", u.Used, u.What)
		if u.Universe != "" {
			fmt.Fprintf(w, " of %s", u.Universe)
		}
		if u.Limit != nil {
			fmt.Fprintf(w, " of %d, %d left", *u.Limit, *u.Left)
		}
		fmt.Fprintln(w)
	}
}
