// Timing looks for operations whose time depends on a secret, as dudect does
// (Reparaz, Balasch, Verbauwhede: "Dude, is my code constant time?", eprint
// 2016/1123): it times an operation many times, with a secret that is the same
// each time or with a random one, in random order, and asks by Welch's t-test
// whether the two kinds have one mean. Run it in bench/, on an idle machine:
//
//	go run ./cmd/timing
//
// This is detection, not proof. A difference shows that time depends on the
// secret, on this processor; that none is found shows only that none is larger
// than so many samples could tell.
//
// It ends with status 1 if it finds a difference, or if it doesn't find the one
// of a control that is known to have one.
package main

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/path"
)

func main() {
	found, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "timing:", err)
	}
	if found || err != nil {
		os.Exit(1)
	}
}

func run() (found bool, err error) {
	n := flag.Int("samples", 20_000, "how often each operation is timed, both kinds together")
	only := flag.String("run", "", "only operations whose name contains this")
	dir := flag.String("out", "results", "folder for the result")
	flag.Parse()

	place := evidence.Here()
	var text strings.Builder
	fmt.Fprintf(&text, "# Timing\n\n%s| arithmetic | %s |\n\n", place.Markdown("go run ./cmd/timing "+strings.Join(os.Args[1:], " ")), path.Kernel())
	fmt.Fprintf(&text, preamble, *n, silent, leak)
	for _, implementation := range path.All {
		restore, err := path.Select(implementation)
		if err != nil {
			return false, err
		}
		for _, o := range operations() {
			if !strings.Contains(o.name, *only) {
				continue
			}
			m := measure(o, *n, rand.New(rand.NewChaCha8([32]byte{1})))
			line, bad := m.line(implementation, o)
			found = found || bad
			fmt.Fprint(os.Stderr, line)
			text.WriteString(line)
		}
		restore()
	}
	file, err := place.Write(*dir, "timing", "md", []byte(text.String()))
	if err == nil {
		fmt.Fprintln(os.Stderr, "wrote", file)
	}
	return found, err
}

// preamble says how to read the table, whose lines follow it.
const preamble = `Welch's t-test, fixed against random, on %d samples of each operation on eight elements.
This is detection, not proof: "none found" means none that so many samples could tell.

t is of all samples; max |t| is the largest after cutting off the slowest samples at various
points, which interrupts lengthen. Up to %.1f there is no evidence of a difference; above %.0f there
is one; between them, run it again. "Visible" is how many nanoseconds of difference would have been
evident: a busy machine hides more. The controls show that the test works: one takes variable
time and must be found, and one has no fixed kind and must not be.

| path | operation | fixed at | samples | mean fixed, ns | mean random, ns | visible, ns | t | max \|t\| | verdict |
|---|---|---|--:|--:|--:|--:|--:|--:|---|
`

// line is the table's line for an operation, and whether it isn't as it should be.
func (m *measurement) line(implementation string, o operation) (line string, bad bool) {
	v := verdict(m.max)
	switch {
	case o.variable && v != "DIFFERENT":
		v, bad = v+" (SHOULD BE FOUND)", true
	case o.variable:
		v = "different, as it should be"
	case v == "DIFFERENT":
		bad = true
	}
	return fmt.Sprintf("| %s | %s | %s | %d + %d | %.0f | %.0f | %.0f | %.2f | %.2f | %s |\n", implementation, o.name, o.fixed,
		m.fixed, m.random, m.meanFixed, m.meanRandom, m.visible, m.t, m.max, v), bad
}

// Of |t|: what is no evidence, and what is beyond doubt (dudect's bounds are 4.5,
// from the literature on leakage assessment, and 10).
const (
	silent = 4.5
	leak   = 10.0
)

func verdict(t float64) string {
	switch t = math.Abs(t); {
	case t <= silent:
		return "none found"
	case t <= leak:
		return "unclear"
	}
	return "DIFFERENT"
}
