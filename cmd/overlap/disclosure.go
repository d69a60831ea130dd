package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/overlap-psi/overlap/client"
)

// modeFlag says who learns what.
type modeFlag struct {
	Mode string `enum:"p-learns,a-learns,mutual,mutual-a,mutual-p" default:"p-learns" help:"Who learns what: p-learns (the platform which of its accounts are on the list, you one noised count), a-learns (you which rows have an account, the platform nothing), mutual-a (both; you first; also: mutual), mutual-p (both; the platform first). The policy must list the mode."`
}

// mode is the protocol's name for it.
func (f modeFlag) mode() client.Mode {
	name := strings.ToUpper(strings.ReplaceAll(f.Mode, "-", "_"))
	if name == "MUTUAL" {
		name = "MUTUAL_A"
	}
	m, err := client.ParseMode(name)
	if err != nil {
		panic("a mode of the command line is not the protocol's")
	}
	return m
}

// learns is what each side is told of a mode, before the first byte leaves.
var learns = map[client.Mode]struct{ you, platform string }{
	client.PLearns: {
		"one noised count of accounts, or that it is suppressed",
		"which of its consented accounts are on this list",
	},
	client.ALearns: {
		"which rows of this list belong to the platform's consented accounts",
		"nothing of who is on this list",
	},
	client.MutualA: {
		"which rows of this list belong to the platform's consented accounts; first",
		"which of its consented accounts are on this list, from your claims",
	},
	client.MutualP: {
		"which rows of this list belong to the platform's consented accounts, from its claims",
		"which of its consented accounts are on this list; first",
	},
}

// printDisclosure says what is about to be disclosed to whom.
func printDisclosure(w io.Writer, c client.Config) {
	p, mode := c.Policy, c.Mode
	if mode == 0 {
		mode = client.PLearns
	}
	fmt.Fprintf(w, "mode %v under policy %.8x…, with the platform %.8s…\n", mode, p.Hash(), c.Platform)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  the platform\twill learn %s\n", learns[mode].platform)
	fmt.Fprintf(t, "  you\twill learn %s\n", learns[mode].you)
	fmt.Fprintf(t, "  both\twill learn how long the other side's set is, rounded up, and when the session ran\n")
	if mode.AdvertiserAsks() {
		fmt.Fprintf(t, "  limits\tyou may test %d identifiers in a session and %d in an epoch\n", p.MaxQHat, p.MaxEvaluations)
	} else {
		fmt.Fprintf(t, "  limits\tthe platform may test %d identifiers against this list in a session and %d in an epoch\n", p.MaxQHat, p.MaxEvaluations)
	}
	if mode == client.PLearns {
		fmt.Fprintf(t, "  count\tat least %d accounts, ε = %s a release, %d releases in an epoch\n", p.Release().Smallest(), p.Epsilon, p.MaxReleases)
	}
	_ = t.Flush() // to standard error
}
