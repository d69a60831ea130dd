// Links measures whole sessions over slow networks: two processes of the overlap
// binary in two network namespaces, between them a wire with a rate, a delay and a
// loss (package link), and beside it what a plain copy over TLS reaches on the same
// wire. It needs Linux and root. Run it in bench/:
//
//	go run ./cmd/links
//	go run ./cmd/links -n 1000000 -links 20/80/1
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/link"
	"github.com/overlap-psi/overlap/bench/market"
)

func main() { evidence.Main("links", run) }

func run(ctx context.Context) error {
	n := flag.Int("n", 100_000, "how many identifiers each company has")
	list := flag.String("links", "100/10,20/80,20/80/1", "wires: Mbit/s, round trip in ms, and loss in percent if there is some")
	window := flag.Int("window", 8, "chunks in flight, in the policy")
	congestion := flag.String("congestion", "", "how TCP holds back, such as cubic or bbr; empty: as this system does")
	seed := flag.Uint64("seed", 1, "which packets get lost")
	dir := flag.String("out", "results", "folder for the results")
	flag.Parse()

	shapes, err := parseShapes(*list)
	if err != nil {
		return err
	}
	place := evidence.Here()
	b := &bench{n: *n, seed: *seed, congestion: *congestion}
	work, binary, remove, err := market.Workshop(ctx)
	if err != nil {
		return err
	}
	defer remove()
	if err := b.found(ctx, binary, filepath.Join(work, "market"), *window); err != nil {
		return err
	}
	results, err := b.measure(ctx, shapes)
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Links\n\n%s| TCP | %s |\n\n", place.Markdown("go run ./cmd/links "+strings.Join(os.Args[1:], " ")), b.congestion)
	write(&text, *n, results)
	return place.Report(*dir, fmt.Sprintf("links-%d", *n), text.String())
}

// measure runs a session on each wire, and first one without: what the processors
// allow.
func (b *bench) measure(ctx context.Context, shapes []link.Shape) ([]*result, error) {
	cpu, err := b.loopback(ctx)
	if err != nil {
		return nil, fmt.Errorf("without a wire: %w", err)
	}
	fmt.Fprint(os.Stderr, cpu.row())
	results := []*result{cpu}
	for i, s := range shapes {
		r, err := b.wire(ctx, s, i)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name(s), err)
		}
		r.processors = cpu.worked()
		fmt.Fprint(os.Stderr, r.row())
		results = append(results, r)
	}
	return results, nil
}
