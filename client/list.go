package client

import (
	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/policy"
)

// ListOptions returns how a list is read under the policy: its profiles, whose
// consent counts, and what a consent string is asked. What the advertiser alone can
// say is the caller's: its word on the whole list, which counts for a file without
// consent columns, and afterwards the Region of its phone numbers.
func (c Config) ListOptions(word audience.Statement) audience.Options {
	p := c.Policy
	if p == nil {
		p = policy.Default()
	}
	rule := p.Rule()
	o := audience.Options{
		ListConsent:    word,
		Rule:           rule,
		MaxAge:         rule.MaxAge,
		AdmitUSUnknown: p.Consent.AdmitUSUnknown,
		DefaultGranted: p.Consent.DefaultGranted,
	}
	o.Terms.Vendor = int(p.Consent.TCFVendor)
	for _, purpose := range p.Consent.TCFPurposes {
		o.Terms.Purposes = append(o.Terms.Purposes, int(purpose))
	}
	for _, class := range p.Classes {
		switch class.Kind() {
		case identifier.Email:
			o.EmailClass = class
		case identifier.Phone:
			o.PhoneClass = class
		}
	}
	return o
}
