// Report runs the benchmarks of this module and writes what they found as a
// table, with the ratios to circl, and as it was printed. Run it in bench/:
//
//	go run ./cmd/report
//	go run ./cmd/report -session 100000
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/overlap-psi/overlap/bench/evidence"
	"github.com/overlap-psi/overlap/bench/path"
)

// coreRounds is how often one core and two are compared.
const coreRounds = 7

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run() error {
	benchtime := flag.String("benchtime", "1s", "how long each benchmark runs, at least (go test -benchtime)")
	rounds := flag.Int("rounds", 3, "how often all benchmarks run, one after the other; the median counts")
	session := flag.Int("session", 0, "also run whole sessions of so many identifiers: 10000 or 100000")
	cores := flag.Bool("cores", true, "also compare two cores with one")
	dir := flag.String("out", "results", "folder for the results")
	flag.Parse()

	place := evidence.Here()
	var raw bytes.Buffer
	log := io.MultiWriter(&raw, os.Stderr)
	kernel, err := repeat(log, *rounds, "-bench", "^BenchmarkKernel$", "-cpu", "1", "-benchtime", *benchtime, ".")
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# Kernel\n\n%s| arithmetic | %s |\n\n", place.Markdown("go run ./cmd/report "+strings.Join(os.Args[1:], " ")), path.Kernel())
	writeKernel(&text, kernel, *rounds)
	if *cores && place.Cores > 1 {
		steps := figures{}
		// A process each: in one with -cpu 1,2, what ran on one core had both. In turns,
		// since a machine's second core is not always as much of one.
		for range coreRounds {
			for _, n := range []string{"1", "2"} {
				some, err := repeat(log, 1, "-bench", "^Benchmark(Blind|BlindEvaluate|Finalize|Evaluate)$", "-cpu", n,
					"-benchtime", *benchtime, "github.com/overlap-psi/overlap/psi")
				if err != nil {
					return err
				}
				steps.add(some)
			}
		}
		writeCores(&text, steps)
	}
	if *session > 0 {
		if err := sessions(&text, log, *session); err != nil {
			return err
		}
	}
	fmt.Print(text.String())
	for ext, content := range map[string][]byte{"md": []byte(text.String()), "txt": raw.Bytes()} {
		file, err := place.Write(*dir, "kernel", ext, content)
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "wrote", file)
	}
	return nil
}

// sessions runs the reference and, with a profile, sessions of n: five, because a
// hundredth of one is a few samples.
func sessions(w, log io.Writer, n int) error {
	dir, err := os.MkdirTemp("", "report")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "cpu")
	whole, err := repeat(log, 1, "-bench", fmt.Sprintf("^BenchmarkReference$/^n=%d$", n), "-benchtime", "1x", "-timeout", "1h", ".")
	if err != nil {
		return err
	}
	session, err := repeat(log, 1, "-bench", fmt.Sprintf("^BenchmarkSession$/^n=%d$", n), "-benchtime", "5x", "-timeout", "1h",
		".", "-sessionprofile", file)
	if err != nil {
		return err
	}
	maps.Copy(whole, session)
	if err := writeSession(w, whole, n); err != nil {
		return err
	}
	p, err := readProfile(file)
	if err != nil {
		return err
	}
	writeProfile(w, p)
	return nil
}

// repeat runs go test so many times and returns all figures. Whole rounds, and
// not each benchmark so many times, so that a busy minute spoils no benchmark.
func repeat(log io.Writer, rounds int, args ...string) (figures, error) {
	all := figures{}
	for range rounds {
		args := append([]string{"test", "-run", "^$"}, args...)
		fmt.Fprintf(log, "# load %s: go %s\n", evidence.Load(), strings.Join(args, " "))
		var out bytes.Buffer
		cmd := exec.Command("go", args...)
		cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, log), log
		if err := cmd.Run(); err != nil {
			return nil, fmt.Errorf("go test: %w", err)
		}
		all.read(&out)
	}
	return all, nil
}
