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
		{"ratio", f.overCircl("multiply", "overlap"), 10},
		{"ratio below 1", f.overCircl("multiply", "go-ristretto"), 0.5},
		{"ratio of nothing", f.overCircl("multiply", "gtank"), 0},
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

func TestTables(t *testing.T) {
	f := figures{}
	f.read(strings.NewReader(printed))
	var text strings.Builder
	writeKernel(&text, f, 2)
	writeCores(&text, f)
	for _, line := range []string{
		"| multiply | overlap | 6000 (5000) | 117009 (100000) | 10.00 |",
		"| multiply | 10.0 | 10 | 12 | 0.00 | 1.0 |",
		"| Blind | 200 | 100 | 2.00 |",
	} {
		if !strings.Contains(text.String(), line+"\n") {
			t.Errorf("there is no line %q in\n%s", line, text.String())
		}
	}
	if err := writeSession(&text, f, 10_000); err == nil {
		t.Error("a session that did not run has a table")
	}
}
