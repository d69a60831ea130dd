package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

// progress shows how far long steps have come: a bar with rate and ETA where a
// person looks, a line every few seconds where a log is written, nothing for
// steps that are over at once.
type progress struct {
	w      io.Writer
	bars   bool
	every  time.Duration
	mu     sync.Mutex
	step   string
	total  uint64
	bar    *progressbar.ProgressBar
	began  time.Time
	spoken time.Time
}

func newProgress(quiet bool) *progress {
	p := &progress{w: os.Stderr, bars: term.IsTerminal(int(os.Stderr.Fd())), every: 5 * time.Second}
	if quiet {
		p.w, p.bars = io.Discard, false
	}
	return p
}

// stepNames are what a person is told of a step.
var stepNames = map[string]string{
	"import":    "reading users",
	"validate":  "reading rows",
	"list":      "preparing the list",
	"questions": "questions and answers",
	"table":     "the table's way",
	"fetch":     "fetching the platform's table",
	"claims":    "claims",
	"waiting":   "waiting for the time of release",
	"resuming":  "connection lost, resuming",
}

// inBytes are the steps that are measured in bytes of a file.
var inBytes = map[string]bool{"import": true, "validate": true}

// set tells how much of a step is done; a total of 0 is not known yet.
func (p *progress) set(step string, done, total uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if step != p.step || total != p.total {
		p.finish()
		p.step, p.total, p.began, p.spoken = step, total, now, now
	}
	if p.bars {
		p.draw(done, total)
		return
	}
	if now.Sub(p.spoken) < p.every {
		return
	}
	p.spoken = now
	fmt.Fprintln(p.w, p.line(done, total, now.Sub(p.began)))
}

func (p *progress) draw(done, total uint64) {
	if p.bar == nil {
		size := int64(total)
		if total == 0 {
			size = -1
		}
		p.bar = progressbar.NewOptions64(size,
			progressbar.OptionSetWriter(p.w),
			progressbar.OptionSetDescription(stepNames[p.step]),
			progressbar.OptionShowBytes(inBytes[p.step]),
			progressbar.OptionShowCount(),
			progressbar.OptionShowIts(),
			progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(100*time.Millisecond),
			progressbar.OptionClearOnFinish(),
		)
	}
	_ = p.bar.Set64(int64(done)) // a bar that can't be drawn is no reason to fail
}

func (p *progress) line(done, total uint64, took time.Duration) string {
	name := stepNames[p.step]
	rate := float64(done) / max(took.Seconds(), 0.001)
	if total == 0 || done == 0 {
		return fmt.Sprintf("%s: %d (%.0f/s)", name, done, rate)
	}
	left := time.Duration(float64(total-min(done, total)) / rate * float64(time.Second))
	return fmt.Sprintf("%s: %d of %d (%.0f/s, %v left)", name, done, total, rate, left.Round(time.Second))
}

// finish takes the bar away.
func (p *progress) finish() {
	if p.bar != nil {
		_ = p.bar.Finish() // as above
		p.bar = nil
	}
}

func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish()
}
