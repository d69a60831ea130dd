package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/ledger"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/server"
	"github.com/overlap-psi/overlap/store"
)

type demoCommands struct {
	Match    demoCommand  `cmd:"" default:"withargs" help:"A match, checked against the plain files."`
	Incident demoIncident `cmd:"" help:"A mislabelled import is found out after three sessions: who was affected, and how many?"`
}

type demoCommand struct {
	Dir   string `default:"overlap-demo" type:"path" help:"Where the files of both companies go. It must not exist, or be an earlier demo's."`
	Rows  int    `default:"20000" help:"Rows of the advertiser's file."`
	Users int    `default:"100000" help:"Accounts of the platform."`
	modeFlag
}

// The demo's files, by company.
const (
	demoCustomers = "advertiser/customers.csv"
	demoUsers     = "platform/users.csv"
	demoStore     = "platform/users.db"
	demoPolicy    = "policy.toml"
	demoReceipt   = "advertiser/spring.receipt"
	demoMatches   = "advertiser/spring.matches.csv"
	demoMarker    = ".overlap-demo"
	demoAudience  = "spring"
)

// Run is the whole story of two companies, in one process but over real mutual
// TLS: the same code that serve and match run.
func (c *demoCommand) Run(ctx context.Context) error {
	if c.Rows < 1 || c.Users < 1 {
		return usageError{errors.New("--rows and --users must be at least 1")}
	}
	agreed, err := c.prepare()
	if err != nil {
		return err
	}
	advertiser, platform, err := c.companies()
	if err != nil {
		return err
	}
	db, err := store.Open(ctx, "sqlite:"+c.path(demoStore))
	if err != nil {
		return err
	}
	defer closing(db, &err)

	fmt.Printf("== platform: overlap ledger import %s --store sqlite:%s\n", c.path(demoUsers), c.path(demoStore))
	if err := c.importUsers(ctx, db); err != nil {
		return err
	}
	log, err := os.OpenFile(c.path("platform/serve.log"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	p, err := startPlatform("127.0.0.1:0", server.Config{
		Identity: platform, Store: db, Dir: c.path("platform/work"),
		Partners: []server.Partner{{Name: "advertiser", ID: advertiser.ID(), Policy: agreed}},
		Log:      slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		return err
	}
	defer p.stop()
	fmt.Printf("== platform: overlap serve … --listen %s\n", p.addr)

	as := ""
	if c.mode().FillsAudience() {
		as = " --audience " + demoAudience
	}
	fmt.Printf("== advertiser: overlap match %s --mode %s --platform %s%s …\n", c.path(demoCustomers), c.Mode, p.addr, as)
	report, err := c.match(ctx, p.addr.String(), advertiser, platform.ID(), agreed)
	if err != nil {
		return err
	}
	printMatch(os.Stdout, report, c.path(demoReceipt), c.path(demoMatches))
	return c.compare(ctx, db, advertiser.ID())
}

func (c *demoCommand) path(name string) string { return filepath.Join(c.Dir, name) }

// prepare makes the demo's folder, files and policy anew.
func (c *demoCommand) prepare() (*policy.Policy, error) {
	if err := freshDemo(c.Dir, "advertiser", "platform"); err != nil {
		return nil, err
	}
	// Nobody wants to wait to see it work; companies do not share the second.
	document := strings.Replace(string(policy.Default().Bytes()), "\nrelease_step = 10\n", "\nrelease_step = 1\n", 1)
	if mode := c.mode(); mode != client.PLearns {
		document = strings.Replace(document, `"P_LEARNS"]`, fmt.Sprintf(`"P_LEARNS", "%v"]`, mode), 1)
	}
	agreed, err := policy.Parse([]byte(document))
	if err != nil {
		return nil, err
	}
	cast := newCast(c.Rows, c.Users)
	return agreed, errors.Join(
		writeFile(c.path(demoPolicy), func(w io.Writer) error { _, err := io.WriteString(w, document); return err }),
		writeFile(c.path(demoUsers), cast.writeUsers),
		writeFile(c.path(demoCustomers), cast.writeCustomers),
	)
}

// companies makes both identities. The companies would exchange the two ids.
func (c *demoCommand) companies() (advertiser, platform *identity.Identity, err error) {
	for _, i := range []struct {
		name, dir string
		to        **identity.Identity
	}{{"Demo Advertiser", "advertiser/identity", &advertiser}, {"Demo Platform", "platform/identity", &platform}} {
		if *i.to, err = identity.New(i.name); err != nil {
			return nil, nil, err
		}
		if err := (*i.to).Save(c.path(i.dir)); err != nil {
			return nil, nil, err
		}
	}
	return advertiser, platform, nil
}

func (c *demoCommand) importUsers(ctx context.Context, db *store.DB) error {
	f, err := ledger.Open(c.path(demoUsers), ledger.Options{Classes: []identifier.Class{identifier.EmailUID2, identifier.PhoneE164}})
	if err != nil {
		return err
	}
	defer f.Close()
	p := newProgress(false)
	defer p.done()
	added, err := putFacts(ctx, db, f, p)
	p.done()
	if err != nil {
		return err
	}
	printImported(os.Stdout, imported{f.Report(), added})
	return nil
}

func (c *demoCommand) match(ctx context.Context, address string, i *identity.Identity, peer identity.ID, agreed *policy.Policy) (*client.Report, error) {
	flags := listFlags{Region: "US", ListConsent: "granted"}
	list, err := flags.list(c.path(demoCustomers), agreed)
	if err != nil {
		return nil, err
	}
	defer list.Close()
	p := newProgress(false)
	defer p.done()
	m := matchCommand{modeFlag: c.modeFlag, File: c.path(demoCustomers), Platform: address, Matches: c.path(demoMatches)}
	if c.mode().FillsAudience() {
		m.Audience = demoAudience
	}
	report, err := m.match(ctx, list, client.Config{
		Identity: i, Platform: peer, Policy: agreed, Dir: c.path("advertiser/identity/state"), Progress: p.set, Mode: c.mode(),
	})
	p.done()
	if err != nil {
		return nil, err
	}
	return report, os.WriteFile(c.path(demoReceipt), report.Receipt.Bytes(), 0o600)
}

// stop ends a platform whose sessions are over.
func (p *platform) stop() {
	p.server.Stop()
	p.grpc.Stop()
	select {
	case <-p.done:
	case <-time.After(time.Second):
	}
}
