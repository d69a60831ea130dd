package main

import (
	"fmt"
	"io"

	"github.com/overlap-psi/overlap/bench/path"
)

// goal is how many times as fast as circl an operation should be: at least, and
// what is aimed at, on a processor with AVX-512 IFMA; and at least on the portable
// path, where 0 is nothing in particular.
type goal struct {
	op                     string
	least, aimed, portable float64
}

var goals = []goal{
	{"multiply", 10, 12, 1},
	{"hash", 6, 10, 0},
	{"blind", 15, 20, 1.7},
	{"finalize", 12, 18, 1.7},
	{"prove", 15, 25, 0},
	{"verify", 15, 25, 0},
}

const (
	cpuNs = "cpu-ns/elem"
	ns    = "ns/elem"
)

// writeKernel writes BenchmarkKernel's figures. The ratios are of processor time:
// on a busy machine the other measures the neighbours.
func writeKernel(w io.Writer, f figures, rounds int) {
	fmt.Fprintf(w, "One core, nanoseconds for one element, median of %d rounds (lowest). × is circl's processor time over the implementation's, of the medians (of the lowest).\n\n", rounds)
	fmt.Fprintf(w, "| operation | implementation | processor time | elapsed | × circl |\n|---|---|--:|--:|--:|\n")
	for _, g := range goals {
		for _, name := range []string{path.Selected, path.Portable, "circl", "go-ristretto", "gtank"} {
			key := "Kernel/" + g.op + "/" + name
			if f[key] == nil {
				continue
			}
			fmt.Fprintf(w, "| %s | %s | %.0f (%.0f) | %.0f (%.0f) | %.2f (%.2f) |\n", g.op, name,
				f.median(key, cpuNs), f.lowest(key, cpuNs), f.median(key, ns), f.lowest(key, ns),
				f.overCircl(g.op, name, figures.median), f.overCircl(g.op, name, figures.lowest))
		}
	}
	fmt.Fprintf(w, "\n| operation | × circl | at least | aim | portable × circl | at least |\n|---|--:|--:|--:|--:|--:|\n")
	for _, g := range goals {
		fmt.Fprintf(w, "| %s | %.1f | %.0f | %.0f | %.2f | %s |\n", g.op, f.overCircl(g.op, path.Selected, figures.median), g.least, g.aimed,
			f.overCircl(g.op, path.Portable, figures.median), orDash(g.portable))
	}
	fmt.Fprintln(w)
}

// overCircl returns how many times as fast as circl an implementation is, of the
// medians or of the lowest.
func (f figures) overCircl(op, name string, of func(f figures, name, unit string) float64) float64 {
	own := of(f, "Kernel/"+op+"/"+name, cpuNs)
	if own == 0 {
		return 0
	}
	return of(f, "Kernel/"+op+"/circl", cpuNs) / own
}

// writeCores writes how the protocol's steps, which split a chunk over the cores,
// gain from a second one: at least 1.9 times is wanted. Only an idle machine can
// show that, so the load is part of the figure.
func writeCores(w io.Writer, f figures) {
	fmt.Fprintf(w, "Chunks of 16 384, elapsed nanoseconds for one element, the lowest (the median) of %d rounds in turns (at least 1.9 wanted, of two idle cores).\n\n", coreRounds)
	fmt.Fprintf(w, "| step of package psi | one core | two | one ÷ two |\n|---|--:|--:|--:|\n")
	for _, step := range []string{"Blind", "BlindEvaluate", "Finalize", "Evaluate"} {
		one, two := f.lowest(step, ns), f.lowest(step+"-2", ns)
		if one == 0 || two == 0 {
			continue
		}
		medianOne, medianTwo := f.median(step, ns), f.median(step+"-2", ns)
		fmt.Fprintf(w, "| %s | %.0f (%.0f) | %.0f (%.0f) | %.2f (%.2f) |\n", step, one, medianOne, two, medianTwo, one/two, medianOne/medianTwo)
	}
	fmt.Fprintln(w)
}

// writeSession compares a whole session, both companies on this machine, with the
// reference. Wanted of the processor time for a pair: at least 8 times as little as
// the reference's, aiming at 12, and at most 40 µs, aiming at 25.
func writeSession(w io.Writer, f figures, n int) error {
	session, reference := f.onAllCores(fmt.Sprintf("Session/n=%d", n)), f.onAllCores(fmt.Sprintf("Reference/n=%d", n))
	if session == nil || reference == nil {
		return fmt.Errorf("there are no sessions of %d: 10000 or 100000", n)
	}
	fmt.Fprintf(w, "%d identifiers on each side, half in common; both companies on this machine's cores, mutual TLS, every proof made and checked. The reference proves nothing and has no network. Wanted of the processor time: a gain of at least 8, aiming at 12, and at most 40 µs, aiming at 25.\n\n", n)
	fmt.Fprintf(w, "| | session | reference over circl | gain |\n|---|--:|--:|--:|\n")
	for _, unit := range []string{"items/s", "cpu-µs/item", "bytes/item", "peak-MB"} {
		s, r := session[unit][0], reference[unit][0]
		gain := r / s
		if unit == "items/s" {
			gain = s / r
		}
		fmt.Fprintf(w, "| %s | %.1f | %.1f | %.2f |\n", unit, s, r, gain)
	}
	fmt.Fprintln(w)
	return nil
}

func orDash(x float64) string {
	if x == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f", x)
}
