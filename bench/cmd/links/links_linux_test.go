package main

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/overlap-psi/overlap/bench/link"
)

func TestParseShapes(t *testing.T) {
	got, err := parseShapes("100/10,20/80/1,0.5/0")
	want := []link.Shape{{Rate: 100e6, RoundTrip: 10 * time.Millisecond}, {Rate: 20e6, RoundTrip: 80 * time.Millisecond, Loss: 0.01}, {Rate: 500e3}}
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%+v, want %+v", got[i], want[i])
		}
	}
	for _, bad := range []string{"", "20", "20/", "20/80/1/2", "0/80", "-1/80", "20/-1", "20/80/100", "20/80/-1", "NaN/1", "x/1"} {
		if got, err := parseShapes(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, got)
		}
	}
}

func TestReleaseWait(t *testing.T) {
	for _, c := range []struct {
		last        string // after a full second
		step, items uint64
		want        string
	}{
		{"0s", 1, 0, "1s"}, {"1ns", 1, 0, "1.999999999s"}, {"300ms", 1, 0, "1.7s"}, {"300ms", 1, 140_000, "1.7s"}, {"300ms", 1, 140_001, "2.7s"},
		{"300ms", 1, 2_097_152, "11.7s"}, {"2s", 10, 0, "18s"},
	} {
		after, _ := time.ParseDuration(c.last)
		want, _ := time.ParseDuration(c.want)
		if got := releaseWait(time.Unix(1_800_000_000, 0).Add(after), c.step, c.items); got != want {
			t.Errorf("%s, step %d, %d items: %v, want %v", c.last, c.step, c.items, got, want)
		}
	}
}

func TestField(t *testing.T) {
	line := `time=2026-01-02T03:04:05.678Z level=INFO msg="session complete" partner=shop sid=00 took=1m2.5s`
	for name, want := range map[string]string{"took": "1m2.5s", "time": "2026-01-02T03:04:05.678Z", "partner": "shop", "too": "", "queries": ""} {
		if got := field(line, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The slower of wire and processors, and of the two directions, is what counts.
func TestShare(t *testing.T) {
	r := &result{took: 12 * time.Second, wait: 2 * time.Second, processors: 4 * time.Second,
		up: way{bytes: 10e6, alone: 10e6, atOnce: 8e6}, down: way{bytes: 5e6, alone: 20e6, atOnce: 2e6}}
	if r.alone() != 8*time.Second || r.atOnce() != 20*time.Second {
		t.Errorf("the wire allows %v alone and %v at once", r.alone(), r.atOnce())
	}
	if got := r.share(r.alone()); got != 0.8 {
		t.Errorf("it has reached %v", got)
	}
	r.processors = 9 * time.Second
	if got := r.share(r.alone()); got != 0.9 {
		t.Errorf("where processors are slower it has reached %v", got)
	}
	r.own = time.Duration(runtime.NumCPU()) * 500 * time.Millisecond
	if got := r.alongside(r.alone()); got != 0.95 {
		t.Errorf("but for what the wire takes of them it has reached %v", got)
	}
	for _, line := range []string{r.row(), (&result{}).row()} {
		if strings.Count(line, "|") != strings.Count(strings.Split(header, "\n")[4], "|") {
			t.Errorf("the line has other columns than the table: %s", line)
		}
	}
	r.shape.Rate = 1
	if line := r.row(); strings.Count(line, "|") != strings.Count(strings.Split(header, "\n")[4], "|") {
		t.Errorf("the line has other columns than the table: %s", line)
	}
}
