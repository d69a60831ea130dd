package main

import (
	"bufio"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// figures has what the benchmarks reported: by a benchmark's name without
// "Benchmark", which ends in "-2" where two cores ran it, then by unit, one value
// for each round.
type figures map[string]map[string][]float64

// read adds the figures of a run of go test.
func (f figures) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		words := strings.Fields(s.Text())
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(words[0], "Benchmark")
		if f[name] == nil {
			f[name] = map[string][]float64{}
		}
		for i := 2; i+1 < len(words); i += 2 { // after the name and the count
			if value, err := strconv.ParseFloat(words[i], 64); err == nil {
				f[name][words[i+1]] = append(f[name][words[i+1]], value)
			}
		}
	}
}

// add adds the figures of another run.
func (f figures) add(other figures) {
	for name, units := range other {
		if f[name] == nil {
			f[name] = map[string][]float64{}
		}
		for unit, values := range units {
			f[name][unit] = append(f[name][unit], values...)
		}
	}
}

// median returns the middle of a benchmark's values, or 0 if it has none.
func (f figures) median(name, unit string) float64 {
	values := slices.Sorted(slices.Values(f[name][unit]))
	if len(values) == 0 {
		return 0
	}
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// lowest returns the least of a benchmark's values, or 0 if it has none.
func (f figures) lowest(name, unit string) float64 {
	if len(f[name][unit]) == 0 {
		return 0
	}
	return slices.Min(f[name][unit])
}

// onAllCores returns the figures of a benchmark that ran without -cpu.
func (f figures) onAllCores(name string) map[string][]float64 {
	if cores := runtime.GOMAXPROCS(0); cores > 1 {
		name = fmt.Sprintf("%s-%d", name, cores)
	}
	return f[name]
}
