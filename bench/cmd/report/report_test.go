package main

import (
	"strings"
	"testing"
)

// Two rounds as go test prints them; circl's figures are chosen.
const printed = `goos: linux
cpu: one of 3 kinds
BenchmarkKernel/multiply/overlap 	       1	2195756890 ns/op	     5000 cpu-ns/elem	    134018 ns/elem
BenchmarkKernel/multiply/overlap 	       1	2195756890 ns/op	     7000 cpu-ns/elem	    100000 ns/elem
BenchmarkKernel/multiply/circl   	       1	2195756890 ns/op	    60000 cpu-ns/elem	     61000.5 ns/elem
BenchmarkKernel/multiply/go-ristretto  	   1	2195756890 ns/op	   120000 cpu-ns/elem	     61000 ns/elem
BenchmarkBlind   	       1	2195756890 ns/op	     200 ns/elem
BenchmarkBlind-2   	       1	2195756890 ns/op	     100 ns/elem
PASS
ok  	github.com/overlap-psi/overlap/bench	25.789s
`

func TestFigures(t *testing.T) {
	f := figures{}
	f.read(strings.NewReader(printed))
	for _, c := range []struct {
		what      string
		got, want float64
	}{
		{"median", f.median("Kernel/multiply/overlap", cpuNs), 6000},
		{"lowest", f.lowest("Kernel/multiply/overlap", ns), 100000},
		{"a fraction", f.median("Kernel/multiply/circl", ns), 61000.5},
		{"ratio", f.overCircl("multiply", "overlap", figures.median), 10},
		{"ratio below 1", f.overCircl("multiply", "go-ristretto", figures.median), 0.5},
		{"ratio of nothing", f.overCircl("multiply", "gtank", figures.median), 0},
		{"ratio of the lowest", f.overCircl("multiply", "overlap", figures.lowest), 12},
		{"nothing", f.median("PASS", ns), 0},
	} {
		if c.got != c.want {
			t.Errorf("%s = %v, want %v", c.what, c.got, c.want)
		}
	}
	if len(f) != 5 {
		t.Errorf("%d benchmarks read, want 5", len(f))
	}
}

func TestAdd(t *testing.T) {
	f := figures{}
	for _, line := range []string{"BenchmarkBlind 1 30 ns/elem", "BenchmarkBlind 1 10 ns/elem", "BenchmarkBlind 1 11 ns/elem"} {
		round := figures{}
		round.read(strings.NewReader(line + "\n"))
		f.add(round)
	}
	if f.median("Blind", ns) != 11 || f.lowest("Blind", ns) != 10 {
		t.Errorf("three rounds are %v", f)
	}
}

func TestTables(t *testing.T) {
	f := figures{}
	f.read(strings.NewReader(printed))
	var text strings.Builder
	writeKernel(&text, f, 2)
	writeCores(&text, f)
	for _, line := range []string{
		"| multiply | overlap | 6000 (5000) | 117009 (100000) | 10.00 (12.00) |",
		"| multiply | 10.0 | 10 | 12 | 0.00 | 1.0 |",
		"| Blind | 200 (200) | 100 (100) | 2.00 (2.00) |",
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, text.String())
		}
	}
	if err := writeSession(&text, f, 10_000); err == nil {
		t.Error("a session that did not run has a table")
	}
}

// TestProfile: functions as pprof prints them, with receivers, closures, type
// parameters and none of these.
func TestProfile(t *testing.T) {
	p := parseProfile(strings.NewReader(`File: bench.test
Showing nodes accounting for 1000ms, 100% of 1000ms total
      flat  flat%   sum%        cum   cum%
     500ms 50.00% 50.00%      500ms 50.00%  github.com/overlap-psi/overlap/internal/ristretto.doubleIFMA
     250ms 25.00% 75.00%      250ms 25.00%  github.com/overlap-psi/overlap/internal/ristretto.(*Vector).MulEncode
     100ms 10.00% 85.00%      100ms 10.00%  crypto/internal/fips140/sha512.blockAVX2 (inline)
      50ms  5.00% 90.00%       50ms  5.00%  runtime.memmove
      60ms  6.00% 96.00%       60ms  6.00%  slices.insertionSortCmpFunc[go.shape.struct { a/b.c string }]
      40ms  4.00%  100%       40ms  4.00%  github.com/overlap-psi/overlap/psi.(*Key).Evaluate.func1
         0     0%  100%     1000ms   100%  google.golang.org/grpc.(*Server).Serve
`))
	for name, want := range map[string]float64{
		"github.com/overlap-psi/overlap/internal/ristretto": 750, "crypto/internal/fips140/sha512": 100, "runtime": 50, "slices": 60,
		"github.com/overlap-psi/overlap/psi": 40, "google.golang.org/grpc": 0,
	} {
		if p[name] != want {
			t.Errorf("%s: %v ms, want %v", name, p[name], want)
		}
	}
	var text strings.Builder
	writeProfile(&text, p)
	for _, part := range []string{"85.0 % is arithmetic", "15.0 % is not", "| slices | 6.0 |"} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("%q is not in\n%s", part, text.String())
		}
	}
}
