package main

import (
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"time"
)

// block is how many samples are prepared at once and then timed one after the
// other, so that preparing, which differs, is far from timing.
const block = 128

// measure times n runs of an operation, the secret being fixed or random by the
// toss of a coin. The first block warms up and doesn't count.
func measure(o operation, n int, rng *rand.Rand) measurement {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // between blocks only

	trial := o.prepare(rng)
	samples := make([]sample, 0, n+block)
	var kinds [block]bool
	for warm := false; len(samples) < n; warm = true {
		for i := range kinds {
			kinds[i] = rng.Uint64()&1 == 1
			trial.set(i, kinds[i])
		}
		runtime.GC()
		for i, fixed := range kinds {
			start := time.Now()
			trial.run(i)
			took := time.Since(start)
			if warm {
				samples = append(samples, sample{fixed, float64(took.Nanoseconds())})
			}
		}
	}
	return judge(samples[:n])
}
