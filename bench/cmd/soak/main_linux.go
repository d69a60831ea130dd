// Soak runs thousands of small sessions against one platform's process, in all
// modes, of many advertisers, with some that break off, some that lose their
// connection and some that are refused, and looks whether anything is left of
// them. It needs Linux. Run it in bench/:
//
//	go run ./cmd/soak
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/market"
)

func main() { evidence.Main("soak", run) }

func run(ctx context.Context) error {
	s := new(soak)
	rounds := flag.Int("rounds", 52, fmt.Sprintf("how many rounds, of %d sessions and %d refusals", sessionsOf(round), len(round)-sessionsOf(round)))
	flag.IntVar(&s.partners, "partners", 16, "how many advertisers match at once")
	flag.IntVar(&s.n, "n", 600, "how many identifiers each of them has")
	flag.IntVar(&s.accounts, "accounts", 1000, "how many accounts the platform has")
	flag.Uint64Var(&s.seed, "seed", 1, "the order of sessions, and where they break off")
	dir := flag.String("out", "results", "folder for the results")
	flag.Parse()
	if *rounds < 8 || s.partners < 1 || s.n < 1 || s.accounts < 1 {
		return errors.New("of fewer than 8 rounds there are no quarters to compare, and of nobody no sessions")
	}

	place := evidence.Here()
	work, binary, remove, err := market.Workshop(ctx)
	if err != nil {
		return err
	}
	defer remove()
	if err := s.found(ctx, binary, filepath.Join(work, "market")); err != nil {
		return err
	}
	samples, err := s.measure(ctx, *rounds)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Soak\n\n%s\n", place.Markdown("go run ./cmd/soak "+strings.Join(os.Args[1:], " ")))
	verdict := write(&text, s, samples)
	if err := place.Report(*dir, "soak", text.String()); err != nil {
		return err
	}
	return verdict
}
