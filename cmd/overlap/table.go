package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/epoch"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/logbook"
	"github.com/overlap-psi/overlap/server"
)

type tableCommand struct {
	Build tableBuild `cmd:"" aliases:"rotate" help:"Make and publish the next table for each policy that lists A_LEARNS or MUTUAL_A. A server that runs goes on with it, and answers under the one before for its grace."`
}

type tableBuild struct {
	storeFlag
	Identity string        `required:"" type:"path" help:"Directory of the platform's identity."`
	Partners string        `required:"" type:"path" help:"The partners file of serve: it names the policies."`
	Dir      string        `type:"path" help:"The private directory of serve. Default: IDENTITY/work."`
	Grace    time.Duration `default:"1h" help:"How long a table is answered under after its epoch, and after the next one is there."`
}

func (c *tableBuild) Run(ctx context.Context) (err error) {
	if c.Grace < 0 {
		return usageError{fmt.Errorf("--grace %v: it is negative", c.Grace)}
	}
	i, err := identity.Load(c.Identity)
	if err != nil {
		return err
	}
	partners, err := server.LoadPartners(c.Partners)
	if err != nil {
		return err
	}
	policies := server.Asked(partners)
	if len(policies) == 0 {
		return usageError{server.ErrNobodyAsks}
	}
	db, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer closing(db, &err)
	if c.Dir == "" {
		c.Dir = filepath.Join(c.Identity, "work")
	}
	book, err := logbook.Open(server.LogsDir(c.Dir), i, db)
	if err != nil {
		return err
	}
	shelf, err := epoch.Open(epoch.Config{Identity: i, Store: db, Book: book, Dir: c.Dir, Grace: c.Grace, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shelf.Close()) }()
	for _, p := range policies {
		m, err := shelf.Rotate(ctx, p)
		if err != nil {
			return err
		}
		fmt.Printf("%x  %d entries, pads included, until %s\n", m.TableID, m.Entries, m.NotAfter.UTC().Format(time.RFC3339))
		if p.Witnesses > 0 {
			fmt.Fprintf(os.Stderr, "it waits for witnesses to cosign the log, of whom the policy asks for %d: overlap audit request DIR, and when they have answered overlap audit publish DIR; serve publishes it then\n", p.Witnesses)
		}
	}
	return nil
}

// tendEvery is how often a server looks whether a table's time is over, or whether
// one that waits has its witnesses.
const tendEvery = 5 * time.Second

// tend replaces published tables when their epoch ends, and at rotateSignal. It
// closes done when ctx is over and nothing is being built any more.
func (p *platform) tend(ctx context.Context) (done <-chan struct{}) {
	ended, now := make(chan struct{}), make(chan os.Signal, 1)
	if len(rotateSignal) > 0 {
		signal.Notify(now, rotateSignal...)
	}
	go func() {
		defer close(ended)
		defer signal.Stop(now)
		ticker := time.NewTicker(tendEvery)
		defer ticker.Stop()
		said := saidOnce{log: p.log, wrong: "published tables not tended; said once, and tried again and again", right: "published tables tended again"}
		for {
			if err := p.server.Tend(ctx); ctx.Err() == nil {
				said.result(err)
			}
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			case <-now:
				if err := p.server.Publish(ctx); err != nil && ctx.Err() == nil {
					p.log.Error("no table published", "error", err)
				}
			}
		}
	}()
	return ended
}

// saidOnce logs what stays wrong when it begins and when it is right again, and not
// at each attempt.
type saidOnce struct {
	log          *slog.Logger
	wrong, right string
	last         string
}

func (o *saidOnce) result(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == o.last:
	case err != nil:
		o.log.Error(o.wrong, "error", text)
	default:
		o.log.Info(o.right)
	}
	o.last = text
}

// tableFlags say whether a session is about a published table.
type tableFlags struct {
	witnessFlag
	Table      string `enum:"session,published" default:"session" help:"In a-learns and mutual-a: session (the platform makes a table for this session) or published (the one it has published for this epoch; fetched once, kept until it expires)."`
	Tables     string `type:"path" help:"Where to keep published tables. Default: IDENTITY/tables."`
	TablesFrom string `type:"existingdir" help:"Directory with a copy of what the platform has published. Default: the platform sends it."`
}

// tables makes the client's configuration of them.
func (f *tableFlags) tables(c *client.Config, identity string) error {
	switch {
	case f.Table != "published" && (f.Tables+f.TablesFrom != "" || len(f.Witness) > 0):
		return usageError{errors.New("--tables, --tables-from and --witness are for --table published")}
	case f.Table != "published":
		return nil
	case !c.Mode.AdvertiserAsks():
		return usageError{errors.New("--table published is for a-learns and mutual-a")}
	}
	if f.Tables == "" {
		f.Tables = filepath.Join(identity, "tables")
	}
	c.Tables, c.TablesFrom = f.Tables, f.TablesFrom
	var err error
	if c.Witnesses, err = f.keys(); err != nil {
		return err
	}
	if n := c.Policy.Witnesses; uint64(len(c.Witnesses)) < n {
		return usageError{fmt.Errorf("the policy asks for the cosignatures of %d witnesses: name their keys with --witness", n)}
	}
	return nil
}
