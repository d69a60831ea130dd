package main

import (
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/identity"
)

type keygenCommand struct {
	Out   string `required:"" type:"path" help:"Directory for the identity's files; its two private keys are for this account only."`
	Name  string `help:"The company's name. It is in the certificate, for people to read."`
	Renew bool   `help:"Issue the next TLS certificate of the identity that is there. Its id stays."`
}

func (c *keygenCommand) Run() error {
	if c.Renew {
		return c.renew()
	}
	if c.Name == "" {
		return usageError{fmt.Errorf("keygen needs --name")}
	}
	i, err := identity.New(c.Name)
	if err != nil {
		return err
	}
	if err := i.Save(c.Out); err != nil {
		return err
	}
	fmt.Println(i.ID())
	return nil
}

// loadIdentity loads the identity in dir, for work with others: its certificate must
// be valid.
func loadIdentity(dir string) (*identity.Identity, error) {
	i, err := identity.Load(dir)
	if err != nil {
		return nil, err
	}
	return i, hint(i.Check(time.Now()), "check this machine's clock; if it is right, renew the certificate with: overlap keygen --renew --out %s", dir)
}

func (c *keygenCommand) renew() error {
	i, err := identity.LoadKey(c.Out)
	if err != nil {
		return err
	}
	if err := i.Renew(); err != nil {
		return err
	}
	if err := i.SaveTLS(c.Out); err != nil {
		return err
	}
	fmt.Println(i.ID())
	return nil
}
