package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
)

// before looks at all that can be seen to be wrong before the first byte leaves: a
// session that fails later has been charged, and has disclosed something.
func (c *matchCommand) before(own identity.ID, peer identity.ID, p *policy.Policy) error {
	if peer == own {
		return usageError{errors.New("--peer is the id of your own identity: it has to be the platform's")}
	}
	if err := checkAddress("--platform", c.Platform); err != nil {
		return err
	}
	if err := c.check(p); err != nil {
		return err
	}
	if !slices.Contains(p.Modes, c.mode()) {
		return hint(refusedError{fmt.Errorf("the policy does not list the mode %v", c.mode())},
			"use one that it lists: %s; or agree with the platform on a policy whose modes have it", modeNames(p.Modes))
	}
	if err := c.name(); err != nil {
		return err
	}
	reads := append([]string{c.File, c.Policy}, c.Suppress...)
	if err := mayWrite("--receipt", c.Receipt, reads...); err != nil {
		return err
	}
	if c.mode() == client.PLearns {
		return nil
	}
	return mayWrite("--matches", c.Matches, append(reads, c.Receipt)...)
}

// modeNames are modes as --mode has them.
func modeNames(modes []client.Mode) string {
	var names []string
	for _, m := range modes {
		names = append(names, strings.ToLower(strings.ReplaceAll(m.String(), "_", "-")))
	}
	return strings.Join(names, ", ")
}

// country is the one of phone numbers that are written without.
type country string

// Validate is called by the parser.
func (c country) Validate() error {
	if c == "" || identifier.KnownRegion(string(c)) {
		return nil
	}
	return fmt.Errorf("%q is no country that phone numbers are known of: write two capital letters, such as US or FR", string(c))
}
