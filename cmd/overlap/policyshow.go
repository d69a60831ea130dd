package main

import (
	"fmt"
	"io"
	"math"
	"text/tabwriter"
	"time"

	"github.com/overlap-psi/overlap/identity"
	"github.com/overlap-psi/overlap/policy"
	"github.com/overlap-psi/overlap/release"
)

type policyShow struct {
	File string `arg:"" type:"existingfile" help:"The policy."`
	JSON bool   `help:"Report as JSON."`
}

// shown is a policy as it is reported.
type shown struct {
	SHA256   string         `json:"sha256"`
	SignedBy []identity.ID  `json:"signed_by"`
	Fields   []policy.Field `json:"fields"`
	Epoch    epochCost      `json:"epoch"`
}

// epochCost is what an epoch under a policy allows, and what that costs one
// account towards one advertiser.
type epochCost struct {
	Seconds       uint64  `json:"seconds"`
	Releases      uint64  `json:"releases"`
	Epsilon       float64 `json:"epsilon"` // of all of them
	Delta         float64 `json:"delta"`
	Guess         float64 `json:"guess"`          // at most so often right about one person, from even odds
	Noise         float64 `json:"noise"`          // standard deviation of one count, accounts
	SmallestCount uint64  `json:"smallest_count"` // ever told, accounts
	Margin        uint64  `json:"t_extra"`
	LeastMargin   uint64  `json:"least_t_extra"` // for this epsilon and delta
	Evaluations   uint64  `json:"evaluations"`
	FullSessions  float64 `json:"full_sessions"` // of max_q_hat items that these allow
}

func costOf(p *policy.Policy) epochCost {
	epsilon, delta := p.EpochTotal()
	one := math.Exp(-float64(p.Epsilon.Num) / float64(p.Epsilon.Den))
	return epochCost{
		Seconds:       p.EpochSeconds,
		Releases:      p.MaxReleases,
		Epsilon:       epsilon,
		Delta:         delta,
		Guess:         1 / (1 + math.Exp(-epsilon)),
		Noise:         math.Sqrt(2*one) / (1 - one), // of the discrete Laplace law
		SmallestCount: p.Release().Smallest(),
		Margin:        p.TExtra,
		LeastMargin:   release.MinTExtra(p.Epsilon.Num, p.Epsilon.Den, p.Delta),
		Evaluations:   p.MaxEvaluations,
		FullSessions:  float64(p.MaxEvaluations) / float64(p.MaxQHat),
	}
}

func (c *policyShow) Run() error {
	a, err := loadAgreement(c.File)
	if err != nil {
		return err
	}
	report := shown{fmt.Sprintf("%x", a.Hash()), a.signers(), a.Fields(), costOf(a.Policy)}
	return printReport(c.JSON, report, printPolicy)
}

func printPolicy(w io.Writer, s shown) {
	fmt.Fprintf(w, "sha256 %s, signed by %s\n\n", s.SHA256, short(s.SignedBy))
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range s.Fields {
		from := "default"
		if f.Set {
			from = "set"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.Name, f.Value, from, f.Means)
	}
	table.Flush()
	e := s.Epoch
	fmt.Fprintf(w, "\nIn an epoch of %v, for one account and one advertiser:\n", lengthOf(e.Seconds))
	fmt.Fprintf(w, "%12d  counts may be told; they add up to ε = %g, δ = %g\n", e.Releases, e.Epsilon, e.Delta)
	fmt.Fprintf(w, "%12.0f  of 100 guesses about one person can be right at most, of even odds, after the most telling answers\n", 100*e.Guess)
	fmt.Fprintf(w, "%12.0f  accounts up or down is the noise of one count (standard deviation)\n", e.Noise)
	fmt.Fprintf(w, "%12d  accounts is the smallest count ever told; t_extra is %d, needed are %d\n", e.SmallestCount, e.Margin, e.LeastMargin)
	fmt.Fprintf(w, "%12d  items may be evaluated: %.4g sessions of full size\n", e.Evaluations, e.FullSessions)
}

// lengthOf writes whole days as days.
func lengthOf(seconds uint64) string {
	if seconds%86_400 == 0 {
		return fmt.Sprintf("%d days", seconds/86_400)
	}
	return (time.Duration(seconds) * time.Second).String()
}
