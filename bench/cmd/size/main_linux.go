// Size measures whole sessions as two companies run them: two processes of the
// overlap binary on this machine, files of n identifiers each, half in common,
// mutual TLS, every proof made and checked. Run it in bench/:
//
//	go run ./cmd/size
//	go run ./cmd/size -n 10000000
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/market"
)

func main() { evidence.Main("size", run) }

func run(ctx context.Context) error {
	sizes := flag.String("n", "1000,10000,100000,1000000,10000000", "how many identifiers each company has, a session for each number; the first is what all of them take at least")
	dir := flag.String("out", "results", "folder for the results")
	flag.Parse()

	place := evidence.Here()
	work, binary, remove, err := market.Workshop(ctx)
	if err != nil {
		return err
	}
	defer remove()
	var text strings.Builder
	fmt.Fprintf(&text, "# Size\n\n%s\n%s", place.Markdown("go run ./cmd/size "+strings.Join(os.Args[1:], " ")), header)
	var first *result
	for _, word := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(word)
		if err != nil {
			return fmt.Errorf("-n: %w", err)
		}
		folder := filepath.Join(work, word)
		r, err := measure(ctx, binary, folder, n)
		if err != nil {
			return fmt.Errorf("%d identifiers: %w", n, err)
		}
		if first == nil {
			first = r
		}
		line := r.row(first)
		fmt.Fprint(os.Stderr, line)
		text.WriteString(line)
		if err := os.RemoveAll(folder); err != nil {
			return err
		}
	}
	text.WriteString(footer)
	return place.Report(*dir, "size", text.String())
}
