package main

import (
	"fmt"
	"io"
	"slices"
	"time"
)

// result is what the crowd took.
type result struct {
	alone         time.Duration   // one session, before
	took          []time.Duration // each advertiser's command
	all           time.Duration   // from the first's start to the last's end
	most          int             // sessions at once
	comeBack      time.Duration   // what one more was told
	before, after state           // of the server, at rest
	cage          uint64          // bytes, at most
}

// state is what a server has and has taken.
type state struct {
	running, goroutines, files int
	memory, peak               uint64
	cpu                        time.Duration
}

// The slowest may take so many times as long as the fastest.
const fair = 3

func (r *result) ratio() float64 { return slices.Max(r.took).Seconds() / slices.Min(r.took).Seconds() }

// Left behind are a few connections to the database that wait for the next session,
// at most: they are its pool's to close.
const leftBehind = 8

// unfair says what is not as it should be, once the figures are written.
func (r *result) unfair() error {
	switch {
	case r.ratio() > fair:
		return fmt.Errorf("the slowest took %.1f times as long as the fastest", r.ratio())
	case r.after.goroutines > r.before.goroutines+leftBehind || r.after.files > r.before.files+leftBehind:
		return fmt.Errorf("the server has kept %d goroutines and %d files", r.after.goroutines-r.before.goroutines, r.after.files-r.before.files)
	}
	return nil
}

func median(list []time.Duration) time.Duration {
	s := slices.Sorted(slices.Values(list))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

func (r *result) write(w io.Writer, c *crowd, limit uint64) {
	fmt.Fprintf(w, `%d processes of `+"`overlap match`"+` at once, each with an identity of its own and a list of %d, against one `+"`overlap serve`"+` with %d accounts in
SQLite and --max-sessions %d, in a control group of %d MiB; all on this machine's cores. Exact: every audience was compared with the accounts in
common, another number for each advertiser.

| | |
|---|--:|
| one session alone | %.2f s |
| fastest of all at once | %.2f s |
| median | %.2f s |
| slowest | %.2f s |
| slowest over fastest (wanted: at most %d) | **%.2f** |
| all, from the first's start to the last's end | %.2f s |
| sessions at once, at most | %d |
| one more was told to come back in | %v |
| server's processor time for all of them | %.2f s |
| server's highest resident memory | **%d MiB** |
| at most in its control group, pages of files included | %d MiB |
| resident at rest, before and after | %d and %d MiB |
| goroutines at rest, before and after | %d and %d |
| files open at rest, before and after | %d and %d |

At rest before: one session has run, and no client is connected. A session ends at a full second at the earliest, so that those that are done
together end together.
`,
		len(r.took), c.n, c.accounts, c.advertisers, limit,
		r.alone.Seconds(), slices.Min(r.took).Seconds(), median(r.took).Seconds(), slices.Max(r.took).Seconds(), fair, r.ratio(), r.all.Seconds(),
		r.most, r.comeBack, (r.after.cpu - r.before.cpu).Seconds(), r.after.peak>>20, r.cage>>20,
		r.before.memory>>20, r.after.memory>>20, r.before.goroutines, r.after.goroutines, r.before.files, r.after.files)
}
