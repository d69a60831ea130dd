package main

import (
	"context"
	"fmt"
	"time"

	"github.com/overlap-psi/overlap/bench/market"
)

// sample is what the server has when no session runs.
type sample struct {
	sessions          int // that have ended so far
	goroutines, files int
	resident          uint64 // bytes
	heap              uint64 // bytes that the garbage collector last found in use
	cpu               time.Duration
	disk              disk
}

func (s sample) String() string {
	return fmt.Sprintf("%d sessions, %d goroutines, %d files, %.1f MiB resident, %.1f MiB heap, %d sealed, %d entries, database %d + %d KiB",
		s.sessions, s.goroutines, s.files, float64(s.resident)/mib, float64(s.heap)/mib, s.disk.sealed, s.disk.entries, s.disk.database>>10, s.disk.wal>>10)
}

const mib = 1 << 20

// rest waits until no session runs, none waits for its advertiser to come back and
// every connection is gone.
func (s *soak) rest(ctx context.Context) (sample, error) {
	var before sample
	for range 300 {
		now, running, err := s.look(ctx)
		if err != nil {
			return sample{}, err
		}
		if running == 0 && now.goroutines == before.goroutines && now.files == before.files && now.sessions == before.sessions {
			now.disk, err = readDisk(s.m)
			return now, err
		}
		before = now
		select {
		case <-ctx.Done():
			return sample{}, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return sample{}, fmt.Errorf("the server does not come to rest: %v", before)
}

func (s *soak) look(ctx context.Context) (now sample, running int, err error) {
	m, err := market.ReadMetrics(ctx, s.metrics)
	if err != nil {
		return now, 0, err
	}
	now.sessions, now.goroutines = int(m["overlap_sessions_total"]), int(m["go_goroutines"])
	now.heap = uint64(m["go_memstats_next_gc_bytes"]) / 2 // the next collection is due when it has doubled
	if now.files, err = market.Descriptors(s.server.PID); err != nil {
		return now, 0, err
	}
	if now.resident, _, err = market.Memory(s.server.PID); err != nil {
		return now, 0, err
	}
	now.cpu, err = market.ProcessTime(s.server.PID)
	return now, int(m["overlap_sessions_running"]), err
}
