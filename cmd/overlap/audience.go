package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/overlap-psi/overlap/audit"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/store"
)

type audienceCommand struct {
	List audienceList `cmd:"" help:"List the audiences and how many accounts each has."`
	Show audienceShow `cmd:"" help:"List the accounts of an audience, one a line."`

	Delete audienceDelete `cmd:"" help:"Remove an audience. A match of its name would fill it anew; what sessions did stays on record."`
	Expire audienceExpire `cmd:"" help:"Remove the audiences that are older than so many days."`
}

type audienceList struct {
	storeFlag
	JSON bool `help:"Report as JSON."`
}

// filled is an audience as it is reported.
type filled struct {
	Name       string      `json:"name"`
	Advertiser identity.ID `json:"advertiser"`
	Accounts   uint64      `json:"accounts"`
	Created    time.Time   `json:"created"`
	Session    identity.ID `json:"session"`
}

func (c *audienceList) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	audiences, err := db.Audiences(ctx)
	if err != nil {
		return err
	}
	list := []filled{}
	for _, a := range audiences {
		list = append(list, filled{a.Name, a.Advertiser, a.Accounts, a.Created, a.Session})
	}
	return printReport(c.JSON, list, func(w io.Writer, list []filled) {
		for _, a := range list {
			fmt.Fprintf(w, "%-24s %9d accounts  advertiser %.8s…  %s\n", a.Name, a.Accounts, a.Advertiser.String(), a.Created.Format(time.RFC3339))
		}
	})
}

type audienceShow struct {
	storeFlag
	Name       string `arg:"" help:"The audience's name."`
	Advertiser string `help:"The advertiser's id, if several have an audience of that name."`
	Who        string `placeholder:"NAME" help:"Who asks. Default: this machine's user."`
	Reason     reason `default:"audience show" help:"Why. It goes into the access log, with your name and how many accounts you read."`
	JSON       bool   `help:"Report as JSON."`
}

func (c *audienceShow) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	a, err := findAudience(ctx, db, c.Name, c.Advertiser)
	if err != nil {
		return err
	}
	reader := readerFlags{c.Who, c.Reason}.reader()
	entries, err := logbook.Entries(time.Now(), audit.Access{Who: reader.Who, Reason: reader.Reason, What: "audience", Rows: a.Accounts, SID: (*audit.Hash)(&a.Session)})
	if err != nil {
		return err
	}
	if err := db.Record(ctx, entries...); err != nil {
		return err
	}
	return c.print(ctx, db, a)
}

// findAudience returns the one audience that is meant.
func findAudience(ctx context.Context, db *store.DB, name, advertiser string) (found store.Audience, err error) {
	audiences, err := db.Audiences(ctx)
	if err != nil {
		return found, err
	}
	n := 0
	for _, a := range audiences {
		if a.Name == name && (advertiser == "" || identity.ID(a.Advertiser).String() == advertiser) {
			found, n = a, n+1
		}
	}
	switch n {
	case 0:
		return found, hint(errors.New("there is no audience of that name"), "overlap audience list shows those there are")
	case 1:
		return found, nil
	}
	return found, usageError{errors.New("several advertisers have an audience of that name; say which with --advertiser ID")}
}

// print writes the accounts as they come from the store.
func (c *audienceShow) print(ctx context.Context, db *store.DB, a store.Audience) error {
	w := bufio.NewWriter(os.Stdout)
	if c.JSON {
		head, err := json.Marshal(filled{a.Name, a.Advertiser, a.Accounts, a.Created, a.Session})
		if err != nil {
			return err
		}
		fmt.Fprintf(w, `%s,"account_ids":[`, head[:len(head)-1])
	}
	first := true
	for id, err := range db.AudienceAccounts(ctx, a.Advertiser, a.Name) {
		if err != nil {
			return err
		}
		if !c.JSON {
			fmt.Fprintln(w, id)
			continue
		}
		text, err := json.Marshal(id)
		if err != nil {
			return err
		}
		if !first {
			fmt.Fprint(w, ",")
		}
		first = false
		fmt.Fprintf(w, "%s", text)
	}
	if c.JSON {
		fmt.Fprintln(w, "]}")
	}
	return w.Flush()
}

type audienceDelete struct {
	storeFlag
	Name       string `arg:"" help:"The audience's name."`
	Advertiser string `help:"The advertiser's id, if several have an audience of that name."`
}

func (c *audienceDelete) Run(ctx context.Context) (err error) {
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	a, err := findAudience(ctx, db, c.Name, c.Advertiser)
	if err != nil {
		return err
	}
	_, err = db.DeleteAudience(ctx, a.Advertiser, a.Name)
	return err
}

type audienceExpire struct {
	storeFlag
	Days int `required:"" help:"Audiences filled longer ago than so many days go; 0: all."`
}

func (c *audienceExpire) Run(ctx context.Context) (err error) {
	if c.Days < 0 {
		return usageError{errors.New("--days is negative")}
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	n, err := db.ExpireAudiences(ctx, time.Now().AddDate(0, 0, -c.Days))
	if err != nil {
		return err
	}
	fmt.Printf("%d audiences removed\n", n)
	return nil
}
