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
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/market"
)

func main() { evidence.Main("crowd", run) }

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
	work, binary, remove, err := market.Workshop(ctx)
	if err != nil {
		return err
	}
	defer remove()
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
	if err := place.Report(*dir, "crowd", text.String()); err != nil {
		return err
	}
	return r.unfair()
}
