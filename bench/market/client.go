package market

import (
	"context"
	"path/filepath"
	"slices"

	"google.golang.org/grpc"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
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
	agreed, _, err := policy.Load(a.PolicyFile)
	if err != nil {
		return client.Config{}, err
	}
	return client.Config{Identity: i, Platform: platform, Policy: agreed, Dir: filepath.Join(a.Dir, "state")}, nil
}

// Ask runs one session in this process, on a connection of its own: a command
// without the cost of a process. More options may change how it is dialled.
func (a *Advertiser) Ask(ctx context.Context, address, name string, c client.Config, o ...grpc.DialOption) (*client.Report, error) {
	tls := grpc.WithTransportCredentials(c.Credentials())
	conn, err := grpc.NewClient("passthrough:///"+address, slices.Concat(client.DialOptions(), []grpc.DialOption{tls}, o)...)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	m, err := client.New(conn, c)
	if err != nil {
		return nil, err
	}
	list, err := audience.Open(a.List(), c.ListOptions(audience.Granted))
	if err != nil {
		return nil, err
	}
	defer list.Close()
	return m.Match(ctx, name, list)
}
