package main

import (
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/overlap-psi/overlap/client"
	"github.com/overlap-psi/overlap/policy"
)

// pace is what an element costs, in nanoseconds of one core: bench/results, steps
// of package psi and sums of its operations.
type pace struct{ evaluate, answer, blind, finalize float64 }

var (
	paceIFMA     = pace{4911, 5980, 3400, 5846}     // AVX-512 IFMA
	pacePortable = pace{89400, 85700, 52700, 50000} // any other machine
)

// machinePace is this machine's, and the platform's for want of better knowledge.
func machinePace() (pace, string) {
	if cpu.X86.HasAVX512IFMA {
		return paceIFMA, "with AVX-512 IFMA"
	}
	return pacePortable, "without AVX-512 IFMA"
}

// estimate is what a session would take at most.
type estimate struct {
	Mode        string        `json:"mode"`
	Identifiers uint64        `json:"identifiers"` // of the list
	List        uint64        `json:"list"`        // as the platform is told: rounded up
	Platform    uint64        `json:"platform"`    // the most that the policy lets it have
	Time        time.Duration `json:"nanoseconds"`
	Bytes       uint64        `json:"bytes"`  // over the network, both ways
	Memory      uint64        `json:"memory"` // bytes, here
	Disk        uint64        `json:"disk"`   // bytes, here, while the session runs
}

// newEstimate assumes a platform of the largest size that the policy allows, on a
// machine like this one with as many cores.
func newEstimate(mode client.Mode, identifiers uint64, p *policy.Policy) estimate {
	speed, _ := machinePace()
	list := client.PadSize(identifiers)
	e := estimate{Mode: mode.String(), Identifiers: identifiers, List: list, Platform: p.MaxQHat}
	asked, entries, own := p.MaxQHat, list, identifiers
	if mode.AdvertiserAsks() {
		e.Platform = p.MaxNHat
		asked, entries, own = list, p.MaxNHat, p.MaxNHat
	}
	// The table is made first; then both sides work on chunks at once, so that the
	// slower of them counts.
	ns := float64(own)*speed.evaluate + float64(asked)*max(speed.answer, speed.blind+speed.finalize)
	e.Time = time.Duration(ns / float64(runtime.GOMAXPROCS(0)))
	if mode == client.PLearns {
		// PROTOCOL.md §8.5: release_step and 5 µs for each question and entry, and then
		// the next multiple of release_step.
		e.Time += 2*time.Duration(p.ReleaseStep)*time.Second + time.Duration(asked+entries)*5*time.Microsecond
	}
	const element, proof, claim, chunk = 32, 64, 32, 16384
	entry := uint64(16)
	if mode.AdvertiserAsks() && p.LabelLen > 0 {
		entry += p.LabelLen + 16
	}
	e.Bytes = asked*2*element + (asked+chunk-1)/chunk*proof + entries*entry
	if mode.Claims() {
		e.Bytes += min(list, e.Platform) * claim
	}
	const fixed, seen, row, spilled = 64 << 20, 42, 41, 24 // the program; audience's repeats, as the collector leaves them; a register's and a token's record
	e.Memory = fixed + identifiers*seen + p.Window*2*chunk*element
	if mode.AdvertiserAsks() {
		e.Memory += list / 8
		e.Disk = list*(row+spilled) + entries*entry
	} else {
		e.Disk = list * (spilled + entry)
	}
	if mode.Claims() {
		e.Disk += list * (row + 48)
	}
	if mode.AdvertiserAsks() && p.LabelLen > 0 {
		e.Disk += list * (48 + 1 + p.LabelLen)
	}
	return e
}

func printEstimate(w io.Writer, e estimate) {
	_, machine := machinePace()
	fmt.Fprintf(w, "%d identifiers; the platform would be told %d\n", e.Identifiers, e.List)
	fmt.Fprintf(w, "at most, for a platform of %d identifiers (the policy's bound) and two machines like this one (%d cores, %s):\n",
		e.Platform, runtime.GOMAXPROCS(0), machine)
	fmt.Fprintf(w, "%12v  time, without the network's\n", e.Time.Round(time.Second))
	fmt.Fprintf(w, "%12s  over the network, both ways\n", inUnits(e.Bytes))
	fmt.Fprintf(w, "%12s  memory here\n", inUnits(e.Memory))
	fmt.Fprintf(w, "%12s  disk here, while the session runs\n", inUnits(e.Disk))
	fmt.Fprintln(w, "nothing has left this machine")
}

// inUnits writes bytes for people.
func inUnits(n uint64) string {
	if n < 1e9 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}
