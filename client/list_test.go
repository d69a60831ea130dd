package client_test

import (
	"slices"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/audience"
	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/identifier"
	"github.com/overlap-psi/overlap/policy"
)

// A list is read as the policy has it, and without a policy as the default one has.
func TestListOptions(t *testing.T) {
	o := client.Config{}.ListOptions(audience.Granted)
	if d := policy.Default(); !slices.Equal(o.Rule.Classes, d.Classes) || o.EmailClass != identifier.EmailUID2 || o.PhoneClass != identifier.PhoneE164 ||
		o.ListConsent != audience.Granted || o.Terms.Vendor != 0 || !slices.Equal(o.Terms.Purposes, []int{3, 4}) || o.MaxAge != 0 || o.AdmitUSUnknown || o.DefaultGranted {
		t.Errorf("by default %+v", o)
	}
	p := *policy.Default()
	p.Classes = []identifier.Class{identifier.EmailPlain}
	p.Consent.MaxAgeDays, p.Consent.TCFVendor, p.Consent.TCFPurposes = 30, 755, []uint64{7}
	p.Consent.AdmitUSUnknown, p.Consent.DefaultGranted = true, true
	o = client.Config{Policy: &p}.ListOptions(0)
	if o.EmailClass != identifier.EmailPlain || o.PhoneClass != 0 || o.ListConsent != 0 || o.MaxAge != 30*24*time.Hour || o.Rule.MaxAge != o.MaxAge ||
		o.Terms.Vendor != 755 || !slices.Equal(o.Terms.Purposes, []int{7}) || !o.AdmitUSUnknown || !o.DefaultGranted {
		t.Errorf("under a policy %+v", o)
	}
}
