// Crowd measures many advertisers at once: a process of the overlap binary for
// each, with an identity and a list of its own, against one platform's process that
// may take so much memory and not more. It needs Linux and root. Run it in bench/:
//
//	go run ./cmd/crowd
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
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	c := new(crowd)
	flag.IntVar(&c.advertisers, "advertisers", 50, "how many match at once")
	flag.IntVar(&c.n, "n", 10_000, "how many identifiers each of them has")
	flag.IntVar(&c.accounts, "accounts", 20_000, "how many accounts the platform has")
	limit := flag.Uint64("limit", 1024, "MiB of memory that the platform's process may take")
	dir := flag.String("out", "results", "folder for the results")
	flag.Parse()
	if c.advertisers < 1 || c.n < 1 || c.accounts < c.advertisers {
		return errors.New("there is nobody to match")
	}

	place := evidence.Here()
	work, err := os.MkdirTemp("", "crowd")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	binary, err := market.Build(ctx, work)
	if err != nil {
		return err
	}
	if err := c.found(ctx, binary, filepath.Join(work, "market")); err != nil {
		return err
	}
	cage, err := market.NewCage(fmt.Sprintf("overlap-crowd-%d", os.Getpid()), *limit<<20)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cage.Open()) }()
	r, err := c.measure(ctx, cage)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Crowd\n\n%s\n", place.Markdown("go run ./cmd/crowd "+strings.Join(os.Args[1:], " ")))
	r.write(&text, c, *limit)
	fmt.Print(text.String())
	file, err := place.Write(*dir, "crowd", "md", []byte(text.String()))
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, "wrote", file)
	return r.unfair()
}
