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
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/market"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

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
	work, err := os.MkdirTemp("", "soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binary, err := market.Build(ctx, work)
	if err != nil {
		return err
	}
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
	fmt.Print(text.String())
	file, err := place.Write(*dir, "soak", "md", []byte(text.String()))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "wrote", file)
	return verdict
}
