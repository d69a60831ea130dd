package main

import (
	"errors"
	"fmt"

	"github.com/overlap-psi/overlap/policy"
)

// sourceFlag says where a list is from. It is the advertiser's word, and the one
// thing about a list that nobody can see in it.
type sourceFlag struct {
	DataSource string `enum:"first_party,third_party" default:"first_party" help:"Where you have the list from: first_party, your own customers, or third_party. The policy says which may be matched."`
}

// check refuses a list that the policy has no place for.
func (f sourceFlag) check(p *policy.Policy) error {
	source, err := policy.ParseSource(f.DataSource)
	if err != nil {
		return usageError{fmt.Errorf("--data-source: %w", err)}
	}
	if p.Consent.Allows(source) {
		return nil
	}
	return hint(refusedError{errors.New("the policy does not admit a list of this source (DATA_SOURCE)")},
		"agree with the platform on a policy whose consent.data_source has %s", source)
}
