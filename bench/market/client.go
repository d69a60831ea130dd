package market

import (
	"context"
	"path/filepath"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
)

// Config is the advertiser's side for package client: what its command would use.
func (a *Advertiser) Config() (client.Config, error) {
	i, err := identity.Load(a.Dir)
	if err != nil {
		return client.Config{}, err
	}
	platform, err := identity.ParseID(a.m.ID)
	if err != nil {
		return client.Config{}, err
	}
	return client.Config{Identity: i, Platform: platform, Policy: a.m.Policy, Dir: filepath.Join(a.Dir, "state")}, nil
}

// Ask runs one session in this process, on a connection of its own: a command
// without the cost of a process.
func (a *Advertiser) Ask(ctx context.Context, address, name string, c client.Config) (*client.Report, error) {
	conn, err := client.Dial(address, c)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	m, err := client.New(conn, c)
	if err != nil {
		return nil, err
	}
	list, err := audience.Open(a.List(), audience.Options{Rule: c.Policy.Rule(), ListConsent: audience.Granted})
	if err != nil {
		return nil, err
	}
	defer list.Close()
	return m.Match(ctx, name, list)
}
