package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// profile is a session's processor time, in milliseconds, by package.
type profile map[string]float64

// arithmetic are the packages that a session would consist of if nothing else
// cost anything: the group, and the SHA-512 around it.
var arithmetic = []string{
	"github.com/overlap-psi/overlap/internal/ristretto",
	"github.com/overlap-psi/overlap/internal/sha512x8",
	"github.com/bwesterb/go-ristretto",
	"github.com/bwesterb/go-ristretto/edwards25519",
	"crypto/sha512",
	"crypto/internal/fips140/sha512",
}

// readProfile reads a processor profile. asyncPreempt's time is its caller's: the
// signal that preempts a goroutine often comes with the profiler's, and is then
// charged with what the goroutine did.
func readProfile(file string) (profile, error) {
	out, err := exec.Command("go", "tool", "pprof", "-top", "-unit", "ms", "-nodecount", "1000000", "-nodefraction", "0",
		"-hide", `^runtime\.asyncPreempt$`, file).Output()
	if err != nil {
		return nil, fmt.Errorf("go tool pprof: %w", err)
	}
	return parseProfile(strings.NewReader(string(out))), nil
}

// parseProfile adds up, for each package, the time spent in its own functions.
// The lines are: flat flat% sum% cum cum% function.
func parseProfile(r io.Reader) profile {
	p := profile{}
	for s := bufio.NewScanner(r); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) < 6 || !strings.HasSuffix(words[1], "%") {
			continue
		}
		if ms, err := strconv.ParseFloat(strings.TrimSuffix(words[0], "ms"), 64); err == nil {
			p[packageOf(words[5])] += ms
		}
	}
	return p
}

// packageOf returns the import path in a function's full name.
func packageOf(function string) string {
	name := function[:strings.IndexAny(function+"(", "([")] // what follows may have paths of its own
	slash := strings.LastIndex(name, "/")
	dot := strings.Index(name[slash+1:], ".")
	if dot < 0 {
		return "assembly without a package"
	}
	return name[:slash+1+dot]
}

func (p profile) total() (ms float64) {
	for _, x := range p {
		ms += x
	}
	return ms
}

// writeProfile writes where a session's processor time went. Wanted: less than
// 15 % that is not arithmetic.
func writeProfile(w io.Writer, p profile) {
	total, sum := p.total(), 0.0
	for _, name := range arithmetic {
		sum += p[name]
	}
	if total == 0 {
		return
	}
	fmt.Fprintf(w, "Where the session's processor time goes: %.1f %% is arithmetic, that is the group and SHA-512, and %.1f %% is not (wanted: below 15).\n\n",
		100*sum/total, 100*(total-sum)/total)
	fmt.Fprintf(w, "| package | %% |\n|---|--:|\n")
	names := slices.SortedFunc(maps.Keys(p), func(a, b string) int { return cmp.Compare(p[b], p[a]) })
	for _, name := range names {
		if share := 100 * p[name] / total; share >= 0.5 {
			fmt.Fprintf(w, "| %s | %.1f |\n", name, share)
		}
	}
	fmt.Fprintln(w)
}
